/**
 * @file Messages of a row: from the ways in which data sets write them to what a chat template takes. What depends on
 * the template (roles that it knows, parts or strings) is in `conversation.ts`.
 */

import { describeValue } from '../errors.js'
import { losslessJsonSteps } from '../lossless-json.js'
import type { ChatMessage } from '../tokenizer/chat-template.js'
import type { Steps } from '../turns.js'
import { fromAiSdk } from './ai-sdk-messages.js'
import { isWeightKey, type WeightedPart, weightedParts, weightOf } from './message-weights.js'
import { describeOrigin, type RowOrigin, rowError } from './row-origin.js'
import { isPresent, wrongType } from './row-values.js'

type Fields = Record<string, unknown>

/** Messages and what their row says about learning them. */
export interface Messages {
  messages: readonly ChatMessage[]
  /** For each message, what the row says that it counts in the loss; absent where no message says so. */
  weights?: readonly (number | undefined)[]
  /** For each message, parts of its content that count by themselves; absent where there are none. */
  parts?: readonly (readonly WeightedPart[] | undefined)[]
  /** Nulls within tool calls that were taken as absent fields. */
  nullArguments?: number
}

const PARTS_REMEDY = 'only text is trained on: leave the row out or put it into words'

// What is part of a conversation and printed by no template, or asks for something else than text and whole turns.
const REFUSED_KEYS: ReadonlyMap<string, string> = new Map([
  ['refusal', 'write the refusal as content'],
  ...['audio', 'audios', 'image', 'images', 'video', 'videos', 'file', 'files'].map(
    (key) => [key, PARTS_REMEDY] as const,
  ),
])

// What says who speaks or answers, and nothing of what is said.
const NAMING_KEYS: readonly string[] = ['role', 'name', 'id', 'tool_call_id']

const FUNCTION_CALL = 'function_call'

/** Names of roles in sets with ShareGPT's keys; those of tool use are LLaMA-Factory's. */
const SHAREGPT_ROLES: ReadonlyMap<string, string> = new Map([
  ['human', 'user'],
  ...['gpt', 'chatgpt', 'bing', 'bard', 'claude', 'model', 'bot'].map((role) => [role, 'assistant'] as const),
  ...['observation', 'function', 'function_response', 'tool_response'].map((role) => [role, 'tool'] as const),
])

const TEXT_PARTS: readonly unknown[] = ['text', 'input_text', 'output_text', undefined]
// Beside the text of a part, and without meaning for it.
const IGNORED_PART_KEYS: readonly string[] = ['type', 'text', 'annotations', 'cache_control', 'logprobs', 'index', 'id']

/**
 * Checks and normalises a list of messages: keys with null and empty lists of tool calls are absent, ShareGPT's `from`
 * and `value` become role and content, parts of content become `{ type: 'text', text }`, and what the row says about
 * learning leaves the messages.
 *
 * @param name What errors call the list, for example `messages`.
 * @param origin What errors call the row.
 * @throws DataError naming row and message for what is no message, and for parts that are no text.
 */
export function* messagesOf(list: unknown, name: string, origin: RowOrigin): Steps<Messages> {
  if (!Array.isArray(list) || list.length === 0) throw wrongType('a list of messages', name, origin, list)
  const messages: ChatMessage[] = []
  const weights: (number | undefined)[] = []
  const parts: (readonly WeightedPart[] | undefined)[] = []
  const nulls = { count: 0 }
  for (const [index, entry] of list.entries()) {
    yield
    const where = `${name}[${index}]`
    for (const plain of fromAiSdk(entry, where, origin)) {
      const read = yield* messageOf(plain, where, origin, nulls)
      messages.push(read.message)
      weights.push(read.weight)
      parts.push(read.parts)
    }
  }
  return {
    messages,
    ...(weights.some((value) => value !== undefined) && { weights }),
    ...(parts.some((value) => value !== undefined) && { parts }),
    ...(nulls.count > 0 && { nullArguments: nulls.count }),
  }
}

