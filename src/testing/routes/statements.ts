/** @file Routes of SQL statements: sent, asked after, cancelled, their results in chunks, the history of queries. */

import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { toError } from '../../values.js'
import { FailedStatement, type StatementResult, type StatementToExecute } from '../executor.js'
import {
  expectFields,
  expectQuery,
  invalid,
  missing,
  pageOf,
  type Route,
  type RouteAnswer,
  type RouteRequest,
} from '../route.js'
import { newId, type StateKey, type WorkspaceState } from '../state.js'
import { WAREHOUSES } from '../warehouses.js'

const ROOT = '/api/2.0/sql/statements'
const LARGEST_STATEMENT = 16 * 2 ** 20
const LARGEST_INLINE = 25 * 2 ** 20
const INLINE_ROWS = 1000
const LINK_LIFE = 15 * 60_000

type State = 'PENDING' | 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'CANCELED' | 'CLOSED'

interface Chunk {
  readonly rows: number
  readonly bytes: number
  readonly values?: readonly (readonly (string | null)[])[]
  /** Key of the storage. */
  readonly key?: string
}

interface Entry {
  readonly id: string
  readonly text: string
  readonly warehouse: string
  readonly user: string
  readonly began: number
  readonly format: StatementToExecute['format']
  state: State
  error?: { readonly error_code: string; readonly message: string }
  columns: StatementResult['columns']
  chunks: readonly Chunk[]
  isTruncated: boolean
  /** Ends with the statement, whatever comes of it. */
  done: Promise<void>
}

const STATEMENTS: StateKey<Map<string, Entry>> = { name: 'statements', make: () => new Map() }

const FIELDS = {
  statement: 'string',
  warehouse_id: 'string',
  catalog: 'string?',
  schema: 'string?',
  parameters: 'array?',
  wait_timeout: 'string?',
  on_wait_timeout: 'string?',
  disposition: 'string?',
  format: 'string?',
  row_limit: 'number?',
  byte_limit: 'number?',
  query_tags: 'array?',
} as const

export const STATEMENT_ROUTES: readonly Route[] = [
  { method: 'POST', path: ROOT, handle: submit },
  {
    method: 'GET',
    path: `${ROOT}/{id}`,
    handle: async ({ params, query }, state) => {
      expectQuery(query, [])
      return { json: await answerOf(entryOf(params.id, state), state) }
    },
  },
  {
    method: 'POST',
    path: `${ROOT}/{id}/cancel`,
    handle: ({ params, json }, state) => {
      expectFields(json, { statement_id: 'string?' })
      const entry = entryOf(params.id, state)
      if (entry.state === 'PENDING' || entry.state === 'RUNNING') entry.state = 'CANCELED'
      return { json: {} }
    },
  },
  {
    method: 'GET',
    path: `${ROOT}/{id}/result/chunks/{index}`,
    handle: async ({ params, query }, state) => {
      expectQuery(query, [])
      const entry = entryOf(params.id, state)
      if (entry.state !== 'SUCCEEDED') throw invalid(`The statement ${entry.id} has no result: ${entry.state}.`)
      return { json: await dataOf(entry, Number(params.index), state) }
    },
  },
  {
    method: 'GET',
    path: '/api/2.0/sql/history/queries',
    handle: ({ query }, state) => {
      expectQuery(
        query,
        [],
        [
          'max_results',
          'page_token',
          'include_metrics',
          'filter_by.warehouse_ids',
          'filter_by.statement_ids',
          'filter_by.statuses',
          'filter_by.query_start_time_range.start_time_ms',
          'filter_by.query_start_time_range.end_time_ms',
        ],
      )
      const [ids, warehouses] = [query.getAll('filter_by.statement_ids'), query.getAll('filter_by.warehouse_ids')]
      const since = Number(query.get('filter_by.query_start_time_range.start_time_ms') ?? 0)
      const found = [...state.of(STATEMENTS).values()]
        .filter(({ id }) => ids.length === 0 || ids.includes(id))
        .filter(({ warehouse }) => warehouses.length === 0 || warehouses.includes(warehouse))
        .filter(({ began }) => began >= since)
        .reverse()
      const { items, next_page_token } = pageOf(found, query, 100)
      return {
        json: {
          res: items.map(queryOf),
          has_next_page: next_page_token !== undefined,
          ...(next_page_token !== undefined && { next_page_token }),
        },
      }
    },
  },
]

