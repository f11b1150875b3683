/**
 * @file What a rule file says: conditions on columns, what they change, and the texts that are made of it. Reads and
 * checks the file; rules.ts applies it and rules-sql.ts says it in SQL.
 */

import { namesIn, readTemplate, type TextTemplate } from '../data/text-template.js'
import { YamlNode } from '../data/yaml-node.js'
import { type Condition, readCondition } from './condition.js'

/** A rule file as a program may give it: the same mapping as in YAML. */
export type RuleFile = Readonly<Record<string, unknown>>

/** What a rule does where its condition holds. */
export interface RuleEffect {
  /** Replaces values; the last rule that holds wins. */
  readonly set: ReadonlyMap<string, TextTemplate>
  /** Appends to values. */
  readonly add: ReadonlyMap<string, TextTemplate>
}

export interface Rule extends RuleEffect {
  readonly name: string
  readonly when: Condition
}

/** A value that rules change. Texts are joined by a blank where rules add to them. */
export type RuleValue =
  | { readonly kind: 'text'; readonly initial: string; readonly isAddedTo: boolean }
  | { readonly kind: 'list'; readonly initial: readonly string[] }

/** JSON whose texts have placeholders. A text that is one placeholder of a list is that list. */
export type JsonTemplate =
  | { readonly kind: 'text'; readonly template: TextTemplate }
  | { readonly kind: 'list'; readonly name: string }
  | { readonly kind: 'constant'; readonly value: number | boolean | null }
  | { readonly kind: 'items'; readonly items: readonly JsonTemplate[] }
  | { readonly kind: 'fields'; readonly fields: readonly (readonly [name: string, value: JsonTemplate])[] }

export interface Rules {
  readonly instruction: TextTemplate
  readonly context: {
    readonly heading: string
    /** Undefined: all columns of a row. */
    readonly columns: readonly string[] | undefined
    readonly exclude: ReadonlySet<string>
  }
  readonly response: JsonTemplate
  readonly values: ReadonlyMap<string, RuleValue>
  readonly skip: readonly { readonly name: string; readonly when: Condition }[]
  readonly rules: readonly Rule[]
  readonly otherwise: RuleEffect
  /** Columns that go along unchanged. */
  readonly keep: readonly string[]
}

const FIELDS = ['instruction', 'context', 'values', 'skip', 'rules', 'otherwise', 'response', 'keep'] as const

/** The columns that every row of the result has. */
const RESULT_COLUMNS = ['instruction', 'context', 'response'] as const

/**
 * Reads and checks a rule file.
 * @throws OptionError naming field, file and line of what is wrong
 */
export async function readRules(given: string | RuleFile): Promise<Rules> {
  const root = await YamlNode.read(given, 'rules')
  const fields = root.fields(FIELDS)
  const rules = fields.rules.items()
  if (rules.length === 0) fields.rules.fail('a list of rules')
  const isAddedTo = addedNames([...rules, fields.otherwise])
  const values = new Map(fields.values.entries().map(([name, node]) => [name, readValue(node, isAddedTo.has(name))]))
  const names = new Set<string>()
  const context = fields.context.isAbsent ? undefined : fields.context.fields(['heading', 'columns', 'exclude'])
  return {
    instruction: readText(fields.instruction, values),
    context: {
      heading: context === undefined || context.heading.isAbsent ? '' : context.heading.text(),
      columns: context === undefined || context.columns.isAbsent ? undefined : namesOf(context.columns),
      exclude: new Set(context === undefined ? [] : namesOf(context.exclude)),
    },
    response: readResponse(fields.response, values),
    values,
    skip: fields.skip.items().map((node) => {
      const { name, when } = node.fields(['name', 'when'])
      return { name: uniqueName(name, names), when: readCondition(when) }
    }),
    rules: rules.map((node) => {
      const { name, when, set, add } = node.fields(['name', 'when', 'set', 'add'])
      return { name: uniqueName(name, names), when: readCondition(when), ...readEffect(set, add, values) }
    }),
    otherwise: readOtherwise(fields.otherwise, values),
    keep: fields.keep.items().map((node) => {
      const name = node.name()
      return (RESULT_COLUMNS as readonly string[]).includes(name) ? node.fail('another name than the result has') : name
    }),
  }
}

