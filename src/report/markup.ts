/**
 * @file HTML as a template: every value that is put in is escaped, so that no text of a row, a name or a path becomes
 * markup. Only what `html` made goes in as it is.
 */

/** Text of a page that is markup already. */
export interface Markup {
  readonly markup: string
}

/** What a template takes: text and numbers are escaped, false and undefined are nothing. */
export type Content = Markup | string | number | false | undefined | readonly Content[]

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
  '`': '&#96;',
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: HTML has no place for them
const CONTROLS = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g

/** A text for HTML, in an element or in an attribute with quotes. */
export function escapeHtml(text: string): string {
  return visible(text).replace(/[&<>"'`]/g, (character) => ESCAPES[character] as string)
}

/** A text without what a page cannot hold: control characters get their picture, half characters a sign. */
function visible(text: string): string {
  return text
    .replace(/\r\n?/g, '\n')
    .replace(/\p{Surrogate}/gu, '\ufffd')
    .replace(CONTROLS, (character) => {
      const code = character.charCodeAt(0)
      return code < 0x20 ? String.fromCharCode(0x2400 + code) : code === 0x7f ? '\u2421' : '\ufffd'
    })
}

/** The tag of a template of HTML. */
export function html(parts: TemplateStringsArray, ...values: readonly Content[]): Markup {
  return { markup: parts.map((part, index) => (index === 0 ? part : markupOf(values[index - 1]) + part)).join('') }
}

/** Markup that a constant of this package is, such as a style sheet. Never what somebody gave. */
export function trusted(markup: string): Markup {
  return { markup }
}

/** A text of somebody inside a sentence: what turns the direction of writing ends with it. */
export function inline(text: string): Markup {
  return html`<bdi>${text}</bdi>`
}

function markupOf(content: Content): string {
  if (content === undefined || content === false) return ''
  if (typeof content === 'string') return escapeHtml(content)
  if (typeof content === 'number') return String(content)
  return 'markup' in content ? content.markup : content.map(markupOf).join('')
}
