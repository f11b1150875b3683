/**
 * @file Catalogs, schemas, volumes and tables of Unity Catalog (https://docs.databricks.com/api/workspace/tables), as
 * the open server of Unity Catalog has them too. Lists come page by page.
 */

import { describeValue } from '../../errors.js'
import { ServiceError } from '../../http/service-error.js'
import { OptionError } from '../../lowrank-error.js'
import { SIGNAL } from '../../options/shared.js'
import { type OptionTable, readOptions } from '../../options/table.js'
import { type DatabricksClient, type DatabricksOptions, openDatabricks } from './connect.js'
import { isMissing } from './errors.js'
import { WAREHOUSE_OPTIONS } from './statement-options.js'
import { fullName, parseTableAddress } from './table-address.js'

/** What all calls of Unity Catalog take. */
export interface CatalogOptions {
  /**
   * A workspace: how to connect to it, or a client that is connected.
   * @default the environment and ~/.databrickscfg
   */
  databricks?: DatabricksOptions | DatabricksClient
  /**
   * Ends the work with its reason.
   * @default none
   */
  signal?: AbortSignal
}

/** What is made anew. */
export interface CreateOptions extends CatalogOptions {
  /**
   * What people read about it.
   * @default none
   */
  comment?: string
}

/** A catalog. */
export interface CatalogInfo {
  readonly name: string
  readonly comment?: string
  readonly owner?: string
}

/** A schema of a catalog. */
export interface SchemaInfo {
  readonly name: string
  readonly catalog_name: string
  readonly full_name: string
  readonly comment?: string
}

/** A volume of a schema: `/Volumes/catalog/schema/name`. */
export interface VolumeInfo {
  readonly name: string
  readonly catalog_name: string
  readonly schema_name: string
  readonly full_name: string
  readonly volume_type: 'MANAGED' | 'EXTERNAL'
  readonly comment?: string
}

/** A column of a table. */
export interface TableColumn {
  readonly name: string
  readonly type_text: string
  readonly type_name: string
  readonly nullable?: boolean
  readonly comment?: string
}

/** A table, a view or a materialized view. */
export interface TableInfo {
  readonly name: string
  readonly catalog_name: string
  readonly schema_name: string
  readonly full_name?: string
  /** `MANAGED`, `EXTERNAL`, `VIEW`, ... */
  readonly table_type: string
  /** `DELTA`, `PARQUET`, ...; absent for views. */
  readonly data_source_format?: string
  readonly columns?: readonly TableColumn[]
  readonly comment?: string
  readonly properties?: Readonly<Record<string, string>>
  readonly table_id?: string
}

export const CATALOG_OPTIONS = {
  databricks: WAREHOUSE_OPTIONS.databricks,
  signal: SIGNAL,
} as const satisfies OptionTable<CatalogOptions>
export const CREATE_OPTIONS = {
  comment: {
    rule: { expected: 'text', accepts: (value: unknown) => typeof value === 'string' },
    otherwise: 'none',
    help: 'what people read about it',
  },
  ...CATALOG_OPTIONS,
} as const satisfies OptionTable<CreateOptions>
const ROOT = '/api/2.1/unity-catalog'
const PAGE = 100

type Kind = 'catalogs' | 'schemas' | 'volumes' | 'tables'

/** All catalogs that the credentials may see. @throws ServiceError */
export function listCatalogs(options: CatalogOptions = {}): AsyncGenerator<CatalogInfo> {
  return list('catalogs', {}, 'the catalogs', options)
}

/** All schemas of a catalog. @throws ServiceError */
export function listSchemas(catalog: string, options: CatalogOptions = {}): AsyncGenerator<SchemaInfo> {
  return list('schemas', { catalog_name: catalog }, `the schemas of ${catalog}`, options)
}

/** All volumes of a schema, which is named as `catalog.schema`. @throws ServiceError */
export function listVolumes(schema: string, options: CatalogOptions = {}): AsyncGenerator<VolumeInfo> {
  return list('volumes', within(schema), `the volumes of ${schema}`, options)
}

/** All tables and views of a schema, which is named as `catalog.schema`, without their columns. @throws ServiceError */
export function listTables(schema: string, options: CatalogOptions = {}): AsyncGenerator<TableInfo> {
  const query = { ...within(schema), omit_columns: true, omit_properties: true }
  return list('tables', query, `the tables of ${schema}`, options)
}

/** A catalog. @throws ServiceError where it is not there */
export function getCatalog(name: string, options: CatalogOptions = {}): Promise<CatalogInfo> {
  return get('catalogs', name, options)
}

/** A schema by `catalog.schema`. @throws ServiceError where it is not there */
export function getSchema(name: string, options: CatalogOptions = {}): Promise<SchemaInfo> {
  return get('schemas', name, options)
}

/** A volume by `catalog.schema.volume`. @throws ServiceError where it is not there */
export function getVolume(name: string, options: CatalogOptions = {}): Promise<VolumeInfo> {
  return get('volumes', name, options)
}