async function submit({ json, user }: RouteRequest, state: WorkspaceState): Promise<RouteAnswer> {
  expectFields(json, FIELDS)
  const { disposition = 'INLINE', on_wait_timeout: onTimeout = 'CONTINUE', wait_timeout: wait = '10s' } = json
  const { format = 'JSON_ARRAY' } = json
  const [, seconds] = /^(0|[5-9]|[1-4]\d|50)s$/.exec(String(wait)) ?? []
  if (seconds === undefined) throw invalid(`wait_timeout must be 0s or between 5s and 50s, got ${String(wait)}.`)
  if (onTimeout !== 'CONTINUE' && onTimeout !== 'CANCEL') throw invalid('on_wait_timeout must be CONTINUE or CANCEL.')
  if (disposition !== 'INLINE' && disposition !== 'EXTERNAL_LINKS')
    throw invalid(`Unknown disposition ${String(disposition)}.`)
  if (format !== 'JSON_ARRAY' && format !== 'ARROW_STREAM')
    throw invalid(`This workspace answers no ${String(format)}.`)
  if ((disposition === 'INLINE') !== (format === 'JSON_ARRAY'))
    throw invalid(
      `The format field must be JSON_ARRAY when the disposition is INLINE, and ARROW_STREAM otherwise here.`,
    )
  const warehouse = state.of(WAREHOUSES).get(String(json.warehouse_id))
  if (warehouse === undefined || warehouse.state === 'DELETED')
    throw missing(`SQL warehouse ${String(json.warehouse_id)} does not exist.`, 'NOT_FOUND')
  const text = String(json.statement)
  if (text.trim() === '') throw invalid('The statement is empty.')
  if (Buffer.byteLength(text) > LARGEST_STATEMENT) throw invalid('The statement is larger than 16 MiB.')
  const statement: StatementToExecute = {
    statement: text,
    catalog: json.catalog as string | undefined,
    schema: json.schema as string | undefined,
    parameters: (json.parameters ?? []) as StatementToExecute['parameters'],
    format,
    storage: state.storage,
  }
  for (const parameter of statement.parameters)
    expectFields({ ...parameter }, { name: 'string', value: 'string?', type: 'string?' }, 'parameters')
  // A stopped warehouse starts with the first statement.
  warehouse.state = 'RUNNING'
  const entry: Entry = {
    id: newId(),
    text,
    warehouse: warehouse.id,
    user,
    began: state.now(),
    format,
    state: 'PENDING',
    columns: [],
    chunks: [],
    isTruncated: false,
    done: Promise.resolve(),
  }
  state.of(STATEMENTS).set(entry.id, entry)
  entry.done = execute(entry, statement, json.row_limit as number | undefined, state)
  const patience = new AbortController()
  await Promise.race([
    entry.done,
    sleep(1000 * Number(seconds), undefined, { signal: patience.signal }).catch(() => {}),
  ]).finally(() => patience.abort())
  if (onTimeout === 'CANCEL' && (entry.state === 'PENDING' || entry.state === 'RUNNING')) entry.state = 'CANCELED'
  return { json: await answerOf(entry, state) }
}

async function execute(
  entry: Entry,
  statement: StatementToExecute,
  limit: number | undefined,
  state: WorkspaceState,
): Promise<void> {
  const { executor } = state
  try {
    await Promise.resolve()
    if (entry.state === 'PENDING') entry.state = 'RUNNING'
    const isCut = limit !== undefined && /^\s*(?:select|with)\b/i.test(statement.statement)
    const run = (text: string): Promise<StatementResult> => executor.execute({ ...statement, statement: text })
    const result = await run(isCut ? `SELECT * FROM (${statement.statement}) LIMIT ${limit}` : statement.statement)
    if (isCut) {
      const counted = await executor.execute({
        ...statement,
        statement: `SELECT count(*) FROM (${statement.statement})`,
        format: 'JSON_ARRAY',
      })
      entry.isTruncated = Number(counted.rows[0]?.[0]) > limit
    }
    entry.columns = result.columns
    entry.chunks = statement.format === 'JSON_ARRAY' ? inlineChunks(result) : await storedChunks(entry, result, state)
    if (entry.state === 'RUNNING') entry.state = 'SUCCEEDED'
  } catch (error) {
    entry.error =
      error instanceof FailedStatement
        ? { error_code: error.errorCode, message: error.message }
        : { error_code: 'INTERNAL_ERROR', message: toError(error).message }
    if (entry.state === 'RUNNING') entry.state = 'FAILED'
  }
}

