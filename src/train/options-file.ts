/**
 * @file A configuration file with every option at its default, from the tables. What has no default stands behind a #,
 * as an example.
 */

import type { OptionEntry, OptionTable } from '../options/table.js'
import { yamlText } from '../yaml-text.js'

const HEAD = `# Every option of lowrank train, at its default; those without one stand behind a # as examples.
# Keys may also be written as in Python: num_train_epochs, lora_alpha.
`
/** Needed by the command line, not by a program. */
const WRITTEN = 'outputDir'

/** The text of such a file. @param options of a run */
export function everyOption(options: OptionTable): string {
  return `${HEAD}\n${linesOf(options, '').join('\n')}\n`
}

function linesOf(table: OptionTable, indent: string): string[] {
  return Object.entries(table).flatMap(([name, entry], index) => {
    if (entry.table) {
      const lines = linesOf(entry.table, `${indent}  `)
      // A section without a setting is no object.
      const isEmpty = lines.every((line) => line === '' || line.trimStart().startsWith('#'))
      return ['', `${indent}${isEmpty ? '# ' : ''}${name}: # ${entry.help}`, ...lines]
    }
    // No file can hold the others.
    if (!entry.rule.schema) return []
    const isWritten = entry.default !== undefined || entry.isRequired || name === WRITTEN
    const heading = entry.heading === undefined ? [] : [...(index === 0 ? [] : ['']), `${indent}# ${entry.heading}`]
    return [...heading, `${indent}${isWritten ? '' : '# '}${setting(name, entry)} # ${remark(entry)}`]
  })
}

function setting(name: string, entry: OptionEntry): string {
  // In one line, as it stands behind a #: what JSON writes is YAML.
  if (entry.default === undefined && typeof entry.example === 'object')
    return `${name}: ${JSON.stringify(entry.example).replace(/([:,])(?=[^ ])/g, '$1 ')}`
  const text = yamlText({ [name]: entry.default ?? entry.example ?? null }).trimEnd()
  // YAML 1.1, as Python reads it, takes 1e-8 for a text.
  return text.replace(/: (\d+)e/, ': $1.0e')
}

function remark({ help, otherwise, isRequired }: OptionEntry): string {
  if (isRequired) return `needed: ${help}`
  return otherwise === undefined ? help : `${help}; default: ${otherwise}`
}
