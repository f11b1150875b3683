/** @file Data files: finding them by path or glob, and reading their rows with the line each one stands on. */

import { createReadStream } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** One parsed value of a file. */
export interface FileRecord {
  value: unknown
  /** Where it stands: `path:line` in JSON Lines, `path: row n` in a JSON array. */
  origin: string
}

const UNREADABLE: Readonly<Record<string, string>> = {
  csv: 'CSV',
  tsv: 'TSV',
  parquet: 'Parquet',
  arrow: 'Arrow',
  gz: 'gzip',
  zst: 'zstd',
  zip: 'zip',
}

/**
 * The files that a path or glob names, sorted. `*` and `?` match within a name, `**` any folders.
 *
 * @throws Error when nothing matches, or the path is a directory.
 */
export async function findFiles(pattern: string): Promise<string[]> {
  const literal = await stat(pattern).catch(() => undefined)
  if (literal?.isDirectory()) {
    throw new Error(`[data] expected a file or glob, got the directory ${pattern}; try ${join(pattern, '*.jsonl')}`)
  }
  if (literal !== undefined) return [pattern]
  if (!/[*?]/.test(pattern))
    throw new Error(`[data] expected a data file, got ${pattern}, which does not exist; check the path`)
  const segments = pattern.split('/')
  const fixed = segments.slice(
    0,
    segments.findIndex((segment) => /[*?]/.test(segment)),
  )
  const root = fixed.length === 0 ? '.' : fixed.join('/') || '/'
  const found: string[] = []
  await walk(root, fixed.length === 0 ? '' : `${fixed.join('/')}/`, segments.slice(fixed.length), found)
  if (found.length === 0)
    throw new Error(`[data] expected files for ${pattern}, got no match; check the folder and the ending`)
  return [...new Set(found)].sort()
}

async function walk(folder: string, shown: string, segments: readonly string[], found: string[]): Promise<void> {
  const [segment, ...rest] = segments
  if (segment === undefined) return
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  if (segment === '**') await walk(folder, shown, rest.length === 0 ? ['*'] : rest, found)
  const matches = toRegExp(segment === '**' ? '*' : segment)
  for (const entry of entries) {
    if (!matches.test(entry.name)) continue
    const path = join(folder, entry.name)
    const directory =
      entry.isDirectory() || (entry.isSymbolicLink() && (await stat(path).catch(() => undefined))?.isDirectory())
    // A link back to a parent would make `**` endless.
    if (segment === '**') {
      if (entry.isDirectory()) await walk(path, `${shown}${entry.name}/`, segments, found)
    } else if (rest.length > 0) {
      if (directory) await walk(path, `${shown}${entry.name}/`, rest, found)
    } else if (!directory) found.push(shown + entry.name)
  }
}

function toRegExp(segment: string): RegExp {
  const source = segment
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*/g, '.*')
    .replace(/\?/g, '.')
  // As in shells, a wildcard does not match a leading dot.
  return new RegExp(`^${/^[*?]/.test(segment) ? '(?!\\.)' : ''}${source}$`, 's')
}

/**
 * The records of a JSON Lines file, or of a JSON file that holds one array, told apart by the first character. Byte
 * order mark, blank lines and CRLF are fine.
 *
 * @param onBytes Told how many bytes have been read.
 * @throws Error naming file and line for text that is not JSON or not UTF-8.
 */
export async function* readRecords(
  path: string,
  signal?: AbortSignal,
  onBytes?: (bytes: number) => void,
): AsyncGenerator<FileRecord> {
  const unreadable = UNREADABLE[path.slice(path.lastIndexOf('.') + 1).toLowerCase()]
  if (unreadable !== undefined) {
    throw new Error(
      `[data] expected JSON Lines or a JSON array, got ${path}; ${unreadable} is not read yet: convert it to .jsonl`,
    )
  }
  let line = 0
  let first = true
  for await (const text of readLines(path, signal, onBytes)) {
    line++
    const trimmed = text.trim()
    if (trimmed === '') continue
    if (first && trimmed.startsWith('[')) {
      yield* readArray(path, signal)
      return
    }
    first = false
    yield { value: parseLine(path, line, trimmed), origin: `${path}:${line}` }
  }
}

function parseLine(path: string, line: number, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    const whole = /^[[{]$/.test(text) ? '; one row is one line, unless the file is a single JSON array' : ''
    throw new Error(
      `[data] expected one JSON object per line, got in ${path}:${line}: ${(error as Error).message}${whole}`,
      {
        cause: error,
      },
    )
  }
}

async function* readArray(path: string, signal?: AbortSignal): AsyncGenerator<FileRecord> {
  const text = (await readFile(path, { encoding: 'utf8', signal })).replace(/^\uFEFF/, '')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    const message = (error as Error).message
    const position = /position (\d+)/.exec(message)?.[1]
    const line = position === undefined ? '' : `:${text.slice(0, Number(position)).split('\n').length}`
    throw new Error(`[data] expected a JSON array of rows, got in ${path}${line}: ${message}`, { cause: error })
  }
  let row = 0
  for (const entry of value as unknown[]) yield { value: entry, origin: `${path}: row ${++row}` }
}

const LINE_FEED = 0x0a

/** Lines by the byte 0x0A alone: readline also breaks at U+2028, which JSON strings may hold. */
async function* readLines(
  path: string,
  signal?: AbortSignal,
  onBytes?: (bytes: number) => void,
): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let line = 0
  const decode = (bytes: Uint8Array): string => {
    line++
    try {
      return decoder.decode(bytes)
    } catch (error) {
      throw new Error(`[data] expected UTF-8 text, got other bytes in ${path}:${line}; convert the file to UTF-8`, {
        cause: error,
      })
    }
  }
  let pending: Uint8Array[] = []
  let read = 0
  for await (const chunk of createReadStream(path, { signal, highWaterMark: 1 << 18 })) {
    const bytes = chunk as Uint8Array
    read += bytes.length
    onBytes?.(read)
    let start = 0
    for (let end = bytes.indexOf(LINE_FEED); end >= 0; end = bytes.indexOf(LINE_FEED, start)) {
      pending.push(bytes.subarray(start, end))
      yield decode(pending.length === 1 ? (pending[0] as Uint8Array) : Buffer.concat(pending))
      pending = []
      start = end + 1
    }
    if (start < bytes.length) pending.push(bytes.subarray(start))
  }
  if (pending.length > 0) yield decode(Buffer.concat(pending))
}
