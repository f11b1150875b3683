/** @file JSON Schema of a file of tasks for `lowrank eval`: what editors complete and check. */

import type { JsonSchema } from '../options/rules.js'
import { snakeCase } from '../options/spelling.js'
import { type OptionTable, schemaOf } from '../options/table.js'
import { EVALUATE_MODELS_OPTIONS } from './evaluate.js'
import { TASK_TABLES } from './task-options.js'

/**
 * Every option by every name under which a file may have it. Flags may give what the file leaves out, but for tasks.
 */
export function evaluationSchema(): JsonSchema {
  const schema = schemaOf(EVALUATE_MODELS_OPTIONS as OptionTable, spellings)
  const properties = schema.properties as Record<string, JsonSchema>
  const tasks = Object.entries(TASK_TABLES).map(([type, table]) => {
    const { properties: options, ...task } = schemaOf(table as OptionTable, spellings) as {
      readonly properties: Readonly<Record<string, JsonSchema>>
    }
    const ofType = { ...options.type, enum: undefined, const: type }
    return { ...task, properties: { ...options, type: ofType }, required: ['type', 'dataset'] }
  })
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Tasks of lowrank eval',
    ...schema,
    properties: { ...properties, tasks: { ...properties.tasks, type: 'array', minItems: 1, items: { oneOf: tasks } } },
    required: ['tasks'],
  }
}

function spellings(name: string): readonly string[] {
  return [snakeCase(name)]
}
