/**
 * @file A row becomes an example: token ids and, beside each, the label the loss compares with. The mask is made here,
 * once; nothing later decides by token id what is learnt.
 */

import { IGNORE_INDEX } from '../architecture/ragged-batch.js'
import { describeValue } from '../errors.js'
import { DataError } from '../lowrank-error.js'
import { type AssistantSpans, assistantSpanSteps } from '../tokenizer/assistant-spans.js'
import {
  type ChatMessage,
  type ChatRenderer,
  type RenderOptions,
  renderSteps,
  type SharedRenderOptions,
} from '../tokenizer/chat-template.js'
import type { DroppedPart } from '../tokenizer/dropped-parts.js'
import { encodeWithSpanSteps, type TokenRange } from '../tokenizer/token-spans.js'
import { noChatTemplate, type Tokenizer } from '../tokenizer/tokenizer.js'
import { runAtOnce, type Steps } from '../turns.js'
import { toError } from '../values.js'
import { alpacaPrompt } from './alpaca.js'
import { prepareConversation } from './conversation.js'
import type { DroppedContent } from './dropped-content.js'
import type { Conversation, PreparedTokens, Segment } from './forms/row-form.js'
import { learntParts } from './learnt-parts.js'
import { quotesArguments } from './quoted-arguments.js'
import { leavesOut } from './report.js'
import type { SequenceRow } from './row-forms.js'
import { describeOrigin, rowError } from './row-origin.js'
import { type LearntRange, withWeights } from './token-weights.js'

/** One encoded row. `labels[i]` is `inputIds[i]` or -100, not shifted. */
export interface Example {
  inputIds: Int32Array
  labels: Int32Array
  /**
   * What the loss of each label counts: above 0 where there is a label, and 0 elsewhere.
   * @default 1 for each label
   */
  weights?: Float32Array
  /** Tokens that the loss counts: labelled ones except the first token, which nothing predicts. */
  numSupervised: number
  /** Tokens before the first answer, whatever is learnt; 0 for plain text. */
  promptLength: number
}

/** What turning a row into tokens needs to know. */
export interface EncodeRowOptions {
  maxLength: number
  completionOnlyLoss: boolean
  assistantOnlyLoss: boolean
  /** Rows of the model's embedding; a larger token id is an error. Default: no limit. */
  vocabSize?: number
  /** Further variables for the chat template; a row's own chat_template_kwargs win. */
  chatTemplateKwargs?: Readonly<Record<string, unknown>>
  /** Roles of the rows that the template knows by another name. Default none. */
  roleMapping?: Readonly<Record<string, string>>
  /** Which of the assistant's turns are learnt. Default 'all'. */
  trainOnTurns?: 'all' | 'last'
  /** Whether reasoning is learnt as the rest of a turn. Default true. */
  trainOnReasoning?: boolean
  /** Looks for what the chat template leaves out. Default: nobody looks. */
  droppedContent?: DroppedContent
  /** 'error': a row of which something is left out is refused. Default 'warn'. */
  onDroppedContent?: 'warn' | 'error'
}

/** The example with `padId` behind it up to `length` tokens: nothing before sees it, and nothing of it is learnt. */
export function padExample(example: Example, length: number, padId: number): Example {
  const { inputIds, labels, weights } = example
  const size = Math.max(length, inputIds.length)
  const padded = <T extends Int32Array | Float32Array>(to: T, values: T): T => {
    to.set(values)
    return to
  }
  return {
    ...example,
    inputIds: padded(new Int32Array(size).fill(padId), inputIds),
    labels: padded(new Int32Array(size).fill(IGNORE_INDEX), labels),
    ...(weights && { weights: padded(new Float32Array(size), weights) }),
  }
}

/** An example and what became of its row. */
export interface EncodedRow {
  example: Example
  /** Tokens before truncation. */
  fullLength: number
  truncated: boolean
  /** What the chat template left out. */
  dropped: readonly DroppedPart[]
  /** The template prints arguments of tools, given as JSON text, as a string in quotes. */
  quotesArguments: boolean
}

