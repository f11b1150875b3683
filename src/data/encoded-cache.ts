/**
 * @file Encoded rows of files kept from one run to the next, in the cache folder: made once for the same bytes,
 * tokenizer and options.
 *
 * 1. The name of an entry is a hash of all that decides the rows but the bytes of the files: these have their hashes in
 *    the entry, and are hashed again before it is taken.
 * 2. An entry is written under a temporary name, and counts once it has its own: processes may write the same one.
 * 3. What is damaged, or cannot be read or written, is as if it were not there. Nothing here ends a run.
 * 4. Together entries take a bounded number of bytes: those that were not used for the longest time go first.
 *
 * An entry: 8 bytes that tell the format, the records of a store (6 words of what is known of each, and its words),
 * what became of the rows as JSON, its length in 4 bytes, and the SHA-256 of all before it.
 */

import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, open, readdir, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { fillFilesAtomic, makeDirectories } from '../atomic-write.js'
import type { Turns } from '../turns.js'
import { packageVersion } from '../version.js'
import type { Item } from './items.js'
import type { DataStatistics } from './report.js'
import { RowStore, type RowStoreOptions } from './row-store.js'
import type { SourceLineage } from './sources/row-source.js'

/** What was prepared, beside the rows. */
export interface PreparedFacts {
  readonly statistics: DataStatistics
  readonly lineage: readonly SourceLineage[]
}

/** Changes when the same row becomes other words, or entries are written in another way. */
const FORMAT = 'LRROWS01'
const ENDING = '.rows'
const HASH_BYTES = 32
const FACT_WORDS = 6
const PIECE = 1 << 20
const LARGEST_FACTS = 1 << 24
/** Bytes of all entries together. */
const MOST_BYTES = 20 * 2 ** 30
/** Smaller data sets are encoded as fast as they are looked up. */
const FEWEST_ROWS = 2048

/** The entry for rows that `parts` decide; any plain data. */
export class EncodedCache {
  readonly #directory: string
  readonly #path: string
  readonly #mostBytes: number

  constructor(directory: string, parts: unknown, mostBytes = MOST_BYTES) {
    const key = createHash('sha256').update(JSON.stringify([FORMAT, packageVersion(), parts]))
    this.#directory = join(directory, 'encoded-rows')
    this.#path = join(this.#directory, key.digest('hex') + ENDING)
    this.#mostBytes = mostBytes
  }

