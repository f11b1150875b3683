/** @file Holding out examples: how many, which, and that nothing leaks from one side to the other. */

import { describe, expect, it } from 'vitest'
import { IGNORE_INDEX } from '../../src/architecture/ragged-batch.js'
import type { Example } from '../../src/data/examples.js'
import { type SplitOptions, splitExamples } from '../../src/data/split.js'
import { Random } from '../../src/random.js'

/** Rows of different ids and prompts. */
function examples(count: number): Example[] {
  return Array.from({ length: count }, (_, row) => {
    const inputIds = Int32Array.from({ length: 3 + (row % 5) }, (_, at) => row * 1000 + at)
    const labels = inputIds.map((id, at) => (at < 2 ? IGNORE_INDEX : id))
    return { inputIds, labels, numSupervised: inputIds.length - 2, promptLength: 2 }
  })
}

const split = (rows: readonly Example[], evalSplit: number, seed: number) => splitExamples(rows, { evalSplit, seed })
const ascending = (count: number) => Array.from({ length: count }, (_, row) => row)

describe('splitExamples', () => {
  /** Row `row` with the prompt that `prompt` numbers. */
  const asked = (prompt: number, row: number): Example => {
    const inputIds = Int32Array.of(1, 2, prompt, row, row + 1)
    const labels = Int32Array.of(IGNORE_INDEX, IGNORE_INDEX, IGNORE_INDEX, row, row + 1)
    return { inputIds, labels, numSupervised: 2, promptLength: 3 }
  }

  it('holds out a fraction or a number of rows, keeps the order, and repeats for one seed', async () => {
    const rows = examples(40)
    const { train, evaluation } = await split(rows, 0.2, 42)
    expect([train.length, evaluation.length]).toEqual([32, 8])
    expect(await split(rows, 8, 42)).toEqual({ train, evaluation })
    expect((await split(rows, 8, 43)).evaluation).not.toEqual(evaluation)
    expect([...train, ...evaluation].map((row) => rows.indexOf(row)).sort((a, b) => a - b)).toEqual(ascending(40))
    expect(evaluation).toEqual(rows.filter((row) => evaluation.includes(row)))
    expect(await split(rows, 0, 42)).toEqual({ train: rows, evaluation: [] })
  })

  it('never asks in evaluation what training has answered', async () => {
    for (let seed = 0; seed < 25; seed++) {
      const random = new Random(seed)
      const rows = ascending(60).map((row) => asked(random.below(20), 100 + row))
      const { train, evaluation } = await split(rows, 0.25, seed)
      const promptsOf = (side: readonly Example[]) => new Set(side.map((row) => row.inputIds[2]))
      const shared = [...promptsOf(evaluation)].filter((prompt) => promptsOf(train).has(prompt))
      expect(shared).toEqual([])
      expect(evaluation.length).toBeGreaterThan(0)
      expect(evaluation.length).toBeLessThanOrEqual(15)
    }
  })

  it('holds out the same rows of thousands in every version', async () => {
    const rows = ascending(3000).map((row) => asked((row * row) % 1709, row))
    const { evaluation } = await split(rows, 0.1, 42)
    const held = evaluation.map(({ inputIds }) => inputIds[3] as number)
    expect([held.length, held.slice(0, 12)]).toEqual([299, [17, 19, 22, 34, 40, 49, 53, 58, 70, 82, 84, 116]])
    expect(held.reduce((sum, row) => (sum * 31 + row) % 1_000_003, 7)).toBe(945_423)
  })

  it('keeps equal rows together where all rows share one prompt', async () => {
    const rows = ascending(20).map((row) => asked(7, 100 + (row % 10)))
    const { train, evaluation } = await split(rows, 4, 1)
    expect(evaluation).toHaveLength(4)
    const answers = (side: readonly Example[]) => side.map((row) => row.inputIds[3])
    expect(answers(train).filter((answer) => answers(evaluation).includes(answer))).toEqual([])
  })

  it('refuses a split that leaves nothing to train on or cannot be made', async () => {
    await expect(split(examples(5), 5, 1)).rejects.toThrow(
      '[data] expected evalSplit to leave rows to train on, got 5 for 5 usable rows; lower it',
    )
    await expect(split([asked(1, 5), asked(1, 5)], 1, 1)).rejects.toThrow(
      'expected rows that differ for evalSplit, got 2 equal',
    )
  })

  it('holds out nothing with the defaults, refuses options that it does not know and stops when asked to', async () => {
    const rows = examples(7)
    expect(await splitExamples(rows)).toEqual({ train: rows, evaluation: [] })
    expect(await splitExamples(rows, { evalSplit: 3 })).toEqual(await split(rows, 3, 42))
    await expect(splitExamples(rows, { evalsplit: 3 } as SplitOptions)).rejects.toThrow('did you mean "evalSplit"?')
    await expect(splitExamples(rows, { evalSplit: 1.5 })).rejects.toThrow(
      'expected a fraction below 1 or a whole number',
    )
    await expect(splitExamples(rows, { packing: true } as SplitOptions)).rejects.toThrow('unknown option "packing"')
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(splitExamples(rows, { evalSplit: 3, signal })).rejects.toThrow('enough')
  })
})
