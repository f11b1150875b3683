/** @file Routes of Unity Catalog: catalogs, schemas, volumes, and the tables that statements have made. */

import type { ExecutedTable } from '../executor.js'
import {
  expectFields,
  expectQuery,
  type FieldKinds,
  invalid,
  missing,
  pageOf,
  RefusedRequest,
  type Route,
  type RouteAnswer,
  type RouteRequest,
} from '../route.js'
import { newId, type StateKey, type WorkspaceState } from '../state.js'
import { typeNameOf } from './statements.js'

const ROOT = '/api/2.1/unity-catalog'
const PAGE = 100

type Kind = 'catalogs' | 'schemas' | 'volumes'
type Item = Readonly<Record<string, unknown>> & { readonly full_name: string }

interface Catalog {
  readonly catalogs: Map<string, Item>
  readonly schemas: Map<string, Item>
  readonly volumes: Map<string, Item>
}

/** What there is besides tables. A workspace begins with the catalog `main` and its schema `default`. */
const CATALOG: StateKey<Catalog> = {
  name: 'unity-catalog',
  make: () => ({
    catalogs: new Map([['main', { name: 'main', full_name: 'main' }]]),
    schemas: new Map([['main.default', { name: 'default', catalog_name: 'main', full_name: 'main.default' }]]),
    volumes: new Map(),
  }),
}

const LIST_QUERY = ['max_results', 'page_token', 'include_browse']
const WORDS = { catalogs: 'Catalog', schemas: 'Schema', volumes: 'Volume' } as const
const PARENTS = { catalogs: undefined, schemas: 'catalogs', volumes: 'schemas' } as const
const PARENT_FIELDS = {
  catalogs: [],
  schemas: ['catalog_name'],
  volumes: ['catalog_name', 'schema_name'],
} as const

export const UNITY_CATALOG_ROUTES: readonly Route[] = [
  ...(['catalogs', 'schemas', 'volumes'] as const).flatMap(routesOf),
  { method: 'GET', path: `${ROOT}/tables`, handle: listTables },
  {
    method: 'GET',
    path: `${ROOT}/tables/{name}`,
    handle: async ({ params, query }, state) => {
      expectQuery(query, [], ['include_delta_metadata', 'include_browse', 'include_manifest_capabilities'])
      return { json: infoOf(await tableOf(params.name, state)) }
    },
  },
  {
    method: 'GET',
    path: `${ROOT}/tables/{name}/exists`,
    handle: async ({ params }, state) => {
      const tables = await tablesOf(state)
      return { json: { table_exists: tables.some((each) => fullNameOf(each) === params.name) } }
    },
  },
  {
    method: 'DELETE',
    path: `${ROOT}/tables/{name}`,
    handle: async ({ params }, state) => {
      const { catalog, schema, name } = await tableOf(params.name, state)
      await state.executor.dropTable?.(catalog, schema, name)
      return { json: {} }
    },
  },
  {
    method: 'POST',
    path: `${ROOT}/temporary-table-credentials`,
    handle: async ({ json }, state) => {
      expectFields(json, { table_id: 'string', operation: 'string' })
      const table = (await tablesOf(state)).find((each) => idOf(each) === json.table_id)
      if (table === undefined) throw missing(`Table '${String(json.table_id)}' does not exist.`, 'TABLE_DOES_NOT_EXIST')
      if (json.operation !== 'READ' && json.operation !== 'READ_WRITE')
        throw invalid('operation must be READ or READ_WRITE.')
      const aws_temp_credentials = { access_key_id: 'loopback', secret_access_key: 'loopback', session_token: newId() }
      return { json: { aws_temp_credentials, expiration_time: state.now() + 3_600_000, url: table.location ?? '' } }
    },
  },
]

function routesOf(kind: Kind): Route[] {
  const fields = PARENT_FIELDS[kind]
  return [
    {
      method: 'GET',
      path: `${ROOT}/${kind}`,
      handle: ({ query }, state) => {
        expectQuery(query, fields, LIST_QUERY)
        const parent = fields.map((field) => query.get(field)).join('.')
        expectParent(kind, parent, state)
        const found = [...state.of(CATALOG)[kind].values()].filter(
          ({ full_name: name }) => parent === '' || name.startsWith(`${parent}.`),
        )
        const { items, next_page_token } = pageOf(found, query, PAGE)
        return { json: { [kind]: items, ...(next_page_token !== undefined && { next_page_token }) } }
      },
    },
    {
      method: 'POST',
      path: `${ROOT}/${kind}`,
      handle: (request, state) => create(kind, request, state),
    },
    {
      method: 'GET',
      path: `${ROOT}/${kind}/{name}`,
      handle: ({ params }, state) => ({ json: itemOf(kind, params.name, state) }),
    },
    {
      method: 'DELETE',
      path: `${ROOT}/${kind}/{name}`,
      handle: async ({ params, query }, state) => {
        expectQuery(query, [], ['force'])
        const { full_name: name } = itemOf(kind, params.name, state)
        const held = [
          ...Object.values(state.of(CATALOG)).flatMap((items) => [...items.keys()]),
          ...(await tablesOf(state)).map(fullNameOf),
        ].some((other) => other.startsWith(`${name}.`))
        if (held && query.get('force') !== 'true')
          throw new RefusedRequest(400, 'BAD_REQUEST', `${WORDS[kind]} '${name}' is not empty.`)
        state.of(CATALOG)[kind].delete(name)
        return { json: {} }
      },
    },
  ]
}

