/** @file Texts with placeholders: `{name}` is a value, `{{` and `}}` are braces. Knows no rules and no columns. */

import type { YamlNode } from './yaml-node.js'

/** A piece of a text, or the name of what stands in its place. */
export type TemplatePart = { readonly text: string } | { readonly name: string }

/** A text in pieces. */
export type TextTemplate = readonly TemplatePart[]

/** Reads a text with placeholders. */
export function readTemplate(node: YamlNode): TextTemplate {
  const source = node.text()
  const parts: TemplatePart[] = []
  let text = ''
  for (const [piece] of source.matchAll(/\{\{|\}\}|\{[^{}]*\}|[{}]|[^{}]+/g)) {
    if (piece === '{' || piece === '}')
      node.fail('placeholders such as {column}', 'write {{ and }} where braces are meant')
    if (piece === '{{' || piece === '}}') text += piece.charAt(0)
    else if (piece.startsWith('{')) {
      const name = piece.slice(1, -1).trim()
      if (name === '') node.fail('a name within { and }', 'write {{ and }} where braces are meant')
      if (text !== '') parts.push({ text })
      text = ''
      parts.push({ name })
    } else text += piece
  }
  if (text !== '') parts.push({ text })
  return parts
}

/** The names that stand in a text. */
export function namesIn(template: TextTemplate): readonly string[] {
  return template.flatMap((part) => ('name' in part ? [part.name] : []))
}

/** The text with what `textFor` gives in place of the names. */
export function fillTemplate(template: TextTemplate, textFor: (name: string) => string): string {
  return template.map((part) => ('name' in part ? textFor(part.name) : part.text)).join('')
}
