/** @file A report on disk. */

import { writeFileAtomic } from '../atomic-write.js'
import { expectPath } from '../errors.js'
import { renderReport } from './render-report.js'
import type { RenderReportOptions } from './report-options.js'

/**
 * Writes a report as one HTML file: whole, or not at all.
 *
 * @throws OptionError as `renderReport`; LowrankError where the file cannot be written
 */
export async function writeReport(path: string, options: RenderReportOptions): Promise<void> {
  expectPath('report', 'path', path)
  await writeFileAtomic(path, renderReport(options))
}
