/** @file What `lowrank data check` does once its flags are right: check every row, and tell what was found. */

import { readGenerationConfig } from '../../checkpoint/generation-config.js'
import { type CheckReport, checkDataset, type Finding } from '../../data/check/check-dataset.js'
import { describeOrigin } from '../../data/row-origin.js'
import { openSource } from '../../data/sources/open-source.js'
import { concatenated } from '../../data/sources/select-rows.js'
import { isGgufPath } from '../../gguf/reader.js'
import { countOfRows, formatCount, type Paint } from '../../progress/terminal.js'
import { harmless } from '../../progress/text-width.js'
import { evalOption, evalSources, isNamedSources } from '../../train/eval-datasets.js'
import { type MendReport, mendRows } from '../../transform/mend.js'
import type { Check } from './check.js'
import { prepareRows } from './prepare-rows.js'
import { countLines, ofRows, transform } from './transformation.js'

export async function check({ run, json, fix }: Check): Promise<void> {
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
      ...(evalDataset !== undefined && {
        evaluation: isNamedSources(evalDataset)
          ? concatenated(evalSources(evalDataset).map(({ name, source }) => openSource(source, evalOption(name))))
          : evalDataset,
      }),
    }
    const report: CheckReport & Partial<MendReport> =
      fix === undefined
        ? await checkDataset(dataset, tokenizer, options)
        : await mendRows(dataset, tokenizer, fix, options)
    const { rows, findings, notMended, ...mended } = report
    const numberOf = (severity: Finding['severity']): number =>
      findings.filter((finding) => finding.severity === severity).length
    const isWrong = ({ id, severity }: Finding): boolean =>
      severity === 'error' && (notMended === undefined || Object.hasOwn(notMended, id))
    if (findings.some(isWrong)) process.exitCode = 1
    return {
      rows,
      errors: numberOf('error'),
      warnings: numberOf('warning'),
      findings,
      ...(notMended !== undefined && { fix: { ...(mended as Omit<MendReport, keyof CheckReport>), notMended } }),
    }
  }
  await transform('Checking', json, work, describe)
}

/** The report with the numbers of rules that found something. */
interface Told extends CheckReport {
  readonly errors: number
  readonly warnings: number
  /** What became of the rows of the mended copy. */
  readonly fix?: Omit<MendReport, keyof CheckReport>
}

function describe({ rows, errors, warnings, findings, fix }: Told, paint: Paint): readonly string[] {
  const checked = `Checked ${countOfRows(rows)}: `
  const mended = fix === undefined ? [] : mendLines(fix, paint)
  if (findings.length === 0) return [`${checked}${paint('green', 'nothing found')}`, ...mended]
  const last = `${checked}${counted(errors, 'error')} and ${counted(warnings, 'warning')}`
  return [...findings.flatMap((finding) => [...linesOf(finding, paint), '']), last, ...mended]
}

function mendLines(
  { output, read, written, leftOut, mended, notMended }: NonNullable<Told['fix']>,
  paint: Paint,
): readonly string[] {
  return [
    `${paint('green', 'Wrote')} ${ofRows(written, read)} to ${output}`,
    ...countLines(leftOut, 'left out: '),
    ...countLines(mended, 'mended: '),
    ...countLines(notMended, 'not mended: '),
  ]
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