/**
 * Encodes a row and masks what is not learnt. Plain text, completions and Alpaca rows get the tokenizer's own special
 * tokens and end with EOS where the tokenizer has one; conversations get exactly what the chat template writes. Rows
 * longer than `maxLength` keep their beginning.
 *
 * @param renderer The chat template; only needed for conversations.
 * @throws DataError naming the row, for a missing or refusing template, a mask that cannot be built, or a token outside
 * the model's vocabulary.
 */
export function encodeRow(
  row: SequenceRow,
  tokenizer: Tokenizer,
  renderer: ChatRenderer | undefined,
  options: EncodeRowOptions,
): EncodedRow {
  return runAtOnce(encodeRowSteps(row, tokenizer, renderer, options))
}

/** `encodeRow` for rows of any size. */
export function* encodeRowSteps(
  row: SequenceRow,
  tokenizer: Tokenizer,
  renderer: ChatRenderer | undefined,
  options: EncodeRowOptions,
): Steps<EncodedRow> {
  try {
    const content = yield* encodeContent(row, tokenizer, renderer, options)
    return yield* finish(content, tokenizer, options, row.weight)
  } catch (error) {
    throw rowError(row.origin, `${toError(error).message} (in ${describeOrigin(row.origin)})`, { cause: error })
  }
}

interface EncodedContent {
  ids: ArrayLike<number>
  learnt: readonly LearntRange[]
  /** What each token counts, where the row says so. */
  weights?: ArrayLike<number>
  /** Where the first answer begins, whether or not it is learnt. */
  promptEnd: number
  dropped?: readonly DroppedPart[]
  quotesArguments?: boolean
}

function* encodeContent(
  row: SequenceRow,
  tokenizer: Tokenizer,
  renderer: ChatRenderer | undefined,
  options: EncodeRowOptions,
): Steps<EncodedContent> {
  switch (row.form) {
    case 'text':
      if (row.text === '') return { ids: [], learnt: [], promptEnd: 0 }
      return yield* encodePlain(tokenizer, '', row.text, true)
    case 'completion':
      return yield* encodePlain(tokenizer, row.prompt, row.completion, !options.completionOnlyLoss)
    case 'alpaca': {
      const prompt = alpacaPrompt(row.instruction, row.input)
      return yield* encodePlain(tokenizer, prompt, row.output, !options.completionOnlyLoss)
    }
    case 'messages':
      if (renderer === undefined) throw noChatTemplate()
      return yield* encodeConversation(row, tokenizer, renderer, 0, !options.assistantOnlyLoss, options)
    case 'conversation':
      if (renderer === undefined) throw noChatTemplate()
      return yield* encodeConversation(
        row,
        tokenizer,
        renderer,
        row.promptMessages,
        !options.completionOnlyLoss,
        options,
      )
    case 'segments':
      return yield* encodeSegments(tokenizer, row.segments)
    case 'tokens':
      return yield* preparedTokens(row, options)
    default:
      return row satisfies never
  }
}

/** The text as it is: a row of segments spells out its special tokens. */
function* encodeSegments(tokenizer: Tokenizer, segments: readonly Segment[]): Steps<EncodedContent> {
  const spans: { start: number; end: number }[] = []
  let text = ''
  for (const segment of segments) {
    yield
    const start = text.length
    text += segment.text
    const last = spans.at(-1)
    if (!segment.isLearnt || segment.text === '') continue
    if (last?.end === start) last.end = text.length
    else spans.push({ start, end: text.length })
  }
  expectCharacters(text)
  const { ids, ranges } = yield* encodeWithSpanSteps(tokenizer, text, spans)
  return { ids, learnt: ranges, promptEnd: ranges[0]?.start ?? ids.length }
}

