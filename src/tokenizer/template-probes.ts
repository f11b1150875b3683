/**
 * @file What a chat template does with what it is given, found out by rendering: whether it takes parts, and what it
 * drops.
 */

import type { ChatMessage, RenderOptions } from './chat-template.js'
import { childrenOf, type Expression, partsOf, type Statement } from './jinja/nodes.js'
import { isStatement } from './jinja/symbols.js'

type Render = (messages: readonly ChatMessage[], options: RenderOptions) => string

// Plain letters and digits: no template strips, splits or escapes them.
const PROBE = 'probe0text0q7'
// A template that prints the list shows the text in quotes.
const IN_QUOTES = new RegExp(`["']${PROBE}["']`)

/** What contents a template takes: text, lists of parts, or both. */
export type ContentForm = 'string' | 'parts' | 'either'

/** Shapes of conversations, one of which nearly every template accepts. */
const SHAPES: readonly (readonly string[])[] = [
  ['user'],
  ['system', 'user'],
  ['user', 'assistant'],
  ['user', 'assistant', 'user'],
]

/**
 * Whether a template looks into a list of parts (`'parts'`), or takes contents for text (`'string'`). A template that
 * does both counts as one for parts, since it says itself how they are put together.
 */
export function contentFormatOf(render: Render, statements: readonly Statement[]): 'string' | 'parts' {
  let accepted = false
  for (const roles of SHAPES) {
    for (const asParts of [true, false]) {
      const text = attempt(render, roles, asParts)
      if (text === undefined) continue
      accepted = true
      if (asParts && text.includes(PROBE) && !IN_QUOTES.test(text)) return 'parts'
    }
  }
  return !accepted && loopsOverContent(statements) ? 'parts' : 'string'
}

function attempt(render: Render, roles: readonly string[], asParts: boolean): string | undefined {
  return attemptWith(
    render,
    roles.map((role) => ({ role, content: asParts ? asPart(PROBE) : PROBE })),
  )
}

function attemptWith(render: Render, messages: readonly ChatMessage[]): string | undefined {
  try {
    return render(messages, {})
  } catch {
    return undefined
  }
}

function asPart(text: string): { type: string; text: string }[] {
  return [{ type: 'text', text }]
}

// Stands in the messages beside the one that is asked about.
const BESIDE = 'beside0text0q7'

/**
 * What a template prints of contents in messages of one role: those of a string, of a list of parts, or of either.
 * Undefined where it refuses every probe, or prints none.
 */
export function contentFormOfRole(render: Render, role: string): ContentForm | undefined {
  const known = SHAPES.filter((roles) => roles.includes(role))
  const shapes = known.length > 0 ? known : [[role], ['user', role], ['user', 'assistant', role]]
  const prints = (asParts: boolean): boolean =>
    shapes.some((roles) =>
      [false, true].some((besideAsParts) => {
        const messages = roles.map((name) => {
          if (name === role) return { role, content: asParts ? asPart(PROBE) : PROBE }
          return { role: name, content: besideAsParts ? asPart(BESIDE) : BESIDE }
        })
        const text = attemptWith(render, messages)
        return text?.includes(PROBE) === true && !(asParts && IN_QUOTES.test(text))
      }),
    )
  const asString = prints(false)
  if (prints(true)) return asString ? 'either' : 'parts'
  return asString ? 'string' : undefined
}

/** Whether the source has a loop over contents: asked of templates that refuse every probe. */
function loopsOverContent(statements: readonly Statement[]): boolean {
  const names = new Set<string>()
  const isContent = (node: Expression): boolean => {
    if (node.kind === 'attribute') return node.name === 'content'
    if (node.kind === 'item') return node.key.kind === 'const' && node.key.value === 'content'
    return node.kind === 'name' && names.has(node.name)
  }
  const visit = (node: Statement | Expression): boolean => {
    if (node.kind === 'assign' && node.target.kind === 'name' && isContent(node.value)) names.add(node.target.name)
    if (node.kind === 'for' && isContent(node.items)) return true
    for (const part of isStatement(node) ? partsOf(node) : childrenOf(node)) if (visit(part)) return true
    return false
  }
  return statements.some(visit)
}
