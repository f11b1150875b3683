/** @file Rules about tokens: what begins and ends a sequence, and what of it is learnt. */

import type { InspectedSequence } from '../inspect.js'
import type { CheckContext, CheckedRow, Look } from './rule.js'

/** A template may write white space between the last word of an answer and its end. */
const NEAR = 3

/** Rows that have no answer, or one that nothing ends. */
const WITHOUT_ANSWER: readonly string[] = ['prompt', 'classification', 'stepwise']

/** Looks at each sequence by itself, until one has the defect. */
function eachSequence(find: (sequence: InspectedSequence) => string | undefined): Look {
  return {
    row({ inspected }) {
      for (const sequence of inspected.sequences) {
        const found = find(sequence)
        if (found !== undefined) return sequence.name === undefined ? found : `${sequence.name}: ${found}`
      }
      return undefined
    },
  }
}

function eachAnswer(find: (sequence: InspectedSequence, row: CheckedRow) => string | undefined): Look {
  return {
    row: (row) =>
      WITHOUT_ANSWER.includes(row.inspected.form)
        ? undefined
        : eachSequence((sequence) => find(sequence, row)).row(row),
  }
}

/** Where the stop token of the last answer stands; undefined where nothing is learnt. */
function stopOf(
  { inputIds, weights }: TokenSequence,
  stops: ReadonlySet<number>,
): 'learnt' | 'read' | 'none' | undefined {
  let end = weights.length
  while (end > 0 && weights[end - 1] === 0) end--
  if (end === 0) return undefined
  for (let at = end - 1; at >= Math.max(0, end - 1 - NEAR); at--)
    if (weights[at] !== 0 && stops.has(inputIds[at] as number)) return 'learnt'
  return inputIds.subarray(end, end + NEAR).some((id) => stops.has(id)) ? 'read' : 'none'
}

/** What a rule about tokens looks at. */
export type TokenContext = Pick<CheckContext, 'stopTokenIds' | 'tokenizer'>
export type TokenSequence = Pick<InspectedSequence, 'inputIds' | 'weights'>
type Find = (sequence: TokenSequence) => string | undefined

/** The rules that look at the end of the last answer and what stands round it. */
export const ENDING_RULES = {
  'missing-stop': ({ stopTokenIds, tokenizer }: TokenContext): Find => {
    const names = [...stopTokenIds].map((id) => tokenizer.idToToken(id) ?? id).join(', ')
    const detail = names === '' ? 'the model has no stop token' : `no ${names}`
    return (sequence) => (stopOf(sequence, stopTokenIds) === 'none' ? detail : undefined)
  },
  'unsupervised-stop':
    ({ stopTokenIds }: TokenContext): Find =>
    (sequence) =>
      stopOf(sequence, stopTokenIds) === 'read' ? 'the stop token is only read' : undefined,
  /** Two stop tokens, with white space between them at most. */
  'doubled-stop': ({ stopTokenIds, tokenizer }: TokenContext): Find => {
    // Most answers end in one of few tokens, as the point.
    const blank = new Map<number, boolean>()
    const isBlank = (id: number): boolean => {
      const known = blank.get(id) ?? tokenizer.decode([id]).trim() === ''
      blank.set(id, known)
      return known
    }
    return ({ inputIds, weights }) => {
      let last = inputIds.length - 1
      while (last >= 0 && !(weights[last] !== 0 && stopTokenIds.has(inputIds[last] as number))) last--
      let before = last - 1
      while (before >= 0 && last - before < NEAR && isBlank(inputIds[before] as number)) before--
      if (before < 0 || weights[before] === 0 || !stopTokenIds.has(inputIds[before] as number)) return undefined
      return `${tokenizer.idToToken(inputIds[before] as number) ?? inputIds[before]} stands before the end`
    }
  },
} as const

/** The rules that look at the first two tokens. */
export const BEGINNING_RULES = {
  'doubled-bos':
    ({ tokenizer: { bosTokenId } }: TokenContext): Find =>
    ({ inputIds }) =>
      bosTokenId !== undefined && inputIds[0] === bosTokenId && inputIds[1] === bosTokenId ? 'begins twice' : undefined,
  'missing-bos': ({ tokenizer }: TokenContext): Find => {
    const { bosTokenId } = tokenizer
    const isUsual = bosTokenId !== undefined && tokenizer.encode('a')[0] === bosTokenId
    return ({ inputIds }) =>
      isUsual && inputIds.length > 0 && inputIds[0] !== bosTokenId
        ? `begins with ${tokenizer.idToToken(inputIds[0] as number) ?? inputIds[0]}`
        : undefined
  },
} as const

export const missingStop = (context: TokenContext): Look => eachAnswer(ENDING_RULES['missing-stop'](context))
export const unsupervisedStop = (context: TokenContext): Look => eachAnswer(ENDING_RULES['unsupervised-stop'](context))
export const doubledStop = (context: TokenContext): Look => eachAnswer(ENDING_RULES['doubled-stop'](context))
export const doubledBos = (context: TokenContext): Look => eachSequence(BEGINNING_RULES['doubled-bos'](context))
export const missingBos = (context: TokenContext): Look => eachSequence(BEGINNING_RULES['missing-bos'](context))

export function nothingToLearn(): Look {
  return eachAnswer(({ weights, keptTokens }) => {
    if (weights.subarray(0, keptTokens).some((weight) => weight > 0)) return undefined
    return weights.some((weight) => weight > 0) ? 'all of it lies beyond maxLength' : 'no token is learnt'
  })
}

export function cutAnswer(): Look {
  return eachAnswer(({ weights, keptTokens }, { inspected }) => {
    // Plain text teaches as much without its end.
    if (inspected.form === 'text') return undefined
    const cut = weights.subarray(keptTokens).filter((weight) => weight > 0).length
    return cut === 0 ? undefined : `${cut} tokens of the answer are cut`
  })
}

export function padIsLearnt({ tokenizer }: CheckContext): Look {
  const { padTokenId } = tokenizer
  return eachSequence(({ inputIds, weights }) =>
    padTokenId !== undefined && inputIds.some((id, at) => id === padTokenId && weights[at] !== 0)
      ? `${tokenizer.idToToken(padTokenId) ?? padTokenId} is learnt`
      : undefined,
  )
}