  /**
   * What the entry has, where it is whole and the files are still those that it was made of.
   *
   * @param onFraction Told the share of the bytes, of the files and then of the entry, that has been gone through.
   * @throws the signal's reason
   */
  async read<I extends Item>(
    storage: RowStoreOptions,
    turns: Turns,
    onFraction: (fraction: number) => void = () => {},
  ): Promise<{ items: RowStore<I>; facts: PreparedFacts } | undefined> {
    const file = await open(this.#path).catch(() => undefined)
    if (file === undefined) return undefined
    const items = new RowStore<I>(storage)
    let found: PreparedFacts | undefined
    try {
      found = await readEntry(file, items, turns, onFraction)
    } catch {
      // Whoever encodes the rows then hears of a disk that is full.
      turns.throwIfAborted()
    } finally {
      await file.close()
      if (found === undefined) items.close()
    }
    if (found === undefined) {
      await rm(this.#path, { force: true }).catch(() => {})
      return undefined
    }
    const now = new Date()
    await utimes(this.#path, now, now).catch(() => {})
    return { items, facts: found }
  }

  /** Keeps what was prepared, where its files were read as a whole and it is worth it. @throws the signal's reason */
  async write(items: RowStore, facts: PreparedFacts, turns: Turns): Promise<void> {
    const { lineage } = facts
    const { memory, file } = items.bytes
    const isKnown = lineage.length > 0 && lineage.every(({ sha256 }) => sha256 !== undefined)
    if (!isKnown || items.length < FEWEST_ROWS || memory + file > this.#mostBytes) return
    try {
      await makeDirectories(this.#directory)
      await fillFilesAtomic([this.#path], async ([staged]) => {
        const hash = createHash('sha256')
        for (const piece of entryPieces(items, facts)) {
          hash.update(piece)
          await staged?.write(piece)
          if (turns.isOver) await turns.next()
        }
        await staged?.write(hash.digest())
      })
      await this.#removeOldest()
    } catch {
      turns.throwIfAborted()
    }
  }

  async #removeOldest(): Promise<void> {
    const entries: { path: string; size: number; used: number }[] = []
    for (const name of await readdir(this.#directory)) {
      const path = join(this.#directory, name)
      const found = name.endsWith(ENDING) ? await stat(path).catch(() => undefined) : undefined
      if (found) entries.push({ path, size: found.size, used: found.mtimeMs })
    }
    let left = entries.reduce((sum, { size }) => sum + size, 0)
    for (const { path, size } of entries.sort((a, b) => a.used - b.used)) {
      if (left <= this.#mostBytes) return
      await rm(path, { force: true })
      left -= size
    }
  }
}

function* entryPieces(items: RowStore, facts: PreparedFacts): Generator<Uint8Array> {
  yield Buffer.from(FORMAT, 'latin1')
  let piece = new Int32Array(PIECE / 4)
  let filled = 0
  for (let row = 0; row < items.length; row++) {
    const { words, tokens, longest, weight, isWeighted } = items.recordAt(row)
    const size = FACT_WORDS + words.length
    if (filled + size > piece.length) {
      yield bytesOf(piece.subarray(0, filled))
      piece = new Int32Array(Math.max(PIECE / 4, size))
      filled = 0
    }
    piece.set([words.length, tokens, longest, isWeighted ? 1 : 0], filled)
    piece.set(new Int32Array(new Float64Array([weight]).buffer), filled + 4)
    piece.set(words, filled + FACT_WORDS)
    filled += size
  }
  yield bytesOf(piece.subarray(0, filled))
  const text = Buffer.from(JSON.stringify(facts))
  const length = Buffer.alloc(4)
  length.writeUInt32LE(text.length)
  yield Buffer.concat([text, length])
}

function bytesOf(words: Int32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength)
}

/** Fills the store; undefined where the entry is damaged or the files have changed. */
async function readEntry(
  file: FileHandle,
  items: RowStore,
  turns: Turns,
  onFraction: (fraction: number) => void,
): Promise<PreparedFacts | undefined> {
  const reader = new EntryReader(file, turns)
  const { size } = await file.stat()
  const tail = size - HASH_BYTES - 4
  if (tail < FORMAT.length) return undefined
  const length = (await reader.at(tail, 4)).readUInt32LE()
  const start = tail - length
  if (length > LARGEST_FACTS || start < FORMAT.length) return undefined
  const facts = parseFacts(await reader.at(start, length))
  if (facts === undefined) return undefined
  const hashed = facts.lineage.reduce((sum, source) => sum + (source.size ?? 0), 0)
  const onBytes = (bytes: number): void => onFraction(Math.min(1, bytes / (hashed + size)))
  // Before a file of gigabytes is gone through, the files that it is of.
  if (!(await areUnchanged(facts.lineage, turns, onBytes))) return undefined
  const format = await reader.next(FORMAT.length)
  if (format?.toString('latin1') !== FORMAT) return undefined
  while (reader.position < start) {
    const known = wordsOf(await reader.next(4 * FACT_WORDS))
    if (known === undefined) return undefined
    const [count = 0, tokens = 0, longest = 0, isWeighted = 0] = known
    if (count < 0 || reader.position + 4 * count > start) return undefined
    const words = wordsOf(await reader.next(4 * count))
    if (words === undefined) return undefined
    const weight = new Float64Array(known.slice(4).buffer)[0] as number
    items.addRecord({ words, tokens, longest, weight, isWeighted: isWeighted === 1 })
    if (!turns.isOver) continue
    onBytes(hashed + reader.position)
    await turns.next()
  }
  await reader.next(length + 4)
  if (!reader.hash.digest().equals(await reader.at(size - HASH_BYTES, HASH_BYTES))) return undefined
  items.finish()
  return facts
}

function wordsOf(bytes: Buffer | undefined): Int32Array | undefined {
  if (bytes === undefined) return undefined
  return new Int32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))
}

function parseFacts(bytes: Buffer): PreparedFacts | undefined {
  try {
    return JSON.parse(bytes.toString()) as PreparedFacts
  } catch {
    return undefined
  }
}

async function areUnchanged(
  lineage: readonly SourceLineage[],
  turns: Turns,
  onBytes: (bytes: number) => void,
): Promise<boolean> {
  let bytes = 0
  const onPiece = (length: number): void => {
    bytes += length
    onBytes(bytes)
  }
  for (const { location, size, sha256 } of lineage) {
    const found = await stat(location).catch(() => undefined)
    if (!found?.isFile() || found.size !== size) return false
    if ((await hashOfFile(location, turns, onPiece).catch(() => turns.throwIfAborted())) !== sha256) return false
  }
  return true
}

async function hashOfFile(path: string, turns: Turns, onPiece: (length: number) => void): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of createReadStream(path, { highWaterMark: PIECE })) {
    hash.update(piece as Buffer)
    onPiece((piece as Buffer).length)
    if (turns.isOver) await turns.next()
  }
  return hash.digest('hex')
}

/** Reads a file from its beginning, hashing what is asked for. */
class EntryReader {
  readonly hash: Hash = createHash('sha256')
  position = 0
  readonly #file: FileHandle
  readonly #turns: Turns
  #piece: Buffer = Buffer.alloc(0)

  constructor(file: FileHandle, turns: Turns) {
    this.#file = file
    this.#turns = turns
  }

  /** The next bytes; undefined where the file ends before. */
  async next(length: number): Promise<Buffer | undefined> {
    if (this.#piece.length < length) await this.#fill(length)
    if (this.#piece.length < length) return undefined
    const bytes = this.#piece.subarray(0, length)
    this.#piece = this.#piece.subarray(length)
    this.position += length
    this.hash.update(bytes)
    return bytes
  }

  /** Bytes anywhere, as many as there are. */
  async at(position: number, length: number): Promise<Buffer> {
    const { buffer, bytesRead } = await this.#file.read(Buffer.alloc(length), 0, length, position)
    return buffer.subarray(0, bytesRead)
  }

  async #fill(length: number): Promise<void> {
    const kept = this.#piece
    const more = await this.at(this.position + kept.length, Math.max(PIECE, length))
    this.#piece = kept.length === 0 ? more : Buffer.concat([kept, more])
    if (this.#turns.isOver) await this.#turns.next()
  }
}
