/** @file What `lowrank export` does once its flags are right: check, write with a bar, and say how near it is. */

import { checkLoaders } from '../export/check-loaders.js'
import { type ExportReport, exportModel } from '../export/export-model.js'
import type { ExportFormatName } from '../export/format-names.js'
import { FORMATS } from '../export/formats.js'
import type { LoaderFinding } from '../loaders/loader.js'
import type { LoaderName } from '../loaders/loader-names.js'
import { LOADERS } from '../loaders/loaders.js'
import { type Paint, paintFor } from '../progress/terminal.js'
import type { ExportAsked } from './export.js'
import { describeReport } from './export-report.js'
import { compareOptions, readLines, withExportBar } from './export-run.js'
import { terminalTable } from './terminal-table.js'

export async function exportFiles(asked: ExportAsked): Promise<void> {
  const { format, output, json } = asked
  const paint = paintFor(process.stdout)
  const findings = asked.check && (await checked(asked, asked.check))
  if (asked.check && findings) {
    if (!json) process.stdout.write(describeFindings(asked.check, findings, paint))
    if (findings.some(({ effect }) => effect === 'refused')) process.exitCode = 1
  }
  const report = format === undefined ? undefined : await write(asked, format, output as string)
  if (json) process.stdout.write(`${JSON.stringify({ ...report, ...(findings && { findings }) })}\n`)
  else if (report) process.stdout.write(describeReport(report, paint))
  if (report?.passed === false) process.exitCode = 1
}

async function checked(asked: ExportAsked, loaders: readonly LoaderName[]): Promise<LoaderFinding[]> {
  const { model, adapter, revision, format } = asked
  return await checkLoaders({
    loaders,
    ...(model !== undefined && { model }),
    ...(revision !== undefined && { revision }),
    ...(adapter !== undefined && { adapter }),
    merged: format !== undefined && FORMATS[format].holds === 'model',
  })
}

async function write(asked: ExportAsked, format: ExportFormatName, output: string): Promise<ExportReport> {
  const { model, adapter, revision, dtype, quantization, maxShardSize, type, calibration } = asked
  const compare = await compareOptions(asked)
  const texts = calibration === undefined ? undefined : await readLines(calibration, '--calibration')
  return await withExportBar(asked.json, (progress) =>
    exportModel({
      ...{ format, output },
      ...(model !== undefined && { model }),
      ...(adapter !== undefined && { adapter }),
      ...(revision !== undefined && { revision }),
      ...(dtype !== undefined && { dtype }),
      ...(quantization !== undefined && { quantization }),
      ...(maxShardSize !== undefined && { maxShardSize }),
      ...(type !== undefined && { type }),
      ...(texts && { calibration: texts }),
      ...compare,
      ...progress,
    }),
  )
}

const WORDS = { refused: 'refused', ignored: 'ignored', needs: 'needs' } as const
const COLOURS = { refused: 'red', ignored: 'yellow', needs: 'cyan' } as const

/** A line for each finding, below the loader and the version whose rules were read. */
function describeFindings(names: readonly LoaderName[], findings: readonly LoaderFinding[], paint: Paint): string {
  const lines = names.flatMap((name) => {
    const own = findings.filter(({ loader }) => loader === name)
    const { version, read } = LOADERS[name]
    const head = `${name} (${version}; rules read in ${read})`
    if (own.length === 0) return [`${head}: nothing is refused`]
    const rows = own.map(({ effect, feature, message }) => ['', WORDS[effect], feature, message])
    const table = terminalTable(rows, () => false)
    return [`${head}:`, ...table.map((line, i) => coloured(line, own[i] as LoaderFinding, paint))]
  })
  return `${lines.join('\n')}\n`
}

function coloured(line: string, { effect }: LoaderFinding, paint: Paint): string {
  return line.replace(WORDS[effect], paint(COLOURS[effect], WORDS[effect]))
}
