/**
 * @file What a model replied to a step, as strict JSON, without its reasoning. What is not as it was asked for has a
 * reason, and is asked for again. Asks nothing.
 */

import type { ChatReply } from '../openai/openai-client.js'
import { joined, jsonOfReply, type Malformed, withoutReasoning } from '../openai/reply-json.js'
import type { Step } from './generate-prompts.js'

/** The fields of a reply. */
export interface StepValues {
  readonly questions: readonly string[]
  readonly question: string
  readonly answer: string
  /** What the model thought before it answered, wherever it said it. */
  readonly reasoning: string
  readonly feedback: string
  readonly score: number
}

type Field = keyof StepValues

/** The fields of the replies to each step. */
const FIELDS: Readonly<Record<Step, readonly Field[]>> = {
  question: ['questions'],
  judgeQuestion: ['feedback', 'score'],
  improveQuestion: ['question'],
  answer: ['reasoning', 'answer'],
  judgeAnswer: ['feedback', 'score'],
  improveAnswer: ['reasoning', 'answer'],
}

const TEXT = { type: 'string' }

/** What scores may be: a list, since not every endpoint knows bounds of numbers. */
const SCORES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]

const SCHEMAS: Readonly<Record<Field, object>> = {
  questions: { type: 'array', items: TEXT },
  question: TEXT,
  answer: TEXT,
  reasoning: TEXT,
  feedback: TEXT,
  score: { type: 'integer', enum: SCORES },
}

/**
 * The JSON Schema of the replies to a step, for endpoints that hold a model to it.
 * @param most Questions that are asked for: small models would go on.
 */
export function schemaOfStep(step: Step, most: number): { readonly name: string; readonly schema: object } {
  const names = FIELDS[step]
  return {
    name: step,
    schema: {
      type: 'object',
      properties: Object.fromEntries(
        names.map((name) => [name, { ...SCHEMAS[name], ...(name === 'questions' && { maxItems: most }) }]),
      ),
      required: names,
      additionalProperties: false,
    },
  }
}

/** The values of a reply to a step, or why it has none. */
export function readReply(step: Step, reply: ChatReply): Partial<StepValues> | Malformed {
  const found = jsonOfReply(reply)
  if (typeof found === 'string') return found
  const { json } = found
  const values = new Map<Field, unknown>()
  let thought = found.reasoning
  for (const name of FIELDS[step]) {
    const value = Object.hasOwn(json, name) ? fieldValue(name, json[name]) : undefined
    if (name === 'reasoning') {
      // One that thought elsewhere may leave it out.
      thought = joined(thought, typeof value === 'string' ? value : '')
      continue
    }
    if (value === undefined) return 'other fields'
    if (name === 'answer') {
      const parts = withoutReasoning(value as string)
      if (parts.rest === '') return 'empty'
      thought = joined(thought, parts.reasoning)
      values.set(name, parts.rest)
    } else values.set(name, value)
  }
  values.set('reasoning', thought)
  return Object.fromEntries(values)
}

function fieldValue(name: Field, value: unknown): unknown {
  if (name === 'score') {
    return SCORES.includes(value as number) ? value : undefined
  }
  if (name === 'questions') {
    const texts = Array.isArray(value) ? value.map(filledText) : []
    return texts.length > 0 && texts.every((text) => text !== undefined) ? texts : undefined
  }
  if (name === 'reasoning' || name === 'feedback') return typeof value === 'string' ? value.trim() : undefined
  return filledText(value)
}

function filledText(value: unknown): string | undefined {
  return typeof value === 'string' && value.trim() !== '' ? value.trim() : undefined
}
