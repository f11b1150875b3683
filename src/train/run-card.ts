/**
 * @file README.md of a run and of what it trained: a model card for the Hub
 * (https://huggingface.co/docs/hub/model-cards) that says which model was trained, on which data, with which options,
 * and what came of it. Of paths it shows the last name alone: the rest is the business of its owner.
 */

import { basename } from 'node:path'
import type { DataStatistics } from '../data/report.js'
import { isEntry, isEntryList } from '../data/sources/dataset-entry.js'
import type { SourceLineage } from '../data/sources/row-source.js'
import { withoutSecrets } from '../errors.js'
import { hubDatasets, indexedDataset, lastName } from '../evaluate/report-card.js'
import {
  CARD_MARK,
  cardHeader,
  code,
  fenced,
  licenseText,
  markdownTable,
  plain,
  usageSection,
} from '../hub/card-text.js'
import { type IndexedResult, indexedMetric, modelIndex } from '../hub/model-index.js'
import type { ModelOrigin } from '../hub/model-origin.js'
import { packageVersion } from '../version.js'
import { yamlText } from '../yaml-text.js'
import type { BestEvaluation, EndEvent, EvaluateEvent, LogEvent } from './events.js'
import { lossSection } from './loss-curve.js'
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
  /** All log events and evaluations, of before the run was resumed too. */
  readonly curve: readonly (LogEvent | EvaluateEvent)[]
  /** What became of the run. */
  readonly end: Pick<EndEvent, 'best' | 'loadedStep' | 'earlyStopping'>
  readonly secrets: readonly string[]
}

/** More files are counted. */
const MOST_SOURCES = 8

/** The text of the card. */
export function runCardText(run: RunSummary): string {
  const { options, origin, secrets } = run
  const baseModel = hubIdOf(run)
  const kind = options.method === 'lora' ? 'adapter' : 'model'
  const base = baseModel ?? basename(run.model)
  const header = cardHeader({
    baseModel,
    kind,
    license: origin.license,
    datasets: hubDatasets(run.lineage.dataset),
    modelIndex: modelIndex(nameOfRun(run, base), resultsOf(run)),
  })
  const usage = usageSection({
    kind,
    base: baseModel ?? `path/to/${base}`,
    revision: baseModel === undefined ? undefined : origin.revision,
    id: undefined,
  })
  const loss = lossSection(run.curve)
  const settings = yamlText({ ...(options.lora && { lora: options.lora }), training: options.training })
  const text = `${header}
# ${kind === 'adapter' ? 'LoRA adapter for' : 'Fine-tuned'} ${plain(base)}

${CARD_MARK}

${markdownTable(['', ''], rowsOf(run, base))}

${usage}
${loss === undefined ? '' : `${loss}\n`}${dataSection(run)}## Options

${fenced('yaml', settings)}

### Framework versions

${versionsOf()}
`
  return withoutSecrets(text, secrets)
}

/** What `model-index` calls the result. */
function nameOfRun({ options: { training, outputDir } }: RunSummary, base: string): string {
  return training.runName ?? (outputDir === undefined ? basename(base) : basename(outputDir))
}

/** The last evaluation of held-out rows. */
function resultsOf({ lineage, lastEvaluation }: RunSummary): IndexedResult[] {
  if (lastEvaluation === undefined) return []
  const { loss, perplexity } = lastEvaluation
  const held = lineage.evalDataset
  const { type, name, ...revision } = indexedDataset(held ?? lineage.dataset, 'rows of a program')
  return [
    {
      task: { type: 'text-generation', name: 'Text Generation' },
      dataset: { type, name: held === undefined ? `${name}, held-out rows` : name, ...revision },
      metrics: [indexedMetric('loss', loss), indexedMetric('perplexity', perplexity)].flatMap((metric) => metric ?? []),
    },
  ]
}

