/** @file What a judge replied, as strict JSON: what is not as it was asked for has a reason. Asks nothing. */

import type { ChatReply } from '../openai/openai-client.js'
import { jsonOfReply, type Malformed } from '../openai/reply-json.js'
import type { Rubric } from './judge-rubric.js'

/** Scores of an answer by criterion, and why. */
export interface Scored {
  readonly scores: Readonly<Record<string, number>>
  readonly explanation: string
}

/** Which of two answers is better, and why. */
export interface Compared {
  readonly winner: 'A' | 'B' | 'tie'
  readonly explanation: string
}

/** The scores of a reply: a whole number within the scale for each criterion. Numbers as text are none. */
export function readScores(reply: ChatReply, { criteria, min, max }: Rubric): Scored | Malformed {
  const found = jsonOfReply(reply)
  if (typeof found === 'string') return found
  const { json } = found
  const scores: [string, number][] = []
  for (const { name } of criteria) {
    const score = Object.hasOwn(json, name) ? json[name] : undefined
    if (!Number.isInteger(score) || (score as number) < min || (score as number) > max) return 'other fields'
    scores.push([name, score as number])
  }
  return { scores: Object.fromEntries(scores), explanation: explanationOf(json) }
}

/** The winner of a reply. */
export function readWinner(reply: ChatReply): Compared | Malformed {
  const found = jsonOfReply(reply)
  if (typeof found === 'string') return found
  const { winner } = found.json
  if (winner !== 'A' && winner !== 'B' && winner !== 'tie') return 'other fields'
  return { winner, explanation: explanationOf(found.json) }
}

function explanationOf({ explanation }: Readonly<Record<string, unknown>>): string {
  return typeof explanation === 'string' ? explanation.trim() : ''
}
