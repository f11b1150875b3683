/** @file Quantiles: of the normal distribution, of Student's t, and of numbers that may be equal. */

/** The normal distribution function. */
export function normalCdf(x: number): number {
  if (Math.abs(x) > 8.3) return x < 0 ? 0 : 1
  // Marsaglia 2004, https://doi.org/10.18637/jss.v011.i04
  let [sum, term] = [x, x]
  for (let i = 3; Math.abs(term) > 1e-17; i += 2) {
    term *= (x * x) / i
    sum += term
  }
  return 0.5 + (sum * Math.exp(-0.5 * x * x)) / Math.sqrt(2 * Math.PI)
}

/** Where the normal distribution function is p, 0 < p < 1. */
export function normalQuantile(p: number): number {
  return inverse(normalCdf, p)
}

/** Student's distribution function of whole degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4). */
export function studentCdf(t: number, degrees: number): number {
  const angle = Math.atan(t / Math.sqrt(degrees))
  const [sine, cosine] = [Math.sin(angle), Math.cos(angle)]
  const isOdd = degrees % 2 === 1
  let term = isOdd ? (degrees === 1 ? 0 : cosine) : 1
  let sum = term
  for (let k = isOdd ? 3 : 2; k < degrees && term > 1e-17; k += 2) {
    term *= (cosine * cosine * (k - 1)) / k
    sum += term
  }
  return 0.5 + (isOdd ? (angle + sine * sum) / Math.PI : (sine * sum) / 2)
}

/** Where Student's distribution function is p, 0 < p < 1. */
export function studentQuantile(p: number, degrees: number): number {
  return inverse((t) => studentCdf(t, degrees), p)
}

/** Where a rising function is p, by halving: few calls are made, and each is cheap. */
function inverse(cdf: (x: number) => number, p: number): number {
  let [low, high] = [-1, 1]
  while (cdf(low) > p && low > -1e12) low *= 2
  while (cdf(high) < p && high < 1e12) high *= 2
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2
    if (cdf(middle) < p) low = middle
    else high = middle
  }
  return (low + high) / 2
}

/**
 * Quantiles of sorted numbers. Each value is the quantile of the middle of its mass (the mid-distribution; Parzen 2004,
 * https://doi.org/10.1214/088342304000000387), between which quantiles are interpolated.
 */
export function smoothQuantiles(sorted: Float64Array, levels: readonly number[]): readonly number[] {
  const [values, middles]: [number[], number[]] = [[], []]
  for (let begin = 0; begin < sorted.length; ) {
    let end = begin + 1
    while (sorted[end] === sorted[begin]) end++
    values.push(sorted[begin]!)
    middles.push((begin + end) / 2 / sorted.length)
    begin = end
  }
  return levels.map((level) => {
    const above = middles.findIndex((middle) => middle >= level)
    if (above === -1) return values.at(-1)!
    if (above === 0) return values[0]!
    const [low, high] = [middles[above - 1]!, middles[above]!]
    return values[above - 1]! + ((level - low) / (high - low)) * (values[above]! - values[above - 1]!)
  })
}
