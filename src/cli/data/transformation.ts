/** @file What the commands that change data sets share: required words and flags, a bar, and the report at the end. */

import { createBar } from '../../progress/progress.js'
import { countOfRows, formatCount, type Paint, paintFor } from '../../progress/terminal.js'
import { expectResultOnDisk } from '../standard-streams.js'
import { untilSignal } from '../until-signal.js'
import { UsageError } from '../usage-error.js'

/** @throws UsageError where a word or the value of a flag is missing */
export function expectGiven(command: string, usage: string, value: string | undefined): string {
  if (value !== undefined && value.trim() !== '') return value
  throw new UsageError(`[data ${command}] expected ${usage}, got none`)
}

/** Shares by name, of `train=0.9`. @throws UsageError for what is none */
export function readShares(command: string, given: readonly string[]): Record<string, number> | undefined {
  if (given.length === 0) return undefined
  return Object.fromEntries(
    given.map((text) => {
      const [, name = '', share = ''] = /^([^=]+)=([\d.]+)$/.exec(text) ?? []
      if (name !== '' && Number.isFinite(Number(share))) return [name, Number(share)] as const
      throw new UsageError(`[data ${command}] expected a name and a share such as train=0.9 for --split, got ${text}`)
    }),
  )
}

/** Quick work shows no bar. */
const QUIET_MS = 1000

/**
 * Works with a bar, and shows the report.
 * @param label Stands before the bar: `Splitting`.
 * @param describe Lines of a report for people.
 * @param what What is counted beside the bar.
 */
export async function transform<Report extends object>(
  label: string,
  json: boolean | undefined,
  work: (onProgress: (rows: number, fraction: number | undefined) => void, signal: AbortSignal) => Promise<Report>,
  describe: (report: Report, paint: Paint) => readonly string[],
  what = 'rows',
): Promise<void> {
  const bar = createBar()
  const began = performance.now()
  expectResultOnDisk()
  const onProgress = (rows: number, fraction: number | undefined): void => {
    if (performance.now() - began < QUIET_MS) return
    const parts = [{ text: `${formatCount(rows)} ${what}`, importance: 2 }]
    bar.show({ label: { text: label, importance: 1 }, fraction, parts })
  }
  const report = await untilSignal((signal) => work(onProgress, signal).finally(() => bar.close()))
  const lines = json ? [JSON.stringify(report)] : describe(report, paintFor(process.stdout))
  process.stdout.write(`${lines.join('\n')}\n`)
}

/** `38 of 40 rows`. */
export function ofRows(written: number, read: number): string {
  return `${formatCount(written)} of ${countOfRows(read)}`
}

/** A line for each count that is not 0. */
export function countLines(counts: Readonly<Record<string, number>>, what = ''): readonly string[] {
  return Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `  ${formatCount(count)} ${what}${name}`)
}
