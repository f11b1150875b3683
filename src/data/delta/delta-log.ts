/**
 * @file The log of a Delta table on disk: which files and which schema a version has
 * (https://github.com/delta-io/delta/blob/master/PROTOCOL.md). Opens no file of rows.
 */

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describeValue, listNames } from '../../errors.js'
import { DataError, type LowrankError } from '../../lowrank-error.js'
import { isMissing, readDirectory, readRegularFile } from '../../regular-file.js'
import { Turns } from '../../turns.js'
import { isObject, toError } from '../../values.js'
import { DataFile } from '../sources/data-file.js'

/** Where a deletion vector is. */
export interface DeletionVectorPlace {
  readonly storageType: string
  readonly pathOrInlineDv: string
  readonly offset?: number | null
  readonly sizeInBytes: number
  readonly cardinality: number
}

/** A file of rows that a version of the table has. */
export interface DeltaFile {
  readonly path: string
  readonly partitionValues: Readonly<Record<string, string | null>>
  readonly size: number
  readonly deletionVector?: DeletionVectorPlace
}

/** What a version of a table says of itself. */
export interface DeltaMetadata {
  readonly id: string
  readonly schemaString: string
  readonly partitionColumns: readonly string[]
  readonly configuration: Readonly<Record<string, string>>
}

/** A version of a table. */
export interface DeltaSnapshot {
  readonly version: number
  readonly metadata: DeltaMetadata
  readonly protocol: DeltaProtocol
  readonly files: readonly DeltaFile[]
  /** The last version of each application that wrote with one. */
  readonly transactions: ReadonlyMap<string, number>
}

interface DeltaProtocol {
  readonly minReaderVersion: number
  readonly minWriterVersion: number
  readonly readerFeatures: readonly string[]
  readonly writerFeatures: readonly string[]
}

type Action = Readonly<Record<string, unknown>>

/** Folder of the log within a table. */
export const LOG_FOLDER = '_delta_log'

// Features that change how a table is read, and are read here.
const READER_FEATURES = [
  'columnMapping',
  'deletionVectors',
  'timestampNtz',
  'v2Checkpoint',
  'vacuumProtocolCheck',
  'variantType',
  'variantType-preview',
  'typeWidening',
  'typeWidening-preview',
]
const MOST_READER_VERSION = 3
const LOG_LIMIT = 2 ** 30

/** Whether a path is that of a Delta table. */
export async function isDeltaTable(path: string): Promise<boolean> {
  return (await stat(join(path, LOG_FOLDER)).catch(() => undefined))?.isDirectory() ?? false
}

/** The name of a commit: `00000000000000000012.json`. */
export function commitName(version: number): string {
  return `${String(version).padStart(20, '0')}.json`
}

/**
 * Reads a version of a table.
 *
 * @param wanted The version. Default: the last one
 * @throws where the path is no table, the version is not there, or the table asks for a feature that is not read
 */
export async function readSnapshot(table: string, wanted?: number): Promise<DeltaSnapshot> {
  const log = join(table, LOG_FOLDER)
  const names = await readDirectory('data', log).catch((error: unknown) => {
    if (!isMissing(error)) throw error
    throw deltaError(table, 'a Delta table', `a folder without ${LOG_FOLDER}`, error)
  })
  const commits = names
    .flatMap((name) => (/^\d{20}\.json$/.test(name) ? [Number(name.slice(0, 20))] : []))
    .sort((a, b) => a - b)
  const checkpoints = checkpointsOf(names)
  const last = Math.max(commits.at(-1) ?? -1, ...checkpoints.map(({ version }) => version))
  if (last < 0) throw deltaError(table, 'a Delta table', 'a log without commits')
  const version = wanted ?? last
  if (version > last || version < 0) throw deltaError(table, `a version from 0 to ${last}`, `version ${version}`)
  const checkpoint = checkpoints.filter((candidate) => candidate.version <= version).at(-1)
  const state = new TableState()
  if (checkpoint !== undefined) for (const action of await readCheckpoint(table, checkpoint.parts)) state.apply(action)
  for (let next = (checkpoint?.version ?? -1) + 1; next <= version; next++) {
    if (!commits.includes(next)) {
      throw deltaError(table, `all commits up to version ${version}`, `none for version ${next}`, undefined)
    }
    for (const action of await readCommit(log, next)) state.apply(action)
  }
  const snapshot = state.snapshot(table, version)
  expectReadable(table, snapshot.protocol)
  return snapshot
}

