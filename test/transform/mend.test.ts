/** @file A mended copy of a data set: what is changed, what is left out, and that the counts reconcile. */

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, expect, it } from 'vitest'
import type { CheckOptions } from '../../src/data/check/check-dataset.js'
import { checkDataset } from '../../src/data/check/check-dataset.js'
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { mendRows } from '../../src/transform/mend.js'
import { CHATML } from '../support/chat-templates.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

const folder = temporaryDirectory()
const input = join(folder, 'rows.jsonl')
const output = join(folder, 'mended.jsonl')
const user = (content: string) => ({ role: 'user', content })
const assistant = (content: string) => ({ role: 'assistant', content })
const chat = (question: string, answer: string) => ({ messages: [user(question), assistant(answer)] })
const lines = (rows: readonly unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('')
const linesOf = async (path: string): Promise<unknown[]> =>
  (await readFile(path, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown)

let tokenizer: Tokenizer
beforeAll(() => {
  const files = tinyByteLevelTokenizer({ chatTemplate: CHATML, eosToken: '<|im_end|>' })
  tokenizer = createTokenizer(files.tokenizer, files.config)
})
const mend = async (rows: readonly unknown[], options: CheckOptions = {}) => {
  await writeFile(input, lines(rows))
  return await mendRows(input, tokenizer, output, { maxLength: 4096, ...options })
}

it('mends marks of files and doubled stop tokens, and leaves other text and columns as they are', async () => {
  const rows = [
    { id: 1, messages: [user('\ufeffSay one.\r\nNow.'), assistant('one<|im_end|>\n')], source: '\ufeffraw\r\n' },
    { id: 2, messages: [user('Say <|im_end|>'), assistant('two<|im_end|><|im_end|>')], source: 'b' },
  ]
  const { findings, ...report } = await mend(rows)
  expect(report).toEqual({
    output,
    rows: 2,
    read: 2,
    written: 2,
    leftOut: {},
    mended: { 'byte-order-mark': 1, 'carriage-return': 1, 'doubled-stop': 2 },
    notMended: {},
  })
  expect(findings.map(({ id }) => id)).toEqual(['doubled-stop', 'byte-order-mark', 'carriage-return'])
  expect(await linesOf(output)).toEqual([
    { id: 1, messages: [user('Say one.\nNow.'), assistant('one')], source: '\ufeffraw\r\n' },
    { id: 2, messages: [user('Say <|im_end|>'), assistant('two')], source: 'b' },
  ])
  expect(await readFile(input, 'utf8')).toBe(lines(rows))
})

it('leaves one BOS token in front of a text', async () => {
  const files = tinyByteLevelTokenizer({ bosToken: '<s>', eosToken: '</s>' })
  await writeFile(input, lines([{ prompt: '<s><s><s>Say one.', completion: 'one' }]))
  const report = await mendRows(input, createTokenizer(files.tokenizer, files.config), output)
  expect(report).toMatchObject({ mended: { 'doubled-bos': 1 }, notMended: {} })
  expect(await linesOf(output)).toEqual([{ prompt: '<s>Say one.', completion: 'one' }])
})

it('leaves out equal rows and those without an answer, also where they are equal once mended', async () => {
  const two = [user('Say one.'), assistant(''), user('Say two.'), assistant('two')]
  const rows = [
    chat('Say one.', 'one'),
    chat('Say one.', 'one'),
    chat('Say one.', 'one<|im_end|>'),
    chat('Say nothing.', ' '),
    { messages: [user('Say one.'), user('Say two.')] },
    { messages: two },
  ]
  const report = await mend(rows)
  expect(report).toMatchObject({
    read: 6,
    written: 2,
    leftOut: { 'duplicate-row': 2, 'empty-answer': 1, 'nothing-to-learn': 1 },
    mended: { 'doubled-stop': 1 },
    notMended: { 'empty-answer': 1 },
  })
  expect(await linesOf(output)).toEqual([rows[0], rows[5]])
})

it('finds nothing that it mended in the copy, and copies clean rows byte by byte', async () => {
  const key =
    '{"messages": [{"role": "user", "content": "Hi\\r\\n"}, {"role": "assistant", "content": "Yo"}], "__proto__": 1, "big": 12345678901234567890, "f": 2.0}\n'
  await writeFile(input, key)
  const report = await mendRows(input, tokenizer, output)
  expect(report).toMatchObject({ mended: { 'carriage-return': 1 } })
  const text = await readFile(output, 'utf8')
  expect(text).toContain('"__proto__"')
  expect(text).toContain('12345678901234567890')
  expect(text).toContain('2.0')
  expect((await checkDataset(output, tokenizer)).findings).toEqual([])
  const clean = lines([chat('Say one.', 'one'), chat('Say two.', 'two')])
  await writeFile(input, clean)
  await mendRows(input, tokenizer, output)
  expect(await linesOf(output)).toEqual(
    clean
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
  )
})

it('says what it does not mend', async () => {
  const report = await mend([chat('Whom?', 'jo@acme.org'), chat('Say caf\ufffd.', 'one'), chat('Say one.', 'one')])
  expect(report).toMatchObject({
    written: 3,
    mended: {},
    notMended: { 'email-address': 1, 'replacement-character': 1 },
  })
})

it('writes nothing where a row cannot be read, unless such rows are skipped', async () => {
  const missing = join(folder, 'missing.jsonl')
  await writeFile(input, `${lines([chat('Say one.', 'one')])}{"messages": 1}\n${lines([chat('Say two.', 'two')])}`)
  await expect(mendRows(input, tokenizer, missing)).rejects.toThrow(
    /rows\.jsonl:2.*Nothing is written.*--set training\.onError=skip/s,
  )
  await expect(readFile(missing)).rejects.toThrow('ENOENT')
  const report = await mendRows(input, tokenizer, output, { onError: 'skip' })
  expect(report).toMatchObject({ read: 3, written: 2, leftOut: { 'unreadable-row': 1 } })
})

it('refuses to write over the rows that it reads, and to mix forms of rows', async () => {
  const text = lines([chat('Say one.', 'one')])
  await writeFile(input, text)
  await expect(mendRows(join(folder, 'row*.jsonl'), tokenizer, input)).rejects.toThrow('expected another file')
  expect(await readFile(input, 'utf8')).toBe(text)
  await writeFile(join(folder, 'rows-2.jsonl'), lines([{ text: 'The user asks.' }]))
  await expect(mendRows(join(folder, 'row*.jsonl'), tokenizer, output)).rejects.toThrow('expected one form of rows')
})