function* messageOf(
  entry: unknown,
  where: string,
  origin: RowOrigin,
  nulls: { count: number },
): Steps<{ message: ChatMessage; weight: number | undefined; parts: readonly WeightedPart[] | undefined }> {
  if (entry instanceof Map) {
    throw wrongType('names as keys', where, origin, [...entry.keys()])
  }
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) {
    throw wrongType('{ role, content } with a string for role', where, origin, entry)
  }
  const given = yield* shareGpt(entry as Fields, where, origin)
  const misnamed = isPresent(given.content)
    ? undefined
    : ['text', 'value'].find((key) => typeof given[key] === 'string')
  if (misnamed !== undefined) {
    throw rowError(
      origin,
      `[data] expected role and content for ${where} in ${describeOrigin(origin)}, got ${misnamed} in place of content; rename it`,
    )
  }
  if (typeof given.role !== 'string') throw wrongType('{ role, content } with a string for role', where, origin, entry)
  const message: Fields = {}
  for (const [key, value] of Object.entries(given)) {
    if (!isPresent(value) || isWeightKey(key)) continue
    const remedy = REFUSED_KEYS.get(key)
    if (remedy !== undefined) {
      if (isEmpty(value)) continue
      throw rowError(
        origin,
        `[data] expected no ${key} in ${where} of ${describeOrigin(origin)}, got ${describeValue(value)}; ${remedy}`,
      )
    }
    if ((key === 'tool_calls' || key === FUNCTION_CALL) && (isEmpty(value) || value === 'null')) continue
    // The order stays, for templates that print whole messages.
    if (key === 'content') message.content = yield* contentOf(value, where, origin)
    else if (key === 'tool_calls' && typeof value === 'string')
      message[key] = yield* parseList(value, `${where}.${key}`, origin)
    else if (key === FUNCTION_CALL && !isPresent(given.tool_calls))
      message.tool_calls = callsOf(yield* withoutNulls(value, `${where}.${key}`, origin, nulls), where, origin)
    else setEntry(message, key, yield* withoutNulls(value, `${where}.${key}`, origin, nulls))
  }
  if (Object.keys(message).every((key) => NAMING_KEYS.includes(key))) {
    throw rowError(
      origin,
      `[data] expected content for ${where} in ${describeOrigin(origin)}, got ${describeValue(entry)}; write the text of the message, '' where it says ` +
        'nothing, or leave it out',
    )
  }
  const weight = weightOf(given, where, origin)
  return { message: message as ChatMessage, weight, parts: weightedParts(given, message.content, where, origin) }
}

/** `from` and `value` of ShareGPT as role and content; a message that has a role is left as it is. */
function* shareGpt(entry: Fields, where: string, origin: RowOrigin): Steps<Fields> {
  const { from, value, ...rest } = entry
  if (isPresent(entry.role) || typeof from !== 'string') return entry
  const role = SHAREGPT_ROLES.get(from) ?? from
  if (role !== FUNCTION_CALL) return { role, ...(isPresent(value) && { content: value }), ...rest }
  const calls = typeof value === 'string' ? yield* parseJson(value, where, origin) : value
  return { role: 'assistant', content: '', tool_calls: callsOf(calls, where, origin), ...rest }
}

/** What one call, or a list of them, by name and arguments is among `tool_calls`. */
function callsOf(calls: unknown, where: string, origin: RowOrigin): Fields[] {
  return (Array.isArray(calls) ? calls : [calls]).map((call: unknown) => {
    const { name, arguments: given } = (typeof call === 'object' ? (call ?? {}) : {}) as Fields
    if (typeof name !== 'string' || given === undefined) {
      throw wrongType('{ name, arguments } for the value of a function_call', where, origin, calls)
    }
    return { type: 'function', function: { name, arguments: given } }
  })
}

function* contentOf(content: unknown, where: string, origin: RowOrigin): Steps<string | Fields[]> {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) throw wrongType('a string or a list of parts', `${where}.content`, origin, content)
  const parts: Fields[] = []
  for (const part of content as unknown[]) {
    yield
    parts.push(textPart(part, `${where}.content[${parts.length}]`, origin))
  }
  return parts
}