interface Checkpoint {
  readonly version: number
  readonly parts: readonly string[]
}

/** The checkpoints whose files are all there, in order: classic ones, those in parts, and those with a UUID. */
function checkpointsOf(names: readonly string[]): Checkpoint[] {
  const found: Checkpoint[] = []
  const inParts = new Map<string, string[]>()
  for (const name of [...names].sort()) {
    const [, version, rest] = /^(\d{20})\.checkpoint\.(.*)$/.exec(name) ?? []
    if (version === undefined || rest === undefined) continue
    const part = /^(\d{10})\.(\d{10})\.parquet$/.exec(rest)
    if (rest === 'parquet' || /^[\da-f-]{36}\.(?:json|parquet)$/i.test(rest))
      found.push({ version: Number(version), parts: [name] })
    else if (part !== null) {
      const key = `${version}.${part[2]}`
      inParts.set(key, [...(inParts.get(key) ?? []), name])
    }
  }
  for (const [key, parts] of inParts) {
    const [version, count] = key.split('.').map(Number) as [number, number]
    // A checkpoint is written part by part: one that is not whole is none.
    if (parts.length === count) found.push({ version, parts })
  }
  return found.sort((a, b) => a.version - b.version)
}

async function readCheckpoint(table: string, parts: readonly string[]): Promise<Action[]> {
  const log = join(table, LOG_FOLDER)
  const actions: Action[] = []
  for (const part of parts) actions.push(...(await readActions(join(log, part))))
  const sidecars = actions.flatMap(({ sidecar }) => (isObject(sidecar) ? [String(sidecar.path)] : []))
  for (const path of sidecars) {
    if (path.includes('/') && !path.startsWith('file:'))
      throw deltaError(table, 'a sidecar by its name', describeValue(path))
    const place = path.startsWith('file:') ? localPath(path) : join(log, '_sidecars', path)
    actions.push(...(await readActions(place)))
  }
  return actions
}

async function readActions(path: string): Promise<Action[]> {
  if (path.endsWith('.json')) return parseActions(path, await readLog(path))
  const { openParquet } = await import('../sources/parquet-file.js')
  const file = await DataFile.open(path)
  try {
    const parquet = await openParquet(file)
    const wanted = ['add', 'remove', 'metaData', 'protocol', 'txn', 'sidecar']
    const names = parquet.schema.children.map(({ element }) => element.name).filter((name) => wanted.includes(name))
    const actions: Action[] = []
    for await (const batch of parquet.batches(new Turns(), names)) {
      for (let row = 0; row < batch.length; row++)
        for (const [index, name] of batch.names.entries()) {
          const value = batch.columns[index]?.[row]
          if (isObject(value)) actions.push({ [name]: value })
        }
    }
    return actions
  } finally {
    await file.close()
  }
}

async function readCommit(log: string, version: number): Promise<Action[]> {
  const path = join(log, commitName(version))
  return parseActions(path, await readLog(path))
}

async function readLog(path: string): Promise<string> {
  return (await readRegularFile(path, { where: 'data', limit: LOG_LIMIT })).toString('utf8')
}

function parseActions(path: string, text: string): Action[] {
  return text.split('\n').flatMap((line, index) => {
    if (line.trim() === '') return []
    try {
      const action: unknown = JSON.parse(line)
      if (isObject(action)) return [action]
      throw new DataError(describeValue(action))
    } catch (error) {
      throw new DataError(
        `[data] expected an action of a Delta log in ${path}:${index + 1}, got ${toError(error).message}; the log was damaged`,
        { file: path, row: index + 1, cause: error },
      )
    }
  })
}

/** The state of a table while its actions are applied. */
class TableState {
  readonly #files = new Map<string, DeltaFile>()
  readonly #transactions = new Map<string, number>()
  #metadata: DeltaMetadata | undefined
  #protocol: DeltaProtocol | undefined

