/**
 * @file The rules of `lowrank data check` that cost next to nothing, on rows that are encoded: tokens alone tell what
 * they look for. What preparing the rows tells itself, such as cut answers, is left to it.
 */

import { IGNORE_INDEX } from '../../architecture/ragged-batch.js'
import type { Turns } from '../../turns.js'
import type { Example } from '../examples.js'
import { HashSet } from '../hash-set.js'
import { type Item, type ItemList, sequencesOf } from '../items.js'
import { mix } from '../word-hashes.js'
import { RULES } from './rules.js'
import { BEGINNING_RULES, ENDING_RULES, type TokenContext, type TokenSequence } from './token-rules.js'

/** Tokens round the end of an answer that its rules look at. */
const ENDING = 16
/** Rows that are looked at, spread over the set: what a template does it does to all, and more would cost more. */
const MOST_LOOKED_AT = 500
/** The share of equal rows from which they are more than chance, or rows that somebody wants twice. */
const MANY_EQUAL = 0.1

export interface PreparedCheck extends TokenContext {
  /** Rows that reach it lost their end, which is told elsewhere. */
  readonly maxLength: number
  /** Items that must not be learnt. */
  readonly evaluation: ItemList | undefined
  /** Whether rows may be there several times, as in a mix that draws them again. */
  readonly mayRepeat: boolean
}

/**
 * What the rules find in items, a sentence each.
 * @param turns Gives way to the event loop between the rows.
 */
export async function checkPrepared(
  items: ItemList,
  { tokenizer, stopTokenIds, maxLength, evaluation, mayRepeat }: PreparedCheck,
  turns: Turns,
): Promise<string[]> {
  const context = { tokenizer, stopTokenIds }
  const endings = Object.entries(ENDING_RULES).map(([id, rule]) => [id, rule(context)] as const)
  const beginnings = Object.entries(BEGINNING_RULES).map(([id, rule]) => [id, rule(context)] as const)
  const counts = new Map<string, number>()
  const prompts = new HashSet()
  for (const item of spread(evaluation)) {
    prompts.add(promptOf(sequencesOf(item)))
    if (turns.isOver) await turns.next()
  }
  const seen = new HashSet()
  for (const item of spread(items)) {
    const sequences = sequencesOf(item)
    const found = new Set<string>()
    for (const sequence of sequences) {
      const ending = endingOf(sequence, maxLength)
      if (ending !== undefined) for (const [id, find] of endings) if (find(ending) !== undefined) found.add(id)
      const beginning = { inputIds: sequence.inputIds.subarray(0, 2), weights: NO_WEIGHTS }
      for (const [id, find] of beginnings) if (find(beginning) !== undefined) found.add(id)
    }
    if (prompts.size > 0 && prompts.has(promptOf(sequences))) found.add('prompt-in-evaluation')
    if (!mayRepeat && !seen.add(hashOf(sequences.flatMap(({ inputIds, labels }) => [inputIds, labels]))))
      found.add('duplicate-row')
    for (const id of found) counts.set(id, (counts.get(id) ?? 0) + 1)
    if (turns.isOver) await turns.next()
  }
  const isAll = items.length <= MOST_LOOKED_AT
  const rows = isAll ? `${items.length} rows` : `${MOST_LOOKED_AT} rows that were looked at, of ${items.length},`
  return RULES.flatMap(({ id, finds, remedy }) => {
    const count = counts.get(id)
    const isFew = id === 'duplicate-row' && (count ?? 0) <= MANY_EQUAL * Math.min(items.length, MOST_LOOKED_AT)
    return count === undefined || isFew ? [] : [`${count} of ${rows} ${finds} (rule ${id}): ${remedy}`]
  })
}

function* spread<I extends Item>(items: ItemList<I> | undefined): Generator<I> {
  const length = items?.length ?? 0
  const step = Math.max(1, length / MOST_LOOKED_AT)
  for (let at = 0; at < length; at += step) yield (items as ItemList<I>).at(Math.floor(at))
}

const NO_WEIGHTS = new Float32Array(0)

/** The tokens round the last one that is learnt; undefined where the row was cut, or learns nothing. */
function endingOf({ inputIds, labels }: Example, maxLength: number): TokenSequence | undefined {
  let last = labels.length - 1
  while (last > 0 && labels[last] === IGNORE_INDEX) last--
  if (last <= 0 || last >= maxLength - 1) return undefined
  const [from, to] = [Math.max(1, last + 1 - ENDING), Math.min(labels.length, last + 1 + ENDING)]
  const weights = new Float32Array(to - from)
  for (let at = from; at < to; at++) if (labels[at] !== IGNORE_INDEX) weights[at - from] = 1
  return { inputIds: inputIds.subarray(from, to), weights }
}

/** Answers may differ where the prompt is one. */
function promptOf([first]: readonly Example[]): Uint32Array {
  if (first === undefined) return new Uint32Array(4)
  const { inputIds, promptLength } = first
  return hashOf([promptLength === 0 ? inputIds : inputIds.subarray(0, promptLength)])
}

/** 64 bits of lists of numbers: rows that are told equal by mistake are one in many millions. */
function hashOf(lists: readonly Int32Array[]): Uint32Array {
  let [first, second] = [0x811c9dc5, 0x9e3779b9]
  for (const numbers of lists) {
    first ^= numbers.length
    for (let at = 0; at < numbers.length; at++) {
      const number = numbers[at] as number
      first = Math.imul(first ^ number, 0x01000193)
      second = Math.imul(second + number, 0x85ebca6b) ^ (second >>> 15)
    }
  }
  return Uint32Array.of(mix(first), mix(second), mix(first ^ second), 1)
}
