/** @file Results of an evaluation in a model card: the header that programs read, and the table that people read. */

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { parse } from 'yaml'
import type { EvaluationReport } from '../../src/evaluate/evaluation-report.js'
import { updateModelCard } from '../../src/evaluate/update-card.js'
import { REPORT } from '../support/evaluation-report.js'
import { rejection, temporaryDirectory } from '../support/tiny-model.js'

const directory = temporaryDirectory()
const path = join(directory, 'README.md')

async function updated(card: string, report: EvaluationReport = REPORT, model?: string): Promise<string> {
  await writeFile(path, card)
  await updateModelCard(directory, report, model === undefined ? {} : { model })
  return await readFile(path, 'utf8')
}
const header = (card: string) => parse(card.split('---\n')[1] as string) as Record<string, unknown>

const RESULTS = [
  {
    task: { type: 'text-generation', name: 'Text Generation' },
    dataset: { type: 'held-out.jsonl', name: 'answers (held-out.jsonl)' },
    metrics: [
      { type: 'rougeL', value: 0.5, name: 'ROUGE-L', verified: false },
      { type: 'perplexity', value: 6.25, name: 'Perplexity', verified: false },
    ],
  },
  {
    task: { type: 'text-classification', name: 'Text Classification' },
    dataset: { type: 'org/topics', name: 'topics (org/topics)', revision: 'c'.repeat(40) },
    metrics: [{ type: 'f1_macro', value: 0.75, name: 'F1 macro', verified: false }],
  },
]

it('puts the results of the model into the header, and every score with its interval into a table', async () => {
  const card = await updated('---\n# mine\nlicense: mit # kept\n---\n\n# Support\n\nText.\n')
  expect(card).toContain('---\n# mine\nlicense: mit # kept\nmodel-index:\n')
  expect(header(card)).toEqual({ license: 'mit', 'model-index': [{ name: 'model', results: RESULTS }] })
  const [, body = ''] = card.split('\n\n# Support\n')
  expect(body).toBe(`
Text.

<!-- lowrank: evaluation -->

## Evaluation

| Task | Rows | Metric | base | support | Difference | p |
|---|---|---|---|---|---|---|
| \`answers\` | 7 | \`rougeL\` ↑ | 0.2500 (0.1250 to 0.3750) | 0.5000 (0.3750 to 0.6250) | +0.2500 (0.1250 to 0.3750) | < 0.0001 |
| \`answers\` | 7 | \`perplexity\` ↓ | 12.5000 | 6.2500 | -6.2500 | - |
| \`topics\` | 9 | \`f1_macro\` ↑ | - | 0.7500 (0.5000 to 1.0000) | - | - |
| \`topics\` | 9 | \`precision\` ↑ | 1.0000 (1.0000 to 1.0000) | - | - | - |

In brackets: the 95 % interval. An arrow says which way is better. p is two-sided.

<!-- lowrank: end of evaluation -->
`)
  expect(card).not.toContain('private')
})

it('takes the place of an earlier report, and keeps other results of the header', async () => {
  const other = {
    task: { type: 'text-generation', name: 'Text Generation' },
    dataset: { type: 'x', name: 'x' },
    metrics: [{ type: 'loss', value: 1 }],
  }
  const index = JSON.stringify([{ name: 'mine', results: [other, { ...RESULTS[0], metrics: [] }] }, { name: 'second' }])
  const once = await updated(`---\r\nmodel-index: ${index}\r\ntags: [a]\r\n---\r\nBefore\n`)
  await writeFile(path, `${once}\nBehind\n`)
  await updateModelCard(directory, REPORT)
  const twice = await readFile(path, 'utf8')
  expect(twice).toBe(`${once}\nBehind\n`)
  expect(parse(twice.split(/---\r?\n/)[1] as string)).toEqual({
    'model-index': [{ name: 'mine', results: [other, ...RESULTS] }, { name: 'second' }],
    tags: ['a'],
  })
})

it('keeps the rest of a header in braces', async () => {
  expect(header(await updated('---\n{license: mit, tags: [a]}\n---\n'))).toEqual({
    license: 'mit',
    tags: ['a'],
    'model-index': [{ name: 'model', results: RESULTS }],
  })
})

it('gives a card without a header one, and a report of one model a column', async () => {
  const alone = { ...REPORT, models: [{ name: 'base' }] }
  const card = await updated('# Mine\n', alone)
  expect(header(card)).toMatchObject({
    'model-index': [{ results: [{ metrics: [{ value: 0.25 }, { value: 12.5 }] }, {}] }],
  })
  expect(card).toContain('| Task | Rows | Metric | base |\n|---|---|---|---|\n')
  expect(card).toContain('# Mine\n')
})

it('keeps a card whole whatever models and tasks are called', async () => {
  const [task] = REPORT.tasks
  const name = 'a|b`\n---\n<script>: "x" # \u{1f600}\ud800'
  const metric = { name, higherIsBetter: true, scores: { [name]: { value: 1, low: 0, high: 2 } }, differences: {} }
  const report = {
    ...REPORT,
    models: [{ name }],
    tasks: [{ ...(task as (typeof REPORT.tasks)[0]), name, metrics: [metric] }],
  }
  const card = await updated('# Mine\n', report)
  const [{ results }] = header(card)['model-index'] as [{ results: typeof RESULTS }]
  expect(results[0]?.dataset.name).toBe(`${name.replace('\ud800', '\ufffd')} (held-out.jsonl)`)
  expect(card.split('\n').filter((line) => line === '---')).toHaveLength(2)
  expect(card).toContain('| Task | Rows | Metric | a\\|b\\`---\\<script\\>: "x" \\# \u{1f600} |\n')
  expect(card).toContain('| `ab---<script>: "x" # \u{1f600}` | 7 |')
})

it('refuses a report in which two models may be meant, and takes the one that is named', async () => {
  const three = { ...REPORT, models: [...REPORT.models, { name: 'later' }] }
  await writeFile(path, '# Mine\n')
  expect(await rejection(updateModelCard(directory, three))).toBe(
    '[card] expected the name of one model of the report for model, got none; it has "base", "support", "later"',
  )
  expect(await rejection(updateModelCard(directory, three, { model: 'other' }))).toContain('got "other"; it has "base"')
  expect(header(await updated('# Mine\n', three, 'base'))).toMatchObject({
    'model-index': [{ results: [{ metrics: [{ value: 0.25 }, {}] }, { metrics: [{ type: 'precision' }] }] }],
  })
})

it('refuses what is no report, a header that is no YAML, and a directory without a card, and changes nothing', async () => {
  await writeFile(path, '---\na: [\n---\n')
  expect(await rejection(updateModelCard(directory, { version: 2 } as never))).toBe(
    '[card] expected an evaluation report of version 1 for report, got {version}; give what evaluate() gives',
  )
  expect(await rejection(updateModelCard(directory, REPORT))).toMatch(
    /^\[card\] expected a mapping of YAML between the lines --- of .*README\.md, got .*; correct it$/,
  )
  expect(await readFile(path, 'utf8')).toBe('---\na: [\n---\n')
  expect(await rejection(updateModelCard(join(directory, 'nowhere'), REPORT))).toContain('nowhere')
  expect(await rejection(updateModelCard(directory, REPORT, { models: 'x' } as never))).toContain('model')
})