  apply(action: Action): void {
    const { add, remove, metaData, protocol, txn } = action
    if (isObject(add)) this.#files.set(keyOf(add), fileOf(add))
    if (isObject(remove)) this.#files.delete(keyOf(remove))
    if (isObject(txn)) this.#transactions.set(String(txn.appId), Number(txn.version))
    if (isObject(metaData)) this.#metadata = metadataOf(metaData)
    if (isObject(protocol)) {
      this.#protocol = {
        minReaderVersion: Number(protocol.minReaderVersion),
        minWriterVersion: Number(protocol.minWriterVersion),
        readerFeatures: namesOf(protocol.readerFeatures),
        writerFeatures: namesOf(protocol.writerFeatures),
      }
    }
  }

  snapshot(table: string, version: number): DeltaSnapshot {
    if (this.#metadata === undefined || this.#protocol === undefined)
      throw deltaError(table, 'metadata and a protocol in the log', `neither or one of them at version ${version}`)
    return {
      version,
      metadata: this.#metadata,
      protocol: this.#protocol,
      files: [...this.#files.values()],
      transactions: this.#transactions,
    }
  }
}

/** What tells a file of the table from others: its path, and which of its rows are deleted. */
function keyOf({ path, deletionVector }: Record<string, unknown>): string {
  if (!isObject(deletionVector)) return String(path)
  const { storageType, pathOrInlineDv, offset } = deletionVector
  return `${String(path)}\0${String(storageType)}${String(pathOrInlineDv)}@${String(offset ?? '')}`
}

function fileOf({ path, partitionValues, size, deletionVector }: Record<string, unknown>): DeltaFile {
  return {
    path: String(path),
    partitionValues: recordOf<string | null>(partitionValues),
    size: Number(size),
    ...(isObject(deletionVector) && { deletionVector: deletionVector as unknown as DeletionVectorPlace }),
  }
}

function metadataOf({ id, schemaString, partitionColumns, configuration }: Record<string, unknown>): DeltaMetadata {
  return {
    id: String(id),
    schemaString: String(schemaString),
    partitionColumns: namesOf(partitionColumns),
    configuration: recordOf<string>(configuration),
  }
}

function namesOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : []
}

function recordOf<T>(value: unknown): Record<string, T> {
  if (value instanceof Map) return Object.fromEntries(value as Map<string, T>)
  return isObject(value) ? (value as Record<string, T>) : {}
}

function expectReadable(table: string, { minReaderVersion, readerFeatures, writerFeatures }: DeltaProtocol): void {
  if (readerFeatures.includes('catalogManaged') || writerFeatures.includes('catalogManaged')) {
    throw deltaError(
      table,
      'a table whose log says all',
      'one that a catalog manages (catalogManaged); read it through its catalog',
    )
  }
  const unknown = readerFeatures.filter((name) => !READER_FEATURES.includes(name))
  if (unknown.length > 0)
    throw deltaError(
      table,
      `reader features among ${listNames(READER_FEATURES, 20)}`,
      `${listNames(unknown)}; ${REWRITE}`,
    )
  if (!(minReaderVersion <= MOST_READER_VERSION))
    throw deltaError(table, `a reader version up to ${MOST_READER_VERSION}`, `${minReaderVersion}; ${REWRITE}`)
}

const REWRITE = 'write its rows to a table without them'

/** The path of a `file:` address within a table, or that of a name relative to `folder`, with its escapes undone. */
export function resolvePath(table: string, path: string): string {
  if (path.startsWith('file:')) return localPath(path)
  if (/^[a-z][a-z\d+.-]*:/i.test(path)) throw deltaError(table, 'files on this machine', describeValue(path))
  const decoded = decode(table, path)
  return decoded.startsWith('/') ? decoded : join(table, decoded)
}

function localPath(address: string): string {
  return decodeURIComponent(new URL(address).pathname)
}

function decode(table: string, path: string): string {
  try {
    return decodeURIComponent(path)
  } catch (error) {
    throw deltaError(table, 'the path of a file as an address', describeValue(path), error)
  }
}

/** An error about a table. */
export function deltaError(table: string, expected: string, got: string, cause?: unknown): LowrankError {
  return new DataError(`[data] expected ${expected} in ${table}, got ${got}`, { file: table, cause })
}
