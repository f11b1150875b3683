import { describe, expect, it } from 'vitest'
import { bootstrapInterval, pairedDifference } from '../../src/metrics/bootstrap.js'
import { classificationMetrics } from '../../src/metrics/classification.js'
import { normalCdf, normalQuantile, smoothQuantiles, studentCdf, studentQuantile } from '../../src/metrics/quantiles.js'
import { Random } from '../../src/random.js'
import { cases, isLong } from '../support/long.js'
import { leastProcessorTime } from '../support/processor-time.js'

const mean = { score: (sums: Float64Array): number => sums[1]! / sums[0]! }
const rowsOf = (values: readonly number[]): Float64Array[] => values.map((value) => Float64Array.of(1, value))

/** Uniform in (0, 1). */
const uniform = (random: Random): number => (random.next() + 0.5) / 2 ** 32
const normal = (random: Random): number =>
  Math.sqrt(-2 * Math.log(uniform(random))) * Math.cos(2 * Math.PI * uniform(random))

/** A text of so many words, of which some are right: its words, and n-grams of 1 to 4 words that are right. */
function sentence(random: Random): Float64Array {
  const length = 5 + random.below(30)
  const quality = 0.5 + 0.4 * uniform(random)
  const sums = Float64Array.of(length, length - 1, length - 2, length - 3, 0, 0, 0, 0)
  let run = 0
  for (let word = 0; word < length; word++) {
    run = uniform(random) < quality ? run + 1 : 0
    for (let order = 0; order < Math.min(4, run); order++) sums[4 + order]!++
  }
  return sums
}

/** The geometric mean of four ratios of sums, as BLEU without its brevity penalty. */
const bleu = {
  score: (sums: Float64Array): number =>
    Math.exp([0, 1, 2, 3].reduce((all, order) => all + Math.log(sums[4 + order]! / sums[order]!), 0) / 4),
}
/** The ratio of all sentences together: runs have known probabilities for each quality; means over qualities. */
const TRUE_BLEU = ((): number => {
  const steps = 20_000
  const expected = new Float64Array(8)
  for (let length = 5; length < 35; length++) {
    for (let order = 0; order < 4; order++) {
      expected[order]! += length - order
      let power = 0
      for (let step = 0; step < steps; step++) power += (0.5 + (0.4 * (step + 0.5)) / steps) ** (order + 1)
      expected[4 + order]! += ((length - order) * power) / steps
    }
  }
  return bleu.score(expected)
})()

interface Population {
  readonly name: string
  readonly draw: (random: Random) => Float64Array
  readonly metric: { readonly score: (sums: Float64Array) => number }
  readonly truth: number
}

const POPULATIONS: readonly Population[] = [
  { name: 'a mean of normal scores', draw: (random) => Float64Array.of(1, normal(random)), metric: mean, truth: 0 },
  {
    name: 'a mean of skewed scores from 0 to 1',
    draw: (random) => Float64Array.of(1, uniform(random) ** 0.3),
    metric: mean,
    truth: 1 / 1.3,
  },
  { name: 'a ratio as BLEU', draw: sentence, metric: bleu, truth: TRUE_BLEU },
]

/** Share of intervals of so many sets that hold the truth. */
async function coverage(
  { draw, metric, truth }: Population,
  size: number,
  sets: number,
  samples: number,
): Promise<number> {
  let held = 0
  for (let set = 0; set < sets; set++) {
    const random = new Random(1000 + set, size)
    const rows = Array.from({ length: size }, () => draw(random))
    const { low, high } = await bootstrapInterval(rows, metric, { samples, seed: set })
    if (low !== null && high !== null && low <= truth + 1e-12 && truth - 1e-12 <= high) held++
  }
  return held / sets
}

/** The distance of Kolmogorov and Smirnov between numbers and the uniform distribution on (0, 1). */
function distanceFromUniform(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const { length } = sorted
  return Math.max(
    ...sorted.map((value, i) => Math.max(Math.abs(value - i / length), Math.abs(value - (i + 1) / length))),
  )
}