/** Where the rows came from, as far as is known. */
function dataSection({ lineage }: RunSummary): string {
  const rows = [
    ...rowsOfSources('training', lineage.dataset),
    ...rowsOfSources('evaluation', lineage.evalDataset ?? []),
  ]
  if (rows.length === 0) return ''
  return `## Data\n\n${markdownTable(['For', 'File or table', 'Rows', 'Bytes', 'SHA-256'], rows)}\n\n`
}

/** The content of the files by its hash, so that a reader who has them can tell whether they are the same. */
function rowsOfSources(use: string, sources: readonly SourceLineage[]): string[][] {
  const shown = sources
    .slice(0, MOST_SOURCES)
    .map(({ location, rows, size, sha256 }) => [
      use,
      code(location.startsWith('hf://') ? location : lastName(location)),
      rows === undefined ? '-' : String(rows),
      size === undefined ? '-' : String(size),
      sha256 === undefined ? '-' : code(sha256),
    ])
  const more = sources.length - shown.length
  return more > 0 ? [...shown, [use, `and ${more} more`, '', '', '']] : shown
}

/** As PEFT lists them, which adds its own line. */
function versionsOf(): string {
  return [`- lowrank ${packageVersion() ?? 'of a bundle'}`, `- Node.js ${process.versions.node}`].join('\n')
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
  const { options, origin, statistics, lastLog, lastEvaluation: evaluation, step, totalSteps, end } = run
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
    ['Licence', origin.license ? licenseText(origin.license) : 'that of the base model, which was not known here'],
    [
      'Method',
      options.method === 'lora' ? `LoRA${options.quantization ? ` on ${options.quantization}` : ''}` : 'every weight',
    ],
    ['Computed in', run.dtype],
    ['Data', `${nameOf(options.dataset)}: ${rows} rows${lost.length > 0 ? ` (${lost.join(', ')})` : ''}`],
    ['Tokens', `${tokens}, ${supervisedTokens} of them learnt`],
    ['Rows', `${run.trainRows} to train on, ${run.evalRows} held out`],
    [
      'Steps',
      `${step} of ${totalSteps}, ${run.epoch.toFixed(2)} epochs${step < totalSteps ? `; ${end.earlyStopping ? `stopped early, after ${end.earlyStopping.counter} evaluations without an improvement` : 'stopped before its end'}` : ''}`,
    ],
    ...(lastLog === undefined
      ? []
      : [['Loss when last logged', `${figure(lastLog.loss)} at step ${lastLog.step}`] as [string, string]]),
    ...(evaluation === undefined
      ? []
      : ([
          ...(!Number.isFinite(evaluation.loss)
            ? []
            : [['Held-out loss', `${figure(evaluation.loss)} at step ${evaluation.step}`]]),
          ...(evaluation.perplexity === undefined
            ? []
            : [['Held-out perplexity', `${figure(evaluation.perplexity)} over ${evaluation.tokens} tokens`]]),
        ] as [string, string][])),
    ...(end.best === undefined ? [] : [['Best evaluation', bestText(end.best)] as [string, string]]),
    ...(end.loadedStep === undefined ? [] : [['Weights', `those of step ${end.loadedStep}`] as [string, string]]),
  ]
}

function bestText({ metric, value, step }: BestEvaluation): string {
  return `${code(metric)} ${figure(value)} at step ${step}`
}

/** A loss that is not finite is null in a log. */
function figure(value: number | null): string {
  return value === null || !Number.isFinite(value) ? '-' : value.toFixed(4)
}

function nameOf(source: unknown): string {
  if (typeof source === 'string') return code(basename(source))
  const isPaths = Array.isArray(source) && source.length > 0 && source.every((entry) => typeof entry === 'string')
  if (isPaths) return source.map((entry) => code(basename(entry))).join(', ')
  if (isEntryList(source)) return source.map(nameOf).join(', ')
  if (!isEntry(source)) return 'rows of a program'
  return 'mix' in source ? source.mix.map(nameOf).join(', ') : nameOf(source.path)
}
