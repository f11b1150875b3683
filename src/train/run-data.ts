/** @file The data of a run: what `dataset` and `evalDataset` become, and what events tell of it. */

import { cacheDirectory } from '../cache-directory.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import type { StreamPosition } from '../data/batches.js'
import { checkPrepared } from '../data/check/prepared-rows.js'
import { type PreparedItems, prepareItems } from '../data/dataset.js'
import { type EncodedRows, type EncodeOptions, expectTokens, PROGRESS_MS, streamRows } from '../data/encode-rows.js'
import { allOf, type Item, type ItemList, listOf, someOf } from '../data/items.js'
import { type DataStatistics, dataWarnings } from '../data/report.js'
import { RowStream } from '../data/row-stream.js'
import type { FetchOptions } from '../data/sources/fetch-options.js'
import { type DataSource, openSource } from '../data/sources/open-source.js'
import type { SourceLineage } from '../data/sources/row-source.js'
import { splitItems } from '../data/split.js'
import { endingIds } from '../decoding/generate-options.js'
import { DataError } from '../lowrank-error.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { Turns } from '../turns.js'
import { isObject } from '../values.js'
import { usualDataMemory } from './data-memory.js'
import { evalOption, evalSources } from './eval-datasets.js'
import type { HeldOutRows } from './evaluations.js'
import type { DataEvent, DataSplit } from './events.js'
import type { Objective } from './objective.js'
import type { ResolvedTrainOptions } from './options.js'
import { type RunRows, streamedRows, uncounted, wholeRows } from './run-rows.js'
import { isTable } from './streaming-options.js'
import type { RunStatistics } from './train-run.js'

/** The files or tables that the rows of `dataset` and `evalDataset` came from. */
export interface RunLineage {
  readonly dataset: readonly SourceLineage[]
  readonly evalDataset?: readonly SourceLineage[]
}

/** What a run learns from and is evaluated on. */
export interface RunData<I extends Item> {
  readonly rows: RunRows<I>
  readonly evaluation: readonly HeldOutRows<I>[]
  /** What is known of them when the run starts. */
  readonly lineage: RunLineage
  /** Files of `dataset` that are being read. */
  readonly locations: Iterable<string>
  /** What is known when the run ends; told of by then. */
  finish(): RunFacts
  /** Frees the rows. */
  close(): Promise<void>
}

/** What became of the rows of a run. */
export interface RunFacts {
  readonly statistics: RunStatistics
  readonly lineage: RunLineage
  /** Rows that were trained on. */
  readonly trainRows: number
}

/**
 * Asks for the rows before a model is fetched, which may take long.
 * @throws where they are not there or cannot be read
 */
export async function checkSources(options: ResolvedTrainOptions): Promise<void> {
  const { dataset, evalDataset, signal } = options
  const { streaming, maxSteps } = options.training
  const source = openSource(dataset, 'dataset', fetchingOf(options))
  await source.check?.(signal)
  // A table knows, and to ask it is to begin reading it.
  const mustCount = streaming === true && maxSteps <= 0 && !isTable(dataset)
  if (mustCount && (await source.count?.(signal)) === undefined) throw uncounted(source.name)
  for (const { source, name } of evalSources(evalDataset))
    await openSource(source, evalOption(name), fetchingOf(options)).check?.(signal)
}

/** The options of the Hub that count for data sets too: the revision is that of the model. */
function fetchingOf({ token, cacheDir, localFilesOnly, onEvent }: ResolvedTrainOptions): FetchOptions {
  return {
    ...(token !== undefined && { token }),
    ...(cacheDir !== undefined && { cacheDir }),
    ...(localFilesOnly !== undefined && { localFilesOnly }),
    onEvent,
  }
}

/** What rows are prepared with. */
interface Preparation<I extends Item> {
  readonly objective: Objective<I>
  readonly options: ResolvedTrainOptions
  readonly tokenizer: Tokenizer
  readonly model: CausalLM
  /** Where rows go that memory has no place for. */
  readonly directory: string
}