function inlineChunks({ rows }: StatementResult): Chunk[] {
  const size = Buffer.byteLength(JSON.stringify(rows))
  if (size > LARGEST_INLINE)
    throw new FailedStatement(
      'BAD_REQUEST',
      'Inline byte limit exceeded. Statements executed with disposition=INLINE can have a result size of at most 26214400 bytes. Please execute the statement with disposition=EXTERNAL_LINKS if you want to download the full result.',
    )
  const chunks: Chunk[] = []
  for (let at = 0; at < Math.max(1, rows.length); at += INLINE_ROWS) {
    const values = rows.slice(at, at + INLINE_ROWS)
    chunks.push({ rows: values.length, bytes: 0, values })
  }
  return chunks
}

async function storedChunks(entry: Entry, { arrow }: StatementResult, state: WorkspaceState): Promise<Chunk[]> {
  const chunks: Chunk[] = []
  for (const { bytes, rowCount } of arrow ?? []) {
    const key = `StatementResults/${entry.id}/${chunks.length}`
    await state.storage.put(key, Readable.from([bytes]))
    chunks.push({ rows: rowCount, bytes: bytes.length, key })
  }
  return chunks
}

async function answerOf(entry: Entry, state: WorkspaceState): Promise<object> {
  const { id, error, chunks, columns, format } = entry
  const status = { state: entry.state, ...(entry.state === 'FAILED' && { error }) }
  if (entry.state !== 'SUCCEEDED') return { statement_id: id, status }
  const manifest = {
    format,
    schema: {
      column_count: columns.length,
      columns: columns.map(({ name, typeText }, position) => ({
        name,
        position,
        type_text: typeText,
        type_name: typeNameOf(typeText),
      })),
    },
    total_chunk_count: chunks.length,
    total_row_count: chunks.reduce((sum, { rows }) => sum + rows, 0),
    total_byte_count: chunks.reduce((sum, { bytes }) => sum + bytes, 0),
    truncated: entry.isTruncated,
    chunks: chunks.map((_, index) => placeOf(chunks, index)),
  }
  return { statement_id: id, status, manifest, result: chunks.length === 0 ? {} : await dataOf(entry, 0, state) }
}

function placeOf(chunks: readonly Chunk[], index: number): object {
  const { rows = 0, bytes = 0 } = chunks[index] ?? {}
  const offset = chunks.slice(0, index).reduce((sum, chunk) => sum + chunk.rows, 0)
  return { chunk_index: index, row_offset: offset, row_count: rows, byte_count: bytes }
}

async function dataOf({ id, chunks }: Entry, index: number, state: WorkspaceState): Promise<object> {
  const chunk = chunks[index]
  if (chunk === undefined)
    throw invalid(`The statement ${id} has ${chunks.length} chunks, and none with the index ${index}.`)
  const next = index + 1 < chunks.length && {
    next_chunk_index: index + 1,
    next_chunk_internal_link: `${ROOT}/${id}/result/chunks/${index + 1}`,
  }
  const place = placeOf(chunks, index)
  if (chunk.key === undefined) return { ...place, ...next, data_array: chunk.values }
  const expires = state.now() + LINK_LIFE
  const { url, headers } = await state.storage.presign({ method: 'GET', key: chunk.key, expires })
  const link = { ...place, ...next, external_link: url, expiration: new Date(expires).toISOString() }
  const http_headers = Object.fromEntries(headers.map(({ name, value }) => [name, value]))
  return { external_links: [headers.length > 0 ? { ...link, http_headers } : link] }
}

function queryOf({ id, text, warehouse, user, began, state, error }: Entry): object {
  const status = { PENDING: 'QUEUED', SUCCEEDED: 'FINISHED', CLOSED: 'FINISHED' }[state as string] ?? state
  return {
    query_id: id,
    query_text: text,
    status,
    warehouse_id: warehouse,
    user_name: user,
    query_start_time_ms: began,
    is_final: state !== 'PENDING' && state !== 'RUNNING',
    ...(error !== undefined && { error_message: error.message }),
  }
}

const TYPE_NAMES: Readonly<Record<string, string>> = { BIGINT: 'LONG', INT: 'INT', SMALLINT: 'SHORT', TINYINT: 'BYTE' }

/** `LONG` of `BIGINT`, `STRUCT` of `STRUCT<role: STRING>`. */
export function typeNameOf(typeText: string): string {
  const [name = ''] = /^[A-Z_]+/.exec(typeText) ?? []
  return TYPE_NAMES[name] ?? name
}

function entryOf(id: string | undefined, state: WorkspaceState): Entry {
  const entry = state.of(STATEMENTS).get(id ?? '')
  if (entry === undefined) throw missing(`The statement ${id} was not found.`, 'NOT_FOUND')
  return entry
}
