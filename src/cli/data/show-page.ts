/** @file The page that `lowrank data show --html` writes: one file that shows itself without a network. */

import type { DataSummary, HistogramBin } from '../../data/data-summary.js'
import type { InspectedRow } from '../../data/inspect.js'
import { formatCount } from '../../progress/terminal.js'
import { describeRow, factsOf, type Piece, rangeOf } from './shown-row.js'

/** A row and its text in pieces, for each of its sequences. */
interface ShownRow {
  readonly row: InspectedRow
  readonly pieces: readonly (readonly Piece[])[]
}

const STYLE = `
:root { color-scheme: light dark; --learnt: #c9f0d2; --cut: #f6cfcf; --line: #8884; --bar: #3a8f57 }
@media (prefers-color-scheme: dark) { :root { --learnt: #1f5130; --cut: #6b2626 } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
pre { white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid var(--line); border-radius: 4px; padding: .8rem }
.learnt { background: var(--learnt) } .cut { background: var(--cut); text-decoration: line-through }
.read { opacity: .75 } .special { font-weight: 600 }
table { border-collapse: collapse } td { padding: 0 .6rem } td:first-child { text-align: right }
.bar { display: inline-block; height: .8em; background: var(--bar) }
`

export function showPage(rows: readonly ShownRow[], summary: DataSummary, maxLength: number): string {
  const special = summary.specialTokens.map(
    ({ text, count, learnt }) =>
      `<tr><td><code>${inHtml(text)}</code></td><td>${formatCount(count)}</td><td>${formatCount(learnt)} learnt</td></tr>`,
  )
  return [
    '<!doctype html>',
    '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
    `<title>Rows as training sees them</title><style>${STYLE}</style></head><body>`,
    '<h1>Rows as training sees them</h1>',
    ...factsOf(summary, maxLength).map((fact) => `<p>${inHtml(fact)}</p>`),
    '<p><span class="learnt">learnt</span> <span class="read">only read</span> <span class="cut">cut</span></p>',
    chart('Tokens of a row', summary.lengths),
    chart('Messages of a conversation', summary.messages),
    special.length === 0 ? '' : `<h2>Special tokens</h2><table>${special.join('')}</table>`,
    '<h2>Rows</h2>',
    ...rows.map(rowOf),
    '</body></html>',
    '',
  ].join('\n')
}

function rowOf({ row, pieces }: ShownRow): string {
  const sequences = row.sequences.map(({ name }, index) => {
    const title = name === undefined ? '' : `<h4>${inHtml(name)}</h4>`
    return `${title}<pre>${(pieces[index] ?? []).map(spanOf).join('')}</pre>`
  })
  return `<h3>${inHtml(row.origin)}</h3><p>${inHtml(describeRow(row))}</p>${sequences.join('')}`
}

function spanOf({ text, kind, isSpecial, weight }: Piece): string {
  const title = kind === 'learnt' && weight !== 1 ? ` title="weight ${Number(weight.toPrecision(3))}"` : ''
  return `<span class="${kind}${isSpecial ? ' special' : ''}"${title}>${inHtml(text)}</span>`
}

function chart(title: string, bins: readonly HistogramBin[]): string {
  if (bins.length === 0) return ''
  const most = Math.max(...bins.map(({ count }) => count))
  const rows = bins.map(
    (bin) =>
      `<tr><td>${rangeOf(bin)}</td><td><span class="bar" style="width:${((20 * bin.count) / most).toFixed(2)}rem"></span> ` +
      `${formatCount(bin.count)}</td></tr>`,
  )
  return `<h2>${title}</h2><table>${rows.join('')}</table>`
}

/** Text of rows is text, whatever it looks like. */
function inHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
