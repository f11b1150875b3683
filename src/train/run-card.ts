/**
 * @file README.md of a run and of what it trained: a model card for the Hub
 * (https://huggingface.co/docs/hub/model-cards) that says which model was trained, on which data, with which options,
 * and what came of it. Of paths it shows the last name alone: the rest is nobody's business.
 */

import { basename } from 'node:path'
import { CARD_MARK } from '../adapters/model-card.js'
import type { DataStatistics } from '../data/report.js'
import { isEntry, isEntryList } from '../data/sources/dataset-entry.js'
import type { SourceLineage } from '../data/sources/row-source.js'
import { withoutSecrets } from '../errors.js'
import type { ModelOrigin } from '../hub/model-origin.js'
import { yamlText } from '../yaml-text.js'
import type { EvaluateEvent, LogEvent } from './events.js'
import type { ResolvedTrainOptions } from './options.js'
import type { RunLineage } from './run-data.js'

export const CARD_FILE = 'README.md'

/** What a card tells of. */
export interface RunSummary {
  readonly options: ResolvedTrainOptions
  /** The id, or the path as it was given. */
  readonly model: string
  readonly origin: ModelOrigin
  readonly dtype: string
  readonly statistics: DataStatistics
  readonly lineage: RunLineage
  readonly trainRows: number
  readonly evalRows: number
  readonly step: number
  readonly totalSteps: number
  readonly epoch: number
  /** The last of the run, before it was resumed too. */
  readonly lastLog: LogEvent | undefined
  readonly lastEvaluation: EvaluateEvent | undefined
  readonly secrets: readonly string[]
}

/** More files are counted. */
const MOST_SOURCES = 8

/** The text of the card. */
export function runCardText(run: RunSummary): string {
  const { options, origin, secrets } = run
  const hubId = hubIdOf(run)
  const { license } = origin
  const header = yamlText({
    ...(hubId !== undefined && { base_model: hubId }),
    ...(hubId !== undefined && { base_model_relation: options.method === 'lora' ? 'adapter' : 'finetune' }),
    library_name: options.method === 'lora' ? 'peft' : 'transformers',
    pipeline_tag: 'text-generation',
    // What is made from a model has its terms.
    ...(license && {
      license: license.id,
      ...(license.name && { license_name: license.name }),
      ...(license.link && { license_link: license.link }),
    }),
    tags: options.method === 'lora' ? ['lora', 'lowrank'] : ['lowrank'],
  })
  const base = hubId ?? basename(run.model)
  const settings = yamlText({ ...(options.lora && { lora: options.lora }), training: options.training })
  const text = `---
${header}---

# ${options.method === 'lora' ? 'LoRA adapter for' : 'Fine-tuned'} ${plain(base)}

${CARD_MARK}

${table(rowsOf(run, base))}

## Options

${fenced(settings)}
`
  return withoutSecrets(text, secrets)
}

/** What the Hub calls the model; undefined where that is not known: a path is nothing that it could find. */
function hubIdOf({ options, origin, model }: RunSummary): string | undefined {
  if (origin.revision !== undefined) return model
  const { baseModelName } = options
  return baseModelName !== undefined && /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/.test(baseModelName)
    ? baseModelName
    : undefined
}

