/** @file Options of what makes, waits for and removes things of a workspace. */

import { boolean, callback, integer, number } from '../options/rules.js'
import type { OptionTable } from '../options/table.js'
import { FILE_OPTIONS, type FileOptions } from './client/files/options.js'

/** Options of one call about a thing of a workspace. */
export type ResourceOptions = FileOptions

/** Options of calls that wait. */
export interface WaitOptions extends ResourceOptions {
  /**
   * Seconds until the wait fails; what is waited for goes on.
   * @default 1200
   */
  timeout?: number
  /**
   * Milliseconds between two questions.
   * @default 5000
   */
  pollInterval?: number
  /**
   * Told of each new state.
   * @default none
   */
  onState?: (state: string) => void
}

/** Options of calls that make or start something. */
export interface StartOptions extends WaitOptions {
  /**
   * Whether the call waits until it can be used.
   * @default true
   */
  wait?: boolean
}

/** The options of one call about a thing of a workspace. */
export const RESOURCE_OPTIONS = FILE_OPTIONS satisfies OptionTable<ResourceOptions>

/** The options of calls that wait. */
export const WAIT_OPTIONS = {
  ...RESOURCE_OPTIONS,
  timeout: {
    rule: number({ above: 0 }),
    default: 1200 as number,
    help: 'seconds until the wait fails; what is waited for goes on',
  },
  pollInterval: { rule: integer({ min: 1 }), default: 5000 as number, help: 'milliseconds between two questions' },
  onState: { rule: callback, otherwise: 'none', help: 'told of each new state' },
} as const satisfies OptionTable<WaitOptions>

/** The options of calls that make or start something. */
export const START_OPTIONS = {
  ...WAIT_OPTIONS,
  wait: { rule: boolean, default: true as boolean, help: 'whether the call waits until it can be used' },
} as const satisfies OptionTable<StartOptions>
