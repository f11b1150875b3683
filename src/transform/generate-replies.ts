/**
 * @file What a model replied to a step, as strict JSON, without its reasoning. What is not as it was asked for has a
 * reason, and is asked for again. Asks nothing.
 */

import type { ChatReply } from '../openai/openai-client.js'
import { isObject } from '../values.js'
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

/** Why a reply is not what was asked for. */
export type Malformed = 'empty' | 'cut at maxTokens' | 'no JSON' | 'other fields'

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
  const { reasoning: before, rest } = withoutReasoning(reply.content)
  if (reply.finishReason === 'length') return 'cut at maxTokens'
  if (rest === '') return 'empty'
  let json: unknown
  try {
    json = JSON.parse(withoutFence(rest))
  } catch {
    return 'no JSON'
  }
  if (!isObject(json)) return 'no JSON'
  const values = new Map<Field, unknown>()
  let thought = joined(reply.reasoning, before)
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

/**
 * What a reasoning model thought, apart from what it says. Where its template opens the thought, only the end of it
 * stands in the reply; one that has no end was cut, and nothing is left.
 */
function withoutReasoning(content: string): { reasoning: string; rest: string } {
  const text = content.trim()
  // JSON may speak of such marks.
  if (text.startsWith('{')) return { reasoning: '', rest: text }
  const end = text.lastIndexOf('</think>')
  if (end >= 0) {
    const reasoning = text
      .slice(0, end)
      .replaceAll(/<\/?think>/g, '')
      .trim()
    return { reasoning, rest: text.slice(end + '</think>'.length).trim() }
  }
  if (text.startsWith('<think>')) return { reasoning: text.slice('<think>'.length).trim(), rest: '' }
  return { reasoning: '', rest: text }
}

/** A block of code around all of it is no part of the JSON. */
function withoutFence(text: string): string {
  const [, inner] = /^```(?:json)?\s*\n([\s\S]*?)\n?```$/i.exec(text) ?? []
  return inner ?? text
}

function joined(first: string, second: string): string {
  return [first.trim(), second.trim()].filter((text) => text !== '').join('\n\n')
}