/**
 * Encodes the rows of `dataset` and `evalDataset`, telling of each how far it is and what became of it. With
 * `streaming` those of `dataset` are encoded as they come.
 * @param directory where rows go that memory has no place for
 */
export async function prepareData<I extends Item>(
  objective: Objective<I>,
  options: ResolvedTrainOptions,
  tokenizer: Tokenizer,
  model: CausalLM,
  directory: string,
): Promise<RunData<I>> {
  const given = { objective, options, tokenizer, model, directory }
  return options.training.streaming ? await streamData(given) : await wholeData(given)
}

async function wholeData<I extends Item>(given: Preparation<I>): Promise<RunData<I>> {
  const { dataset, evalDataset, training, signal } = given.options
  const { evalSplit, seed } = training
  const { items, statistics, lineage } = await prepareWhole(given, 'train', dataset)
  const stores: { close(): void }[] = [items]
  const close = async (): Promise<void> => {
    for (const store of stores) store.close()
  }
  const data = async (
    train: ItemList<I>,
    evaluation: readonly HeldOutRows<I>[],
    facts: Omit<RunFacts, 'trainRows'>,
  ) => ({
    rows: await wholeRows(train, training, new Turns(signal)),
    evaluation,
    lineage: facts.lineage,
    locations: [],
    finish: () => ({ ...facts, trainRows: train.length }),
    close,
  })
  try {
    const split = evalSplit > 0 ? await splitItems(items, { evalSplit, seed, signal }) : undefined
    const train = split ? someOf(items, split.train) : items
    if (evalDataset === undefined) {
      await checkRows(given, train)
      const evaluation = split ? [{ name: undefined, items: someOf(items, split.evaluation) }] : []
      return await data(train, evaluation, { statistics, lineage: { dataset: lineage } })
    }
    const held = await prepareHeldOut(given)
    stores.push(held)
    await checkRows(given, train, held.items)
    return await data(train, held.sets, {
      statistics: { ...statistics, ...held.statistics },
      lineage: { dataset: lineage, evalDataset: held.lineage },
    })
  } catch (error) {
    await close()
    throw error
  }
}

