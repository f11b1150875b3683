/** @file JSON Schema of a configuration file for `lowrank train`: what editors complete and check. */

import { existsSync } from 'node:fs'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { anything, boolean, type JsonSchema } from '../options/rules.js'
import { snakeCase } from '../options/spelling.js'
import { type OptionTable, schemaOf } from '../options/table.js'
import { UNSUPPORTED_OPTIONS } from './known-options.js'

/** Flags of TrainingArguments that say what `device` and `dtype` say here. */
const MACHINE_FLAGS = ['bf16', 'fp16', 'useCpu', 'noCuda'] as const

/**
 * Every option by every name under which a file may have it. Nothing is required, since flags may give what the file
 * leaves out.
 * @param options of a run
 */
export function configSchema(options: OptionTable): JsonSchema {
  const schema = schemaOf(options, spellings)
  const properties = schema.properties as Record<string, JsonSchema>
  const training = properties.training as JsonSchema
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Options of lowrank train',
    ...schema,
    properties: {
      ...properties,
      training: { ...training, properties: { ...foreign(), ...(training.properties as object) } },
    },
  }
}

/**
 * The comment by which the YAML extension of editors finds the schema; undefined where the package does not lie beside
 * this code, as in a bundle.
 * @param directory of the file that the comment is for
 */
export function schemaComment(directory: string): string | undefined {
  const schema = fileURLToPath(new URL('../train.schema.json', import.meta.url))
  const path = relative(directory, schema).replaceAll('\\', '/')
  // The extension reads up to the first blank.
  return /\s/.test(path) || !existsSync(schema) ? undefined : `# yaml-language-server: $schema=${path}`
}

/** Options of transformers and TRL that are accepted where they ask for what happens anyway. */
function foreign(): Record<string, JsonSchema> {
  const flags: OptionTable = Object.fromEntries(
    MACHINE_FLAGS.map((name) => [
      name,
      {
        rule: boolean,
        help: 'what device and dtype say, as transformers has it',
      },
    ]),
  )
  const others: OptionTable = Object.fromEntries(
    Object.entries(UNSUPPORTED_OPTIONS).map(([name, { same, remedy }]) => [
      name,
      {
        rule: { ...anything, schema: { enum: [null, ...same] } },
        help: `accepted with these values, which change nothing; else ${remedy}`,
      },
    ]),
  )
  return schemaOf({ ...flags, ...others }, spellings).properties as Record<string, JsonSchema>
}

/** The names beside its own by which an option may be written. */
function spellings(name: string, aliases: readonly string[] = []): readonly string[] {
  return [...new Set([snakeCase(name), ...aliases.flatMap((alias) => [alias, snakeCase(alias)])])]
}