describe('intervals', () => {
  // 95 % intervals of 500 sets hold the truth 465 to 485 times: two standard deviations of such a count are 2 %.
  it.each(
    POPULATIONS.flatMap((population) =>
      (isLong ? [30, 100, 200, 500] : [30]).map((size) => [population.name, size, population] as const),
    ),
  )(
    'intervals of 95 percent of %s, %i rows, hold the truth in 93 to 97 percent of sets',
    async (_, size, population) => {
      const share = await coverage(population, size, 500, cases(500, 2000))
      expect(share).toBeGreaterThanOrEqual(0.93)
      expect(share).toBeLessThanOrEqual(0.97)
    },
  )

  // Exact, by the probability of each number of right answers. A share of n rows has n + 1 values, so that no method
  // holds 95 % everywhere: Wilson's interval goes from 92.0 to 97.0 % over these sizes.
  it.each([
    ...(isLong ? [30, 100, 150, 200, 300, 500] : [30, 100]).map((size) => [size, 97] as const),
    ...(isLong ? [35, 40, 45, 50, 60, 70, 80] : [50]).map((size) => [size, 98.5] as const),
  ])(
    'intervals of 95 percent of a share of 0.9 of %i rows hold it in 93 to %f percent of cases',
    async (size, most) => {
      let held = 0
      let logProbability = size * Math.log(0.1)
      for (let right = 0; right <= size; right++) {
        const probability = Math.exp(logProbability)
        if (probability > 1e-6) {
          const rows = rowsOf(Array.from({ length: size }, (_, i) => (i < right ? 1 : 0)))
          const { low, high } = await bootstrapInterval(rows, mean, { samples: 2000 })
          if (low !== null && high !== null && low <= 0.9 + 1e-12 && 0.9 - 1e-12 <= high) held += probability
        }
        logProbability += Math.log((9 * (size - right)) / (right + 1))
      }
      expect(held).toBeGreaterThan(0.93)
      expect(held).toBeLessThan(most / 100)
    },
  )

  it('the published example of Efron and Tibshirani comes out', async () => {
    // Variance of the spatial test data, An Introduction to the Bootstrap (1993), table 14.1: the BCa interval of 90 %
    // from 2000 resamples is 115.8 to 259.6. Its normal quantile stands for this confidence in ours.
    const data = [48, 36, 20, 29, 42, 42, 20, 42, 22, 41, 45, 14, 6, 0, 33, 28, 34, 4, 32, 24, 47, 41, 24, 26, 30, 41]
    const confidence = 2 * studentCdf(normalQuantile(0.95) / Math.sqrt(26 / 25), 25) - 1
    const variance = { score: (sums: Float64Array): number => sums[2]! / sums[0]! - (sums[1]! / sums[0]!) ** 2 }
    const rows = data.map((value) => Float64Array.of(1, value, value * value))
    const { value, low, high } = await bootstrapInterval(rows, variance, { confidence, samples: 20_000 })
    expect(value).toBeCloseTo(171.5, 1)
    // Their 2000 resamples leave the bounds uncertain by about 2 (table 14.2 has 116 and 260 for another 2000).
    expect(Math.abs(low! - 115.8)).toBeLessThan(3)
    expect(Math.abs(high! - 259.6)).toBeLessThan(4)
  })

  it('the interval of a mean of many rows is that of Student', async () => {
    const random = new Random(3)
    const values = Array.from({ length: 400 }, () => normal(random))
    const { value, low, high } = await bootstrapInterval(rowsOf(values), mean, { samples: 40_000 })
    const center = values.reduce((sum, x) => sum + x) / 400
    const error = Math.sqrt(values.reduce((sum, x) => sum + (x - center) ** 2, 0) / 399 / 400)
    expect(value).toBeCloseTo(center, 14)
    // 40,000 resamples put a bound within 1 % of the standard error, twice that here; its own skewness adds as much.
    expect((low! - center) / error).toBeCloseTo(-studentQuantile(0.975, 399), 1)
    expect((high! - center) / error).toBeCloseTo(studentQuantile(0.975, 399), 1)
  })

  it('one seed gives one interval, another seed a slightly different one', async () => {
    const rows = rowsOf(Array.from({ length: 50 }, (_, i) => Math.sin(i)))
    const first = await bootstrapInterval(rows, mean, { seed: 5, samples: 2000 })
    expect(await bootstrapInterval(rows, mean, { seed: 5, samples: 2000 })).toEqual(first)
    const other = await bootstrapInterval(rows, mean, { seed: 6, samples: 2000 })
    expect(other.low).not.toBe(first.low)
    expect(Math.abs(other.low! - first.low!)).toBeLessThan(0.05)
    const wider = await bootstrapInterval(rows, mean, { seed: 5, samples: 2000, confidence: 0.99 })
    expect(wider.low!).toBeLessThan(first.low!)
    expect(wider.high!).toBeGreaterThan(first.high!)
  })

  it('no rows, a single row and rows that all are the same have no bounds', async () => {
    const none = { low: null, high: null }
    expect(await bootstrapInterval([], mean)).toEqual({ value: null, ...none })
    expect(await bootstrapInterval(rowsOf([0.5]), mean)).toEqual({ value: 0.5, ...none })
    expect(await bootstrapInterval(rowsOf(Array(30).fill(1)), mean)).toEqual({ value: 1, ...none })
    expect(await bootstrapInterval(rowsOf([1, 2, 3]), { score: () => Number.NaN })).toEqual({ value: null, ...none })
    expect(await bootstrapInterval(rowsOf([1, 2, 3]), { score: () => 7 })).toEqual({ value: 7, ...none })
  })

  it('resamples without a score are left out, and too many of them leave no bounds', async () => {
    // The precision of a label that one row of thirty is answered with: a third of the resamples does not have it.
    const labels = ['a', 'b']
    const [, precision] = classificationMetrics({ labels, metrics: ['precision_per_class'], zeroDivision: 'nan' })
    const rows = (answers: number): Float64Array[] =>
      Array.from({ length: 30 }, (_, i) =>
        precision!.statistics({ label: i % 2 === 0 ? 'b' : 'a', predicted: i < answers ? 'b' : 'a' }),
      )
    expect(await bootstrapInterval(rows(0), precision!)).toEqual({ value: null, low: null, high: null })
    const { value, low, high } = await bootstrapInterval(rows(2), precision!, { samples: 1000 })
    expect([value, low, high]).toEqual([0.5, 0, 1])
    const rare = { score: (sums: Float64Array) => (sums[1] === 1 ? 1 / (sums[0]! + sums[2]!) : Number.NaN) }
    const mixed = Array.from({ length: 30 }, (_, i) => Float64Array.of(1, i === 0 ? 1 : 0, i))
    expect((await bootstrapInterval(mixed, rare, { samples: 1000 })).low).toBeNull()
  })

  it('bounds of shares lie between the steps, and inside of 0 and 1', async () => {
    const rows = rowsOf(Array.from({ length: 30 }, (_, i) => (i < 29 ? 1 : 0)))
    const { value, low, high } = await bootstrapInterval(rows, mean)
    expect(value).toBeCloseTo(29 / 30, 15)
    expect(low).toBeGreaterThan(0.75)
    expect(low).toBeLessThan(0.88)
    expect(high).toBeGreaterThan(29 / 30)
    expect(high).toBeLessThanOrEqual(1)
  })

  it('10,000 resamples of 1,000 rows take less than two seconds and leave the event loop free', async () => {
    const random = new Random(1)
    const rows = Array.from({ length: 1000 }, () => sentence(random))
    let turns = 0
    let isOver = false
    const count = (): void => {
      turns++
      if (!isOver) setImmediate(count)
    }
    setImmediate(count)
    const work = async (): Promise<void> => void (await bootstrapInterval(rows, bleu))
    expect(await leastProcessorTime(2000, work)).toBeLessThan(2000)
    isOver = true
    expect(turns).toBeGreaterThan(3)
  })

  it('a signal ends the work with its reason', async () => {
    const rows = rowsOf(Array.from({ length: 1000 }, (_, i) => i))
    const controller = new AbortController()
    const work = bootstrapInterval(rows, mean, { samples: 1_000_000, signal: controller.signal })
    setImmediate(() => controller.abort(new Error('enough')))
    await expect(work).rejects.toThrow('enough')
  })

  it('wrong options and rows are named', async () => {
    await expect(bootstrapInterval([], mean, { confidence: 95 })).rejects.toThrow(
      '[bootstrap] expected a number above 0 and below 1 for confidence, got 95',
    )
    await expect(bootstrapInterval([], mean, { sample: 1 } as object)).rejects.toThrow(
      '[bootstrap] unknown option "sample"; did you mean "samples"?',
    )
    await expect(bootstrapInterval([Float64Array.of(1), Float64Array.of(1, 2)], mean)).rejects.toThrow(
      '[bootstrap] expected 1 numbers for row 1, as for row 0, got 2; give rows of one metric',
    )
    await expect(bootstrapInterval(rowsOf([1, Number.NaN]), mean)).rejects.toThrow(
      '[bootstrap] expected finite numbers for row 1, got NaN; give no row that has no score',
    )
    await expect(pairedDifference(rowsOf([1]), rowsOf([1, 2]), mean)).rejects.toThrow(
      '[bootstrap] expected as many rows of both models, got 1 and 2; give the same rows to both',
    )
  })
})

