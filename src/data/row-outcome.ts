/**
 * @file One row made ready, and what is counted of it: the part of preparing a data set that needs no other row, so
 * that any thread may do it.
 */

import type { Steps } from '../turns.js'
import { padExample } from './examples.js'
import { type Item, mapSequences, sequencesOf } from './items.js'
import type { DroppedKind } from './report.js'
import type { CodingContext, RecognizedRow, RowCoding } from './row-coding.js'
import type { UnusualKind } from './unusual-rows.js'

/** What is counted of a row; plain data. */
export interface RowFacts {
  readonly isConversation: boolean
  readonly truncated: boolean
  readonly dropped: readonly DroppedKind[]
  readonly quotesArguments: boolean
  readonly unusual: readonly UnusualKind[]
  readonly ignoredColumns: readonly string[]
  readonly hasNullArguments: boolean
  /** Every sequence has something to learn: the row stays. */
  readonly isKept: boolean
  readonly tokens: number
  readonly supervisedTokens: number
  readonly longest: number
}

/** How rows are filled up: to so many tokens, with this one. */
export interface Padding {
  readonly length: number
  readonly id: number
}

/** @throws as the coding's `encode` */
export function* outcomeSteps<I extends Item>(
  row: RecognizedRow,
  coding: RowCoding<I>,
  context: CodingContext,
  padding: Padding | undefined,
): Steps<{ readonly item: I; readonly facts: RowFacts }> {
  const { item, truncated, dropped, quotesArguments, unusual } = yield* coding.encode(row, context)
  const sequences = sequencesOf(item)
  const facts = {
    isConversation: row.form === 'messages' || row.form === 'conversation',
    truncated,
    dropped: dropped.map(({ kind }) => kind),
    quotesArguments,
    unusual,
    ignoredColumns: row.ignoredColumns ?? NONE,
    hasNullArguments: 'nullArguments' in row,
    isKept: sequences.every(({ numSupervised }) => numSupervised > 0),
    tokens: sequences.reduce((sum, { inputIds }) => sum + inputIds.length, 0),
    supervisedTokens: sequences.reduce((sum, { numSupervised }) => sum + numSupervised, 0),
    longest: sequences.reduce((most, { inputIds }) => Math.max(most, inputIds.length), 0),
  }
  const isPadded = padding !== undefined && facts.isKept
  const filled = isPadded ? mapSequences(item, (sequence) => padExample(sequence, padding.length, padding.id)) : item
  return { item: filled, facts }
}

const NONE: readonly string[] = []
