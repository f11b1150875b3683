/**
 * @file Signals that end the process whatever JavaScript is doing. The engine's handler stands in front of Node's,
 * counts, and ends the process by the signal itself, as a shell expects; as the first process of a container, which
 * signals do not end, with 128 and its number. A bar is erased and the terminal is as it was.
 *
 * Node installs its handlers with the first listener of a signal and removes them with the last: guard after listening,
 * and anew after each change. Only the command line does this: a library leaves the signals of its program alone.
 */

import { constants } from 'node:os'
import { ERASE } from '../progress/status-line.js'
import { isScreen } from '../progress/terminal.js'
import { loadAddon } from '../tensor/addon.js'

/** What a signal does: ends the process, ends it as the second request, or is a first request and never the second. */
export type SignalEffect = 'ends' | 'ends as second' | 'counts'

const AT_ONCE = { SIGINT: 'ends', SIGTERM: 'ends' } as const

/** Signals by which people and supervisors end programs. */
export const DEADLY = ['SIGINT', 'SIGTERM'] as const

const ENDS_AT: Record<SignalEffect, number> = { counts: 0, ends: 1, 'ends as second': 2 }

/**
 * Replaces what the last call set. Signals within 100 ms of the first are one request with it.
 * @param hasStatus whether the last line of the terminal is a status, which an ended process removes. Not where text
 * stands on that line.
 * @returns whether the engine does it; else the caller has only what Node does
 */
export function guardSignals(
  effects: Partial<Record<NodeJS.Signals, SignalEffect>>,
  { hasStatus = false }: { hasStatus?: boolean } = {},
): boolean {
  const all = Object.entries(effects) as [NodeJS.Signals, SignalEffect][]
  try {
    const { guardSignals: guard } = loadAddon()
    const numbers = all.map(([name]) => constants.signals[name])
    const endsAt = all.map(([, effect]) => ENDS_AT[effect])
    return guard?.(numbers, endsAt, hasStatus && isScreen(process.stderr) ? ERASE : '') === true
  } catch {
    // Without an engine the command fails soon, saying why.
    return false
  }
}

/** The first SIGINT or SIGTERM ends the process. `hasStatus` as of `guardSignals`. */
export function endAtOnce(options?: { hasStatus?: boolean }): boolean {
  return guardSignals(AT_ONCE, options)
}

/** Leaves signals to Node, but for the first process of a container, which is ended by none that it does not handle. */
export function releaseSignals(): void {
  if (process.pid === 1) endAtOnce()
  else guardSignals({})
}
