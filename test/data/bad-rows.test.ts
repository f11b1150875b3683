/** @file A defect in one row of a file ends the work and names the row, or leaves the row out and counts it. */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { prepareDataset } from '../../src/data/dataset.js'
import { createTokenizer } from '../../src/tokenizer/tokenizer.js'
import { CHATML } from '../support/chat-templates.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

const files = tinyByteLevelTokenizer({ chatTemplate: CHATML, eosToken: '<|im_end|>' })
const tokenizer = createTokenizer(files.tokenizer, files.config)
const folder = temporaryDirectory()
const chat = (answer: string): string =>
  `{"messages": [{"role": "user", "content": "one"}, {"role": "assistant", "content": "${answer}"}]}`

it.each<[string, string | Buffer, RegExp]>([
  ['another form', '{"text": "one"}', /expected one form of rows in a file, got text .*after messages/],
  ['no JSON', '{"messages": [', /expected a JSON value, got the end of the text/],
  ['a NUL byte', '{"messages": "\0"}', /the file has null bytes/],
  ['bytes that are no UTF-8', Buffer.from('{"messages": "caf\xe9"}', 'latin1'), /UTF-8/],
  ['600 lists in each other', `{"messages": ${'['.repeat(600)}${']'.repeat(600)}}`, /at most 500 levels/],
  ['a column of another type', '{"messages": 1}', /messages/],
  ['a column __proto__ in the place of its own', '{"__proto__": {"messages": []}}', /__proto__/],
  ['a key that comes twice', '{"messages": [], "messages": []}', /messages/],
  ['a role that the template does not have', chat('two').replace('"user"', '"human"'), /human/],
  ['a list for a row', '[1]', /expected an object for each row/],
])('a row with %s is an error with file and line, or is skipped and counted', async (name, bad, text) => {
  const file = join(folder, `${name.replaceAll(' ', '-')}.jsonl`)
  const line = Buffer.isBuffer(bad) ? bad : Buffer.from(bad)
  await writeFile(file, Buffer.concat([Buffer.from(`${chat('two')}\n`), line, Buffer.from(`\n${chat('three')}\n`)]))
  const error = await prepareDataset(file, tokenizer).catch((thrown: Error) => thrown)
  expect(error).toMatchObject({ name: 'DataError', message: expect.stringMatching(text), file, row: 2 })
  expect((error as Error).message).toContain(`${file}:2`)
  const { examples, statistics } = await prepareDataset(file, tokenizer, { onError: 'skip' })
  expect([examples.length, statistics.rows, statistics.skippedRows]).toEqual([2, 3, 1])
  expect(statistics.skippedRowErrors).toEqual([(error as Error).message])
})

it('a column __proto__ beside those of a row is a column that is not used', async () => {
  const file = join(folder, 'proto.jsonl')
  await writeFile(file, `${chat('two').replace('{', '{"__proto__": {"weight": 0}, ')}\n`)
  const { examples, statistics } = await prepareDataset(file, tokenizer)
  expect([examples.length, statistics.ignoredColumns]).toEqual([1, ['__proto__']])
  expect(({} as { weight?: number }).weight).toBeUndefined()
})
