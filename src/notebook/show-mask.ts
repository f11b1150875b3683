/** @file Rows as training sees them: which tokens are learnt. */

import { tokenTexts } from '../data/token-texts.js'
import { html } from '../report/markup.js'
import { htmlOutput, type NotebookOutput } from './output.js'

const LEARNT = 'background:#b7e4c7;color:#081c15'
const SEEN = 'background:#e9ecef;color:#343a40'
const CUT = 'text-decoration:line-through;color:#868e96'

/** What is shown of a row; `inspectDataset` gives such. */
export interface MaskedRow {
  readonly origin: string
  readonly sequences: readonly {
    readonly name?: string
    readonly inputIds: Int32Array
    readonly weights: Float32Array
    readonly keptTokens: number
  }[]
}

/** What is used of a tokenizer. */
export interface Decoder {
  decode(ids: ArrayLike<number>): string
}

/**
 * A row of `inspectDataset`: learnt tokens are green, those that are only read grey, those beyond `maxLength` struck
 * out. In text learnt tokens stand in [brackets].
 */
export function showMask(row: MaskedRow, tokenizer: Decoder): NotebookOutput {
  const parts = row.sequences.map(({ name, inputIds, weights, keptTokens }) => {
    const tokens = tokenTexts(tokenizer, inputIds).map((text, at) => ({
      text,
      style: at >= keptTokens ? CUT : weights[at] ? LEARNT : SEEN,
    }))
    const learnt = tokens.filter(({ style }) => style === LEARNT).length
    const title = `${row.origin}${name ? `, ${name}` : ''}: ${learnt} of ${tokens.length} tokens are learnt`
    const spans = tokens.map(({ text, style }) => html`<span style="${style};margin-right:1px">${text}</span>`)
    return {
      markup: html`<div><b>${title}</b><pre style="white-space:pre-wrap;line-height:1.6">${spans}</pre></div>`,
      text: `${title}\n${tokens.map(({ text, style }) => (style === LEARNT ? `[${text}]` : text)).join('')}`,
    }
  })
  return htmlOutput(html`${parts.map(({ markup }) => markup)}`, parts.map(({ text }) => text).join('\n'))
}
