/** @file What `lowrank export` and `lowrank convert` say of what they wrote. */

import type { ExportReport } from '../export/export-model.js'
import { formatCount, type Paint } from '../progress/terminal.js'
import { terminalTable } from './terminal-table.js'
import { shown } from './try-it.js'

const FIGURES = 3

/** What was written, a table of what was compared, and what was not. */
export function describeReport(report: ExportReport, paint: Paint): string {
  const { format, output, files, dtype, passed, notCompared, maxLogitDifference, firstDifferentToken } = report
  const figure = (value: number): string => (value === 0 ? '0' : value.toPrecision(FIGURES))
  const rows = [
    ['compared with the source', 'found', 'allowed'],
    ['lines with other ids', idsOf(report), report.encodedLines === 0 ? '' : '0'],
    [
      `largest logit difference, ${formatCount(report.comparedTokens)} tokens`,
      figure(report.logitDifference),
      figure(maxLogitDifference),
    ],
    ['largest logit', figure(report.largestLogit), ''],
    ['same most likely token', `${formatCount(report.sameTokens)} of ${formatCount(report.comparedTokens)}`, ''],
    [
      'first differing token',
      firstDifferentToken === null
        ? 'none'
        : `line ${firstDifferentToken.line + 1}, token ${firstDifferentToken.position + 1}: ` +
          `${firstDifferentToken.got} for ${firstDifferentToken.expected}, ${figure(firstDifferentToken.margin)} below it`,
      '',
    ],
  ]
  const lines = [
    `${paint('green', 'Exported')} ${formatCount(files.length)} files to ${shown(output)} (${format}, ${dtype})`,
    ...terminalTable(rows, () => false),
    ...(notCompared === null ? [] : [`Not compared: ${notCompared}`]),
    passed
      ? `${paint('green', 'Passed')}: the export computes what its source does`
      : `${paint('red', 'Failed')}: the export is not as near to its source as it has to be; its files stay`,
  ]
  return `${lines.join('\n')}\n`
}

function idsOf({ encodedLines, differentLines, firstDifferentLine }: ExportReport): string {
  if (encodedLines === 0) return 'none compared, there is no tokenizer in the files'
  const first = firstDifferentLine === null ? '' : `, the first is line ${firstDifferentLine + 1}`
  return `${formatCount(differentLines)} of ${formatCount(encodedLines)}${first}`
}
