/** @file What else adapters changed, as tables for a terminal. */

import type { BehaviourReport } from '../evaluate/behaviour/options.js'
import { harmless, textWidth } from '../progress/text-width.js'

const HEAD = ['category', 'prompts', 'KL/token', 'perplexity', 'tokens', 'stops', 'repeats']
/** More are counted. */
const MOST_ROWS = 10

/** One table per adapter, and the rows that it recites; figures of the base stand before the arrow. */
export function behaviourTables(reports: Readonly<Record<string, BehaviourReport>>): string {
  return Object.entries(reports)
    .map(([name, report]) => `\nWhat else changed with ${name}:\n${tableOf(report)}${recitationOf(report)}`)
    .join('')
}

function tableOf({ all, categories }: BehaviourReport): string {
  const lines = [...Object.entries(categories), ['all', all] as const].map(([category, change]) => {
    const { prompts, klPerToken, perplexity, base, adapter } = change
    const both = (before: number, after: number, digits: number): string =>
      `${before.toFixed(digits)} → ${after.toFixed(digits)}`
    return [
      category,
      String(prompts),
      klPerToken.toFixed(4),
      both(perplexity.base, perplexity.adapter, 2),
      both(base.tokens, adapter.tokens, 1),
      both(base.stopRate, adapter.stopRate, 2),
      both(base.repetition, adapter.repetition, 2),
    ]
  })
  const rows = [HEAD, ...lines]
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => textWidth(row[column] ?? ''))))
  return rows
    .map((row) =>
      row
        .map((text, column) => {
          const gap = ' '.repeat((widths[column] as number) - textWidth(text))
          return column === 0 ? text + gap : gap + text
        })
        .join('  '),
    )
    .map((line) => `${line.trimEnd()}\n`)
    .join('')
}

function recitationOf({ recitation }: BehaviourReport): string {
  if (recitation === undefined) return ''
  const { rows, tooShort, recited, byBase } = recitation
  const shown = recited.slice(0, MOST_ROWS).map(({ origin, needed }) => `  ${harmless(origin)}, ${needed} tokens\n`)
  const more = recited.length > MOST_ROWS ? `  and ${recited.length - MOST_ROWS} more\n` : ''
  const untried = tooShort === 0 ? '' : `; ${tooShort} more are too short to tell`
  return (
    `It recites ${recited.length} of ${rows} ${rows === 1 ? 'row' : 'rows'} of training that the base does not (${byBase} that it does too${untried}).\n` +
    `${shown.join('')}${more}`
  )
}
