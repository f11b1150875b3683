/** @file How the columns of the Parquet files of a Delta table get the names that the table has for them. */

import { type FileMetaData, parquetSchema, type SchemaTree } from 'hyparquet'
import type { DeltaField, DeltaType } from './delta-fields.js'

/** How the columns of a file are found: by name, or by the number that Parquet has of a field. */
export type MappingMode = 'none' | 'name' | 'id'

/** Gives the columns of a file, and the fields in them, the names of the table. */
export function renameColumns(metadata: FileMetaData, fields: readonly DeltaField[], mode: MappingMode): void {
  const paths = new Map<string, string[]>()
  renameFields(parquetSchema(metadata).children, fields, mode, [], [], paths)
  for (const { columns } of metadata.row_groups) {
    for (const { meta_data: meta } of columns) {
      const renamed = meta && paths.get(meta.path_in_schema.join('\0'))
      if (meta && renamed) meta.path_in_schema = renamed
    }
  }
}

function renameFields(
  nodes: readonly SchemaTree[],
  fields: readonly DeltaField[],
  mode: MappingMode,
  from: readonly string[],
  to: readonly string[],
  paths: Map<string, string[]>,
): void {
  for (const node of nodes) {
    const { element } = node
    const field = fields.find(({ id, name, physicalName }) =>
      mode === 'id' ? id === element.field_id : element.name === inFile(mode === 'name' ? physicalName : name),
    )
    const before = [...from, element.name]
    // A column that was dropped may be called as another is now.
    if (field !== undefined) element.name = field.name
    else if (mode !== 'none') element.name = `\0${element.name}`
    renameWithin(node, field?.type, mode, before, [...to, element.name], paths)
  }
}

/** A name as hyparquet has it, which takes a byte order mark at its beginning away. */
function inFile(name: string): string {
  return name.replace(/^\ufeff/, '')
}

function renameWithin(
  node: SchemaTree,
  type: DeltaType | undefined,
  mode: MappingMode,
  from: readonly string[],
  to: readonly string[],
  paths: Map<string, string[]>,
): void {
  const { children } = node
  if (children.length === 0) {
    paths.set(from.join('\0'), [...to])
    return
  }
  if (typeof type === 'object' && type.type === 'struct') {
    renameFields(children, type.fields, mode, from, to, paths)
    return
  }
  // The groups of lists and maps keep their names; their elements, keys and values hold fields.
  const isMap = typeof type === 'object' && type.type === 'map'
  for (const [index, child] of children.entries()) {
    const { name } = child.element
    const isGroup = child.element.repetition_type === 'REPEATED' && child.children.length > 0
    const inner = isMap && !isGroup ? (index === 0 ? type.key : type.value) : type
    const element = typeof inner === 'object' && inner.type === 'array' && !isGroup ? inner.element : inner
    renameWithin(child, element, mode, [...from, name], [...to, name], paths)
  }
}