function create(kind: Kind, { json }: RouteRequest, state: WorkspaceState): RouteAnswer {
  const fields = PARENT_FIELDS[kind]
  const parents = Object.fromEntries(fields.map((field) => [field, 'string'] as const))
  const kinds: FieldKinds = { name: 'string', ...parents, comment: 'string?', properties: 'object?' }
  expectFields(json, kind === 'volumes' ? { ...kinds, volume_type: 'string' } : kinds)
  if (kind === 'volumes' && json.volume_type !== 'MANAGED') throw invalid('This workspace makes MANAGED volumes alone.')
  const parent = fields.map((field) => json[field]).join('.')
  expectParent(kind, parent, state)
  const name = [...(parent === '' ? [] : [parent]), json.name].join('.')
  const items = state.of(CATALOG)[kind]
  if (items.has(name))
    throw new RefusedRequest(
      409,
      `${kind.slice(0, -1).toUpperCase()}_ALREADY_EXISTS`,
      `${WORDS[kind]} '${name}' already exists`,
    )
  const item = { ...json, full_name: name, owner: state.user, created_at: state.now() }
  items.set(name, item)
  return { json: item }
}

function itemOf(kind: Kind, name: string | undefined, state: WorkspaceState): Item {
  const item = state.of(CATALOG)[kind].get(name ?? '')
  if (item !== undefined) return item
  throw missing(`${WORDS[kind]} '${name}' does not exist.`, `${kind.slice(0, -1).toUpperCase()}_DOES_NOT_EXIST`)
}

/** @throws RefusedRequest where there is no such schema */
export function expectSchema(name: string, state: WorkspaceState): void {
  itemOf('schemas', name, state)
}

function expectParent(kind: Kind, parent: string, state: WorkspaceState): void {
  const above = PARENTS[kind]
  if (above !== undefined) itemOf(above, parent, state)
}

async function listTables({ query }: RouteRequest, state: WorkspaceState): Promise<RouteAnswer> {
  expectQuery(
    query,
    ['catalog_name', 'schema_name'],
    [...LIST_QUERY, 'omit_columns', 'omit_properties', 'omit_username'],
  )
  const [catalog, schema] = [query.get('catalog_name'), query.get('schema_name')]
  const found = (await tablesOf(state)).filter((table) => table.catalog === catalog && table.schema === schema)
  if (found.length === 0) itemOf('schemas', `${catalog}.${schema}`, state)
  const { items, next_page_token } = pageOf(found, query, 50)
  const tables = items.map((table) => {
    const { columns, properties, ...info } = infoOf(table)
    return {
      ...info,
      ...(query.get('omit_columns') !== 'true' && { columns }),
      ...(query.get('omit_properties') !== 'true' && { properties }),
    }
  })
  return { json: { tables, ...(next_page_token !== undefined && { next_page_token }) } }
}

async function tablesOf({ executor }: WorkspaceState): Promise<readonly ExecutedTable[]> {
  return (await executor.tables?.()) ?? []
}

async function tableOf(name: string | undefined, state: WorkspaceState): Promise<ExecutedTable> {
  const table = (await tablesOf(state)).find((each) => fullNameOf(each).toLowerCase() === name?.toLowerCase())
  if (table === undefined) throw missing(`Table '${name}' does not exist.`, 'TABLE_DOES_NOT_EXIST')
  return table
}

function infoOf(table: ExecutedTable): Readonly<Record<string, unknown>> {
  const { catalog, schema, name, columns, comment, properties } = table
  return {
    name,
    catalog_name: catalog,
    schema_name: schema,
    full_name: fullNameOf(table),
    table_type: 'MANAGED',
    data_source_format: 'DELTA',
    columns: columns.map(({ name: column, typeText, comment: said }, position) => ({
      name: column,
      type_text: lowerType(typeText),
      type_name: typeNameOf(typeText),
      type_json: JSON.stringify({ name: column, type: lowerType(typeText), nullable: true, metadata: {} }),
      position,
      nullable: true,
      ...(said !== undefined && { comment: said }),
    })),
    ...(comment !== undefined && { comment }),
    properties,
    table_id: idOf(table),
    ...(table.location !== undefined && { storage_location: table.location }),
  }
}

/** `array<struct<Role:string>>`: names of fields stay as they are. */
function lowerType(typeText: string): string {
  return typeText.replace(/(\w+)(?!\w*\s*:)/g, (word) => word.toLowerCase()).replaceAll(/([:,]) /g, '$1')
}

function fullNameOf({ catalog, schema, name }: ExecutedTable): string {
  return `${catalog}.${schema}.${name}`
}

/** The same for a table as long as it is there. */
function idOf(table: ExecutedTable): string {
  return Buffer.from(fullNameOf(table)).toString('hex').padEnd(32, '0')
}
