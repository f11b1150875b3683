/**
 * @file The columns of a Parquet file, decoded page by page by hyparquet: however large the row groups of a file are,
 * one page of each column is in memory. Nested columns are put together of several, each with pages of its own.
 */

import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import type { ColumnChunk, Compressors, DecodedArray, PageHeader, RowGroup, SchemaTree } from 'hyparquet'
import { parquetHeader, readPage } from 'hyparquet/src/column.js'
import { convert as convertPlain, DEFAULT_PARSERS } from 'hyparquet/src/convert.js'
import { getMaxRepetitionLevel, getTreePath } from 'hyparquet/src/schema.js'
import type { ColumnDecoder, ParquetParsers } from 'hyparquet/src/types.js'
import { decompressLz4, decompressLz4Raw, decompressZstd, compressors as others } from 'hyparquet-compressors'
import { textOf } from '../../arrow/columnar-values.js'
import { DataError } from '../../lowrank-error.js'
import type { DataFile } from './data-file.js'
import { checkPage, type PlainPage, unpackPage } from './parquet-pages.js'

/** What the decoder makes of values that have a form of their own; the others are left as they are. */
export const PARSERS: ParquetParsers = {
  ...DEFAULT_PARSERS,
  stringFromBytes: (bytes) => bytes && textOf(bytes),
  timestampFromNanoseconds: (nanoseconds) => nanoseconds,
}

const COMPRESSORS: Compressors = {
  SNAPPY: others.SNAPPY as (input: Uint8Array, length: number) => Uint8Array,
  LZ4: decompressLz4,
  LZ4_RAW: decompressLz4Raw,
  // Into memory of the size that the page says, whatever its content says.
  ZSTD: (input, length) => decompressZstd(input, new Uint8Array(length)),
  GZIP: (input, length) => gunzipSync(input, { maxOutputLength: Math.max(1, length) }),
  BROTLI: (input, length) => brotliDecompressSync(input, { maxOutputLength: Math.max(1, length) }),
}

// Read at once: pages are mostly smaller than four of these.
const READ_BYTES = 1 << 18
// More is no page, but damage: writers end a page at a megabyte or at 20,000 rows.
const MOST_VALUES = 1 << 26

/** One leaf of the schema within one row group. */
export class LeafColumn {
  readonly name: string
  readonly #file: DataFile
  readonly #decoder: ColumnDecoder
  readonly #codec: ColumnDecoder['codec']
  readonly #isRepeated: boolean
  readonly #chunkBytes: number
  readonly #end: number
  // Where in the file the bytes of `#bytes` begin.
  #at: number
  #bytes: Uint8Array = new Uint8Array()
  #dictionary: DecodedArray | undefined
  #valuesLeft: number
  // Rows that are decoded, in pieces; `#taken` of the first are gone.
  #pieces: DecodedArray[] = []
  #taken = 0
  #decoded = 0

