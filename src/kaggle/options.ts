/** @file The options of `pullKaggle`. */

import { callback, path } from '../options/rules.js'
import { SIGNAL } from '../options/shared.js'
import type { OptionTable } from '../options/table.js'

/** Options of `pullKaggle`. */
export interface PullKaggleOptions {
  /**
   * Folder of the files; one of the same name is replaced.
   * @default the name of the data set
   */
  outputDir?: string
  /**
   * Ends the work with its reason; what came of the archive is kept for the next time.
   * @default none
   */
  signal?: AbortSignal
  /**
   * Told what is done, and how much of it.
   * @default none
   */
  onProgress?: (step: 'fetch' | 'unpack', bytes: number, total: number) => void
}

export const PULL_KAGGLE_OPTIONS = {
  outputDir: {
    rule: path,
    otherwise: 'the name of the data set',
    help: 'folder of the files; one of the same name is replaced',
  },
  signal: SIGNAL,
  onProgress: { rule: callback, otherwise: 'none', help: 'told what is done, and how much of it' },
} as const satisfies OptionTable<PullKaggleOptions>
