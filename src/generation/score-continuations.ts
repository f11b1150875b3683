/** @file scoreContinuations: how likely a model finds given continuations of given contexts. */

import { prepareBatch } from '../architecture/batch.js'
import { IGNORE_INDEX, positionsInSequences } from '../architecture/ragged-batch.js'
import { type CausalLM, expectModel } from '../causal-lm/causal-lm.js'
import { describeValue } from '../errors.js'
import { LowrankError, OptionError } from '../lowrank-error.js'
import { callback, either, exactly, integer } from '../options/rules.js'
import { SIGNAL } from '../options/shared.js'
import { expectOptions, type OptionTable } from '../options/table.js'
import { isPlainObject } from '../values.js'
import { fittingBatchSize } from './batch-size.js'

/** A context and what may follow it, both as ids of the model. */
export interface ContinuationItem {
  /** At least one id: the first token of the continuation is predicted from it. */
  readonly context: readonly number[]
  /** At least one id. */
  readonly continuation: readonly number[]
}

/** How likely a continuation is. */
export interface ContinuationScore {
  /** The natural logarithm of the continuation's probability after its context: the sum of `tokenLogProbs`. */
  readonly logProb: number
  /** That of each of its tokens after all before it. */
  readonly tokenLogProbs: Float32Array
  /** Whether greedy decoding would write it: each token is the most likely one, the first where several are. */
  readonly isGreedy: boolean
}

/** The options of `scoreContinuations`. */
export interface ScoreContinuationsOptions {
  /**
   * How many sequences are computed together. 'auto': as many as the device is fast with and its memory has room for.
   * @default 'auto'
   */
  batchSize?: number | 'auto'
  /**
   * Called with each score as soon as it is known, and with the place of its item in the list.
   * @default none
   */
  onScore?: (index: number, score: ContinuationScore) => void
  /**
   * Aborts the work; it rejects with the signal's reason.
   * @default none
   */
  signal?: AbortSignal
}

export const SCORE_CONTINUATIONS_OPTIONS = {
  batchSize: {
    rule: either(exactly('auto', 'as many as there is room for'), integer({ min: 1 })),
    default: 'auto',
    help: 'how many sequences are computed together',
  },
  onScore: {
    rule: callback,
    otherwise: 'none',
    help: 'called with each score as soon as it is known, and with the place of its item',
  },
  signal: SIGNAL,
} as const satisfies OptionTable<ScoreContinuationsOptions>

interface Row {
  readonly index: number
  readonly context: number
  readonly ids: Int32Array
}

/**
 * The log probability of each continuation after its context.
 * @returns the scores in the order of the items.
 * @throws on unknown options, an empty context or continuation, ids outside the vocabulary, more tokens than the model
 * has positions for, and the signal's reason when it is aborted.
 */
export async function scoreContinuations(
  model: CausalLM,
  items: readonly ContinuationItem[],
  options: ScoreContinuationsOptions = {},
): Promise<ContinuationScore[]> {
  expectModel('scoreContinuations', model)
  expectOptions('scoreContinuations', options, SCORE_CONTINUATIONS_OPTIONS)
  if (!Array.isArray(items))
    throw new OptionError(`[scoreContinuations] expected a list for items, got ${describeValue(items)}`)
  const { batchSize = 'auto', onScore, signal } = options
  const rows = items.map((item, index) => readItem(item, index, model.config.vocabSize))
  rows.sort((a, b) => b.ids.length - a.ids.length || a.index - b.index)
  const scores: ContinuationScore[] = []
  for (let first = 0; first < rows.length; ) {
    signal?.throwIfAborted()
    const size = batchSize === 'auto' ? fittingBatchSize(model, (rows[first] as Row).ids.length) : batchSize
    const batch = rows.slice(first, first + size)
    first += size
    for (const [row, score] of (await scoreTogether(model, batch)).entries()) {
      const { index } = batch[row] as Row
      scores[index] = score
      onScore?.(index, score)
    }
  }
  return scores
}

function readItem(item: ContinuationItem, index: number, vocabSize: number): Row {
  const { context, continuation } = isPlainObject(item) ? item : ({} as Partial<ContinuationItem>)
  for (const [name, ids] of Object.entries({ context, continuation })) {
    if (Array.isArray(ids) && ids.length > 0) continue
    throw new LowrankError(
      'INVALID_CALL',
      `[scoreContinuations] expected at least one id as number[] for ${name} of item ${index}, got ${describeValue(ids)}`,
    )
  }
  const all = [...(context as readonly number[]), ...(continuation as readonly number[])]
  return { index, context: (context as number[]).length, ids: prepareBatch({ inputIds: [all] }, vocabSize).inputIds }
}

async function scoreTogether(model: CausalLM, batch: readonly Row[]): Promise<ContinuationScore[]> {
  // The last token of a sequence predicts nothing that is asked for.
  const cuSeqlens = new Int32Array(batch.length + 1)
  batch.forEach(({ ids }, s) => {
    cuSeqlens[s + 1] = (cuSeqlens[s] as number) + ids.length - 1
  })
  const inputIds = new Int32Array(cuSeqlens[batch.length] as number)
  const labels = new Int32Array(inputIds.length).fill(IGNORE_INDEX)
  batch.forEach(({ ids, context }, s) => {
    const start = cuSeqlens[s] as number
    inputIds.set(ids.subarray(0, -1), start)
    labels.set(ids.subarray(context), start + context - 1)
  })
  const positions = positionsInSequences(cuSeqlens)
  const { logProbs, mostLikely } = await model.labelScores({ inputIds, positions, cuSeqlens, labels })
  let first = 0
  return batch.map(({ ids, context }) => {
    const continuation = ids.subarray(context)
    const end = first + continuation.length
    const tokenLogProbs = logProbs.slice(first, end)
    const isGreedy = continuation.every((id, i) => mostLikely[first + i] === id)
    first = end
    return { logProb: tokenLogProbs.reduce((sum, value) => sum + value, 0), tokenLogProbs, isGreedy }
  })
}
