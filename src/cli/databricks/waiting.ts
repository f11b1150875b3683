/**
 * @file Commands that wait for what a workspace does in its own time. A signal ends the wait alone: the thing goes on,
 * and a line says how to go on with it.
 */

import { WAIT_OPTIONS } from '../../databricks/options.js'
import { boolean } from '../../options/rules.js'
import { createBar } from '../../progress/progress.js'
import { isScreen } from '../../progress/terminal.js'
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
  /** Tells what is there from now on, and what people type to go on with it. */
  readonly made: (how: string) => void
}

const SECOND = 1000

/**
 * Shows each state of what is waited for: on a terminal with the time since it began, elsewhere as a line of stderr.
 * @param what as people read it: `The cluster tokens`
 */
export async function showWait<T>(
  what: string,
  { timeout, pollInterval }: WaitFlags,
  work: (here: WaitHere) => Promise<T>,
): Promise<T> {
  const states = showStates(what)
  let before: string | undefined
  let how: string | undefined
  return await untilSignal(async (signal) => {
    try {
      return await work({
        signal,
        timeout,
        pollInterval,
        onState: (state) => {
          if (state !== before) states.show(state)
          before = state
        },
        made: (text) => {
          how = text
        },
      })
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

function showStates(what: string): { show(state: string): void; close(): void } {
  const { stderr } = process
  if (!isScreen(stderr)) {
    return { show: (state) => void stderr.write(harmless(`${what}: ${state}\n`)), close: () => {} }
  }
  const bar = createBar(stderr)
  const begin = performance.now()
  let state = ''
  const draw = (): void => {
    const seconds = Math.floor((performance.now() - begin) / SECOND)
    const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
    const parts = [
      { text: state, importance: 2 },
      { text: time, importance: 1 },
    ]
    bar.show({ label: { text: what, importance: 3 }, fraction: undefined, parts })
  }
  const timer = setInterval(draw, SECOND).unref()
  return {
    show: (next) => {
      state = next
      draw()
    },
    close: () => {
      clearInterval(timer)
      bar.close()
    },
  }
}
