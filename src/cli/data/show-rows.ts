/** @file What `lowrank data show` does once its flags are right: read, encode, and show rows and figures. */

import { writeFileAtomic } from '../../atomic-write.js'
import { DataSummarizer, type DataSummary, type HistogramBin } from '../../data/data-summary.js'
import { type InspectedRow, inspectDataset } from '../../data/inspect.js'
import { tokenTexts } from '../../data/token-texts.js'
import type { DataError } from '../../lowrank-error.js'
import { barChart } from '../../progress/bar-chart.js'
import { renderBar } from '../../progress/progress-bar.js'
import { createStatusLine } from '../../progress/status-line.js'
import { countOfRows, formatCount, isScreen, type Paint, paintFor } from '../../progress/terminal.js'
import { harmless } from '../../progress/text-width.js'
import type { Tokenizer } from '../../tokenizer/tokenizer.js'
import { prepareRows } from './prepare-rows.js'
import type { Show } from './show.js'
import { showPage } from './show-page.js'
import { describeRow, factsOf, type Piece, piecesOf, rangeOf } from './shown-row.js'

export async function show({ run, rows: shown, html, json }: Show): Promise<void> {
  const { options } = run
  const { tokenizer, data } = await prepareRows('data show', run, json)
  const { maxLength } = data
  const paint = paintFor(process.stdout)
  const status = isScreen(process.stderr) && !json ? createStatusLine(process.stderr, 0.1) : undefined
  const summarizer = new DataSummarizer(tokenizer.specialTokens)
  const kept: { readonly row: InspectedRow; readonly pieces: readonly (readonly Piece[])[] }[] = []
  let fraction: number | undefined
  let count = 0
  try {
    const skipping = { ...data, onSkippedRow: (error: DataError) => summarizer.skip(error) }
    const rows = inspectDataset(options.dataset, tokenizer, skipping, (share) => {
      fraction = share
    })
    for await (const row of rows) {
      summarizer.add(row)
      if (count++ < shown) {
        const pieces = row.sequences.map((sequence) => piecesOf(sequence, tokenizer))
        if (json) process.stdout.write(`${JSON.stringify(jsonOf(row, tokenizer))}\n`)
        else if (html === undefined) process.stdout.write(`${rowLines(row, pieces, paint).join('\n')}\n\n`)
        else kept.push({ row, pieces })
      }
      status?.show((columns) =>
        renderBar(
          {
            label: { text: 'Reading', importance: 2 },
            fraction,
            parts: [{ text: `${formatCount(count)} rows`, importance: 1 }],
          },
          columns,
          paintFor(process.stderr),
        ),
      )
    }
  } finally {
    status?.close()
  }
  const summary = summarizer.summary()
  if (json) process.stdout.write(`${JSON.stringify({ type: 'summary', maxLength, ...summary })}\n`)
  if (html !== undefined) {
    await writeFileAtomic(html, showPage(kept, summary, maxLength))
    if (!json) process.stdout.write(`Wrote ${html}: ${countOfRows(kept.length)} and the figures of all\n\n`)
  }
  if (!json)
    process.stdout.write(`${summaryLines(summary, maxLength, process.stdout.columns ?? 80, paint).join('\n')}\n`)
}

function jsonOf(row: InspectedRow, tokenizer: Tokenizer): object {
  return {
    type: 'row',
    ...row,
    sequences: row.sequences.map(({ inputIds, weights, ...rest }) => ({
      ...rest,
      inputIds: [...inputIds],
      weights: [...weights],
      tokens: tokenTexts(tokenizer, inputIds),
    })),
  }
}

/** One line that says what a row is, and its text with what is learnt marked. */
function rowLines(row: InspectedRow, pieces: readonly (readonly Piece[])[], paint: Paint): string[] {
  const lines = [`${paint('bold', harmless(row.origin))}  ${describeRow(row)}`]
  row.sequences.forEach(({ name }, index) => {
    if (name !== undefined) lines.push(paint('bold', `${name}:`))
    lines.push(markedText(pieces[index] ?? [], paint))
  })
  return lines
}

function markedText(pieces: readonly Piece[], paint: Paint): string {
  const hasColors = paint('dim', 'x') !== 'x'
  let text = ''
  let isOpen = false
  for (const { text: raw, kind, isSpecial, weight } of pieces) {
    const clean = raw.split('\n').map(harmless).join('\n')
    if (hasColors) {
      const style = kind === 'learnt' ? (isSpecial ? 'cyan' : 'green') : kind === 'cut' ? 'red' : 'dim'
      // Some pagers end a colour with the line.
      text += clean
        .split('\n')
        .map((line) => (line === '' ? '' : paint(style, line)))
        .join('\n')
      if (kind === 'learnt' && weight !== 1) text += paint('yellow', `(x${Number(weight.toPrecision(3))})`)
    } else {
      const isLearnt = kind === 'learnt'
      if (isOpen && !isLearnt) text += '»'
      if (!isOpen && isLearnt) text += '«'
      isOpen = isLearnt
      text += clean
      if (isLearnt && weight !== 1) text += `(x${Number(weight.toPrecision(3))})`
    }
  }
  return isOpen ? `${text}»` : text
}

function summaryLines(summary: DataSummary, maxLength: number, columns: number, paint: Paint): string[] {
  const chart = (title: string, bins: readonly HistogramBin[]): string[] =>
    bins.length === 0
      ? []
      : [
          '',
          paint('bold', title),
          ...barChart(
            bins.map((bin) => ({ label: rangeOf(bin), value: bin.count })),
            columns,
            paint,
          ),
        ]
  const special = summary.specialTokens.map(
    ({ text, count, learnt }) => `  ${harmless(text)}  ${formatCount(count)}, ${formatCount(learnt)} of them learnt`,
  )
  return [
    ...factsOf(summary, maxLength),
    ...chart('Tokens of a row', summary.lengths),
    ...chart('Messages of a conversation', summary.messages),
    ...(special.length === 0 ? [] : ['', paint('bold', 'Special tokens'), ...special]),
  ]
}