type Values = ReadonlyMap<string, RuleValue>

function addedNames(nodes: readonly YamlNode[]): ReadonlySet<string> {
  return new Set(
    nodes.flatMap((node) => {
      const add = node.isAbsent ? [] : node.entries().filter(([name]) => name === 'add')
      return add.flatMap(([, added]) => added.entries().map(([name]) => name))
    }),
  )
}

function readValue(node: YamlNode, isAddedTo: boolean): RuleValue {
  if (Array.isArray(node.value)) return { kind: 'list', initial: node.items().map((item) => item.text()) }
  return { kind: 'text', initial: node.text(), isAddedTo }
}

function namesOf(node: YamlNode): string[] {
  return node.items().map((item) => item.name())
}

function uniqueName(node: YamlNode, names: Set<string>): string {
  const name = node.name()
  if (names.has(name)) node.fail('a name that no other rule has')
  names.add(name)
  return name
}

function readOtherwise(node: YamlNode, values: Values): RuleEffect {
  if (node.isAbsent) return { set: new Map(), add: new Map() }
  const { set, add } = node.fields(['set', 'add'])
  return readEffect(set, add, values)
}

function readEffect(set: YamlNode, add: YamlNode, values: Values): RuleEffect {
  return {
    set: new Map(
      set.entries().map(([name, node]) => {
        const value = declared(name, node, values)
        if (value.kind === 'list') node.fail('a text, not a list, to set', `write it under add`)
        if (value.kind === 'text' && value.isAddedTo) node.fail('a value that no rule adds to', 'set it or add to it')
        return [name, readText(node, values)] as const
      }),
    ),
    add: new Map(
      add.entries().map(([name, node]) => {
        declared(name, node, values)
        return [name, readText(node, values)] as const
      }),
    ),
  }
}

function declared(name: string, node: YamlNode, values: Values): RuleValue {
  return values.get(name) ?? node.fail(`one of the values ${[...values.keys()].join(', ') || '(there are none)'}`)
}

/** A text whose placeholders are columns. */
function readText(node: YamlNode, values: Values): TextTemplate {
  const template = readTemplate(node)
  const value = namesIn(template).find((name) => values.has(name))
  if (value !== undefined) node.fail('placeholders of columns', `{${value}} is a value: only the response has those`)
  return template
}

function readResponse(node: YamlNode, values: Values): JsonTemplate {
  if (!(typeof node.value === 'object' && node.value !== null))
    return { kind: 'text', template: plainText(node, values) }
  const { json } = node.fields(['json'])
  return json.isAbsent ? json.fail('the JSON of the response') : readJson(json, values)
}

function plainText(node: YamlNode, values: Values): TextTemplate {
  const template = readTemplate(node)
  const list = namesIn(template).find((name) => values.get(name)?.kind === 'list')
  return list === undefined
    ? template
    : node.fail(`no list within a text`, `{${list}} is a list: it stands alone, in json`)
}

function readJson(node: YamlNode, values: Values): JsonTemplate {
  const { value } = node
  if (value === null || typeof value === 'boolean') return { kind: 'constant', value }
  if (typeof value === 'number') return { kind: 'constant', value: node.number() }
  if (typeof value !== 'string') {
    if (Array.isArray(value)) return { kind: 'items', items: node.items().map((item) => readJson(item, values)) }
    return { kind: 'fields', fields: node.entries().map(([name, field]) => [name, readJson(field, values)] as const) }
  }
  const [part, ...more] = readTemplate(node)
  if (part && 'name' in part && more.length === 0 && values.get(part.name)?.kind === 'list')
    return { kind: 'list', name: part.name }
  return { kind: 'text', template: plainText(node, values) }
}

/** The placeholders of a response. */
export function namesInJson(template: JsonTemplate): readonly string[] {
  switch (template.kind) {
    case 'text':
      return namesIn(template.template)
    case 'list':
      return [template.name]
    case 'items':
      return template.items.flatMap(namesInJson)
    case 'fields':
      return template.fields.flatMap(([, value]) => namesInJson(value))
    case 'constant':
      return []
    default:
      return template satisfies never
  }
}
