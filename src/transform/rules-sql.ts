/** @file A rule file as one SQL query, whose rows are those of `applyRules`. The same text is for DuckDB and Spark. */

import type { TextTemplate } from '../data/text-template.js'
import { jsonText } from '../lossless-json.js'
import { OptionError } from '../lowrank-error.js'
import { conditionSql } from './condition.js'
import {
  type JsonTemplate,
  type RuleEffect,
  type RuleFile,
  type Rules,
  type RuleValue,
  readRules,
} from './rule-file.js'
import { columnsOfEffect, neededColumns } from './rules.js'
import { sqlColumn, sqlConcat, sqlIsMissing, sqlJsonEscaped, sqlLiteral, sqlTable, sqlText } from './sql.js'

/**
 * The query that makes instructions of a table: the columns `instruction`, `context`, `response` and those to keep.
 * Columns of text give the same bytes as `applyRules`; numbers are written as the engine writes them.
 *
 * @param rules Path of the rule file, or what it holds.
 * @param table `main.default.loans`.
 * @throws OptionError for a rule file that names no columns of the context, and for names that SQL would have to quote
 */
export async function rulesSql(rules: string | RuleFile, table: string): Promise<string> {
  const read = await readRules(rules)
  const { instruction, skip, keep } = read
  // Each condition is worked out once, under a name of its own.
  const flags = read.rules.map((_, index) => `lowrank_rule_${index + 1}`)
  const effects: readonly SqlEffect[] = [
    ...read.rules.map((rule, index) => ({ ...rule, when: flags[index] as string })),
    { ...read.otherwise, when: `(NOT (${flags.join(' OR ')}))` },
  ]
  const lacking = [
    ...neededColumns(read).map((name) => sqlIsMissing(sqlColumn(name))),
    ...effects.flatMap((effect) =>
      columnsOfEffect(effect).map((name) => `(${effect.when} AND ${sqlIsMissing(sqlColumn(name))})`),
    ),
  ]
  const unwanted = [...skip.map(({ when }) => conditionSql(when)), ...lacking]
  return [
    'WITH judged AS (',
    `  SELECT *${read.rules.map(({ when }, index) => `,\n    ${conditionSql(when)} AS ${flags[index]}`).join('')}`,
    `  FROM ${sqlTable(table)}`,
    ')',
    'SELECT',
    `  ${templateSql(instruction)} AS instruction,`,
    `  ${contextSql(read)} AS context,`,
    `  ${responseSql(read, effects)} AS response${keep.map((name) => `,\n  ${sqlColumn(name)}`).join('')}`,
    'FROM judged',
    ...unwanted.map((condition, index) => `${index === 0 ? 'WHERE' : '  AND'} NOT ${condition}`),
    '',
  ].join('\n')
}

interface SqlEffect extends RuleEffect {
  readonly when: string
}

function templateSql(template: TextTemplate, textFor = (name: string): string => sqlText(sqlColumn(name))): string {
  return sqlConcat(template.map((part) => ('name' in part ? textFor(part.name) : sqlLiteral(part.text))))
}

function contextSql({ context: { heading, columns, exclude } }: Rules): string {
  if (columns === undefined)
    throw new OptionError(
      '[sql] expected context.columns in the rule file, got none; SQL needs the names of the columns',
    )
  const lines = columns
    .filter((name) => !exclude.has(name))
    .map((name) => {
      const column = sqlColumn(name)
      return `CASE WHEN NOT ${sqlIsMissing(column)} THEN ${sqlLiteral(`- ${name}: `)} || ${sqlText(column)} END`
    })
  const parts = [...(heading === '' ? [] : [sqlLiteral(heading)]), ...lines]
  return parts.length === 0 ? "''" : `concat_ws(chr(10), ${parts.join(', ')})`
}

function responseSql({ response, values }: Rules, effects: readonly SqlEffect[]): string {
  const textOf = (name: string): string => {
    const value = values.get(name)
    return value === undefined ? sqlText(sqlColumn(name)) : textValueSql(name, value, effects)
  }
  if (response.kind === 'text') return templateSql(response.template, textOf)
  const jsonSql = (template: JsonTemplate): readonly string[] => {
    switch (template.kind) {
      case 'constant':
        return [sqlLiteral(jsonText(template.value))]
      case 'text':
        return [sqlLiteral('"'), jsonTemplateSql(template.template, textOf), sqlLiteral('"')]
      case 'list':
        return [listSql(template.name, values, effects)]
      case 'items':
        return [sqlLiteral('['), ...between(template.items.map(jsonSql)), sqlLiteral(']')]
      case 'fields': {
        const fields = template.fields.map(([name, value]) => [sqlLiteral(`${jsonText(name)}: `), ...jsonSql(value)])
        return [sqlLiteral('{'), ...between(fields), sqlLiteral('}')]
      }
      default:
        return template satisfies never
    }
  }
  return sqlConcat(jsonSql(response))
}

function between(parts: readonly (readonly string[])[]): readonly string[] {
  return parts.flatMap((part, index) => (index === 0 ? part : [sqlLiteral(', '), ...part]))
}

/** A text as the inside of a JSON string: what the file says is escaped here, what rows say by the engine. */
function jsonTemplateSql(template: TextTemplate, textFor: (name: string) => string): string {
  return sqlConcat(
    template.map((part) =>
      'name' in part ? sqlJsonEscaped(textFor(part.name)) : sqlLiteral(jsonText(part.text).slice(1, -1)),
    ),
  )
}

function textValueSql(name: string, value: RuleValue, effects: readonly SqlEffect[]): string {
  if (value.kind === 'text' && value.isAddedTo) {
    const parts = [
      ...(value.initial === '' ? [] : [sqlLiteral(value.initial)]),
      ...addedSql(name, effects, templateSql),
    ]
    return `concat_ws(' ', ${parts.join(', ')})`
  }
  const cases = effects.toReversed().flatMap(({ set, when }) => {
    const template = set.get(name)
    return template === undefined ? [] : [`WHEN ${when} THEN ${templateSql(template)}`]
  })
  const initial = sqlLiteral(value.initial as string)
  return cases.length === 0 ? initial : `CASE ${cases.join(' ')} ELSE ${initial} END`
}

function listSql(name: string, values: Rules['values'], effects: readonly SqlEffect[]): string {
  const initial = (values.get(name)?.initial ?? []) as readonly string[]
  const items = [
    ...initial.map((text) => sqlLiteral(jsonText(text))),
    ...addedSql(
      name,
      effects,
      (template) =>
        `${sqlLiteral('"')} || ${jsonTemplateSql(template, (column) => sqlText(sqlColumn(column)))} || ${sqlLiteral('"')}`,
    ),
  ]
  return items.length === 0 ? sqlLiteral('[]') : `'[' || concat_ws(', ', ${items.join(', ')}) || ']'`
}

function addedSql(
  name: string,
  effects: readonly SqlEffect[],
  textOf: (template: TextTemplate) => string,
): readonly string[] {
  return effects.flatMap(({ add, when }) => {
    const template = add.get(name)
    return template === undefined ? [] : [`CASE WHEN ${when} THEN ${textOf(template)} END`]
  })
}