function rowsOf(run: RunSummary, base: string): [string, string][] {
  const { options, origin, statistics, lastLog, lastEvaluation: evaluation, step, totalSteps } = run
  const {
    rows,
    truncatedRows,
    rowsCutToNothing,
    rowsWithoutTarget,
    skippedRows = 0,
    tokens,
    supervisedTokens,
  } = statistics
  const lost = [
    [truncatedRows - rowsCutToNothing, 'lost their end'],
    [rowsCutToNothing, 'cut to nothing'],
    [rowsWithoutTarget, 'with nothing to learn'],
    [skippedRows, 'skipped'],
  ].flatMap(([count, what]) => (count === 0 ? [] : [`${count} ${what}`]))
  return [
    ...(options.training.runName === undefined ? [] : [['Run', plain(options.training.runName)] as [string, string]]),
    ['Base model', origin.revision === undefined ? code(base) : `${code(base)} at commit ${code(origin.revision)}`],
    ['Licence', licenceOf(origin)],
    [
      'Method',
      options.method === 'lora' ? `LoRA${options.quantization ? ` on ${options.quantization}` : ''}` : 'every weight',
    ],
    ['Computed in', run.dtype],
    ['Data', `${nameOf(options.dataset)}: ${rows} rows${lost.length > 0 ? ` (${lost.join(', ')})` : ''}`],
    ...sourcesOf(run.lineage.dataset),
    ['Tokens', `${tokens}, ${supervisedTokens} of them learnt`],
    ['Rows', `${run.trainRows} to train on, ${run.evalRows} held out`],
    [
      'Steps',
      `${step} of ${totalSteps}, ${run.epoch.toFixed(2)} epochs${step < totalSteps ? '; stopped before its end' : ''}`,
    ],
    ...(lastLog === undefined
      ? []
      : [['Loss when last logged', `${figure(lastLog.loss)} at step ${lastLog.step}`] as [string, string]]),
    ...(evaluation === undefined
      ? []
      : ([
          ['Held-out loss', `${figure(evaluation.loss)} at step ${evaluation.step}`],
          ...(evaluation.perplexity === undefined
            ? []
            : [['Held-out perplexity', `${figure(evaluation.perplexity)} over ${evaluation.tokens} tokens`]]),
        ] as [string, string][])),
  ]
}

/** The content of the files by its hash, so that a reader who has them can tell whether they are the same. */
function sourcesOf(sources: readonly SourceLineage[]): [string, string][] {
  const hashed = sources.filter(({ sha256 }) => sha256 !== undefined)
  const shown = hashed
    .slice(0, MOST_SOURCES)
    .map(({ location, sha256 }) => `${code(basename(location))} ${code(sha256 ?? '')}`)
  const more = hashed.length - shown.length
  return shown.length === 0 ? [] : [['SHA-256 of the data', shown.join(', ') + (more > 0 ? ` and ${more} more` : '')]]
}

/** A loss that is not finite is null in a log. */
function figure(value: number | null): string {
  return value === null || !Number.isFinite(value) ? '-' : value.toFixed(4)
}

function licenceOf({ license }: ModelOrigin): string {
  return license
    ? plain([license.id, license.name, license.link].filter(Boolean).join(', '))
    : 'that of the base model, which was not known here'
}

function nameOf(source: unknown): string {
  if (typeof source === 'string') return code(basename(source))
  const isPaths = Array.isArray(source) && source.length > 0 && source.every((entry) => typeof entry === 'string')
  if (isPaths) return source.map((entry) => code(basename(entry))).join(', ')
  if (isEntryList(source)) return source.map(nameOf).join(', ')
  if (!isEntry(source)) return 'rows of a program'
  return 'mix' in source ? source.mix.map(nameOf).join(', ') : nameOf(source.path)
}

function table(rows: readonly [string, string][]): string {
  return ['| | |', '|---|---|', ...rows.map(([name, value]) => `| ${name} | ${value} |`)].join('\n')
}

/** A name as code. What would end the code, the cell or the line is left out. */
function code(name: string): string {
  return `\`${name.replace(/[`|\p{C}\u2028\u2029]/gu, '')}\``
}

/** Text in which nothing is Markdown or HTML. */
function plain(text: string): string {
  return text.replace(/[\p{C}\u2028\u2029]/gu, '').replace(/[\\`*_{}[\]<>#|!&]/g, '\\$&')
}

/** A block of code whose fence is longer than any in the text, as in a chat template. */
function fenced(text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([ticks]) => ticks.length))
  const fence = '`'.repeat(longest + 1)
  return `${fence}yaml\n${text}${fence}`
}
