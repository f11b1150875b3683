/**
 * @file How likely a model finds each of several texts behind a prompt: labels of a class, or choices of a question.
 */

import { type ContinuationItem, scoreContinuations } from '../generation/score-continuations.js'
import { LowrankError } from '../lowrank-error.js'
import type { AskedRow } from './ask-rows.js'
import type { AskedModel } from './task.js'

/** The log probability of a choice, and its length in tokens. */
export interface ScoredChoice {
  readonly logProb: number
  readonly tokens: number
}

/**
 * Scores the choices of all rows.
 * @param choices For each row, the texts that may follow its prompt; the delimiter of the row is put before them.
 * @throws LowrankError for a choice of no token
 */
export async function scoreChoices(
  where: string,
  { model, batchSize, signal, onRows }: AskedModel,
  rows: readonly AskedRow[],
  choices: readonly (readonly string[])[],
): Promise<ScoredChoice[][]> {
  const items: (ContinuationItem & { readonly row: number })[] = []
  for (const [row, { ids, delimiter, continuation, origin }] of rows.entries()) {
    for (const choice of choices[row] ?? []) {
      const tokens = continuation(delimiter + choice)
      if (tokens.length === 0)
        throw new LowrankError(
          'INVALID_CALL',
          `[${where}] expected choices of at least one token, got ${JSON.stringify(choice)} in ${origin}; leave the choice out`,
        )
      items.push({ row, context: ids, continuation: tokens })
    }
  }
  let done = 0
  const onScore = (): void => onRows(Math.floor((++done * rows.length) / items.length))
  const asked = items.map(({ context, continuation }) => ({ context, continuation }))
  const scores = await scoreContinuations(model, asked, { batchSize, onScore, ...(signal && { signal }) })
  const found: ScoredChoice[][] = rows.map(() => [])
  for (const [index, { row, continuation }] of items.entries())
    found[row]?.push({ logProb: scores[index]?.logProb ?? Number.NaN, tokens: continuation.length })
  return found
}

/** The place of the largest value, the first one where several are. */
export function placeOfLargest(values: readonly number[]): number {
  let best = 0
  for (let place = 1; place < values.length; place++)
    if ((values[place] as number) > (values[best] as number)) best = place
  return best
}
