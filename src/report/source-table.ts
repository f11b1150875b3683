/** @file The files and tables that rows came from, with their hashes. */

import type { SourceLineage } from '../data/sources/row-source.js'
import { count } from './figures.js'
import { html, type Markup } from './markup.js'

/** More files are counted. */
const MOST_SOURCES = 50

/** A table of sources; what is not known of one is a dash. */
export function sourceTable(sources: readonly SourceLineage[]): Markup {
  const shown = sources.slice(0, MOST_SOURCES)
  const left = sources.length - shown.length
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Sources of rows"><table>
<thead><tr><th scope="col">Source</th><th scope="col" class="number">Rows</th><th scope="col" class="number">Bytes</th><th scope="col">SHA-256</th></tr></thead>
<tbody>${shown.map(
    ({ location, rows, size, sha256 }) =>
      html`<tr><td><bdi>${location}</bdi></td><td class="number">${rows === undefined ? '–' : count(rows)}</td><td class="number">${size === undefined ? '–' : count(size)}</td><td><code>${sha256 ?? '–'}</code></td></tr>`,
  )}</tbody></table></div>${left > 0 && html`<p class="small muted">and ${count(left)} more</p>`}`
}
