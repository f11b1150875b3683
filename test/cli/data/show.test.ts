/** @file `lowrank data show`: what it prints, the page that it writes, and how it answers mistakes. */

import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, expect, it } from 'vitest'
import { temporaryDirectory } from '../../support/tiny-model.js'
import { lowrank } from '../run-cli.js'

const MODEL = fileURLToPath(new URL('../../../models/lowrank-base-5m', import.meta.url))
const folder = temporaryDirectory()
const rows = join(folder, 'rows.jsonl')
const chat = (answer: string) => ({
  messages: [
    { role: 'user', content: 'Say <b>.' },
    { role: 'assistant', content: answer },
  ],
})

beforeAll(async () => {
  await writeFile(rows, ['one', 'two', 'three', 'four'].map((word) => `${JSON.stringify(chat(word))}\n`).join(''))
})

it('marks what is learnt, shows three rows, and counts all', async () => {
  const { code, stdout, stderr } = await lowrank(['data', 'show', rows, '--model', MODEL])
  expect(stderr).toBe('')
  expect(code).toBe(0)
  expect(stdout).toContain('rows.jsonl:1  messages, 2 messages, ')
  expect(stdout).toContain('<|im_start|>assistant\n«one<|im_end|>»\n')
  expect(stdout).toContain('rows.jsonl:3  ')
  expect(stdout).not.toContain('rows.jsonl:4  ')
  expect(stdout).toMatch(/^4 rows \(messages 4\), \d+ tokens, \d+ learnt \(\d+\.\d %\)$/m)
  expect(stdout).toMatch(/^ *<\|im_end\|> {2}8, 4 of them learnt$/m)
})

it('colours tokens where colours are asked for, and every line for itself', async () => {
  const { stdout } = await lowrank(['data', 'show', rows, '--model', MODEL, '--rows', '1'], {
    env: { FORCE_COLOR: '1' },
  })
  expect(stdout).toContain('\u001b[32mone\u001b[0m\u001b[36m<|im_end|>\u001b[0m')
  expect(stdout).not.toContain('«')
})

it('writes rows and figures as lines of JSON', async () => {
  const { stdout } = await lowrank(['data', 'show', rows, '--model', MODEL, '--rows', '2', '--json'])
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(lines.map(({ type }) => type)).toEqual(['row', 'row', 'summary'])
  const { inputIds, weights, tokens } = lines[0].sequences[0]
  expect([weights.length, tokens.length]).toEqual([inputIds.length, inputIds.length])
  expect(tokens.filter((_: string, at: number) => weights[at] > 0).join('')).toBe('one<|im_end|>')
  expect(lines[2]).toMatchObject({ rows: 4, forms: { messages: 4 }, maxLength: 512 })
})

it('writes a page that needs no network and shows text as text', async () => {
  const page = join(folder, 'rows.html')
  const { code } = await lowrank(['data', 'show', rows, '--model', MODEL, '--html', page])
  expect(code).toBe(0)
  const html = await readFile(page, 'utf8')
  expect(html).toContain('<span class="learnt">one</span>')
  expect(html).toContain('Say &#60;b&#62;.')
  expect(html).not.toMatch(/<b>|https?:|src=|@import|<script/)
})

it('does not write its page over the rows', async () => {
  const rows = join(folder, 'kept.jsonl')
  const line = `${JSON.stringify(chat('one'))}\n`
  await writeFile(rows, line)
  const { code, stderr } = await lowrank(['data', 'show', rows, '--model', MODEL, '--html', rows])
  expect(code).toBe(2)
  expect(stderr).toContain(`expected a file of its own for --html, got ${rows}, which is read`)
  expect(await readFile(rows, 'utf8')).toBe(line)
})

it('shows the data set of a run file with its options', async () => {
  const run = join(folder, 'run.yaml')
  await writeFile(run, `model: ${MODEL}\ndataset: ${rows}\ntraining: { maxLength: 8 }\n`)
  const { code, stdout } = await lowrank(['data', 'show', run])
  expect(code).toBe(0)
  expect(stdout).toContain('beyond maxLength 8: 4 rows')
})

it('leaves out rows with a defect where onError says so, and says how many and which', async () => {
  const broken = join(folder, 'some-broken.jsonl')
  await writeFile(broken, `${JSON.stringify(chat('one'))}\n{"messages": 1}\n${JSON.stringify(chat('two'))}\n`)
  const flags = ['data', 'show', broken, '--model', MODEL, '--set', 'training.onError=skip']
  const { code, stdout } = await lowrank(flags)
  expect(code).toBe(0)
  expect(stdout).toContain('some-broken.jsonl:3  messages')
  expect(stdout).toMatch(/^2 rows \(messages 2\), /m)
  expect(stdout).toMatch(/^skipped: 1 row, the error: \[data\] .*some-broken\.jsonl:2/m)
  const { stdout: json } = await lowrank([...flags, '--json'])
  expect(JSON.parse(json.trim().split('\n').at(-1) ?? '')).toMatchObject({ rows: 2, skippedRows: 1 })
})

it('names the row of a defect, and shows the rows before', async () => {
  const broken = join(folder, 'broken.jsonl')
  await writeFile(broken, `${JSON.stringify(chat('one'))}\n{"messages": 1}\n`)
  const { code, stdout, stderr } = await lowrank(['data', 'show', broken, '--model', MODEL])
  expect(code).toBe(1)
  expect(stdout).toContain('«one<|im_end|>»')
  expect(stderr).toContain('broken.jsonl:2')
})

it('says what is missing without a file or a model', async () => {
  const { code, stderr } = await lowrank(['data', 'show'])
  expect(code).toBe(2)
  expect(stderr).toContain('--model')
  expect((await lowrank(['data', 'show', join(folder, 'none.jsonl'), '--model', MODEL])).stderr).toContain('none.jsonl')
})

it('shows rows with the folder of a tokenizer, before any weights are there', async () => {
  const tokenizer = join(folder, 'tokenizer-alone')
  await mkdir(tokenizer, { recursive: true })
  for (const name of ['tokenizer.json', 'tokenizer_config.json'])
    await copyFile(join(MODEL, name), join(tokenizer, name))
  const shown = await lowrank(['data', 'show', rows, '--model', tokenizer])
  expect(shown.stderr).toBe('')
  expect(shown.stdout).toContain('«one<|im_end|>»')
  const checked = await lowrank(['data', 'check', rows, '--model', tokenizer])
  expect(checked.code).toBe(1)
  expect(checked.stderr).toContain('holds no model.safetensors')
})
