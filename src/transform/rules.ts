/**
 * @file Instructions by heuristic rules: each row of a table becomes instruction, context and response, by a file that
 * says which conditions change what. The same rows and rules give the same bytes.
 */

import type { DataSource } from '../data/sources/open-source.js'
import { fillTemplate, namesIn, type TextTemplate } from '../data/text-template.js'
import { jsonText } from '../lossless-json.js'
import { instance } from '../options/rules.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { isPlainObject } from '../values.js'
import { holds } from './condition.js'
import { type Columns, presentValue, readInput, textOfValue } from './input.js'
import { DATASET, OUTPUT, TRANSFORM_OPTIONS, type TransformOptions } from './options.js'
import { writeRowsAtomic } from './output.js'
import { type JsonTemplate, namesInJson, type RuleEffect, type RuleFile, type Rules, readRules } from './rule-file.js'

/** What `applyRules` takes. */
export interface ApplyRulesOptions extends TransformOptions {
  /** Rows: a path, a glob, or anything that training takes as `dataset`. */
  dataset: DataSource
  /** Path of the rule file, or what it holds. */
  rules: string | RuleFile
  /** Path of the file of instructions, whose ending names its format; with a `/` at its end, a Delta table. */
  output: string
}

/** The options of `applyRules`. */
export const APPLY_RULES_OPTIONS = {
  dataset: DATASET,
  rules: {
    rule: instance('the path of a rule file', (value) => typeof value === 'string' || isPlainObject(value)),
    isRequired: true,
    help: 'YAML file of rules',
  },
  output: OUTPUT,
  ...TRANSFORM_OPTIONS,
} as const satisfies OptionTable<ApplyRulesOptions>

/** What became of the rows: `read` is `written` and all of `skipped` together. */
export interface RulesReport {
  readonly output: string
  readonly read: number
  readonly written: number
  /** Rows that were left out, by reason: a name under `skip`, or `no value for COLUMN`. */
  readonly skipped: Readonly<Record<string, number>>
  /** Rows that were written, by each rule that held for them. A row may be among several. */
  readonly matched: Readonly<Record<string, number>>
  /** Rows that were written for which no rule held. */
  readonly unmatched: number
  /** Cells that were compared with a number and are none, by column. Such a comparison does not hold. */
  readonly notNumbers: Readonly<Record<string, number>>
}

/**
 * Makes instructions of the rows of a table.
 *
 * @throws OptionError naming field, file and line of a rule file that is wrong
 * @throws DataError naming the row that cannot be read
 */
export async function applyRules(options: ApplyRulesOptions): Promise<RulesReport> {
  const { dataset, rules: given, output, ...reading } = readOptions('rules', options, APPLY_RULES_OPTIONS)
  const rules = await readRules(given)
  const maker = new InstructionMaker(rules)
  return await writeRowsAtomic(
    [output],
    async (write) => {
      for await (const { columns } of readInput(dataset, { ...reading, outputs: [output] })) {
        const row = maker.make(columns)
        if (row !== undefined) await write(0, row)
      }
      return { output, ...maker.counts }
    },
    reading,
  )
}

/** Makes the rows and counts them. */
class InstructionMaker {
  readonly #rules: Rules
  /** Columns without which no row can be made, whatever rules hold. */
  readonly #needed: readonly string[]
  #read = 0
  #written = 0
  #unmatched = 0
  readonly #skipped: Map<string, number>
  readonly #matched: Map<string, number>
  readonly #notNumbers = new Map<string, number>()

  constructor(rules: Rules) {
    this.#rules = rules
    this.#needed = neededColumns(rules)
    this.#skipped = new Map(rules.skip.map(({ name }) => [name, 0]))
    this.#matched = new Map(rules.rules.map(({ name }) => [name, 0]))
  }