describe('differences of two models', () => {
  /** Sets of rows of two models that do not differ, each with its difference. */
  const differences = async (draw: (random: Random) => readonly [number, number], sets: number, size: number) => {
    const found = []
    for (let set = 0; set < sets; set++) {
      const random = new Random(set, size)
      const pairs = Array.from({ length: size }, () => draw(random))
      const [rows, base] = [rowsOf(pairs.map(([a]) => a)), rowsOf(pairs.map(([, b]) => b))]
      found.push(await pairedDifference(rows, base, mean, { samples: 499, seed: set }))
    }
    return found
  }
  // The distance that one of a thousand sets of uniform numbers goes beyond.
  const largest = (sets: number): number => 1.95 / Math.sqrt(sets)

  it('p-values are uniform where there is none', async () => {
    const sets = cases(300, 2000)
    const found = await differences(
      (random) => {
        const difficulty = normal(random)
        return [difficulty + normal(random), difficulty + normal(random)]
      },
      sets,
      30,
    )
    expect(distanceFromUniform(found.map(({ pValue }) => pValue!))).toBeLessThan(largest(sets))
    const misses = found.filter(({ low, high }) => low! > 0 || high! < 0).length / sets
    expect(misses).toBeGreaterThan(0.02)
    expect(misses).toBeLessThan(0.09)
  })

  it.each([
    ['right or wrong', (random: Random) => [random.below(10) < 8 ? 1 : 0, random.below(10) < 8 ? 1 : 0] as const],
    [
      'one of five scores, mostly the same',
      (random: Random) => {
        const score = random.below(5)
        return [
          random.below(3) === 0 ? random.below(5) : score,
          random.below(3) === 0 ? random.below(5) : score,
        ] as const
      },
    ],
  ])(
    'p-values of scores with ties (%s) are at least uniform ones, and uniform between their two bounds',
    async (_, draw) => {
      const sets = cases(300, 2000)
      const found = await differences(draw, sets, 40)
      for (let level = 0.01; level < 1; level += 0.01) {
        const share = found.filter(({ pValue }) => pValue! <= level).length / sets
        // Three standard deviations of a count.
        expect(share).toBeLessThan(level + 3 * Math.sqrt((level * (1 - level)) / sets) + 1e-9)
      }
      const random = new Random(1)
      const between = found.map(
        ({ pValue, pValueOfLarger }) => pValueOfLarger! + uniform(random) * (pValue! - pValueOfLarger!),
      )
      expect(distanceFromUniform(between)).toBeLessThan(largest(sets))
    },
  )

  it('p-values are those of all swaps, where they can be counted', async () => {
    const random = new Random(8)
    for (let round = 0; round < 10; round++) {
      const size = 6
      const [rows, base] = [0, 1].map(() => Array.from({ length: size }, () => sentence(random)))
      const differenceOf = (swaps: number): number => {
        const sums = [new Float64Array(8), new Float64Array(8)]
        for (let row = 0; row < size; row++) {
          const isSwapped = (swaps >> row) & 1
          for (let i = 0; i < 8; i++) {
            sums[isSwapped]![i]! += rows![row]![i]!
            sums[1 - isSwapped]![i]! += base![row]![i]!
          }
        }
        return bleu.score(sums[0]!) - bleu.score(sums[1]!)
      }
      const observed = differenceOf(0)
      const all = Array.from({ length: 2 ** size }, (_, swaps) => Math.abs(differenceOf(swaps)))
      const exact = all.filter((other) => other >= Math.abs(observed) - 1e-12).length / all.length
      const { value, pValue } = await pairedDifference(rows!, base!, bleu, { samples: 4000, seed: round })
      expect(value).toBeCloseTo(observed, 14)
      // Four standard deviations of a share of 4000 random swaps.
      expect(Math.abs(pValue! - exact)).toBeLessThan(4 * Math.sqrt((exact * (1 - exact)) / 4000) + 1 / 4000)
    }
  })

  it('a true difference is found, with its sign', async () => {
    const random = new Random(4)
    const base = Array.from({ length: 200 }, () => normal(random))
    const better = base.map((score) => score + 0.3 + 0.5 * normal(random))
    const found = await pairedDifference(rowsOf(better), rowsOf(base), mean, { samples: 2000 })
    expect(found.low).toBeGreaterThan(0.15)
    expect(found.high).toBeLessThan(0.45)
    expect(found.pValue).toBeCloseTo(1 / 2001, 12)
    const opposite = await pairedDifference(rowsOf(base), rowsOf(better), mean, { samples: 2000 })
    expect(opposite.value).toBeCloseTo(-found.value!, 14)
    expect(opposite.high).toBeLessThan(-0.15)
  })

  it('models that answer alike have the p-value 1, and no rows have none', async () => {
    const rows = rowsOf([0.1, 0.7, 0.3])
    expect(await pairedDifference(rows, rows, mean, { samples: 200 })).toEqual({
      value: 0,
      low: null,
      high: null,
      pValue: 1,
      pValueOfLarger: 0,
    })
    expect(await pairedDifference([], [], mean)).toEqual({
      value: null,
      low: null,
      high: null,
      pValue: null,
      pValueOfLarger: null,
    })
    const single = await pairedDifference(rowsOf([1]), rowsOf([0]), mean, { samples: 200 })
    expect(single).toEqual({ value: 1, low: null, high: null, pValue: 1, pValueOfLarger: 0 })
  })

  it('10,000 swaps of 1,000 rows take less than three seconds, with their interval', async () => {
    const random = new Random(1)
    const [rows, base] = [0, 1].map(() => Array.from({ length: 1000 }, () => sentence(random)))
    const work = async (): Promise<void> => void (await pairedDifference(rows!, base!, bleu))
    expect(await leastProcessorTime(3000, work)).toBeLessThan(3000)
  })
})

describe('quantiles', () => {
  it('the normal distribution and that of Student are those of tables', () => {
    expect(normalQuantile(0.975)).toBeCloseTo(1.959963984540054, 12)
    expect(normalQuantile(0.0001)).toBeCloseTo(-3.719016485455709, 11)
    expect([normalCdf(-1), normalCdf(-40), normalCdf(40)]).toEqual([expect.closeTo(0.15865525393145707, 14), 0, 1])
    const quantiles = [1, 2, 4, 29, 99, 1000].map((degrees) => studentQuantile(0.975, degrees))
    const table = [
      12.706204736432095, 4.302652729911275, 2.7764451051977987, 2.045229642132703, 1.9842169515086827,
      1.9623390808264078,
    ]
    for (const [i, quantile] of quantiles.entries()) expect(quantile).toBeCloseTo(table[i]!, 9)
  })

  it('numbers that are equal have the quantile of the middle of their mass', () => {
    const sorted = Float64Array.of(1, 1, 2, 3)
    expect(smoothQuantiles(sorted, [0.25, 0.625, 0.4375, 0.01, 1])).toEqual([1, 2, 1.5, 1, 3])
  })
})
