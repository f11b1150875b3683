/**
 * @file Commands that wait for what a workspace does in its own time. A signal ends the wait alone: the thing goes on,
 * and a line says how to go on with it.
 */

import { WAIT_OPTIONS } from '../../databricks/options.js'
import { boolean } from '../../options/rules.js'
import { renderBar } from '../../progress/progress-bar.js'
import { createStatusLine } from '../../progress/status-line.js'
import { isScreen, paintFor } from '../../progress/terminal.js'
import { harmless } from '../../progress/text-width.js'
import type { FlagTable } from '../command.js'
import { untilSignal } from '../until-signal.js'

/** How long a command waits. */
export interface WaitFlags {
  readonly timeout: number
  readonly pollInterval: number
  readonly noWait?: boolean
}

export const WAIT_FLAGS = {
  timeout: { ...WAIT_OPTIONS.timeout, flag: { name: '--timeout', argument: 'seconds', group: 'Waiting' } },
  pollInterval: { ...WAIT_OPTIONS.pollInterval, flag: { name: '--poll-interval', argument: 'ms' } },
  noWait: { rule: boolean, help: 'end once it was asked for, in whatever state', flag: { name: '--no-wait' } },
} as const satisfies FlagTable<WaitFlags>

/** What the calls that wait are given. */
export interface WaitHere {
  readonly signal: AbortSignal
  readonly timeout: number
  readonly pollInterval: number
  readonly onState: (state: string) => void
}

/** What is said beside the states. */
export interface WaitTalk {
  /** Writes whole lines to a stream, with no bar between them. */
  readonly print: (stream: NodeJS.WriteStream, lines: string) => void
  /** Tells what is there from now on, and what people type to go on with it. */
  readonly made: (how: string) => void
}

const SECOND = 1000
const REDRAW_SECONDS = 0.05

/**
 * Shows each state of what is waited for: on a terminal with the time since it began, elsewhere as a line of stderr.
 * @param what as people read it: `The cluster tokens`
 */
export async function showWait<T>(
  what: string,
  { timeout, pollInterval }: WaitFlags,
  work: (here: WaitHere, talk: WaitTalk) => Promise<T>,
): Promise<T> {
  const states = showStates(what)
  let before: string | undefined
  let how: string | undefined
  return await untilSignal(async (signal) => {
    try {
      const onState = (state: string): void => {
        if (state !== before) states.show(state)
        before = state
      }
      const made = (text: string): void => {
        how = text
      }
      return await work({ signal, timeout, pollInterval, onState }, { made, print: states.print })
    } catch (error) {
      states.close()
      if (signal.aborted) {
        const unknown = 'Nobody knows whether it was begun: lowrank clean --dry-run looks for it'
        process.stderr.write(`${what}: ${how ?? unknown}\n`)
      }
      throw error
    } finally {
      states.close()
    }
  })
}

interface ShownStates {
  show(state: string): void
  print(stream: NodeJS.WriteStream, lines: string): void
  close(): void
}

function showStates(what: string): ShownStates {
  const { stderr } = process
  if (!isScreen(stderr)) {
    return {
      show: (state) => void stderr.write(harmless(`${what}: ${state}\n`)),
      print: (stream, lines) => void stream.write(lines),
      close: () => {},
    }
  }
  const status = createStatusLine(stderr, REDRAW_SECONDS)
  const paint = paintFor(stderr)
  const begin = performance.now()
  let state = ''
  const draw = (): void => {
    const seconds = Math.floor((performance.now() - begin) / SECOND)
    const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
    const parts = [
      { text: state, importance: 2 },
      { text: time, importance: 1 },
    ]
    const bar = { label: { text: what, importance: 3 }, fraction: undefined, parts }
    status.show((columns) => renderBar(bar, columns, paint))
  }
  const timer = setInterval(draw, SECOND).unref()
  return {
    show: (next) => {
      state = next
      draw()
    },
    print: (stream, lines) => {
      status.show(undefined)
      stream.write(lines)
      draw()
    },
    close: () => {
      clearInterval(timer)
      status.close()
    },
  }
}
