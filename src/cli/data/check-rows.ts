/** @file What `lowrank data check` does once its flags are right: check every row, and tell what was found. */

import { readGenerationConfig } from '../../checkpoint/generation-config.js'
import { type CheckReport, checkDataset, type Finding } from '../../data/check/check-dataset.js'
import { describeOrigin } from '../../data/row-origin.js'
import { isGgufPath } from '../../gguf/reader.js'
import { formatCount, type Paint } from '../../progress/terminal.js'
import { harmless } from '../../progress/text-width.js'
import type { Check } from './check.js'
import { prepareRows } from './prepare-rows.js'
import { transform } from './transformation.js'

export async function check({ run, json }: Check): Promise<void> {
  const { tokenizer, data, path, config } = await prepareRows('data check', run, json)
  const defaults = isGgufPath(path) ? undefined : await readGenerationConfig(path)
  const stopTokenIds = [config.eos_token_id, ...(defaults?.eosTokenIds ?? [])]
    .flat()
    .filter((id): id is number => typeof id === 'number')
  const { dataset, evalDataset } = run.options
  const work = async (
    onProgress: (rows: number, fraction: number | undefined) => void,
    signal: AbortSignal,
  ): Promise<object & Told> => {
    const options = {
      ...data,
      stopTokenIds,
      onProgress,
      signal,
      ...(evalDataset !== undefined && { evaluation: evalDataset }),
    }
    const report = await checkDataset(dataset, tokenizer, options)
    const numberOf = (severity: Finding['severity']): number =>
      report.findings.filter((finding) => finding.severity === severity).length
    const told = { rows: report.rows, errors: numberOf('error'), warnings: numberOf('warning') }
    if (told.errors > 0) process.exitCode = 1
    return { ...told, findings: report.findings }
  }
  await transform('Checking', json, work, describe)
}

/** The report with the numbers of rules that found something. */
interface Told extends CheckReport {
  readonly errors: number
  readonly warnings: number
}

function describe({ rows, errors, warnings, findings }: Told, paint: Paint): readonly string[] {
  const checked = `Checked ${formatCount(rows)} rows: `
  if (findings.length === 0) return [`${checked}${paint('green', 'nothing found')}`]
  const last = `${checked}${counted(errors, 'error')} and ${counted(warnings, 'warning')}`
  return [...findings.flatMap((finding) => [...linesOf(finding, paint), '']), last]
}

/** `2 kinds of error` */
function counted(count: number, severity: string): string {
  return `${count} ${count === 1 ? 'kind' : 'kinds'} of ${severity}`
}

function linesOf({ id, severity, finds, remedy, count, rows }: Finding, paint: Paint): readonly string[] {
  const named = rows.map(({ detail, ...origin }) => `  ${harmless(describeOrigin(origin))}  ${harmless(detail)}`)
  const others = count - rows.length
  return [
    `${paint(severity === 'error' ? 'red' : 'yellow', severity)} ${paint('bold', id)}: rows ${finds} (${formatCount(count)})`,
    ...named,
    ...(others > 0 ? [`  and ${formatCount(others)} more`] : []),
    `  To do: ${remedy}`,
  ]
}
