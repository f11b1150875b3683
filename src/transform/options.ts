/** @file Options that all transformations share, so that each has one rule and one line of help. */

import { isDataSource } from '../data/sources/open-source.js'
import { callback, instance, path } from '../options/rules.js'
import { SIGNAL } from '../options/shared.js'
import type { OptionEntry, OptionTable } from '../options/table.js'

/** What every transformation takes. */
export interface TransformOptions {
  /**
   * Aborts the work; it rejects with the signal's reason, and what was there before is unchanged.
   * @default none
   */
  signal?: AbortSignal
  /**
   * Called with the rows read so far, and their share where it is known: at most ten times a second, and at the end.
   * @default none
   */
  onProgress?: (rows: number, fraction: number | undefined) => void
}

/** The options that every transformation has. */
export const TRANSFORM_OPTIONS = {
  signal: SIGNAL,
  onProgress: { rule: callback, otherwise: 'none', help: 'told the rows read so far, and their share' },
} as const satisfies OptionTable<TransformOptions>

/** Where rows come from. */
export const DATASET = {
  rule: instance('a path, a glob or an iterable of rows', isDataSource),
  isRequired: true,
  help: 'file or glob of rows',
} as const satisfies OptionEntry

/** Where rows go to. */
export const OUTPUT = {
  rule: path,
  isRequired: true,
  help: 'file of the rows that are made, whose ending names the format, or / a Delta table; one that is there is replaced',
} as const satisfies OptionEntry
