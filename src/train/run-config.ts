/**
 * @file train.yaml of a run: its options with every default filled in, from which `lowrank train` repeats it. Paths are
 * absolute, secrets are left out, and what only a program can give is named in a comment.
 */

import { resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { isEntry, isEntryList } from '../data/sources/dataset-entry.js'
import { isPath } from '../data/sources/open-source.js'
import type { SourceLineage } from '../data/sources/row-source.js'
import { isCatalogAddress } from '../databricks/client/models/address.js'
import { isSecretName, withoutSecrets } from '../errors.js'
import type { EvaluationTask, GenerationTask } from '../evaluate/task-options.js'
import { isPlainObject } from '../values.js'
import { yamlText } from '../yaml-text.js'
import { schemaComment } from './config-schema.js'
import { isNamedSources } from './eval-datasets.js'
import type { ResolvedTrainOptions } from './options.js'
import { pinnedSource } from './pinned-source.js'
import type { RunLineage } from './run-data.js'
import type { ResolvedTrainingOptions } from './training-options.js'

export const CONFIG_FILE = 'train.yaml'

/** What 'auto' and names became. */
export interface RunSettings {
  /** The id without a revision, or the path as it was given. */
  readonly model: string
  /** The commit of a model of the Hub. */
  readonly revision: string | undefined
  readonly dtype: string
  readonly device: string
  readonly lineage: RunLineage
  /** Files of `dataset` that are being read. Default: all were read */
  readonly locations?: Iterable<string>
  /** Access tokens and the like, which must not be in any file. */
  readonly secrets: readonly string[]
}

/** Options that say nothing of what is trained. A preset is spelled out. */
const LEFT_OUT = ['signal', 'onEvent', 'callbacks', 'preset', 'resumeFromCheckpoint']
/** More rows than this many bytes of JSON are not copied into the file. */
const MOST_ROWS = 1 << 16

/** More files are counted. */
const MOST_SOURCES = 32

/** How the file begins: one without it is somebody's own. */
const FIRST_LINE = '# The options of this run, with every default. It goes on from its last checkpoint with'

/** Whether a text of train.yaml is one that a run wrote. */
export function isOwnConfig(text: string): boolean {
  return text.startsWith(FIRST_LINE)
}

/** What of a run's options JSON can hold. */
export interface PlainOptions {
  /** Under the names and in the order of the documentation. */
  readonly options: Readonly<Record<string, unknown>>
  /** What only a program can give: `dataset: rows that a program gave`. */
  readonly lacking: readonly string[]
  /** Whether a secret stood among them, which is `***` now. */
  readonly hidesSecret: boolean
}

/** The options with every default, paths absolute and no secrets. */
export function plainOptions(options: ResolvedTrainOptions, settings: RunSettings): PlainOptions {
  const lacking: string[] = []
  const written: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(collect(options, settings))) {
    if (value === undefined || LEFT_OUT.includes(name) || isSecretName(name)) continue
    if (isPlain(value) && !((isSource(name) || name === 'evalTasks') && isLarge(value)))
      written[name] = isPlainObject(value) && !isSource(name) ? withoutSecretNames(value) : value
    else lacking.push(isSource(name) ? `${name}: rows that a program gave` : name)
  }
  const hide = (text: string): string => withoutSecrets(text, settings.secrets)
  const shown = mapTexts(written, hide) as Record<string, unknown>
  return { options: shown, lacking, hidesSecret: !isDeepStrictEqual(shown, written) }
}

/** The text of train.yaml. */
export function runConfigText(options: ResolvedTrainOptions, settings: RunSettings): string {
  const { options: shown, lacking, hidesSecret } = plainOptions(options, settings)
  const comment = options.outputDir === undefined ? undefined : schemaComment(resolve(options.outputDir))
  const text = yamlText({
    ...shown,
    // The run goes on where it was stopped; with another outputDir it begins anew.
    ...(options.outputDir !== undefined && { resumeFromCheckpoint: true }),
  })
  return `${[
    FIRST_LINE,
    '#   lowrank train THIS_FILE',
    '# and begins anew, to the same bytes, with --output ANOTHER_DIRECTORY.',
    ...lacking.map((name) => `# Not here, because no file can hold it: ${name}`),
    ...(hidesSecret ? ['# A secret stood here and is left out: ***'] : []),
    ...lineageComments(settings.lineage).map((line) => withoutSecrets(line, settings.secrets)),
    ...(comment === undefined ? [] : [comment]),
  ].join('\n')}\n${text}`
}

/** What the files of the rows held when the run read them: whoever repeats it can tell whether they are the same. */
function lineageComments(lineage: RunLineage): string[] {
  const all = Object.entries(lineage).flatMap(([name, sources]: [string, readonly SourceLineage[]]) =>
    sources.map((source) => ({ name, ...source })),
  )
  const shown = all
    .slice(0, MOST_SOURCES)
    .map(({ name, location, rows, size, sha256 }) =>
      [
        `# ${name}: ${JSON.stringify(location)}`,
        rows === undefined ? 'not all of it was read' : `${rows} rows`,
        size === undefined ? [] : `${size} bytes`,
        sha256 ? `SHA-256 ${sha256}` : [],
      ]
        .flat()
        .join(', '),
    )
  return all.length > shown.length ? [...shown, `# and ${all.length - shown.length} more`] : shown
}

