/** @file `lowrank data generate`: pairs of question and answer from texts, by a model behind an endpoint. */

import { boolean, path, textOf } from '../../options/rules.js'
import { createBar } from '../../progress/progress.js'
import { formatCount, formatDuration, type Paint, paintFor } from '../../progress/terminal.js'
import type { GenerateReport } from '../../transform/generate.js'
import {
  GENERATE_DATASET_OPTIONS,
  type GenerateDatasetOptions,
  type GenerateProgress,
} from '../../transform/generate-options.js'
import type { GenerateDatasetPlan } from '../../transform/generate-plan.js'
import { isObject } from '../../values.js'
import type { Command } from '../command.js'
import { JSON_OBJECT } from '../flags.js'
import { expectResultOnDisk } from '../standard-streams.js'
import { untilSignal } from '../until-signal.js'
import { checkAll, UsageError } from '../usage-error.js'
import { OUTPUT_FILE, ROWS_ARGUMENT } from './flags.js'
import { countLines, expectGiven, ofRows } from './transformation.js'

type Passed = Omit<
  GenerateDatasetOptions,
  'dataset' | 'output' | 'model' | 'prompts' | 'extraBody' | 'apiKey' | 'signal' | 'onProgress'
>

interface GenerateFlags extends Passed {
  readonly output?: string
  readonly json?: boolean
  readonly dryRun?: boolean
  readonly model?: string
  readonly prompts?: string
  readonly extraBody?: string
}

interface Checked {
  readonly options: GenerateDatasetOptions
  readonly isPlan: boolean
  readonly json: boolean
}

const {
  dataset: _,
  apiKey: __,
  signal: ___,
  onProgress: ____,
  output: _____,
  extraBody: ______,
  ...OWN
} = GENERATE_DATASET_OPTIONS

export const command: Command<GenerateFlags, Checked> = {
  summary: 'write questions and answers about texts, by a model behind an endpoint',
  details:
    'The endpoint has the interface of OpenAI, as vLLM, llama.cpp, Ollama and most providers do. Its key is read from OPENAI_API_KEY. ' +
    'The same command goes on where a run ended, and pays for no reply twice.',
  arguments: [{ ...ROWS_ARGUMENT, help: 'file or glob of rows with texts, such as those of documents' }],
  flags: {
    output: OUTPUT_FILE,
    json: JSON_OBJECT,
    dryRun: {
      rule: boolean,
      help: 'tell the requests and the most that they can cost, and send none',
      flag: { name: '--dry-run' },
    },
    ...OWN,
    columns: { ...OWN.columns, flag: { name: '--columns', argument: 'names', group: 'Rows' } },
    keep: { ...OWN.keep, otherwise: 'none', flag: { name: '--keep', argument: 'names' } },
    prompts: { ...OWN.prompts, rule: path, flag: { name: '--prompts', argument: 'file' } },
    extraBody: {
      rule: textOf('a JSON object as text'),
      otherwise: 'none',
      help: 'JSON object of fields that only some endpoints know',
      flag: { name: '--extra-body', argument: 'json' },
    },
  },
  examples: [
    {
      text: 'See what it would take',
      line: 'data generate chunks.jsonl --model gpt-4.1-mini --dry-run',
    },
    {
      text: 'Ask a server of your own',
      line: 'data generate a.jsonl --model m --base-url http://a --output q.jsonl',
    },
  ],
  async check({ flags: { dryRun, json, output, model, extraBody, ...flags }, words: [dataset] }) {
    const [rows, name, file, body] = await checkAll('data generate', [
      () => expectGiven('generate', 'a file of rows', dataset),
      () => expectGiven('generate', '--model NAME', model),
      () => (dryRun ? (output ?? 'planned.jsonl') : expectGiven('generate', '--output FILE', output)),
      () => readBody(extraBody),
    ])
    const options = { ...flags, dataset: rows, model: name, output: file, ...(body && { extraBody: body }) }
    return { options, isPlan: dryRun === true, json: json === true }
  },
  async run({ options, isPlan, json }) {
    const paint = paintFor(process.stdout)
    let report: object
    let lines: readonly string[]
    if (isPlan) {
      const { planGenerateDataset } = await import('../../transform/generate-plan.js')
      const plan = await untilSignal((signal) => planGenerateDataset({ ...options, signal }))
      report = plan
      lines = describePlan(plan)
    } else {
      const made = await generate(options)
      report = made
      lines = describeReport(made, paint)
    }
    process.stdout.write(`${json ? JSON.stringify(report) : lines.join('\n')}\n`)
  },
}