function textPart(part: unknown, where: string, origin: RowOrigin): Fields {
  if (typeof part === 'string') return { type: 'text', text: part }
  if (typeof part !== 'object' || part === null || Array.isArray(part) || part instanceof Map) {
    throw wrongType("{ type: 'text', text }", where, origin, part)
  }
  const fields = Object.fromEntries(Object.entries(part).filter(([, value]) => isPresent(value))) as Fields
  if (!TEXT_PARTS.includes(fields.type)) {
    throw rowError(
      origin,
      `[data] expected parts of text for ${where} in ${describeOrigin(origin)}, got one of type ${describeValue(fields.type)}; ${PARTS_REMEDY}`,
    )
  }
  if (typeof fields.text !== 'string') throw wrongType("{ type: 'text', text }", where, origin, part)
  const other = Object.keys(fields).find((key) => !IGNORED_PART_KEYS.includes(key) && !isWeightKey(key))
  if (other !== undefined) {
    throw rowError(
      origin,
      `[data] expected type and text alone for ${where} in ${describeOrigin(origin)}, got ${describeValue(other)} too; remove it`,
    )
  }
  return { type: 'text', text: fields.text }
}

const MAX_DEPTH = 500
// Keys whose null may be meant: an argument of a tool, and what JSON Schema gives a meaning.
const ARGUMENTS = 'arguments'
const MEANT_NULLS: readonly string[] = ['default', 'const']

/**
 * A copy without the entries of objects that are null: in rows from Arrow and Parquet every object has the keys of all
 * others, and null says that it has not. Nulls in lists stay.
 *
 * @param nulls Counts those that may have been meant.
 */
export function* withoutNulls(
  root: unknown,
  where: string,
  origin: RowOrigin,
  nulls: { count: number },
): Steps<unknown> {
  if (!isContainer(root)) return root
  const copyOf = (value: object): object => (Array.isArray(value) ? [] : value instanceof Map ? new Map() : {})
  const whole = copyOf(root)
  const pending = [{ value: root, copy: whole, depth: 1, isArgument: false }]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { value, copy, depth, isArgument } = next
    if (depth > MAX_DEPTH) {
      throw rowError(
        origin,
        `[data] expected at most ${MAX_DEPTH} levels for ${where} in ${describeOrigin(origin)}, got more; flatten it`,
      )
    }
    const isList = Array.isArray(value)
    for (const [key, item] of isList || value instanceof Map ? value.entries() : Object.entries(value)) {
      yield
      if (!isList && !isPresent(item)) {
        if (isArgument || MEANT_NULLS.includes(key as string)) nulls.count++
        continue
      }
      // The key takes its place now; what is in the value comes later.
      const itemCopy: unknown = isContainer(item) ? copyOf(item) : item
      if (isList) (copy as unknown[]).push(itemCopy)
      else setEntry(copy as Fields, key as string, itemCopy)
      if (isContainer(item)) {
        const within = isArgument || key === ARGUMENTS
        pending.push({ value: item, copy: itemCopy as object, depth: depth + 1, isArgument: within })
      }
    }
  }
  return whole
}

function setEntry(target: Map<unknown, unknown> | Fields, key: string, value: unknown): void {
  if (target instanceof Map) target.set(key, value)
  // An assignment would set the prototype.
  else if (key === '__proto__') {
    Object.defineProperty(target, key, { value, enumerable: true, writable: true, configurable: true })
  } else target[key] = value
}

/** Lists, Maps and plain objects; what else an iterable may hold reaches the template as it is. */
function isContainer(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false
  if (Array.isArray(value) || value instanceof Map) return true
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** A list given as JSON text, as Arrow columns hold it. */
export function* parseList(text: string, where: string, origin: RowOrigin): Steps<unknown[]> {
  const value = yield* parseJson(text, where, origin)
  if (!Array.isArray(value)) throw wrongType('a list', where, origin, text)
  return value
}

/** An object given as JSON text. */
export function* parseObject(text: string, where: string, origin: RowOrigin): Steps<object> {
  const value = yield* parseJson(text, where, origin)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrongType('an object', where, origin, text)
  }
  return value
}

function* parseJson(text: string, where: string, origin: RowOrigin): Steps<unknown> {
  try {
    return yield* losslessJsonSteps(text)
  } catch (error) {
    throw rowError(
      origin,
      `[data] expected JSON for ${where} in ${describeOrigin(origin)}, got ${describeValue(text)}: ${(error as Error).message}`,
      { cause: error },
    )
  }
}

function isEmpty(value: unknown): boolean {
  return value === '' || value === false || (Array.isArray(value) && value.length === 0)
}
