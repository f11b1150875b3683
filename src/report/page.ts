/**
 * @file A page that needs nothing but itself: style and script stand in it, and its Content-Security-Policy forbids
 * everything else, the network first of all.
 */

import { createHash } from 'node:crypto'
import { packageVersion } from '../version.js'
import { html, type Markup, trusted } from './markup.js'
import { PAGE_SCRIPT } from './page-script.js'
import { STYLES } from './styles.js'

/** A part of a page with a heading. */
export interface Section {
  /** What its address in the page is. Letters, digits and hyphens alone. */
  readonly id: string
  readonly title: string
  readonly body: Markup
}

/** What stands on a page. */
export interface Page {
  readonly title: string
  /** Below the title. */
  readonly lead: Markup
  readonly sections: readonly Section[]
  /** Seconds after which the page reads its file again. Absent: never. */
  readonly refreshSeconds?: number | undefined
}

const sourceOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`

/** Style and script are allowed by their hashes: nothing that came in with a row could run. */
const POLICY = [
  "default-src 'none'",
  `style-src ${sourceOf(STYLES)}`,
  `script-src ${sourceOf(PAGE_SCRIPT)}`,
  "base-uri 'none'",
  "form-action 'none'",
].join('; ')

/** The text of an HTML file. */
export function pageText({ title, lead, sections, refreshSeconds }: Page): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${trusted(POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="generator" content="lowrank ${packageVersion() ?? ''}">
${refreshSeconds !== undefined && html`<meta http-equiv="refresh" content="${refreshSeconds}">`}
<title>${title}</title>
<style>${trusted(STYLES)}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header>
<h1 dir="auto">${title}</h1>
${lead}
<nav aria-label="Sections"><ul>${sections.map(({ id, title: name }) => html`<li><a href="#${id}">${name}</a></li>`)}</ul></nav>
</header>
<main id="content">
${sections.map(
  ({ id, title: name, body }) =>
    html`<section aria-labelledby="${id}"><h2 id="${id}" dir="auto">${name}</h2>
${body}
</section>
`,
)}</main>
<footer>Written by lowrank ${packageVersion() ?? ''}. This file needs no network and sends nothing.</footer>
<script>${trusted(PAGE_SCRIPT)}</script>
</body>
</html>
`.markup
}