function readBody(given: string | undefined): Record<string, unknown> | undefined {
  if (given === undefined) return undefined
  let value: unknown
  try {
    value = JSON.parse(given)
  } catch {
    value = undefined
  }
  if (isObject(value)) return value
  throw new UsageError(`[data generate] expected a JSON object such as {"top_k":1} for --extra-body, got ${given}`)
}

async function generate(options: GenerateDatasetOptions): Promise<GenerateReport> {
  const { generateDataset } = await import('../../transform/generate.js')
  const bar = createBar()
  const began = performance.now()
  expectResultOnDisk()
  const onProgress = ({ rows, fraction, pairs, requests, cost }: GenerateProgress): void => {
    const seconds = (performance.now() - began) / 1000
    const left = fraction === undefined || fraction === 0 ? undefined : (seconds * (1 - fraction)) / fraction
    const texts = [
      `${formatCount(pairs)} pairs`,
      `${formatCount(rows)} rows`,
      ...(left === undefined ? [] : [`${formatDuration(left)} left`]),
      ...(cost > 0 ? [`cost ${formatCost(cost)}`] : []),
      `${formatCount(requests)} requests`,
    ]
    const parts = texts.map((text, index) => ({ text, importance: texts.length - index }))
    bar.show({ label: { text: 'Generating', importance: 10 }, fraction, parts })
  }
  return await untilSignal((signal) => generateDataset({ ...options, onProgress, signal }).finally(() => bar.close()))
}

function describePlan({
  rows,
  leastRequests,
  mostRequests,
  promptTokens,
  completionTokens,
  cost,
}: GenerateDatasetPlan) {
  return [
    `${formatCount(rows)} rows: ${formatCount(leastRequests)} requests where all is good at once, ${formatCount(mostRequests)} where nothing is`,
    `  at most about ${formatCount(promptTokens)} tokens there and ${formatCount(completionTokens)} back`,
    cost > 0 ? `  at most about ${formatCost(cost)} in cost` : '  cost: give --input-price and --output-price',
  ]
}

function describeReport(report: GenerateReport, paint: Paint): readonly string[] {
  const { output, replies, read, rows, skipped, drafted, written, dropped, improved, received, usage } = report
  const { reused, malformed, refused } = received
  return [
    `${paint('green', 'Wrote')} ${formatCount(written)} of ${formatCount(drafted)} pairs, of ${ofRows(rows, read)}, to ${output}`,
    ...countLines(skipped, 'rows left out: '),
    ...countLines(dropped, 'dropped: '),
    ...countLines({ 'made better': improved, 'replies kept by earlier runs': reused }),
    ...countLines(malformed, 'replies that were '),
    ...countLines({ 'replies that refused': refused, 'requests sent again': usage.retries }),
    `  ${formatCount(usage.requests)} requests, ${formatCount(usage.promptTokens)} tokens there and ${formatCount(usage.completionTokens)} back` +
      `${usage.cost > 0 ? `, cost ${formatCost(usage.cost)}` : ''}`,
    `  Replies are kept in ${replies}`,
  ]
}

/** Small sums are not nothing. */
function formatCost(cost: number): string {
  return cost.toFixed(cost < 0.1 ? 4 : 2)
}
