/** @file A chart of horizontal bars as lines of text. Knows labels and numbers alone. */

import type { Paint } from './terminal.js'
import { textWidth } from './text-width.js'

/** One bar. */
interface ChartBar {
  readonly label: string
  readonly value: number
  /** Stands behind the bar. Default: the value. */
  readonly text?: string
}

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉']
const WIDEST = 40

/** The chart in at most so many columns. The longest bar has the highest value. */
export function barChart(bars: readonly ChartBar[], columns: number, paint: Paint): string[] {
  const label = Math.max(...bars.map((bar) => textWidth(bar.label)))
  const most = Math.max(...bars.map(({ value }) => value))
  const textOf = ({ value, text = String(value) }: ChartBar): string => text
  const beside = Math.max(...bars.map((bar) => textWidth(textOf(bar))))
  const width = Math.max(1, Math.min(WIDEST, columns - label - beside - 4))
  return bars.map((bar) => {
    const eighths = most === 0 ? 0 : Math.round((bar.value / most) * width * 8)
    // What is there is seen, however little it is.
    const drawn = bar.value > 0 ? Math.max(1, eighths) : 0
    const full = '█'.repeat(Math.floor(drawn / 8)) + EIGHTHS[drawn % 8]
    const space = ' '.repeat(label - textWidth(bar.label))
    return `${space}${bar.label}  ${paint('green', full)}${full === '' ? '' : ' '}${textOf(bar)}`
  })
}