  /** @throws DataError for a chunk that is not described as it must be */
  constructor(file: DataFile, root: SchemaTree, { meta_data: meta }: ColumnChunk) {
    if (meta === undefined) throw new DataError('a column without a description')
    const { path_in_schema: path, data_page_offset: first, dictionary_page_offset: dictionary } = meta
    const schemaPath = getTreePath(root, path)
    this.name = path.join('.')
    this.#file = file
    this.#isRepeated = getMaxRepetitionLevel(schemaPath) > 0
    this.#codec = meta.codec
    this.#decoder = {
      pathInSchema: path,
      type: meta.type,
      element: (schemaPath.at(-1) as SchemaTree).element,
      schemaPath,
      // Pages are unpacked before they get to the decoder.
      codec: 'UNCOMPRESSED',
      parsers: PARSERS,
      utf8: false,
    }
    this.#at = Number(dictionary && dictionary < first ? dictionary : first)
    this.#end = this.#at + Number(meta.total_compressed_size)
    this.#chunkBytes = Number(meta.total_uncompressed_size)
    this.#valuesLeft = Number(meta.num_values)
    if (!(this.#at >= 4 && this.#end >= this.#at))
      throw new DataError(`the column ${this.name} at no place of the file`)
  }

  /** Whether all pages are decoded. */
  get isOver(): boolean {
    return this.#valuesLeft <= 0 || this.#at >= this.#end
  }

  /** Rows that can be taken now: the last one may go on in the next page. */
  get ready(): number {
    return this.#decoded - (this.#isRepeated && !this.isOver ? 1 : 0)
  }

  /** The next rows of as many as are `ready`. */
  take(count: number): DecodedArray {
    const parts: DecodedArray[] = []
    for (let missing = count; missing > 0; ) {
      const piece = this.#pieces[0] as DecodedArray
      const end = Math.min(piece.length, this.#taken + missing)
      parts.push(this.#taken === 0 && end === piece.length ? piece : piece.slice(this.#taken, end))
      missing -= end - this.#taken
      this.#taken = end
      if (end === piece.length) {
        this.#pieces.shift()
        this.#taken = 0
      }
    }
    this.#decoded -= count
    const [first = []] = parts
    return parts.length <= 1 ? first : parts.flatMap((part) => Array.from(part as ArrayLike<unknown>))
  }

  /** Decodes the next page. @throws DataError, or an error of the decoder, for what is damaged */
  async decode(): Promise<void> {
    const { header, headerBytes } = await this.#header()
    this.#check(header)
    await this.#ensure(headerBytes + header.compressed_page_size)
    const packed = this.#bytes.subarray(headerBytes, headerBytes + header.compressed_page_size)
    if (packed.length < header.compressed_page_size) throw new DataError(`a page of ${this.name} that ends too early`)
    this.#skip(headerBytes + header.compressed_page_size)
    if (header.type === 'DICTIONARY_PAGE') {
      const { data } = this.#readPage(unpackPage(packed, header, this.#codec, COMPRESSORS))
      this.#dictionary = convertPlain(data as DecodedArray, this.#decoder)
      return
    }
    if (header.type !== 'DATA_PAGE' && header.type !== 'DATA_PAGE_V2') return
    const values = (header.data_page_header ?? header.data_page_header_v2)?.num_values ?? 0
    // The decoder would lose the row before an empty page.
    if (values === 0) return
    const page = unpackPage(packed, header, this.#codec, COMPRESSORS)
    checkPage(page, this.#decoder.schemaPath, this.#decoder.type)
    const { data = [] } = this.#readPage(page, this.#isRepeated ? this.#takeLast() : undefined)
    this.#valuesLeft -= values
    this.#add(data)
  }

  #readPage({ bytes, header }: PlainPage, last?: unknown[]): ReturnType<typeof readPage> {
    const reader = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset: 0 }
    return readPage(reader, header, this.#decoder, this.#dictionary, last, 0)
  }

  /** The row that the next page may go on with, by itself. */
  #takeLast(): unknown[] | undefined {
    const piece = this.#pieces.at(-1)
    if (!Array.isArray(piece)) return undefined
    const last: unknown = piece.pop()
    if (piece.length === 0) this.#pieces.pop()
    if (this.#pieces.length === 0) this.#taken = 0
    this.#decoded--
    return [last]
  }

  #add(piece: DecodedArray): void {
    if (piece.length === 0) return
    this.#pieces.push(piece)
    this.#decoded += piece.length
  }

  async #header(): Promise<{ header: PageHeader; headerBytes: number }> {
    for (let size = 64; ; size *= 16) {
      await this.#ensure(size)
      try {
        const { buffer, byteOffset, byteLength } = this.#bytes
        const reader = { view: new DataView(buffer, byteOffset, byteLength), offset: 0 }
        const header = parquetHeader(reader)
        return { header, headerBytes: reader.offset }
      } catch (error) {
        // Statistics of long texts may make it long.
        if (size > this.#bytes.length) throw error
      }
    }
  }

  /** Refuses sizes that no page can have before memory is taken for them. */
  #check({ compressed_page_size: compressed, uncompressed_page_size: size, ...header }: PageHeader): void {
    const values =
      (header.data_page_header ?? header.data_page_header_v2 ?? header.dictionary_page_header)?.num_values ?? 0
    const isPossible =
      compressed >= 0 &&
      size >= 0 &&
      size <= this.#chunkBytes &&
      values >= 0 &&
      values <= MOST_VALUES &&
      (header.type === 'DICTIONARY_PAGE' ? values <= size * 8 + 1 : values <= this.#valuesLeft)
    if (!isPossible)
      throw new DataError(`a page of ${this.name} with ${values} values in ${size} bytes, which its column cannot hold`)
  }

  /** Reads until `#bytes` holds this many, or all that the column has. */
  async #ensure(size: number): Promise<void> {
    if (this.#bytes.length >= size) return
    const start = this.#at + this.#bytes.length
    const end = Math.min(this.#end, this.#at + Math.max(size, READ_BYTES))
    if (end <= start) return
    const more = await this.#file.slice(start, end)
    this.#bytes = this.#bytes.length === 0 ? more : Buffer.concat([this.#bytes, more])
  }

  #skip(bytes: number): void {
    this.#at += bytes
    this.#bytes = this.#bytes.subarray(bytes)
  }
}

/** The leaves of the columns that are read, in the order of the schema. */
export function leavesOf(file: DataFile, root: SchemaTree, group: RowGroup, names: ReadonlySet<string>): LeafColumn[] {
  return group.columns
    .filter(({ meta_data: meta }) => names.has(meta?.path_in_schema[0] ?? ''))
    .map((chunk) => new LeafColumn(file, root, chunk))
}
