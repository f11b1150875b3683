/** @file The chat templates of a tokenizer by name, and which tools and thoughts they write. */

import type { Templates } from '../tokenizer/template-files.js'

/** A template and its name; one alone is `default`. */
interface NamedTemplate {
  readonly name: string
  readonly source: string
}

export function templatesByName(templates: Templates | undefined): NamedTemplate[] {
  if (templates === undefined) return []
  if (typeof templates === 'string') return [{ name: 'default', source: templates }]
  return Object.entries(templates).map(([name, source]) => ({ name, source }))
}

/** Whether a template writes descriptions of tools. */
export function writesTools({ source }: NamedTemplate): boolean {
  return /\btools\b/.test(source)
}
