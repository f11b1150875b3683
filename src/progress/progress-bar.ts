/** @file A bar with figures beside it, in any width: what matters least is left out first. */

import type { Paint, Style } from './terminal.js'
import { cutToWidth, harmless, textWidth } from './text-width.js'

/** A figure beside a bar. */
export interface BarPart {
  readonly text: string
  readonly style?: Style
  /** Where there is no room, the part of the lowest number goes first. The last one left is cut. */
  readonly importance: number
}

export interface Bar {
  /** Stands before the bar, as 'Evaluating'. */
  readonly label: BarPart
  /** From 0 to 1; undefined where nobody knows: then there are figures alone. */
  readonly fraction: number | undefined
  /** Stand behind it. */
  readonly parts: readonly BarPart[]
}

const NARROWEST_BAR = 8
const WIDEST_BAR = 30
const GAP = '  '

/** The bar in at most so many columns; colours take none. */
export function renderBar({ label, fraction, parts }: Bar, columns: number, paint: Paint): string {
  let shown = [label, ...parts]
  const barWidth = (): number =>
    Math.min(WIDEST_BAR, columns - shown.reduce((sum, { text }) => sum + textWidth(harmless(text)) + GAP.length, 0))
  const needed = fraction === undefined ? -GAP.length : NARROWEST_BAR
  while (shown.length > 1 && barWidth() < needed) {
    const least = shown.reduce((lowest, part) => (part.importance < lowest.importance ? part : lowest))
    shown = shown.filter((part) => part !== least)
  }
  const pieces = shown.map(({ text, style }) => {
    const fitting = cutToWidth(harmless(text), columns)
    return style ? paint(style, fitting) : fitting
  })
  const width = barWidth()
  if (fraction !== undefined && width >= NARROWEST_BAR) {
    const full = Math.round(width * Math.min(1, Math.max(0, fraction)))
    const drawn = paint('green', '\u2588'.repeat(full)) + paint('dim', '\u2591'.repeat(width - full))
    pieces.splice(shown[0] === label ? 1 : 0, 0, drawn)
  }
  return pieces.join(GAP)
}
