/** @file `lowrank report` and `lowrank runs`: what they write, what they say, and what they refuse. */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { evaluationReport } from '../report/evaluations.js'
import { readPage, textOf, textsOf } from '../report/read-page.js'
import { writeRun } from '../report/runs.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { inProcess as lowrank } from './in-process.js'

const directory = temporaryDirectory()
const at = (...names: string[]): string => join(directory, ...names)
const titleOf = (path: string): string => textOf(readPage(readFileSync(path, 'utf8')).querySelector('h1'))

it('a run becomes report.html in its directory, or the file that is named', async () => {
  const run = writeRun(at('mine'), { steps: 60, name: 'a first try' })
  expect(await lowrank(['report', run])).toMatchObject({
    code: 0,
    stdout: `Wrote ${join(run, 'report.html')}\n`,
    stderr: '',
  })
  expect(titleOf(join(run, 'report.html'))).toBe('a first try')
  await lowrank(['report', run, '--output', at('other.html'), '--title', 'Mine'])
  expect(titleOf(at('other.html'))).toBe('Mine')
})

it('the JSON of an evaluation becomes a page beside it', async () => {
  writeFileSync(at('scores.json'), JSON.stringify(evaluationReport()))
  expect(await lowrank(['report', at('scores.json')])).toMatchObject({
    code: 0,
    stdout: `Wrote ${at('scores.html')}\n`,
  })
  expect(textsOf(readPage(readFileSync(at('scores.html'), 'utf8')), 'h2')).toEqual(['definitions', 'sentiment'])
})

it('watching a run that has ended writes its page once, and that page does not read itself again', async () => {
  const run = writeRun(at('ended'), { steps: 60 })
  expect(await lowrank(['report', run, '--watch'])).toMatchObject({ code: 0 })
  expect(readFileSync(join(run, 'report.html'), 'utf8')).not.toContain('http-equiv="refresh"')
})

it('what is no run and no evaluation is refused, and no page is written', async () => {
  writeFileSync(at('rows.json'), '{"a": 1}')
  writeFileSync(at('text.json'), 'no JSON')
  mkdirSync(at('empty'))
  const cases: [string[], number, RegExp][] = [
    [[], 2, /^error: \[report\] expected the directory of a run, or the JSON of an evaluation, got nothing/],
    [[at('nowhere')], 1, /^error: \[report\] cannot read .*nowhere: there is no such file; check the path \(ENOENT\)/],
    [[at('empty')], 1, /^error: \[report\] expected the directory of a run, with run\.json or log\.jsonl in it/],
    [
      [at('rows.json')],
      1,
      /^error: \[report\] expected 1, the version that this lowrank reads for version in .*rows\.json, got nothing/,
    ],
    [[at('text.json')], 1, /^error: \[report\] expected an object for the report in .*text\.json, got "no JSON"/],
    [[at('rows.json'), '--watch'], 2, /^error: \[report\] expected the directory of a run with --watch, got a file/],
  ]
  for (const [args, code, message] of cases) {
    const result = await lowrank(['report', ...args])
    expect(result.stderr).toMatch(message)
    expect(result.code, result.stderr).toBe(code)
  }
  expect(existsSync(at('rows.html'))).toBe(false)
})

it('runs stand in a table by their best evaluation, with the options that differ', async () => {
  const lora = (r: number): Readonly<Record<string, unknown>> => ({ lora: { r, targetModules: 'all-linear' } })
  writeRun(at('all', 'one'), { steps: 40, options: lora(8), loss: () => 2 })
  writeRun(at('all', 'two'), { steps: 100, options: lora(16), loss: () => 1 })
  writeRun(at('all', 'three'), { steps: 60, totalSteps: 90, options: lora(32), loss: () => 3, state: 'failed' })
  const { stdout, code } = await lowrank(['runs', at('all')])
  expect(code).toBe(0)
  const lines = stdout.trimEnd().split('\n')
  expect(lines.map((line) => line.trim().split(/ {2,}/))).toEqual([
    [
      'run',
      'state',
      'steps',
      'loss',
      'best',
      'eval_perplexity',
      'eval_loss',
      'eval_books_loss',
      'eval_chat_loss',
      'tokens/s',
      'time',
      'r',
    ],
    [
      'two',
      'complete',
      '100/100',
      '1.0000',
      '1.5793',
      expect.any(String),
      '1.5793',
      '1.6583',
      '1.4214',
      expect.any(String),
      '3 min 05 s',
      '16',
    ],
    [
      'three',
      'failed',
      '60/90',
      '3.0000',
      '2.0791',
      expect.any(String),
      '2.0791',
      '2.1830',
      '1.8712',
      expect.any(String),
      '3 min 05 s',
      '32',
    ],
    ['one', 'complete', '40/40', '2.0000', '-', '-', '-', '-', '-', expect.any(String), '3 min 05 s', '8'],
  ])
  const sorted = await lowrank(['runs', at('all'), '--sort', 'loss', '--json'])
  const found = JSON.parse(sorted.stdout) as { differingOptions: string[]; runs: { path: string; state: string }[] }
  expect(found.differingOptions).toEqual(['lora.r'])
  expect(found.runs.map(({ path }) => path)).toEqual(['two', 'one', 'three'])
})

it('a result that no run has is refused with the nearest, and no runs are told of', async () => {
  writeRun(at('some', 'one'), { steps: 60 })
  const wrong = await lowrank(['runs', at('some'), '--sort', 'eval_los'])
  expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('got "eval_los"; did you mean "eval_loss"?') })
  const unlike = await lowrank(['runs', at('some'), '--sort', 'zzz'])
  expect(unlike.stderr).toContain('expected a result for --sort, got "zzz"; these runs have loss, ')
  mkdirSync(at('none'), { recursive: true })
  expect(await lowrank(['runs', at('none')])).toMatchObject({ code: 0, stdout: `No runs below ${at('none')}\n` })
})
