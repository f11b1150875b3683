/** @file What `generateDataset` would ask for, before anything is sent. */

import type { TokenCounts } from '../openai/allowance.js'
import { readGenerateOptions } from './generate.js'
import type { GenerateDatasetOptions } from './generate-options.js'
import { type Filling, Prompts, type Step, textOfRow } from './generate-prompts.js'
import { presentValue, readInput } from './input.js'
import { expectOutputs } from './output.js'

/** Requests and tokens of a data set that is to be made. */
export interface GenerateDatasetPlan extends TokenCounts {
  /** Rows that have a text. */
  readonly rows: number
  /** Requests where nothing has to be made better. */
  readonly leastRequests: number
  /** Requests where all of it is made better in every round. Replies that are no JSON come on top. */
  readonly mostRequests: number
  /** Tokens of the most requests, estimated from their length on the high side. */
  readonly promptTokens: number
  /** Tokens of their replies where each is as long as `maxTokens` lets it be. */
  readonly completionTokens: number
  /** What these tokens cost: by far most data sets cost less. */
  readonly cost: number
}

/** English has 4 to 5 bytes for a token, text in other letters and code fewer. */
const BYTES_PER_TOKEN = 3
/** A question, and what a judge says, in words of a long one: they stand in the requests that follow. */
const SENTENCES = 'word '.repeat(60)

/**
 * Counts the requests of `generateDataset` and estimates the most that they can cost. Reads all rows and sends nothing.
 * `output` is not needed; one that is given must end as `generateDataset` asks.
 *
 * @throws as `generateDataset` does for options, prompts and rows
 */
export async function planGenerateDataset(
  options: Omit<GenerateDatasetOptions, 'output'> & { output?: string },
): Promise<GenerateDatasetPlan> {
  const settled = readGenerateOptions({ output: 'planned.jsonl', ...options })
  const {
    dataset,
    columns: names,
    pairsPerRow,
    threshold,
    maxRounds,
    maxTokens,
    inputPrice,
    outputPrice,
    signal,
  } = settled
  if (options.output !== undefined) await expectOutputs([options.output])
  const prompts = await Prompts.read(settled.prompts)
  const rounds = threshold === 0 ? 0 : maxRounds
  const judgements = threshold === 0 ? 0 : rounds + 1
  /** How often each step is asked for, for each row, where everything is made better each time. */
  const most: readonly (readonly [Step, number])[] = [
    ['question', 1],
    ['judgeQuestion', pairsPerRow * judgements],
    ['improveQuestion', pairsPerRow * rounds],
    ['answer', pairsPerRow],
    ['judgeAnswer', pairsPerRow * judgements],
    ['improveAnswer', pairsPerRow * rounds],
  ]
  const mostOfRow = most.reduce((sum, [, times]) => sum + times, 0)
  const filling: Omit<Filling, 'text'> = {
    count: pairsPerRow,
    question: SENTENCES,
    feedback: SENTENCES,
    answer: 'word '.repeat(Math.min(maxTokens, 500)),
  }
  let rows = 0
  let promptTokens = 0
  for await (const { columns } of readInput(dataset, { signal })) {
    const text = textOfRow(columns, names)
    if (text === undefined || prompts.columns.some((name) => presentValue(columns, name) === undefined)) continue
    rows++
    for (const [step, times] of most) {
      const bytes = prompts
        .messages(step, columns, { ...filling, text })
        .reduce((sum, { content }) => sum + Buffer.byteLength(content), 0)
      promptTokens += times * Math.ceil(bytes / BYTES_PER_TOKEN)
    }
  }
  const mostRequests = rows * mostOfRow
  const completionTokens = mostRequests * maxTokens
  return {
    rows,
    leastRequests: rows * (1 + pairsPerRow * (threshold === 0 ? 1 : 3)),
    mostRequests,
    promptTokens,
    completionTokens,
    cost: (promptTokens * inputPrice + completionTokens * outputPrice) / 1e6,
  }
}
