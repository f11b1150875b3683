/**
 * @file A last line on the terminal, or a few, drawn again and again below the lines that stay. Knows nothing of what
 * they show.
 *
 * 1. The cursor rests in the first column of the status, in its first line. Whatever a terminal does with a line that
 *    has become too wide when its window got narrower, break it in two or cut it off, all of it lies behind the cursor,
 *    and one erasure removes it.
 * 2. The status never fills the last column, so that no terminal breaks it.
 * 3. Only relative movement: nothing is lost when the screen scrolls.
 * 4. Erasure never begins in the first column: in that of the first row tmux takes it for a clearing of the screen, and
 *    keeps a copy.
 * 5. The cursor stays visible: a process that is killed leaves nothing to restore.
 * 6. Several lines are drawn as one update, where the terminal knows such: none of them is seen without the others.
 */

import type { Output } from './terminal.js'
import { breakLine } from './text-width.js'

/** A status whose lines fit into so many columns; they may be longer by colours alone. */
export type RenderStatus = (columns: number) => string

export interface StatusLine {
  /** Writes lines that stay, above the status. */
  print(text: string, paint?: (line: string) => string): void
  /** Shows a status, or none. */
  show(render: RenderStatus | undefined): void
  /** Removes the status, and shows none any more. Lines may still come. */
  close(): void
}

/** Removes a status from a terminal whose cursor rests on it. */
export const ERASE = '\r \u001b[J\r\u001b[K'
const DEFAULT_COLUMNS = 80
/** https://gist.github.com/christianparpart/d8a62cc1ab659194337d73e399004036; other terminals ignore it. */
const UPDATE = { begin: '\u001b[?2026h', end: '\u001b[?2026l' } as const

/** @param redrawSeconds the least between two drawings; steps may be much shorter. */
export function createStatusLine(stream: Output, redrawSeconds: number): StatusLine {
  let render: RenderStatus | undefined
  let isDrawn = false
  let wasLarge = false
  let isListening = false
  let isClosed = false
  let lastDrawn = Number.NEGATIVE_INFINITY
  let timer: NodeJS.Timeout | undefined

  const columns = (): number => (stream.columns && stream.columns > 0 ? stream.columns : DEFAULT_COLUMNS)
  /** One write, so that nothing comes between: what is there goes, lines come, the status follows. */
  const write = (lines: string): void => {
    clearTimeout(timer)
    timer = undefined
    const status = render ? rested(render(columns() - 1)) : ''
    const output = (isDrawn ? ERASE : '') + lines + status
    const isLarge = wasLarge || status.includes('\n')
    isDrawn = status !== ''
    wasLarge = status.includes('\n')
    lastDrawn = performance.now()
    if (output !== '') stream.write(isLarge ? UPDATE.begin + output + UPDATE.end : output)
  }
  const redraw = (): void => write('')
  const listen = (wanted: boolean): void => {
    if (wanted === isListening) return
    isListening = wanted
    if (wanted) stream.on?.('resize', redraw)
    else stream.removeListener?.('resize', redraw)
  }

  return {
    print(text, paint = (line) => line) {
      const lines = text.split('\n').flatMap((line) => breakLine(line, columns()))
      write(lines.map((line) => `${paint(line)}\n`).join(''))
    },
    show(next) {
      if (isClosed) return
      render = next
      listen(next !== undefined)
      const wait = lastDrawn + 1000 * redrawSeconds - performance.now()
      if (next === undefined || !isDrawn || wait <= 0) redraw()
      else timer ??= setTimeout(redraw, wait).unref()
    },
    close() {
      isClosed = true
      render = undefined
      listen(false)
      redraw()
    },
  }
}

/** A status, and the cursor back at its beginning. */
function rested(status: string): string {
  const lines = status.split('\n').length
  return lines === 1 ? `${status}\r` : `${status}\r\u001b[${lines - 1}A`
}