  get counts(): Omit<RulesReport, 'output'> {
    return {
      read: this.#read,
      written: this.#written,
      skipped: Object.fromEntries(this.#skipped),
      matched: Object.fromEntries(this.#matched),
      unmatched: this.#unmatched,
      notNumbers: Object.fromEntries(this.#notNumbers),
    }
  }

  /** The instruction of a row, or undefined where it is left out. */
  make(columns: Columns): ReadonlyMap<string, unknown> | undefined {
    this.#read++
    const onNoNumber = (column: string): void => count(this.#notNumbers, column)
    const { skip, rules, otherwise, values, keep } = this.#rules
    const unwanted = skip.find(({ when }) => holds(when, columns, onNoNumber))
    if (unwanted !== undefined) return this.#leaveOut(unwanted.name)
    const held = rules.filter(({ when }) => holds(when, columns, onNoNumber))
    const effects: readonly RuleEffect[] = held.length > 0 ? held : [otherwise]
    const needed = [...this.#needed, ...effects.flatMap(columnsOfEffect)]
    const lacking = needed.find((name) => presentValue(columns, name) === undefined)
    if (lacking !== undefined) return this.#leaveOut(`no value for ${lacking}`)
    for (const { name } of held) count(this.#matched, name)
    if (held.length === 0) this.#unmatched++
    this.#written++
    const textFor = (name: string): string => textOfValue(presentValue(columns, name))
    const state = new Map<string, string | readonly string[]>(
      [...values].map(([name, { initial }]) => [name, initial] as const),
    )
    for (const { set, add } of effects) {
      for (const [name, template] of set) state.set(name, fillTemplate(template, textFor))
      for (const [name, template] of add) state.set(name, added(state.get(name), fillTemplate(template, textFor)))
    }
    const stateOrColumn = (name: string): string => (state.get(name) as string | undefined) ?? textFor(name)
    return new Map<string, unknown>([
      ['instruction', fillTemplate(this.#rules.instruction, textFor)],
      ['context', this.#contextOf(columns)],
      ['response', responseOf(this.#rules.response, stateOrColumn, state)],
      ...keep.map((name) => [name, columns.get(name) ?? null] as const),
    ])
  }

  #leaveOut(reason: string): undefined {
    count(this.#skipped, reason)
  }

  #contextOf(columns: Columns): string {
    const { heading, columns: names = [...columns.keys()], exclude } = this.#rules.context
    const lines = names.flatMap((name) => {
      const value = exclude.has(name) ? undefined : presentValue(columns, name)
      return value === undefined ? [] : [`- ${name}: ${textOfValue(value)}`]
    })
    return [...(heading === '' ? [] : [heading]), ...lines].join('\n')
  }
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}

function added(value: string | readonly string[] | undefined, text: string): string | readonly string[] {
  if (Array.isArray(value)) return [...value, text]
  return value === undefined || value === '' ? text : `${value as string} ${text}`
}

/** Columns that stand in the texts of every row. */
export function neededColumns({ instruction, response, values }: Rules): readonly string[] {
  return [...new Set([...namesIn(instruction), ...namesInJson(response)])].filter((name) => !values.has(name))
}

/** Columns that stand in the texts of an effect. */
export function columnsOfEffect({ set, add }: RuleEffect): readonly string[] {
  const templates: readonly TextTemplate[] = [...set.values(), ...add.values()]
  return [...new Set(templates.flatMap(namesIn))]
}

type State = ReadonlyMap<string, string | readonly string[]>

function responseOf(response: JsonTemplate, textFor: (name: string) => string, state: State): string {
  const value = jsonValue(response, textFor, state)
  return response.kind === 'text' ? (value as string) : jsonText(value)
}

function jsonValue(template: JsonTemplate, textFor: (name: string) => string, state: State): unknown {
  switch (template.kind) {
    case 'text':
      return fillTemplate(template.template, textFor)
    case 'list':
      return state.get(template.name)
    case 'constant':
      return template.value
    case 'items':
      return template.items.map((item) => jsonValue(item, textFor, state))
    case 'fields':
      return new Map(template.fields.map(([name, value]) => [name, jsonValue(value, textFor, state)]))
    default:
      return template satisfies never
  }
}
