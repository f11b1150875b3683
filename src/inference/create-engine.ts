/** @file createInferenceEngine: an engine for a model, and how much memory its pages get. */

import { type CausalLM, expectModel } from '../causal-lm/causal-lm.js'
import { OptionError, OutOfMemoryError } from '../lowrank-error.js'
import { readOptions } from '../options/table.js'
import { remainingBudget } from '../tensor/process-memory.js'
import { ContinuousEngine } from './engine.js'
import { INFERENCE_OPTIONS, type InferenceOptions } from './engine-options.js'
import type { InferenceEngine } from './inference-request.js'
import { LoadedAdapters } from './loaded-adapters.js'
import { hasDynamicRope, ModelExecutor } from './model-executor.js'
import { PagePool } from './page-pool.js'
import { pageBytes } from './paged-cache.js'
import { stepMemory } from './step-memory.js'

/** Tokens of a sequence that the default budget has room for. */
const USUAL_TOKENS = 4096

/** What the default budget takes at most of the memory that is free. */
const SHARE_OF_FREE = 0.5

/**
 * An engine that answers many requests at once. Adapters that are on the model can be asked for by their names; a
 * request without one is answered by the base model, whatever is active. The model stays usable beside it.
 * @throws on unknown options, values out of range, and where pages and the largest step do not fit the memory budget
 */
export async function createInferenceEngine(model: CausalLM, options: InferenceOptions = {}): Promise<InferenceEngine> {
  expectModel('inference', model)
  const { kvCacheMemory, ...settings } = readOptions('inference', options, INFERENCE_OPTIONS)
  const { maxSequences, pageSize, maxLoras, maxLoraRank } = settings
  const { config, device, dtype } = model
  const { maxPositionEmbeddings, vocabSize } = config
  const { maxModelLen = maxPositionEmbeddings } = settings
  if (maxModelLen > maxPositionEmbeddings)
    throw new OptionError(
      `[inference] expected at most ${maxPositionEmbeddings} positions for maxModelLen, which is what the model has, got ${maxModelLen}`,
    )
  const { decoder, end } = model.beginInference()
  try {
    await device.sync()
    const bytes = pageBytes(config, dtype, pageSize)
    const most = maxSequences * Math.ceil(Math.min(maxModelLen, USUAL_TOKENS) / pageSize)
    const ofSteps = await stepMemory(model, { ...settings, maxModelLen })
    const freeBytes = (): number => remainingBudget(device) - device.memory().live - ofSteps
    const free = freeBytes()
    const pages =
      kvCacheMemory === undefined
        ? Math.min(most, Math.floor((SHARE_OF_FREE * free) / bytes))
        : Math.floor(kvCacheMemory / bytes)
    if (kvCacheMemory !== undefined && pages < 1)
      throw new OptionError(
        `[inference] expected room for a page of keys and values, which takes ${bytes} bytes, got kvCacheMemory ${kvCacheMemory}`,
      )
    if (pages < 1 || pages * bytes > free)
      throw new OutOfMemoryError(
        `[inference] expected ${Math.max(1, pages) * bytes} bytes for keys and values beside ${ofSteps} for a step, ` +
          `got ${free + ofSteps} that are free; lower kvCacheMemory, maxSequences or prefillTokens`,
      )
    const pool = new PagePool(pages, pageSize)
    const executor = new ModelExecutor(model, decoder, { pages, pageSize, maxSequences, maxModelLen })
    // Pages that the device has no room for are known now.
    await device.sync().catch((error: unknown) => {
      executor.dispose()
      throw error
    })
    return new ContinuousEngine({
      ...settings,
      maxModelLen,
      vocabSize,
      pool,
      prefixCaching: settings.prefixCaching && !hasDynamicRope(model),
      adapters: new LoadedAdapters(model, pool, {
        maxLoras,
        maxLoraRank,
        freeBytes,
        isFinite: (parts) => executor.isFinite(parts),
        onGone: (parts) => executor.forget(parts),
      }),
      executor,
      onClose: end,
    })
  } catch (error) {
    end()
    throw error
  }
}
