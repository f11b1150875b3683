/**
 * @file A small chart of the loss while a run goes on: a curve of the steps, and a mark for each evaluation. Knows
 * numbers alone.
 */

import { formatCount, formatFigure, type Paint } from './terminal.js'
import { cutToWidth } from './text-width.js'

/** Rows of the curve; below them stands what it shows. */
const HEIGHT = 5
/** Dots of a character, which is one of Braille: two columns of four. */
const DOTS = { across: 2, down: 4 } as const
/** The bit of each dot, from the top, in the left column and in the right. */
const BITS = [
  [0x01, 0x02, 0x04, 0x40],
  [0x08, 0x10, 0x20, 0x80],
] as const
const FIRST_BRAILLE = 0x2800
const EVALUATION = 'o'

const LABEL_WIDTH = 8
const NARROWEST = 50
const WIDEST_CURVE = 100
/** A terminal of fewer rows is for lines. */
const LOWEST = 16
/** More points are joined, two by two. */
const MOST_POINTS = 1024

interface Point {
  step: number
  sum: number
  count: number
}

export class LossChart {
  /** Means of the same number of steps each, but for the last. */
  #points: Point[] = []
  #perPoint = 1
  #evaluations: { readonly step: number; readonly loss: number }[] = []
  #first = 0
  #last = Number.NaN

  /** The loss of a step. */
  add(step: number, loss: number): void {
    if (!Number.isFinite(loss)) return
    this.#last = loss
    const point = this.#points.at(-1)
    if (point !== undefined && point.count < this.#perPoint) {
      point.sum += loss
      point.count++
      point.step = step
      return
    }
    if (this.#points.length === MOST_POINTS) {
      this.#points = joined(this.#points)
      this.#perPoint *= 2
    }
    if (this.#points.length === 0) this.#first = step
    this.#points.push({ step, sum: loss, count: 1 })
  }

  /** The loss of held-out rows. */
  addEvaluation(step: number, loss: number): void {
    if (!Number.isFinite(loss)) return
    if (this.#evaluations.length === MOST_POINTS) this.#evaluations = this.#evaluations.filter((_, index) => index % 2)
    this.#evaluations.push({ step, loss })
  }

  /**
   * The chart in at most so many columns; nothing where there is no room for it, or too little to show.
   * @param rows of the terminal; undefined where it does not say
   */
  lines(columns: number, rows: number | undefined, paint: Paint): string[] {
    if (this.#points.length < 2 || rows === undefined || rows < LOWEST || columns < NARROWEST) return []
    const first = this.#first
    const width = Math.min(WIDEST_CURVE, columns - LABEL_WIDTH - 1)
    const values = [...this.#points.map(meanOf), ...this.#evaluations.map(({ loss }) => loss)]
    const high = values.reduce((most, value) => Math.max(most, value))
    const low = values.reduce((least, value) => Math.min(least, value))
    const last = Math.max(this.#points.at(-1)?.step ?? 0, this.#evaluations.at(-1)?.step ?? 0)
    const across = (step: number, places: number): number =>
      Math.min(places - 1, Math.max(0, Math.round(((step - first) / (last - first)) * (places - 1))))
    const down = (loss: number, places: number): number =>
      high === low ? Math.floor(places / 2) : Math.round(((high - loss) / (high - low)) * (places - 1))
    const cells = curve(this.#points, width, across, down)
    const marks = new Set(this.#evaluations.map(({ step, loss }) => down(loss, HEIGHT) * width + across(step, width)))
    const drawn = Array.from({ length: HEIGHT }, (_, row) => {
      const label = row === 0 ? formatFigure(high) : row === HEIGHT - 1 && high !== low ? formatFigure(low) : ''
      return `${paint('dim', label.padStart(LABEL_WIDTH))} ${rowOf(cells, marks, row * width, width, paint)}`
    })
    return [...drawn, `${' '.repeat(LABEL_WIDTH + 1)}${paint('dim', cutToWidth(this.#legend(first, last), width))}`]
  }

  #legend(first: number, last: number): string {
    const evaluation = this.#evaluations.at(-1)
    const held = evaluation === undefined ? '' : `  ${EVALUATION} held-out ${formatFigure(evaluation.loss)}`
    return `steps ${formatCount(first)}-${formatCount(last)}  \u2812 loss ${formatFigure(this.#last)}${held}`
  }
}

function meanOf({ sum, count }: Point): number {
  return sum / count
}

/** Two points in one; the last of an odd number stays. */
function joined(points: readonly Point[]): Point[] {
  return points.flatMap((point, index) => {
    if (index % 2 === 1) return []
    const next = points[index + 1]
    return [next ? { step: next.step, sum: point.sum + next.sum, count: point.count + next.count } : point]
  })
}

/** The dots of the curve, as bits of each character. */
function curve(
  points: readonly Point[],
  width: number,
  across: (step: number, places: number) => number,
  down: (loss: number, places: number) => number,
): Uint8Array {
  const cells = new Uint8Array(width * HEIGHT)
  const [columns, rows] = [width * DOTS.across, HEIGHT * DOTS.down]
  const set = (column: number, row: number): void => {
    const cell = Math.floor(row / DOTS.down) * width + Math.floor(column / DOTS.across)
    const bit = BITS[(column % DOTS.across) as 0 | 1][(row % DOTS.down) as 0 | 1 | 2 | 3]
    cells[cell] = (cells[cell] as number) | bit
  }
  // Several points may share a column of dots.
  const means = new Map<number, Point>()
  for (const { step, sum, count } of points) {
    const column = across(step, columns)
    const before = means.get(column)
    means.set(column, { step, sum: sum + (before?.sum ?? 0), count: count + (before?.count ?? 0) })
  }
  let previous: readonly [column: number, row: number] | undefined
  for (const [column, point] of means) {
    const row = down(meanOf(point), rows)
    const [from, height] = previous ?? [column, row]
    let above = height
    for (let at = from; at <= column; at++) {
      const here = at === column ? row : Math.round(height + ((row - height) * (at - from)) / (column - from))
      for (let dot = Math.min(above, here); dot <= Math.max(above, here); dot++) set(at, dot)
      above = here
    }
    previous = [column, row]
  }
  return cells
}

/** A row of characters; those of evaluations stand before the curve. */
function rowOf(cells: Uint8Array, marks: ReadonlySet<number>, start: number, width: number, paint: Paint): string {
  let row = ''
  let run = ''
  for (let at = start; at < start + width; at++) {
    if (marks.has(at)) {
      row += (run === '' ? '' : paint('cyan', run)) + paint('yellow', EVALUATION)
      run = ''
    } else run += cells[at] === 0 ? ' ' : String.fromCharCode(FIRST_BRAILLE + (cells[at] as number))
  }
  const rest = run.trimEnd()
  return rest === '' ? row : row + paint('cyan', rest)
}
