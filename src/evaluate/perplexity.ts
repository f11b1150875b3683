/**
 * @file Perplexity: exp of the mean cross-entropy of the labelled tokens, each counted by its weight as in training,
 * and the share of these tokens that the model holds for likeliest. Long texts go through a sliding window.
 */

import type { CausalLM } from '../causal-lm/causal-lm.js'
import { chatRenderer } from '../data/chat-renderer.js'
import { DroppedContent } from '../data/dropped-content.js'
import { encodeOptionsOf } from '../data/encode-rows.js'
import type { Example } from '../data/examples.js'
import { dataWarnings } from '../data/report.js'
import { RowAccount } from '../data/row-account.js'
import { type CodingContext, ONE_SEQUENCE } from '../data/row-coding.js'
import { describeOrigin, type RowOrigin } from '../data/row-origin.js'
import { outcomeSteps } from '../data/row-outcome.js'
import { PERPLEXITY, TOKEN_ACCURACY } from '../metrics/token-metrics.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import type { Steps } from '../turns.js'
import { type ReadRow, readTaskRows } from './read-task-rows.js'
import { type ScoredLabels, scoreLabels } from './score-tokens.js'
import { slidingWindows } from './sliding-window.js'
import type { AnsweredRow, PreparedTask, TaskMetric, TaskRow } from './task.js'
import type { ResolvedPerplexityTask } from './task-options.js'

const METRICS: readonly TaskMetric[] = [PERPLEXITY, TOKEN_ACCURACY].map(
  ({ name, higherIsBetter, score }): TaskMetric => ({ name, higherIsBetter, score, scoreRow: score }),
)

/** Longest rows where nothing is said of them, as in training. */
const USUAL_LENGTH = 2048

interface EncodedTaskRow extends TaskRow {
  readonly example: Example
  /** What the log probabilities of the row count; default 1. */
  readonly share?: number
}

/** @throws DataError for rows that have a defect, unless `onError` is 'skip' */
export async function preparePerplexity(
  name: string,
  task: ResolvedPerplexityTask,
  { config }: CausalLM,
  tokenizer: Tokenizer,
  signal: AbortSignal | undefined,
): Promise<PreparedTask> {
  const positions = config.maxPositionEmbeddings
  const read =
    task.stride === undefined
      ? await encodeTaskRows(name, task, Math.min(task.maxLength ?? USUAL_LENGTH, positions), config, tokenizer, signal)
      : await slidingWindows(
          name,
          { ...task, stride: task.stride },
          Math.min(task.maxLength ?? positions, positions),
          tokenizer,
          signal,
        )
  const { rows, lineage, warnings } = read
  return {
    name,
    type: task.type,
    rows: rows.map(({ example: _, share: __, ...row }) => row),
    lineage,
    warnings,
    async answer(asked) {
      const scored = await scoreLabels(
        asked,
        rows.map(({ example }) => example),
      )
      return { metrics: METRICS, rows: scored.map((row, index) => statisticsOf(row, rows[index]?.share)) }
    },
  }
}

function statisticsOf({ logProbs, isGreedy, weights }: ScoredLabels, share = 1): AnsweredRow {
  let loss = 0
  let weight = 0
  let correct = 0
  for (let at = 0; at < logProbs.length; at++) {
    const counted = weights[at] as number
    loss -= counted * (logProbs[at] as number)
    weight += counted
    correct += isGreedy[at] as number
  }
  return {
    statistics: [
      PERPLEXITY.statistics({ nll: loss * share, tokens: weight * share }),
      TOKEN_ACCURACY.statistics({ correct, tokens: logProbs.length }),
    ],
  }
}

/** Rows as training encodes them. */
async function encodeTaskRows(
  where: string,
  task: ResolvedPerplexityTask,
  maxLength: number,
  { vocabSize, maxPositionEmbeddings }: CausalLM['config'],
  tokenizer: Tokenizer,
  signal: AbortSignal | undefined,
) {
  const account = new RowAccount()
  const context: CodingContext = {
    tokenizer,
    renderer: chatRenderer(tokenizer, task.chatTemplate),
    options: { ...encodeOptionsOf({ ...task, maxLength }), vocabSize, droppedContent: new DroppedContent() },
  }
  function* read(value: unknown, origin: RowOrigin, index: number): Steps<ReadRow<EncodedTaskRow>> {
    const row = yield* ONE_SEQUENCE.recognize(value, origin, task.rowForm, 'task')
    const { item, facts } = yield* outcomeSteps(row, ONE_SEQUENCE, context, undefined)
    account.add(facts)
    if (!facts.isKept) return { leftOut: 'withoutTokens' }
    const ids = Array.from(item.inputIds)
    const prompt = tokenizer.decode(ids.slice(0, item.promptLength), { skipSpecialTokens: true })
    const answer = tokenizer.decode(ids.slice(item.promptLength), { skipSpecialTokens: true })
    return { row: { index, origin: describeOrigin(origin), prompt, references: [answer], example: item } }
  }
  const reasons = { withoutTokens: 'left out: no token of them is labelled' }
  const found = await readTaskRows(where, task, read, reasons, signal)
  // What training says of its rows says more of them than that they are left out.
  const told = dataWarnings(account.finish(), maxLength, { maxPositions: maxPositionEmbeddings })
  return { ...found, warnings: [...found.warnings.filter(({ code }) => code === 'skipped'), ...told] }
}
