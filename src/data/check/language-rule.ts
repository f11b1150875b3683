/** @file The rule about languages: it tells rows that differ from nearly all others, so that sets of many have none. */

import type { RowOrigin } from '../row-origin.js'
import { languageOf } from './language.js'
import { type FoundRow, LEAST_ROWS, type Look, MOST_ROWS } from './rule.js'

/** The share of rows that makes something usual; what fewer than the rest do is odd. */
const USUAL = 0.9

/** Rows of which questions and answers are in the same languages. */
interface Pair {
  readonly asked: string | undefined
  readonly answered: string
  count: number
  readonly rows: { readonly origin: RowOrigin; readonly number: number }[]
}

export function mixedLanguages(): Look {
  const pairs = new Map<string, Pair>()
  let number = 0
  return {
    row({ row: { origin }, texts }) {
      number++
      const { turns, own } = texts
      const answered = languageOf(turns.length === 0 ? own.join('\n') : turns.map(({ answer }) => answer).join('\n'))
      if (answered === undefined) return undefined
      const asked = languageOf(turns.flatMap((turn) => turn.asked.filter((text) => own.includes(text))).join('\n'))
      const key = `${asked} ${answered}`
      const pair = pairs.get(key) ?? { asked, answered, count: 0, rows: [] }
      pairs.set(key, pair)
      pair.count++
      if (pair.rows.length < MOST_ROWS) pair.rows.push({ origin, number })
      return undefined
    },
    end() {
      const all = [...pairs.values()]
      const total = sum(all)
      if (total < LEAST_ROWS) return { count: 0, rows: [] }
      const main = [...new Set(all.map(({ answered }) => answered))].find(
        (language) => sum(all.filter(({ answered }) => answered === language)) >= USUAL * total,
      )
      const known = all.filter(({ asked }) => asked !== undefined)
      const crossing = known.filter(({ asked, answered }) => asked !== answered)
      const isCrossingOdd = sum(crossing) <= (1 - USUAL) * sum(known)
      const odd = all.flatMap((pair) => {
        const { asked, answered } = pair
        if (isCrossingOdd && crossing.includes(pair))
          return [{ pair, detail: `asks in ${asked}, answers in ${answered}` }]
        if (main === undefined || answered === main) return []
        return [{ pair, detail: `in ${answered}, where most rows are in ${main}` }]
      })
      const rows = odd
        .flatMap(({ pair, detail }) => pair.rows.map(({ origin, number }) => ({ origin, number, detail })))
        .sort((first, second) => first.number - second.number)
        .slice(0, MOST_ROWS)
      return {
        count: sum(odd.map(({ pair }) => pair)),
        rows: rows.map(({ origin, detail }): FoundRow => ({ ...origin, detail })),
      }
    },
  }
}

function sum(pairs: readonly Pair[]): number {
  return pairs.reduce((total, { count }) => total + count, 0)
}
