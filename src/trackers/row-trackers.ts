/** @file The trackers that write one file of rows: CSV and JSON Lines. */

import { join, resolve } from 'node:path'
import { OptionError } from '../lowrank-error.js'
import type { TrainCallback } from '../train/callbacks.js'
import { openCsv } from './csv.js'
import { fileTracker } from './file-tracker.js'
import { openJsonl } from './jsonl.js'
import type { CsvOptions, JsonlOptions } from './options.js'

/** @throws OptionError where nothing says where the file goes */
export function csvCallback({ path }: CsvOptions, outputDir: string | undefined): TrainCallback {
  const file = fileOf('csv', path, outputDir)
  return fileTracker('csv', (start, logged) => openCsv(file, start, logged))
}

/** @throws OptionError where nothing says where the file goes */
export function jsonlCallback({ path }: JsonlOptions, outputDir: string | undefined): TrainCallback {
  const file = fileOf('jsonl', path, outputDir)
  return fileTracker('jsonl', (start, logged) => openJsonl(file, start, logged))
}

function fileOf(name: 'csv' | 'jsonl', path: string | undefined, outputDir: string | undefined): string {
  if (path !== undefined) return resolve(path)
  if (outputDir !== undefined) return resolve(join(outputDir, `metrics.${name}`))
  throw new OptionError(`[train] reportTo '${name}' needs a place for its file; set outputDir, or path of ${name}`)
}