async function streamData<I extends Item>(given: Preparation<I>): Promise<RunData<I>> {
  const { objective, options, tokenizer } = given
  const { dataset, evalDataset, training, signal, onEvent } = options
  const { numTrainEpochs, maxSteps } = training
  const held = evalDataset === undefined ? undefined : await prepareHeldOut(given)
  const source = openSource(dataset, 'dataset', fetchingOf(options))
  const lineage: SourceLineage[] = []
  const locations = new Set<string>()
  /** With the files that the run has left before their end. */
  const allLineage = (): SourceLineage[] => {
    const known = new Set(lineage.map(({ location }) => location))
    return [...lineage, ...[...locations].flatMap((location) => (known.has(location) ? [] : { location }))]
  }
  let isTold = false
  let isStarted = false
  const tell = (statistics: DataStatistics, isPartial: boolean): void => {
    if (isTold) return
    isTold = true
    onEvent?.(dataEvent(given, 'train', { statistics, lineage: allLineage() }, isPartial ? { isPartial: true } : {}))
  }
  const warn = (message: string): void => onEvent?.({ type: 'warning', message })
  const onRow = progressOf((rows) => onEvent?.({ type: 'prepare', split: 'train', rows }))
  let stream: RowStream<I> | undefined
  try {
    const count = await source.count?.(signal)
    let first: number | undefined
    let whole: StreamPosition | undefined
    let isChanged = false
    stream = new RowStream<I>(
      { ...training, maxLength: lengthOf(given) },
      {
        open(pass, turns) {
          first ??= pass
          const isFirst = pass === first
          return streamRows(source, tokenizer, objective, encodeOptionsOf(given), turns, {
            onFraction: () => {},
            onLocation: (location) => {
              if (isFirst) locations.add(location)
            },
            onLineage: (entry) => {
              if (isFirst) lineage.push(entry)
            },
            needsHash: isFirst,
          })
        },
        passes: source.readsOnce ? 1 : maxSteps > 0 ? Number.POSITIVE_INFINITY : Math.ceil(numTrainEpochs),
        expectedRows: count,
        signal,
        onRow: (rows) => {
          if (!isStarted) onRow(rows)
        },
        expectRows(pass, statistics) {
          if (pass > 0 && statistics.rows === 0) throw readOnce(source.name, pass)
          expectTokens(source.name, lineage, statistics, lengthOf(given))
        },
        onPass(pass, statistics, end) {
          if (pass === first) {
            tell(statistics, false)
            if (count !== undefined && statistics.rows !== count) warn(miscounted(source.name, count, statistics.rows))
          }
          if (!isChanged && whole !== undefined && whole.fingerprint !== end.fingerprint) {
            isChanged = true
            warn(changedRows(source.name, pass))
          }
          whole = end
        },
      },
    )
    const opened = stream
    const rows = streamedRows({
      stream,
      training: { ...training, maxLength: lengthOf(given) },
      objective,
      name: source.name,
      count,
      check: async (items) => {
        isStarted = true
        await checkRows(given, listOf(items), held?.items)
      },
    })
    return {
      rows,
      evaluation: held?.sets ?? [],
      lineage: { dataset: lineage, ...(held && { evalDataset: held.lineage }) },
      locations,
      finish() {
        const { statistics } = opened
        tell(statistics, true)
        const { rowsCutToNothing, rowsWithoutTarget, skippedRows = 0 } = statistics
        return {
          statistics: { ...statistics, ...held?.statistics },
          lineage: { dataset: allLineage(), ...(held && { evalDataset: held.lineage }) },
          trainRows: statistics.rows - rowsCutToNothing - rowsWithoutTarget - skippedRows,
        }
      },
      async close() {
        held?.close()
        await opened.close()
      },
    }
  } catch (error) {
    held?.close()
    await stream?.close()
    throw error
  }
}

/** Longest row that is made. */
function lengthOf<I extends Item>({ options: { training }, model: { config } }: Preparation<I>): number {
  return Math.min(training.maxLength, config.maxPositionEmbeddings)
}

function encodeOptionsOf<I extends Item>(given: Preparation<I>): EncodeOptions {
  const { options, model } = given
  return { ...options.training, maxLength: lengthOf(given), vocabSize: model.config.vocabSize }
}

/** The rows of `evalDataset`. */
interface HeldOutData<I extends Item> {
  readonly sets: readonly HeldOutRows<I>[]
  /** All of them. */
  readonly items: ItemList<I>
  readonly statistics: Pick<RunStatistics, 'evaluation' | 'evaluations'>
  readonly lineage: readonly SourceLineage[]
  close(): void
}

async function prepareHeldOut<I extends Item>(given: Preparation<I>): Promise<HeldOutData<I>> {
  const all: { name: string | undefined; prepared: PreparedItems<I> }[] = []
  const close = (): void => {
    for (const { prepared } of all) prepared.items.close()
  }
  try {
    for (const { name, source } of evalSources(given.options.evalDataset))
      all.push({ name, prepared: await prepareWhole(given, 'eval', source, name) })
  } catch (error) {
    close()
    throw error
  }
  const [first] = all
  const isNamed = first?.name !== undefined
  return {
    sets: all.map(({ name, prepared }) => ({ name, items: prepared.items })),
    items: allOf(all.map(({ prepared }) => prepared.items)),
    statistics: isNamed
      ? { evaluations: Object.fromEntries(all.map(({ name, prepared }) => [name, prepared.statistics])) }
      : { ...(first && { evaluation: first.prepared.statistics }) },
    lineage: all.flatMap(({ prepared }) => prepared.lineage),
    close,
  }
}

