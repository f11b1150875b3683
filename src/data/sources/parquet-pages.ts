/**
 * @file The bytes of a Parquet page, unpacked and looked over before the decoder gets them: a damaged length of a run
 * or of a text would have it fill memory until the process ends, which no program can catch.
 */

import type { Compressors, DataReader, PageHeader, SchemaTree } from 'hyparquet'
import { decompressPage } from 'hyparquet/src/datapage.js'
import { deltaBinaryUnpack } from 'hyparquet/src/delta.js'
import { getMaxDefinitionLevel, getMaxRepetitionLevel } from 'hyparquet/src/schema.js'
import { readVarInt } from 'hyparquet/src/thrift.js'
import { DataError } from '../../lowrank-error.js'

/** A page whose content is not compressed, with a header that says so. */
export interface PlainPage {
  readonly bytes: Uint8Array
  readonly header: PageHeader
}

// Beyond the values of the page: a writer fills its last group of packed values.
const MOST_PADDING = 512
// What the texts of one page may take when those that share a beginning are whole.
const MOST_TEXT_BYTES = 2 ** 28
// Differences in a block: writers take 128 or a few thousand.
const MOST_IN_BLOCK = 2 ** 20
const DICTIONARY_ENCODINGS = ['PLAIN_DICTIONARY', 'RLE_DICTIONARY']
const DELTA_ENCODINGS = ['DELTA_BINARY_PACKED', 'DELTA_LENGTH_BYTE_ARRAY', 'DELTA_BYTE_ARRAY']

/** Unpacks a page, as large as its header says. @throws an error of the codec where it is damaged */
export function unpackPage(
  packed: Uint8Array,
  header: PageHeader,
  codec: Parameters<typeof decompressPage>[2],
  compressors: Compressors,
): PlainPage {
  const second = header.data_page_header_v2
  // Levels of the second version lie before the content, and are never compressed.
  const before = second ? second.repetition_levels_byte_length + second.definition_levels_byte_length : 0
  const size = header.uncompressed_page_size - before
  if (!(before >= 0 && before <= packed.length && size >= 0))
    throw new DataError('a page that its levels do not fit in')
  const isPlain = codec === 'UNCOMPRESSED' || second?.is_compressed === false
  if (isPlain) return { bytes: packed, header: plainHeader(header, packed.length) }
  // Nothing, compressed, may be a byte or none.
  const content = size === 0 ? new Uint8Array() : decompressPage(packed.subarray(before), size, codec, compressors)
  const bytes = before === 0 ? content : Buffer.concat([packed.subarray(0, before), content])
  return { bytes, header: plainHeader(header, bytes.length) }
}

function plainHeader(header: PageHeader, size: number): PageHeader {
  const second = header.data_page_header_v2
  return {
    ...header,
    compressed_page_size: size,
    uncompressed_page_size: size,
    ...(second && { data_page_header_v2: { ...second, is_compressed: false } }),
  }
}

/**
 * Looks over the lengths within a data page: of the runs of its levels and of its codes, and of texts that are written
 * as differences.
 *
 * @throws DataError for a length that the page cannot have, RangeError for one that goes beyond its bytes
 */
export function checkPage({ bytes, header }: PlainPage, path: SchemaTree[], type: string): void {
  const reader = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset: 0 }
  const [first, second] = [header.data_page_header, header.data_page_header_v2]
  const { num_values: values = 0, encoding = 'PLAIN' } = second ?? first ?? {}
  const levels = [
    [getMaxRepetitionLevel(path), second?.repetition_levels_byte_length],
    [getMaxDefinitionLevel(path), second?.definition_levels_byte_length],
  ] as const
  for (const [most, length] of levels) {
    if (length === undefined && most === 0) continue
    const bytesOfLevels = length ?? lengthBefore(reader)
    const end = reader.offset + bytesOfLevels
    if (most > 0 && checkRuns(reader, 32 - Math.clz32(most), values, end) < values)
      throw new DataError(`levels of fewer than the ${values} values of a page`)
    reader.offset = end
  }
  if (DICTIONARY_ENCODINGS.includes(encoding)) {
    const width = reader.view.getUint8(reader.offset++)
    if (width > 32) throw new DataError(`codes of ${width} bits`)
    if (width > 0 || second) checkRuns(reader, width, values, bytes.length)
  } else if (encoding === 'RLE') {
    if (type !== 'BOOLEAN') throw new DataError(`runs of ${type}`)
    reader.offset += 4
    checkRuns(reader, 1, values, bytes.length)
  } else if (DELTA_ENCODINGS.includes(encoding) && reader.offset < bytes.length) {
    checkDeltas(reader, encoding, type, values - (second?.num_nulls ?? 0))
  }
}

function lengthBefore(reader: DataReader): number {
  const length = reader.view.getUint32(reader.offset, true)
  reader.offset += 4
  return length
}

/** Counts the values of runs, and of groups of eight that are packed, until there are as many or at `end`. */
function checkRuns(reader: DataReader, width: number, values: number, end: number): number {
  let seen = 0
  while (seen < values && reader.offset < end) {
    const header = readVarInt(reader)
    const isPacked = (header & 1) === 1
    const count = isPacked ? (header >>> 1) * 8 : header >>> 1
    if (count > values + MOST_PADDING) throw new DataError(`a run of ${count} in a page of ${values} values`)
    // The decoder takes a byte of groups that have none, too: both have to see the same runs.
    reader.offset += isPacked ? Math.max(1, (count / 8) * width) : (width + 7) >> 3
    seen += count
  }
  return seen
}

/** Differences come in blocks, whose sizes stand before them. */
function checkDeltas(reader: DataReader, encoding: string, type: string, values: number): void {
  checkBlocks(reader)
  if (encoding !== 'DELTA_BYTE_ARRAY') return
  // A column without nulls says how many texts it has; else the decoder meets the end of the bytes.
  const count = Math.min(values, peekCount(reader))
  const shared = new Int32Array(count)
  deltaBinaryUnpack(reader, count, shared)
  checkBlocks(reader)
  const own = new Int32Array(count)
  deltaBinaryUnpack(reader, count, own)
  let before = 0
  let all = 0
  for (let i = 0; i < count; i++) {
    const [start, rest] = [shared[i] as number, own[i] as number]
    if (start < 0 || start > before || rest < 0)
      throw new DataError(`a text that shares ${start} bytes with one of ${before}`)
    before = start + rest
    all += before
    if (all > MOST_TEXT_BYTES) throw new DataError(`texts of more than ${MOST_TEXT_BYTES} bytes in one page of ${type}`)
  }
}

/** Sizes of the blocks that follow. Leaves the reader where it is. */
function checkBlocks({ view, offset }: DataReader): void {
  const reader = { view, offset }
  const [block, parts] = [readVarInt(reader), readVarInt(reader)]
  if (!(parts > 0 && block > 0 && block <= MOST_IN_BLOCK && block % parts === 0 && parts <= block / 8))
    throw new DataError(`differences in blocks of ${block}, in ${parts} parts`)
}

/** How many differences follow. Leaves the reader where it is. */
function peekCount({ view, offset }: DataReader): number {
  const reader = { view, offset }
  readVarInt(reader)
  readVarInt(reader)
  return readVarInt(reader)
}
