/** @file Rules about a row among others. They keep hashes and counts of rows, never texts. */

import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { HashSet } from '../hash-set.js'
import type { RowWithContent } from '../inspect.js'
import type { RowOrigin } from '../row-origin.js'
import { type CheckContext, type FoundRow, LEAST_ROWS, type Look, MOST_ROWS } from './rule.js'

/** So many times the median is an outlier. */
const OUTLIER = 16
/** Lengths are counted in steps of this many to a doubling. */
const STEPS = 4

/** 128 bits of what is told. */
export function digestOf(parts: readonly (string | NodeJS.ArrayBufferView)[]): Uint32Array {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  const bytes = hash.digest()
  return Uint32Array.from({ length: 4 }, (_, word) => bytes.readUInt32LE(4 * word))
}

export function promptInEvaluation({ evaluation }: CheckContext): Look {
  return {
    row({ texts: { prompt } }) {
      if (evaluation === undefined || prompt === undefined || prompt.trim() === '') return undefined
      return evaluation.prompts.has(digestOf([prompt.trim()])) ? 'the evaluation set has this prompt' : undefined
    },
  }
}

export function overlapWithEvaluation({ evaluation }: CheckContext): Look {
  return { row: ({ texts }) => (evaluation?.runs.isIn(texts.own) ? 'words of the evaluation set' : undefined) }
}

export function duplicateRow(): Look {
  const seen = new HashSet()
  return { row: (row) => (seen.add(digestOfRow(row)) ? undefined : 'equal to a row before it') }
}

/** Rows of one digest have the same tokens, of which the same are learnt. */
export function digestOfRow({ row, inspected: { sequences } }: RowWithContent): Uint32Array {
  const labels = row.form === 'stepwise' ? String(row.labels) : ''
  const parts = sequences.flatMap(({ name, inputIds, weights }) => [
    `${name ?? ''} ${inputIds.length}:`,
    inputIds,
    weights,
  ])
  return digestOf([labels, ...parts])
}

export function equalPair(): Look {
  return {
    row({ row }) {
      if (row.form !== 'preference') return undefined
      return isDeepStrictEqual(row.chosen, row.rejected) ? 'chosen and rejected say the same' : undefined
    },
  }
}

/** The length of most rows is known at the end, so that counts and the first rows of each size are kept. */
export function lengthOutlier(): Look {
  const bins = new Map<number, { count: number; rows: { origin: RowOrigin; tokens: number }[] }>()
  let total = 0
  return {
    row({ row: { origin }, inspected: { sequences } }) {
      const tokens = sequences.reduce((sum, { inputIds }) => sum + inputIds.length, 0)
      const number = Math.floor(STEPS * Math.log2(Math.max(1, tokens)))
      const bin = bins.get(number) ?? { count: 0, rows: [] }
      bins.set(number, bin)
      bin.count++
      total++
      if (bin.rows.length < MOST_ROWS) bin.rows.push({ origin, tokens })
      return undefined
    },
    end() {
      const sorted = [...bins].sort(([first], [second]) => first - second)
      let below = 0
      const median = sorted.find(([, { count }]) => {
        below += count
        return 2 * below >= total
      })?.[0]
      if (total < LEAST_ROWS || median === undefined) return { count: 0, rows: [] }
      const usual = Math.round(2 ** (median / STEPS))
      const far = sorted.filter(([number]) => number >= median + STEPS * Math.log2(OUTLIER))
      const rows = far.flatMap(([, bin]) =>
        bin.rows.map(
          ({ origin, tokens }): FoundRow => ({ ...origin, detail: `${tokens} tokens, where most have about ${usual}` }),
        ),
      )
      return { count: far.reduce((sum, [, { count }]) => sum + count, 0), rows: rows.slice(-MOST_ROWS) }
    },
  }
}