/** The options under the names and in the order of the documentation. */
function collect(options: ResolvedTrainOptions, settings: RunSettings): Record<string, unknown> {
  const { lora, training, outputDir, cacheDir, dataset, evalDataset, evalTasks, ...others } = options
  const { model, revision, dtype, device, lineage, locations = [] } = settings
  const pinned = (source: unknown, read: readonly SourceLineage[], opened: Iterable<string>): unknown =>
    pinnedSource(absoluteSource(source), new Set([...read.map(({ location }) => location), ...opened]))
  return {
    model: revision === undefined && !isCatalogAddress(model) ? resolve(model) : model,
    revision,
    dataset: pinned(dataset, lineage.dataset, locations),
    evalDataset: isNamedSources(evalDataset)
      ? mapValues(evalDataset, (each) => pinned(each, lineage.evalDataset ?? [], []))
      : pinned(evalDataset, lineage.evalDataset ?? [], []),
    evalTasks: evalTasks?.map(absoluteTask),
    outputDir: outputDir && resolve(outputDir),
    ...without(others, ['model', 'revision', 'dtype', 'device']),
    dtype,
    device,
    // A path from home, or from a variable, is one everywhere.
    cacheDir: cacheDir === undefined || /^[~$]/.test(cacheDir) ? cacheDir : resolve(cacheDir),
    lora,
    training: trainingOptions(training),
  }
}

/** What contradicts something that was given was not, and has no effect. */
function trainingOptions(training: ResolvedTrainingOptions): Record<string, unknown> {
  const hasNoRatio = training.warmupSteps !== undefined || training.lrSchedulerType === 'constant'
  const { warmupRatio, ...others } = training
  return without({ ...others, ...(!hasNoRatio && { warmupRatio }) }, [])
}

/** Without some of the members, and without those that are undefined. */
function without(object: object, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(object).filter(([name, value]) => value !== undefined && !names.includes(name)),
  )
}

/** Options in a part of their own, such as `mlflow`, without those that are secrets. */
function withoutSecretNames(part: object): object {
  return Object.fromEntries(Object.entries(part).filter(([name]) => !isSecretName(name)))
}

function absoluteSource(source: unknown): unknown {
  if (typeof source === 'string') return isPath(source) ? resolve(source) : source
  if (Array.isArray(source) && source.length > 0 && source.every((entry) => typeof entry === 'string'))
    return source.map(absoluteSource)
  if (isEntryList(source)) return source.map(absoluteSource)
  if (isNamedSources(source)) return mapValues(source, absoluteSource)
  if (!isEntry(source)) return source
  return 'mix' in source
    ? { ...source, mix: source.mix.map(absoluteSource) }
    : { ...without(source, ['token']), path: absoluteSource(source.path) }
}

/** A task whose files are found from everywhere, without the key of its judge. */
function absoluteTask(task: EvaluationTask): object {
  const { dataset, scoreAnswer, judge, ...others } = task as Partial<GenerationTask>
  const absolute = (path: unknown): unknown => (typeof path === 'string' ? resolve(path) : path)
  const { rubric, replies, ...asked } = judge ?? {}
  return without(
    {
      ...others,
      dataset: absoluteSource(dataset),
      scoreAnswer: absolute(scoreAnswer),
      judge:
        judge && without({ ...withoutSecretNames(asked), rubric: absolute(rubric), replies: absolute(replies) }, []),
    },
    [],
  )
}

function mapValues(object: object, change: (value: unknown) => unknown): object {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, change(value)]))
}

function isSource(name: string): boolean {
  return name === 'dataset' || name === 'evalDataset'
}

function isLarge(value: unknown): boolean {
  return JSON.stringify(value).length > MOST_ROWS
}

/** A plain value with another text in place of every text in it, keys included. */
function mapTexts(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === 'string') return change(value)
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item) => mapTexts(item, change))
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [change(key), mapTexts(item, change)]))
}

/** Whether a value comes back the same from a file. */
function isPlain(value: unknown): boolean {
  try {
    return isDeepStrictEqual(JSON.parse(JSON.stringify(value)), value)
  } catch {
    return false
  }
}
