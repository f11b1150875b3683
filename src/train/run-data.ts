/** @file The data of a run: what `dataset` and `evalDataset` become, and what events tell of it. */

import { cacheDirectory } from '../cache-directory.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { checkPrepared } from '../data/check/prepared-rows.js'
import { type PreparedItems, prepareItems } from '../data/dataset.js'
import { type Item, type ItemList, listOf, someOf } from '../data/items.js'
import { dataWarnings } from '../data/report.js'
import type { FetchOptions } from '../data/sources/fetch-options.js'
import { type DataSource, openSource } from '../data/sources/open-source.js'
import type { SourceLineage } from '../data/sources/row-source.js'
import { splitItems } from '../data/split.js'
import { endingIds } from '../decoding/generate-options.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { Turns } from '../turns.js'
import { isObject } from '../values.js'
import { usualDataMemory } from './data-memory.js'
import type { DataSplit } from './events.js'
import type { Objective } from './objective.js'
import type { ResolvedTrainOptions } from './options.js'
import type { RunStatistics } from './train-run.js'

/** The files or tables that the rows of `dataset` and `evalDataset` came from. */
export interface RunLineage {
  readonly dataset: readonly SourceLineage[]
  readonly evalDataset?: readonly SourceLineage[]
}

/** What a run learns from and is evaluated on. */
export interface RunData<I extends Item> {
  readonly train: ItemList<I>
  readonly evaluation: ItemList<I>
  readonly statistics: RunStatistics
  readonly lineage: RunLineage
  /** Frees the rows. */
  close(): void
}

/**
 * Asks for the rows before a model is fetched, which may take long.
 * @throws where they are not there or cannot be read
 */
export async function checkSources(options: ResolvedTrainOptions): Promise<void> {
  const { dataset, evalDataset, signal } = options
  await openSource(dataset, 'dataset', fetchingOf(options)).check?.(signal)
  if (evalDataset !== undefined) await openSource(evalDataset, 'evalDataset', fetchingOf(options)).check?.(signal)
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

/**
 * Encodes the rows of `dataset` and `evalDataset`, telling of each how far it is and what became of it.
 * @param directory where rows go that memory has no place for
 */
export async function prepareData<I extends Item>(
  objective: Objective<I>,
  options: ResolvedTrainOptions,
  tokenizer: Tokenizer,
  model: CausalLM,
  directory: string,
): Promise<RunData<I>> {
  const { dataset, evalDataset, training, signal, onEvent } = options
  const { config } = model
  const maxLength = Math.min(training.maxLength, config.maxPositionEmbeddings)
  const clipped = maxLength < training.maxLength
  const { evalSplit, seed } = training
  const memory = training.dataMemory ?? usualDataMemory(model.device.isGpu ? undefined : options.memoryBudget)
  const preparing = { ...training, maxLength, vocabSize: config.vocabSize, signal }
  const prepare = async (split: DataSplit, source: DataSource): Promise<PreparedItems<I>> => {
    const onProgress = (rows: number, fraction: number | undefined): void =>
      onEvent?.({ type: 'prepare', split, rows, ...(fraction !== undefined && { fraction }) })
    const prepared = await prepareItems(
      openSource(source, split === 'eval' ? 'evalDataset' : 'dataset', fetchingOf(options)),
      tokenizer,
      objective,
      { ...preparing, onProgress },
      { memory, directory },
      training.loadFromCacheFile ? { directory: cacheDirectory(), dataset: source } : undefined,
    )
    onEvent?.({
      type: 'data',
      split,
      ...prepared.statistics,
      lineage: prepared.lineage,
      ...(prepared.isCached && { isCached: true }),
      maxLength,
      ...(clipped && { clippedMaxLength: { wanted: training.maxLength, used: maxLength } }),
      warnings: dataWarnings(prepared.statistics, maxLength, {
        wantedMaxLength: training.maxLength,
        maxPositions: config.maxPositionEmbeddings,
      }),
    })
    return prepared
  }
  const check = async (train: ItemList<I>, evaluation?: ItemList<I>): Promise<void> => {
    if (!training.checkData) return
    const stopTokenIds = new Set([...endingIds(config, model.generationDefaults), ...tokenizer.eosTokenIds])
    // A mix draws rows again until its end.
    const mayRepeat = isObject(dataset) && 'mix' in dataset
    const wanted = { tokenizer, stopTokenIds, maxLength, evaluation, mayRepeat }
    for (const message of await checkPrepared(train, wanted, new Turns(signal))) onEvent?.({ type: 'warning', message })
  }
  const { items, statistics, lineage } = await prepare('train', dataset)
  const stores = [items]
  const close = (): void => {
    for (const store of stores) store.close()
  }
  try {
    const split = evalSplit > 0 ? await splitItems(items, { evalSplit, seed, signal }) : undefined
    const train = split ? someOf(items, split.train) : items
    if (evalDataset === undefined) {
      await check(train)
      const evaluation = split ? someOf(items, split.evaluation) : listOf<I>([])
      return { train, evaluation, statistics, lineage: { dataset: lineage }, close }
    }
    const held = await prepare('eval', evalDataset)
    stores.push(held.items)
    await check(train, held.items)
    return {
      train,
      evaluation: held.items,
      statistics: { ...statistics, evaluation: held.statistics },
      lineage: { dataset: lineage, evalDataset: held.lineage },
      close,
    }
  } catch (error) {
    close()
    throw error
  }
}
