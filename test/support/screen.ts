/** @file A terminal as a person sees it: bytes are replayed on an emulated screen, which can be resized in between. */

import { EventEmitter } from 'node:events'
import xterm from '@xterm/headless'
import type { Output } from '../../src/progress/terminal.js'

/** A stream that is a terminal of so many columns and rows. */
export class Screen extends EventEmitter implements Output {
  readonly isTTY = true
  columns: number
  /** Absent: a terminal that does not tell its height, where there is no chart. */
  readonly getWindowSize?: () => [columns: number, rows: number]
  /** All bytes that were written. */
  bytes = ''
  readonly #terminal: InstanceType<typeof xterm.Terminal>
  #drawn: Promise<void> = Promise.resolve()

  constructor(columns: number, { rows = 24, tellsSize = false } = {}) {
    super()
    this.columns = columns
    if (tellsSize) this.getWindowSize = () => [this.columns, rows]
    this.#terminal = new xterm.Terminal({
      cols: columns,
      rows,
      scrollback: 1000,
      // As a terminal's line discipline does it.
      convertEol: true,
      allowProposedApi: true,
    })
  }

  write(text: string): boolean {
    this.bytes += text
    this.#drawn = this.#drawn.then(() => new Promise((resolve) => this.#terminal.write(text, resolve)))
    return true
  }

  /** The window gets another width: the terminal moves its lines, then the program is told. */
  async resize(columns: number): Promise<void> {
    await this.#drawn
    this.#terminal.resize(columns, this.#terminal.rows)
    this.columns = columns
    this.emit('resize')
    await this.#drawn
  }

  /** Every row from the first scrolled-back one to the last that is not empty, without blanks at the end. */
  async rows(): Promise<string[]> {
    await this.#drawn
    const { active } = this.#terminal.buffer
    const rows = Array.from({ length: active.length }, (_, row) => active.getLine(row)?.translateToString(true) ?? '')
    while (rows.at(-1) === '') rows.pop()
    return rows
  }

  /** Column and row of the cursor; rows count from the first scrolled-back one. */
  async cursor(): Promise<[column: number, row: number]> {
    await this.#drawn
    const { active } = this.#terminal.buffer
    return [active.cursorX, active.baseY + active.cursorY]
  }
}