async function prepareWhole<I extends Item>(
  given: Preparation<I>,
  split: DataSplit,
  source: DataSource,
  name?: string,
): Promise<PreparedItems<I>> {
  const { objective, options, tokenizer, model, directory } = given
  const { training, signal, onEvent } = options
  const memory = training.dataMemory ?? usualDataMemory(model.device.isGpu ? undefined : options.memoryBudget)
  const named = name === undefined ? {} : { name }
  const onProgress = (rows: number, fraction: number | undefined): void =>
    onEvent?.({ type: 'prepare', split, ...named, rows, ...(fraction !== undefined && { fraction }) })
  const prepared = await prepareItems(
    openSource(source, split === 'eval' ? evalOption(name) : 'dataset', fetchingOf(options)),
    tokenizer,
    objective,
    { ...encodeOptionsOf(given), signal, onProgress },
    { memory, directory },
    training.loadFromCacheFile ? { directory: cacheDirectory(), dataset: source } : undefined,
  )
  const how = { ...named, ...(prepared.isCached && { isCached: true as const }) }
  onEvent?.(dataEvent(given, split, prepared, how))
  return prepared
}

function dataEvent<I extends Item>(
  given: Preparation<I>,
  split: DataSplit,
  { statistics, lineage }: EncodedRows,
  how: Pick<DataEvent, 'name' | 'isCached' | 'isPartial'>,
): DataEvent {
  const { training } = given.options
  const maxLength = lengthOf(given)
  const wantedMaxLength = training.maxLength
  return {
    type: 'data',
    split,
    ...statistics,
    lineage: [...lineage],
    ...how,
    maxLength,
    ...(maxLength < wantedMaxLength && { clippedMaxLength: { wanted: wantedMaxLength, used: maxLength } }),
    warnings: dataWarnings(statistics, maxLength, {
      wantedMaxLength,
      maxPositions: given.model.config.maxPositionEmbeddings,
    }),
  }
}

async function checkRows<I extends Item>(
  { options, tokenizer, model, ...given }: Preparation<I>,
  train: ItemList<I>,
  evaluation?: ItemList<I>,
): Promise<void> {
  const { dataset, training, signal, onEvent } = options
  if (!training.checkData) return
  const stopTokenIds = new Set([...endingIds(model.config, model.generationDefaults), ...tokenizer.eosTokenIds])
  // A mix draws rows again until its end.
  const mayRepeat = isObject(dataset) && 'mix' in dataset
  const maxLength = lengthOf({ options, tokenizer, model, ...given })
  const wanted = { tokenizer, stopTokenIds, maxLength, evaluation, mayRepeat }
  for (const message of await checkPrepared(train, wanted, new Turns(signal))) onEvent?.({ type: 'warning', message })
}

/** Tells of progress at most ten times a second. */
function progressOf(tell: (rows: number) => void): (rows: number) => void {
  let told = Number.NEGATIVE_INFINITY
  return (rows) => {
    if (performance.now() - told < PROGRESS_MS) return
    told = performance.now()
    tell(rows)
  }
}

function readOnce(name: string, pass: number): Error {
  return new DataError(
    `[data] expected rows that can be read again for epoch ${pass + 1}, got none from ${name}; set numTrainEpochs: 1, or fewer maxSteps, or ` +
      'give an object whose [Symbol.asyncIterator]() begins anew',
  )
}

function miscounted(name: string, count: number, rows: number): string {
  return (
    `[data] ${name} gave ${rows} rows and not ${count}, as it had told: ` +
    (rows < count
      ? 'its epochs end earlier than was planned'
      : 'steps and learning rate are those of the rows that it had told')
  )
}

function changedRows(name: string, pass: number): string {
  return `[data] ${name} gave other rows in epoch ${pass + 1} than in the one before, or the same ones in another order: the run cannot be repeated`
}
