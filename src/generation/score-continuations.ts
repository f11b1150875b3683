/** @file scoreContinuations: how likely a model finds given continuations of given contexts. */

import { prepareBatch } from '../architecture/batch.js'
import { type CausalLM, expectModel } from '../causal-lm/causal-lm.js'
import { withCause } from '../decoding/decoding.js'
import type { ContextGroup, ContinuationScore } from '../decoding/scoring.js'
import { describeValue } from '../errors.js'
import { LowrankError, OptionError } from '../lowrank-error.js'
import { callback, either, exactly, integer } from '../options/rules.js'
import { SIGNAL } from '../options/shared.js'
import { expectOptions, type OptionTable } from '../options/table.js'
import { Turns } from '../turns.js'
import { isPlainObject } from '../values.js'
import { fittingBatchSize } from './batch-size.js'
import { sharedPrefix } from './shared-prefix.js'

/** A context and what may follow it, both as ids of the model. */
export interface ContinuationItem {
  /** At least one id: the first token of the continuation is predicted from it. */
  readonly context: readonly number[]
  /** At least one id. */
  readonly continuation: readonly number[]
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

/**
 * The log probability of each continuation after its context. A context that several items have, one behind the other,
 * is computed once, and so is a beginning that all contexts share. Logits are made of the tokens alone that predict a
 * continuation's. In float32 a log probability may differ by some 1e-5 from that of a pass without sharing, in bfloat16
 * by some 1e-2, as attention adds in another order.
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
  const { batchSize = SCORE_CONTINUATIONS_OPTIONS.batchSize.default, onScore, signal } = options
  const turns = new Turns(signal)
  const groups = await readGroups(items, model.config.vocabSize, turns)
  const prefix = sharedPrefix(
    model,
    groups.map(({ context }) => context),
  )
  groups.sort((a, b) => tokensOf(b) - tokensOf(a) || firstIndex(a) - firstIndex(b))
  const scores: ContinuationScore[] = []
  const scoring = model.scoring(prefix)
  try {
    for (let first = 0; first < groups.length; ) {
      turns.throwIfAborted()
      const most = tokensOf(groups[first] as ContextGroup)
      const size = batchSize === 'auto' ? fittingBatchSize(model, most) : batchSize
      const batch = takeGroups(groups, first, size)
      first += batch.length
      for (const [index, score] of await scoring.score(batch)) {
        scores[index] = score
        onScore?.(index, score)
      }
      if (turns.isOver) await turns.next()
    }
  } catch (error) {
    // A fault of the device would come again at whatever is asked next.
    await model.device.sync().catch(() => undefined)
    throw withCause(error)
  } finally {
    scoring.dispose()
  }
  return scores
}

/** Tokens of a group's longest sequence. */
function tokensOf({ context, continuations }: ContextGroup): number {
  return context.length + Math.max(...continuations.map(({ ids }) => ids.length))
}

function firstIndex({ continuations }: ContextGroup): number {
  return (continuations[0] as { index: number }).index
}

/** Groups from `first` on: one at least, else with at most `size` sequences altogether. */
function takeGroups(groups: readonly ContextGroup[], first: number, size: number): ContextGroup[] {
  let sequences = 0
  let end = first
  for (; end < groups.length; end++) {
    // Continuations of one token are no sequences of their own.
    const { continuations } = groups[end] as ContextGroup
    sequences += Math.max(1, continuations.filter(({ ids }) => ids.length > 1).length)
    if (end > first && sequences > size) break
  }
  return groups.slice(first, end)
}

/** Items one behind the other with the same context are one group. */
async function readGroups(
  items: readonly ContinuationItem[],
  vocabSize: number,
  turns: Turns,
): Promise<ContextGroup[]> {
  const groups: { context: Int32Array; continuations: { index: number; ids: Int32Array }[] }[] = []
  for (const [index, item] of items.entries()) {
    const { context, continuation } = isPlainObject(item) ? item : ({} as Partial<ContinuationItem>)
    const ids = readIds(context, 'context', index, vocabSize)
    const next = { index, ids: readIds(continuation, 'continuation', index, vocabSize) }
    const last = groups.at(-1)
    if (last && isSame(last.context, ids)) last.continuations.push(next)
    else groups.push({ context: ids, continuations: [next] })
    if (turns.isOver) await turns.next()
  }
  return groups
}

function readIds(ids: unknown, name: string, index: number, vocabSize: number): Int32Array {
  if (!Array.isArray(ids) || ids.length === 0)
    throw new LowrankError(
      'INVALID_CALL',
      `[scoreContinuations] expected at least one id as number[] for ${name} of item ${index}, got ${describeValue(ids)}`,
    )
  return prepareBatch({ inputIds: [ids] }, vocabSize).inputIds
}

function isSame(a: Int32Array, b: Int32Array): boolean {
  return a.length === b.length && a.every((id, i) => id === b[i])
}
