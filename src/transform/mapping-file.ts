/**
 * @file What a mapping file says: the columns of one schema, and for each source how its columns become them. Reads and
 * checks the file; unify.ts applies it and unify-sql.ts says it in SQL.
 */

import { dirname, isAbsolute, join } from 'node:path'
import { readTemplate, type TextTemplate } from '../data/text-template.js'
import { YamlNode } from '../data/yaml-node.js'
import { type Condition, readCondition } from './condition.js'

/** A mapping file as a program may give it: the same mapping as in YAML. */
export type MappingFile = Readonly<Record<string, unknown>>

const TYPES = ['text', 'number', 'integer', 'boolean'] as const
/** What a column is made into. */
export type ColumnType = (typeof TYPES)[number]

/** Where a column of the result comes from. */
export type ColumnSource =
  | { readonly kind: 'column'; readonly column: string; readonly type: ColumnType | undefined }
  | { readonly kind: 'text'; readonly template: TextTemplate }
  | { readonly kind: 'constant'; readonly value: string | number | boolean }

/** One source of rows. */
export interface MappedSource {
  readonly name: string
  /** Paths and globs; undefined where a program gives the rows. */
  readonly paths: readonly string[] | undefined
  /** Column that tells the rows of the source apart; undefined: their place does. */
  readonly key: string | undefined
  readonly where: Condition | undefined
  /** By each column of the result that the source has. */
  readonly columns: ReadonlyMap<string, ColumnSource>
}

export interface Mapping {
  /** Columns of the result in their order; whether a row may lack them. */
  readonly columns: ReadonlyMap<string, { readonly isOptional: boolean }>
  /** Columns that say where a row comes from. */
  readonly provenance: { readonly source: string; readonly row: string }
  readonly sources: readonly MappedSource[]
}

/**
 * Reads and checks a mapping file.
 * @throws OptionError naming field, file and line of what is wrong
 */
export async function readMapping(given: string | MappingFile): Promise<Mapping> {
  const root = await YamlNode.read(given, 'unify')
  const fields = root.fields(['columns', 'optional', 'provenance', 'sources'])
  const required = fields.columns.items().map((node) => [node.name(), { isOptional: false }] as const)
  const optional = fields.optional.items().map((node) => [node.name(), { isOptional: true }] as const)
  if (required.length === 0) fields.columns.fail('a list of columns')
  const columns: Mapping['columns'] = new Map<string, { readonly isOptional: boolean }>([...required, ...optional])
  const provenance = readProvenance(fields.provenance)
  for (const name of Object.values(provenance))
    if (columns.has(name)) fields.columns.fail(`columns other than ${name}, which says where a row comes from`)
  const names = new Set<string>()
  const sources = fields.sources.items().map((node) => readSource(node, columns, names, given))
  if (sources.length === 0) fields.sources.fail('a list of sources')
  return { columns, provenance, sources }
}

function readProvenance(node: YamlNode): Mapping['provenance'] {
  if (node.isAbsent) return { source: 'source', row: 'source_row' }
  const { source, row } = node.fields(['source', 'row'])
  return { source: source.name(), row: row.name() }
}

function readSource(
  node: YamlNode,
  columns: Mapping['columns'],
  names: Set<string>,
  file: string | MappingFile,
): MappedSource {
  const fields = node.fields(['name', 'path', 'key', 'where', 'columns'])
  const name = fields.name.name()
  if (names.has(name)) fields.name.fail('a name that no other source has')
  names.add(name)
  const mapped = new Map(
    fields.columns.entries().map(([column, source]) => {
      if (!columns.has(column)) source.fail(`one of the columns ${[...columns.keys()].join(', ')}`)
      return [column, readColumn(source)] as const
    }),
  )
  const missing = [...columns].find(([column, { isOptional }]) => !isOptional && !mapped.has(column))
  if (missing !== undefined) fields.columns.fail(`the column ${missing[0]} too`, 'map it, or list it under optional')
  return {
    name,
    paths: readPaths(fields.path, file),
    key: fields.key.isAbsent ? undefined : fields.key.name(),
    where: fields.where.isAbsent ? undefined : readCondition(fields.where),
    columns: mapped,
  }
}

/** Paths are as seen from the mapping file, so that it works from any directory. Addresses stay as they are. */
function readPaths(node: YamlNode, file: string | MappingFile): readonly string[] | undefined {
  if (node.isAbsent) return undefined
  const paths = Array.isArray(node.value) ? node.items().map((item) => item.name()) : [node.name()]
  if (typeof file !== 'string') return paths
  return paths.map((path) => (isAbsolute(path) || path.includes('://') ? path : join(dirname(file), path)))
}

function readColumn(node: YamlNode): ColumnSource {
  const { value } = node
  if (typeof value === 'string') return { kind: 'column', column: node.name(), type: undefined }
  const { column, type, text, constant } = node.fields(['column', 'type', 'text', 'constant'])
  const given = [column, text, constant].filter((field) => !field.isAbsent)
  if (given.length !== 1) node.fail('one of column, text and constant')
  if (!text.isAbsent) return { kind: 'text', template: readTemplate(text) }
  if (!constant.isAbsent) {
    const fixed = constant.value
    if (typeof fixed === 'string' || typeof fixed === 'boolean') return { kind: 'constant', value: fixed }
    return { kind: 'constant', value: constant.number() }
  }
  const wanted = type.isAbsent ? undefined : TYPES.find((name) => name === type.value)
  if (wanted === undefined && !type.isAbsent) type.fail(TYPES.join(', '))
  return { kind: 'column', column: column.name(), type: wanted }
}
