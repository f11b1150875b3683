/** @file What `lowrank export` and `lowrank convert` share: options of the comparison, and the bar. */

import type { ExportEvent } from '../export/events.js'
import type { ExportModelOptions } from '../export/options.js'
import { createBar, createProgress } from '../progress/progress.js'
import { readRegularFile } from '../regular-file.js'
import type { CompareFlags } from './export.js'
import { untilSignal } from './until-signal.js'
import { UsageError } from './usage-error.js'

type CompareOptions = Pick<ExportModelOptions, 'device' | 'lines' | 'compareTokens' | 'maxLogitDifference'>

/** The options that the flags of the comparison mean. */
export async function compareOptions(flags: CompareFlags): Promise<CompareOptions> {
  const { device, compareTokens, maxLogitDifference, lines } = flags
  return {
    compareTokens,
    ...(device !== undefined && { device }),
    ...(maxLogitDifference !== undefined && { maxLogitDifference }),
    ...(lines !== undefined && { lines: await readLines(lines, '--lines') }),
  }
}

/** The lines of a text file that are not empty. @param flag that names it */
export async function readLines(path: string, flag: string): Promise<string[]> {
  const text = (await readRegularFile(path, { where: 'export' })).toString()
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '')
  if (lines.length === 0) throw new UsageError(`[export] expected lines of text in ${path} for ${flag}, got none`)
  return lines
}

/** Runs with a bar on a terminal, and ends in order where a signal comes. */
export async function withExportBar<T>(
  json: boolean | undefined,
  run: (options: { readonly signal: AbortSignal; readonly onEvent: (event: ExportEvent) => void }) => Promise<T>,
): Promise<T> {
  const bar = createBar()
  const download = createProgress()
  const onEvent = (event: ExportEvent): void => {
    if (event.type === 'download') {
      if (!json) download.onEvent(event)
      return
    }
    const [label, done, unit] =
      event.type === 'write'
        ? (['Writing', event.tensors, 'tensors'] as const)
        : ([event.type === 'calibrate' ? 'Calibrating' : 'Comparing', event.tokens, 'tokens'] as const)
    bar.show({
      label: { text: label, importance: 1 },
      fraction: done / event.total,
      parts: [{ text: `${String(done).padStart(String(event.total).length)}/${event.total} ${unit}`, importance: 2 }],
    })
  }
  return await untilSignal((signal) =>
    run({ signal, onEvent }).finally(() => {
      download.stop()
      bar.close()
    }),
  )
}
