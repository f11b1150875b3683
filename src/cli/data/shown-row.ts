/** @file What is shown of a row and of many, whatever it is shown on. */

import type { DataSummary, HistogramBin } from '../../data/data-summary.js'
import type { InspectedRow, InspectedSequence } from '../../data/inspect.js'
import { firstErrors } from '../../data/report.js'
import { tokenTexts } from '../../data/token-texts.js'
import { countOfRows, formatCount } from '../../progress/terminal.js'
import { harmless } from '../../progress/text-width.js'
import type { Tokenizer } from '../../tokenizer/tokenizer.js'

/** A piece of text that is treated alike. */
export interface Piece {
  readonly text: string
  readonly kind: 'learnt' | 'read' | 'cut'
  readonly isSpecial: boolean
  /** What the loss counts of it. */
  readonly weight: number
}

/** Neighbours of one kind as one piece; special tokens alone. */
export function piecesOf({ inputIds, weights, keptTokens }: InspectedSequence, tokenizer: Tokenizer): Piece[] {
  const special = new Set(tokenizer.specialTokens.values())
  const pieces: Piece[] = []
  tokenTexts(tokenizer, inputIds).forEach((text, at) => {
    const weight = weights[at] as number
    const kind = at >= keptTokens ? 'cut' : weight > 0 ? 'learnt' : 'read'
    const piece = { text, kind, weight, isSpecial: special.has(inputIds[at] as number) } as const
    const last = pieces.at(-1)
    const isAlike = last?.kind === kind && last.weight === weight && !last.isSpecial && !piece.isSpecial
    if (isAlike) pieces[pieces.length - 1] = { ...last, text: last.text + text }
    else pieces.push(piece)
  })
  return pieces
}

/** `messages, 3 messages, 120 tokens, 40 learnt` */
export function describeRow({ form, objective, messages, sequences, unusual }: InspectedRow): string {
  const tokens = sequences.reduce((sum, { inputIds }) => sum + inputIds.length, 0)
  const kept = sequences.reduce((sum, { keptTokens }) => sum + keptTokens, 0)
  const learnt = sequences.reduce(
    (sum, { weights, keptTokens }) => sum + weights.subarray(0, keptTokens).filter((weight) => weight > 0).length,
    0,
  )
  return [
    objective === undefined ? form : `${form}, for ${objective}`,
    ...(messages === undefined ? [] : [`${formatCount(messages)} messages`]),
    `${formatCount(tokens)} tokens`,
    `${formatCount(learnt)} learnt`,
    ...(kept < tokens ? [`${formatCount(tokens - kept)} cut`] : []),
    ...unusual,
  ].join(', ')
}

/** What the figures say, in sentences. */
export function factsOf(summary: DataSummary, maxLength: number): string[] {
  const { rows, tokens, learntTokens, truncatedRows, rowsWithoutTarget, longest, ignoredColumns } = summary
  const { skippedRows, skippedRowErrors } = summary
  const forms = Object.entries(summary.forms).map(([form, count]) => `${form} ${formatCount(count)}`)
  const dropped = Object.entries(summary.dropped).map(([kind, count]) => `${kind} ${formatCount(count)}`)
  const unusual = Object.entries(summary.unusual).map(([kind, count]) => `${kind} ${formatCount(count)}`)
  const share = tokens === 0 ? 0 : (100 * learntTokens) / tokens
  return [
    `${countOfRows(rows)}${rows === 0 ? '' : ` (${forms.join(', ')})`}, ${formatCount(tokens)} tokens, ${formatCount(learntTokens)} learnt (${share.toFixed(1)} %)`,
    ...(skippedRows === 0
      ? []
      : [`skipped: ${countOfRows(skippedRows)}, ${harmless(firstErrors(skippedRows, skippedRowErrors))}`]),
    ...(longest === undefined ? [] : [`longest: ${formatCount(longest.tokens)} tokens in ${harmless(longest.origin)}`]),
    `beyond maxLength ${formatCount(maxLength)}: ${countOfRows(truncatedRows)}; nothing to learn: ${countOfRows(rowsWithoutTarget)}`,
    ...(dropped.length === 0 ? [] : [`left out by the chat template: ${dropped.join(', ')}`]),
    ...(unusual.length === 0 ? [] : [`unusual: ${unusual.join(', ')}`]),
    ...(ignoredColumns.length === 0 ? [] : [`columns that are not used: ${ignoredColumns.map(harmless).join(', ')}`]),
  ]
}

/** `100-199`, or `3` for a bin of one value. */
export function rangeOf({ from, to }: HistogramBin): string {
  return to - from === 1 ? formatCount(from) : `${formatCount(from)}-${formatCount(to - 1)}`
}
