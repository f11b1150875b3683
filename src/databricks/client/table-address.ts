/** @file Addresses of tables: `uc://catalog.schema.table`, a version where one is meant. Asks nobody. */

import { describeValue } from '../../errors.js'
import { OptionError } from '../../lowrank-error.js'
import { partsOf } from './sql.js'

/** A table of Unity Catalog. */
export interface TableName {
  readonly catalog: string
  readonly schema: string
  readonly table: string
}

/** A table and, where the address says one, the version of its rows. */
export interface TableAddress extends TableName {
  readonly version: number | undefined
}

const ADDRESS = /^(?:uc:\/\/)?([^?@]+?)(?:@v?(\d+))?(?:\?version=(\d+))?$/

/**
 * The parts of `uc://main.default.rows`, also without `uc://`, with `@v3` or `?version=3` behind it.
 * @throws OptionError for what is none
 */
export function parseTableAddress(address: string): TableAddress {
  const [, name, at, asked] = (typeof address === 'string' && ADDRESS.exec(address)) || []
  const version = at ?? asked
  const parts = name === undefined || (at !== undefined && asked !== undefined) ? [] : namesIn(name)
  const [catalog, schema, table] = parts
  if (parts.length !== 3 || catalog === undefined || schema === undefined || table === undefined)
    throw new OptionError(
      `[databricks] expected a table as uc://CATALOG.SCHEMA.TABLE, with @v3 or ?version=3 for a version, got ${describeValue(address)}`,
    )
  return { catalog, schema, table, version: version === undefined ? undefined : Number(version) }
}

/** `main.default.rows`, as people write it. */
export function fullName({ catalog, schema, table }: TableName): string {
  return [catalog, schema, table].join('.')
}

function namesIn(name: string): readonly string[] {
  try {
    return partsOf(name)
  } catch {
    return []
  }
}
