/** @file How a row is called in errors, and what an error about it tells a program. */

import { expect, it } from 'vitest'
import { describeOrigin, rowError } from '../../src/data/row-origin.js'
import { allRows } from '../support/read-rows.js'

const ORIGINS = [
  [{ file: 'train.jsonl', line: 17 }, 'train.jsonl:17', { file: 'train.jsonl', row: 17 }],
  [{ file: 'train.csv', line: 17, row: 5 }, 'train.csv:17', { file: 'train.csv', row: 17 }],
  [{ file: 'train.json', row: 4 }, 'train.json: row 4', { file: 'train.json', row: 4 }],
  [{ file: 'a: row 9.json', row: 4 }, 'a: row 9.json: row 4', { file: 'a: row 9.json', row: 4 }],
  [{ file: 'main.default.rows' }, 'main.default.rows', { file: 'main.default.rows', row: undefined }],
  [{ line: 3 }, 'line 3', { file: undefined, row: 3 }],
  [{ row: 4 }, 'row 4', { file: undefined, row: 4 }],
  [{}, 'a row', { file: undefined, row: undefined }],
] as const

it.each(ORIGINS)('a row at %o is called %s, and its error has file and row', (origin, words, place) => {
  expect(describeOrigin(origin)).toBe(words)
  const cause = new Error('why')
  expect(rowError(origin, 'what', { cause })).toMatchObject({ message: 'what', ...place, cause })
})

it('a source may have several parts, each with rows of one form', async () => {
  const source = (second: string) => ({
    name: 'two tables',
    async *rows() {
      yield { value: { text: 'a' }, origin: { file: 'one', row: 1 } }
      yield { value: { prompt: 'p', completion: 'c' }, origin: { file: second, row: 2 } }
    },
  })
  expect((await allRows(source('two'))).map(({ form }) => form)).toEqual(['text', 'completion'])
  await expect(allRows(source('one'))).rejects.toMatchObject({
    message: expect.stringContaining('got completion in one: row 2 after text in one: row 1'),
    file: 'one',
    row: 2,
  })
})