/** Masks that the options leave out count for nothing, as in TRL. */
function* preparedTokens(
  { inputIds, labelled, completionMask, assistantMask, weights }: PreparedTokens,
  { completionOnlyLoss, assistantOnlyLoss }: EncodeRowOptions,
): Steps<EncodedContent> {
  const masks = [labelled, completionOnlyLoss && completionMask, assistantOnlyLoss && assistantMask]
  const given = masks.filter((mask) => mask instanceof Uint8Array)
  const learnt: TokenRange[] = []
  for (let at = 0; at < inputIds.length; at++) {
    if (at % IDS_PER_STEP === 0) yield
    if (given.some((mask) => mask[at] === 0)) continue
    const last = learnt.at(-1)
    if (last?.end === at) last.end++
    else learnt.push({ start: at, end: at + 1 })
  }
  const isAnswer = (_: unknown, at: number): boolean =>
    [labelled, completionMask, assistantMask].every((mask) => mask?.[at] !== 0)
  const first = inputIds.findIndex(isAnswer)
  return { ids: inputIds, learnt, ...(weights && { weights }), promptEnd: first < 0 ? inputIds.length : first }
}

/** @param first The first message that is learnt. */
function* encodeConversation(
  row: Conversation,
  tokenizer: Tokenizer,
  renderer: ChatRenderer,
  first: number,
  learnAll: boolean,
  {
    roleMapping = {},
    chatTemplateKwargs,
    droppedContent,
    onDroppedContent,
    trainOnTurns,
    trainOnReasoning,
  }: EncodeRowOptions,
): Steps<EncodedContent> {
  const conversation = yield* prepareConversation(row, renderer, roleMapping, {
    learnAll,
    lastTurnOnly: trainOnTurns === 'last',
  })
  const { messages, weights, parts } = conversation
  const variables = { ...chatTemplateKwargs, ...row.variables }
  const render: SharedRenderOptions = { tools: row.tools, variables, copies: new Map() }
  // With every token learnt, a template whose turns cannot be located still serves.
  const withReasoning = trainOnReasoning !== false
  const isPlain = weights.size === 0 && parts.size === 0 && withReasoning
  const answers =
    learnAll && isPlain
      ? yield* renderAllLearnt(tokenizer, renderer, messages, render, first)
      : yield* assistantSpanSteps(tokenizer, renderer, messages, render, first)
  const { text } = answers
  const pieces = yield* learntParts(renderer, conversation, render, answers, withReasoning)
  const dropped = droppedContent ? yield* droppedContent.find(renderer, messages, render, text) : []
  if (onDroppedContent === 'error' && dropped[0]) throw leavesOut(dropped[0])
  yield
  const { ids, ranges } = yield* encodeWithSpanSteps(tokenizer, text, pieces)
  const promptEnd = ranges[0]?.start ?? ids.length
  const found = { ids, promptEnd, dropped, quotesArguments: yield* quotesArguments(messages, text) }
  const weighted = ranges.map((range, index) => ({ ...range, weight: pieces[index]?.weight ?? 1 }))
  const answered = weighted.filter(({ weight }) => weight > 0)
  if (!learnAll) return { ...found, learnt: answered }
  // Between the answers all is learnt, and of them what counts as much.
  const special = weighted.filter(({ weight }) => weight !== 1)
  const between = [...special, { start: ids.length }].map(({ start }, index) => ({
    start: special[index - 1]?.end ?? 0,
    end: start,
  }))
  const learnt = [...between, ...special.filter(({ weight }) => weight > 0)]
  return { ...found, learnt }
}

/** The conversation and, where they can be located, its answers. */
function* renderAllLearnt(
  tokenizer: Tokenizer,
  renderer: ChatRenderer,
  messages: readonly ChatMessage[],
  options: RenderOptions,
  first: number,
): Steps<AssistantSpans> {
  try {
    return yield* assistantSpanSteps(tokenizer, renderer, messages, options, first)
  } catch {
    return { text: yield* renderSteps(renderer, messages, options), spans: [] }
  }
}

