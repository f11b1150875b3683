import { expect, test } from 'vitest'
import { NumberList } from '../../../src/tokenizer/pipeline/number-list.js'
import { WordTable } from '../../../src/tokenizer/pipeline/word-table.js'
import { runAtOnce } from '../../../src/turns.js'

test('a table of words gives the tokens of a word it knows, and forgets words that did not come for long', () => {
  const table = new WordTable()
  const tokens = (word: number): number[] => Array.from({ length: 1 + (word % 3) }, (_, at) => word + at)
  const units = (word: number): Uint16Array => Uint16Array.from(`x${word}`, (letter) => letter.charCodeAt(0))
  const ask = (word: number): number[] | undefined => {
    const [ids, offsets] = [new NumberList(), new NumberList()]
    const text = units(word)
    if (!table.put(text, 0, text.length, ids, offsets, 7)) return undefined
    const places = runAtOnce(offsets.drain())
    expect(places).toEqual(tokens(word).flatMap((_, at) => [7 + at, 8 + at]))
    return runAtOnce(ids.drain())
  }
  const frequent = 5
  let known = 0
  for (let word = 0; word < 120_000; word++) {
    if (ask(word) === undefined) {
      const text = units(word)
      table.add(text, 0, text.length, {
        ids: tokens(word),
        offsets: tokens(word).flatMap((_, at) => [at, at + 1]),
      })
    }
    if (word % 1000 === 0 && word > frequent) expect(ask(frequent), `after ${word}`).toEqual(tokens(frequent))
  }
  for (let word = 0; word < 120_000; word++) {
    const found = ask(word)
    if (found === undefined) continue
    expect(found).toEqual(tokens(word))
    known++
  }
  expect(known).toBeGreaterThan(30_000)
  expect(known).toBeLessThan(70_000)
  // Longer words are not remembered.
  const long = new Uint16Array(65)
  table.add(long, 0, 65, { ids: [1], offsets: [0, 65] })
  expect(table.put(long, 0, 65, new NumberList(), undefined, 0)).toBe(false)
})
