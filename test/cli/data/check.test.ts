/** @file `lowrank data check`: what it prints, its exit codes, and the run file that it takes. */

import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, expect, it } from 'vitest'
import { temporaryDirectory } from '../../support/tiny-model.js'
import { lowrank } from '../run-cli.js'

const MODEL = fileURLToPath(new URL('../../../models/lowrank-base-5m', import.meta.url))
const folder = temporaryDirectory()
const rows = join(folder, 'rows.jsonl')
const chat = (question: string, answer: string): string =>
  `${JSON.stringify({
    messages: [
      { role: 'user', content: question },
      { role: 'assistant', content: answer },
    ],
  })}\n`

beforeAll(async () => {
  await writeFile(rows, ['one', 'two', 'three'].map((word) => chat(`Say ${word}.`, word)).join(''))
})

it('says that nothing was found, and exits with 0', async () => {
  const { code, stdout, stderr } = await lowrank(['data', 'check', rows, '--model', MODEL])
  expect([code, stdout, stderr]).toEqual([0, 'Checked 3 rows: nothing found\n', ''])
})

it('names rule, rows and remedy of each finding, and exits with 1 for an error', async () => {
  const file = join(folder, 'empty.jsonl')
  const empty = Array.from({ length: 7 }, (_, row) => chat(`Say nothing ${row}.`, ''))
  await writeFile(file, [chat('Say one.', 'one'), ...empty].join(''))
  const { code, stdout } = await lowrank(['data', 'check', file, '--model', MODEL])
  expect(code).toBe(1)
  expect(stdout).toContain('error empty-answer: rows with an answer of no words (7)\n')
  expect(stdout).toContain('empty.jsonl:2  the answer has no words\n')
  expect(stdout).toContain('empty.jsonl:6  the answer has no words\n  and 2 more\n  To do: ')
  expect(stdout).toMatch(/\nChecked 8 rows: 1 kind of error and 0 kinds of warning\n$/)
})

it('exits with 0 where there are warnings alone, and writes them as JSON', async () => {
  const file = join(folder, 'twice.jsonl')
  await writeFile(file, chat('Say one.', 'one').repeat(2))
  const { code, stdout } = await lowrank(['data', 'check', file, '--model', MODEL, '--json'])
  expect(code).toBe(0)
  const { rows, errors, warnings, findings } = JSON.parse(stdout)
  expect([rows, errors, warnings]).toEqual([2, 0, 1])
  expect(findings).toMatchObject([{ id: 'duplicate-row', severity: 'warning', count: 1, rows: [{ file, line: 2 }] }])
})

it('compares the rows of a run file with those of its evaluation', async () => {
  const dev = join(folder, 'dev.jsonl')
  const run = join(folder, 'run.yaml')
  await writeFile(dev, chat('Say two.', '2'))
  await writeFile(run, `model: ${MODEL}\ndataset: ${rows}\nevalDataset: ${dev}\n`)
  const { code, stdout } = await lowrank(['data', 'check', run])
  expect(code).toBe(1)
  expect(stdout).toContain('rows.jsonl:2  the evaluation set has this prompt')
})

it('writes a mended copy with --fix, says what it changed, and exits with 1 where an error stays', async () => {
  const file = join(folder, 'broken.jsonl')
  const mended = join(folder, 'mended.jsonl')
  const clean = chat('Say one.', 'one')
  await writeFile(file, [clean, clean, chat('Say nothing.', '')].join(''))
  const { code, stdout } = await lowrank(['data', 'check', file, '--model', MODEL, '--fix', mended])
  expect(code).toBe(0)
  expect(stdout).toContain(`Wrote 1 of 3 rows to ${mended}\n  1 left out: `)
  expect(JSON.parse(await readFile(mended, 'utf8'))).toEqual(JSON.parse(clean))
  await writeFile(file, [clean, chat('Which key?', `AKIA${'ABCD'.repeat(4)}`)].join(''))
  const there = await lowrank(['data', 'check', file, '--model', MODEL, '--fix', mended])
  expect(there).toMatchObject({ code: 2, stdout: '' })
  expect(there.stderr).toContain(
    `expected a new file for --fix, got ${JSON.stringify(mended)}, which exists; give another path, or remove it`,
  )
  await rm(mended)
  const again = await lowrank(['data', 'check', file, '--model', MODEL, '--fix', mended, '--json'])
  expect(again.code).toBe(1)
  expect(JSON.parse(again.stdout)).toMatchObject({ errors: 1, fix: { read: 2, written: 2, notMended: { secret: 1 } } })
  const refused = await lowrank(['data', 'check', file, '--model', MODEL, '--fix', file.replace('jsonl', 'txt')])
  expect([refused.code, refused.stderr.includes('.jsonl')]).toEqual([2, true])
})

it('says what is missing without a model or a file', async () => {
  const { code, stderr } = await lowrank(['data', 'check'])
  expect(code).toBe(2)
  expect(stderr).toContain('--model')
  const { stderr: missing } = await lowrank(['data', 'check', join(folder, 'none.jsonl'), '--model', MODEL])
  expect(missing).toContain('none.jsonl')
})

it('says that the data file has no flag, where none is given and where one is tried', async () => {
  const without = await lowrank(['data', 'check', '--model', MODEL])
  expect([without.code, without.stderr]).toEqual([
    2,
    'error: [data] expected a data file, or the YAML file of a run, got neither; write it behind the command\n',
  ])
  const { code, stderr } = await lowrank(['data', 'check', '--dataset', rows, '--model', MODEL])
  expect([code, stderr]).toEqual([
    2,
    expect.stringContaining('unknown flag "--dataset"; write the data file behind the command, without a flag\n'),
  ])
})