/** Plain text with the tokenizer's special tokens round it, EOS last. The answer reaches to the end. */
function* encodePlain(tokenizer: Tokenizer, prompt: string, answer: string, learnAll: boolean): Steps<EncodedContent> {
  const text = prompt + answer
  expectCharacters(text)
  yield
  const { ids: body, ranges } = yield* encodeWithSpanSteps(tokenizer, text, [
    { start: prompt.length, end: text.length },
  ])
  const { before, after } = affixes(tokenizer)
  // A text that spells out its BOS or EOS does not get a second one.
  const lead = before.length > 0 && startsWith(body, before) ? [] : before
  const ids = lead.concat(body)
  if (after.length === 0 || !startsWith(body.slice(-after.length), after)) ids.push(...after)
  const { eosTokenId, eosTokenIds } = tokenizer
  if (eosTokenId !== undefined && !eosTokenIds.includes(ids.at(-1) ?? -1)) ids.push(eosTokenId)
  const start = (ranges[0]?.start ?? 0) + (prompt === '' ? 0 : lead.length)
  return { ids, learnt: [{ start: learnAll ? 0 : start, end: ids.length }], promptEnd: start }
}

/**
 * @throws for half of a character: no tokenizer knows it, and in UTF-8 it would become another. Templates refuse it
 * themselves.
 */
function expectCharacters(text: string): void {
  const half = /\p{Surrogate}/u.exec(text)
  if (half === null) return
  const code = half[0].charCodeAt(0).toString(16)
  throw new DataError(
    `[data] expected whole characters, got the half of one, \\u${code}, behind ${describeValue(text.slice(Math.max(0, half.index - 20), half.index))}; ` +
      'the text was cut within a character: remove it there',
  )
}

const affixesOf = new WeakMap<Tokenizer, { before: readonly number[]; after: readonly number[] }>()

/** What the tokenizer itself puts round any text, usually BOS alone. */
function affixes(tokenizer: Tokenizer): { before: readonly number[]; after: readonly number[] } {
  const known = affixesOf.get(tokenizer)
  if (known !== undefined) return known
  const bare = tokenizer.encode('a', { addSpecialTokens: false })
  const dressed = tokenizer.encode('a', { addSpecialTokens: true })
  const at = dressed.findIndex((_, index) => startsWith(dressed.slice(index), bare))
  const found =
    at < 0 ? { before: [], after: [] } : { before: dressed.slice(0, at), after: dressed.slice(at + bare.length) }
  affixesOf.set(tokenizer, found)
  return found
}

function startsWith(ids: readonly number[], beginning: readonly number[]): boolean {
  return ids.length >= beginning.length && beginning.every((id, index) => ids[index] === id)
}

// Copied and checked within a millisecond.
const IDS_PER_STEP = 1 << 16

function* finish(
  { ids, learnt, weights, promptEnd, dropped = [], quotesArguments = false }: EncodedContent,
  tokenizer: Tokenizer,
  { maxLength, vocabSize = Number.POSITIVE_INFINITY }: EncodeRowOptions,
  rowWeight: number | undefined,
): Steps<EncodedRow> {
  const length = Math.min(ids.length, maxLength)
  const inputIds = new Int32Array(length)
  for (let at = 0; at < ids.length; at++) {
    if (at % IDS_PER_STEP === 0) yield
    const id = ids[at] as number
    if (id < 0 || id >= vocabSize) {
      throw new DataError(
        `[data] expected token ids below the model's vocabulary of ${vocabSize}, got ${id} ` +
          `(${describeValue(tokenizer.idToToken(id) ?? '?')}); use the tokenizer that belongs to the model`,
      )
    }
    inputIds[at] = id
  }
  const labels = new Int32Array(length).fill(IGNORE_INDEX)
  let numSupervised = 0
  for (const { start, end } of learnt) {
    const stop = Math.min(end, length)
    if (start >= stop) continue
    labels.set(inputIds.subarray(start, stop), start)
    numSupervised += stop - Math.max(start, 1)
  }
  const unweighted = { inputIds, labels, numSupervised, promptLength: Math.min(promptEnd, length) }
  const example = withWeights(unweighted, { row: rowWeight, ranges: learnt, tokens: weights })
  return { example, fullLength: ids.length, truncated: ids.length > length, dropped, quotesArguments }
}