/** A table or view by `catalog.schema.table`, with its columns. @throws ServiceError where it is not there */
export function getTable(name: string, options: CatalogOptions = {}): Promise<TableInfo> {
  return get('tables', fullName(parseTableAddress(name)), options)
}

/** Makes a catalog. @throws ServiceError where it is there already */
export function createCatalog(name: string, options: CreateOptions = {}): Promise<CatalogInfo> {
  return create('catalogs', name, { name }, options)
}

/** Makes a schema, which is named as `catalog.schema`. @throws ServiceError where it is there already */
export function createSchema(name: string, options: CreateOptions = {}): Promise<SchemaInfo> {
  const { catalog_name, schema_name } = within(name)
  return create('schemas', name, { name: schema_name, catalog_name }, options)
}

/** Makes a managed volume, which is named as `catalog.schema.volume`. @throws ServiceError where it is there already */
export function createVolume(name: string, options: CreateOptions = {}): Promise<VolumeInfo> {
  const { catalog, schema, table } = parseTableAddress(name)
  const volume = { name: table, catalog_name: catalog, schema_name: schema, volume_type: 'MANAGED' }
  return create('volumes', name, volume, options)
}

/** Deletes a catalog. @throws ServiceError where it is not empty @returns whether it was there */
export function deleteCatalog(name: string, options: CatalogOptions = {}): Promise<boolean> {
  return remove('catalogs', name, options)
}

/** Deletes a schema. @throws ServiceError where it is not empty @returns whether it was there */
export function deleteSchema(name: string, options: CatalogOptions = {}): Promise<boolean> {
  return remove('schemas', name, options)
}

/** Deletes a volume with its files. @throws ServiceError @returns whether it was there */
export function deleteVolume(name: string, options: CatalogOptions = {}): Promise<boolean> {
  return remove('volumes', name, options)
}

/** Deletes a table or view. @throws ServiceError @returns whether it was there */
export function deleteTable(name: string, options: CatalogOptions = {}): Promise<boolean> {
  return remove('tables', fullName(parseTableAddress(name)), options)
}

/** What is known of a table; undefined where it is not there. @throws ServiceError */
export async function findTable(
  client: DatabricksClient,
  name: string,
  signal: AbortSignal | undefined,
): Promise<TableInfo | undefined> {
  return await getTable(name, { databricks: client, ...(signal && { signal }) }).catch((error: unknown) => {
    if (isMissing(error)) return undefined
    throw error
  })
}

async function* list<T>(
  kind: Kind,
  query: Readonly<Record<string, string | boolean>>,
  what: string,
  options: CatalogOptions,
): AsyncGenerator<T> {
  const { databricks, signal } = readOptions('databricks', options, CATALOG_OPTIONS)
  const client = await openDatabricks(databricks, signal)
  const call = { path: `${ROOT}/${kind}`, query: { max_results: PAGE, ...query }, what, signal }
  yield* client.pages(call, (page) => (page[kind] ?? []) as readonly T[])
}

async function get<T>(kind: Kind, name: string, options: CatalogOptions): Promise<T> {
  const { databricks, signal } = readOptions('databricks', options, CATALOG_OPTIONS)
  const client = await openDatabricks(databricks, signal)
  return await client.json({ path: pathOf(kind, name), what: whatOf(kind, name), signal })
}

async function create<T>(
  kind: Kind,
  name: string,
  body: Readonly<Record<string, string>>,
  options: CreateOptions,
): Promise<T> {
  const { databricks, signal, comment } = readOptions('databricks', options, CREATE_OPTIONS)
  const client = await openDatabricks(databricks, signal)
  const json = { ...body, ...(comment !== undefined && { comment }) }
  return await client.json({ method: 'POST', path: `${ROOT}/${kind}`, json, what: whatOf(kind, name), signal })
}

async function remove(kind: Kind, name: string, options: CatalogOptions): Promise<boolean> {
  const { databricks, signal } = readOptions('databricks', options, CATALOG_OPTIONS)
  const client = await openDatabricks(databricks, signal)
  try {
    await client.json({ method: 'DELETE', path: pathOf(kind, name), what: whatOf(kind, name), signal })
    return true
  } catch (error) {
    if (error instanceof ServiceError && isMissing(error)) return false
    throw error
  }
}

function within(schema: string): { readonly catalog_name: string; readonly schema_name: string } {
  const [catalog, name, ...rest] = schema.split('.')
  if (catalog && name && rest.length === 0) return { catalog_name: catalog, schema_name: name }
  throw new OptionError(`[databricks] expected a schema as CATALOG.SCHEMA, got ${describeValue(schema)}`)
}

function pathOf(kind: Kind, name: string): string {
  return `${ROOT}/${kind}/${encodeURIComponent(name)}`
}

function whatOf(kind: Kind, name: string): string {
  return `the ${kind.slice(0, -1)} ${name}`
}
