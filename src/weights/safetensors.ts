/**
 * @file Safetensors files: reading and checking their headers, and writing them. Tensor values are moved as bytes and
 * never looked at.
 *
 * Layout: 8 bytes little-endian header length, the header (JSON, padded with spaces), then the tensors without gaps.
 * Format: https://huggingface.co/docs/safetensors
 */

import type { FileHandle } from 'node:fs/promises'
import { type FileContent, writeFileAtomic } from '../atomic-write.js'
import { describeValue, listNames } from '../errors.js'
import { ModelError } from '../lowrank-error.js'
import { openRegularFile, readError } from '../regular-file.js'
import type { DType } from '../tensor/dtype.js'
import { isJsonObject, parseJsonObject } from './strict-json.js'

/** Bits per element, in the order in which the reference library lays tensors out: the last come first in a file. */
const BITS = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const

/** Element types as safetensors files name them. */
export type SafetensorsDType = keyof typeof BITS

/** The engine's names of the float types that it reads. */
export const FLOATS: Readonly<Partial<Record<string, DType>>> = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
}

/** Where a tensor lies: enough to read it, without having read it. */
export interface TensorEntry {
  name: string
  dtype: SafetensorsDType
  shape: number[]
  path: string
  fileOffset: number
  byteLength: number
}

/** What the header of a file says, checked. Tensors are in the order in which they lie in the file. */
export interface SafetensorsHeader {
  metadata: Record<string, string>
  tensors: Map<string, TensorEntry>
}

/** A tensor to write. `bytes` is called when its turn comes, so that one tensor at a time is in memory. */
export interface TensorToWrite {
  name: string
  dtype: SafetensorsDType
  shape: readonly number[]
  /** The values, little-endian and row-major. */
  bytes: () => Promise<Uint8Array> | Uint8Array
}

const METADATA = '__metadata__'
const MAX_HEADER_BYTES = 100_000_000
// Node refuses single reads of 2 GiB.
const LARGEST_READ = 1 << 30
const DTYPES = Object.keys(BITS) as SafetensorsDType[]
const DAMAGED = 'the file is damaged or incomplete: download it again'

/**
 * Reads the header of the file at `path` and checks it against the file in full: what it returns lies inside the file.
 * @throws naming the file, the tensor and the remedy
 */
export async function readSafetensorsHeader(path: string): Promise<SafetensorsHeader> {
  const handle = await openRegularFile('safetensors', path)
  try {
    const { size } = await handle.stat()
    if (size < 8) throw new ModelError(`[safetensors] expected at least 8 bytes in ${path}, got ${size}; ${DAMAGED}`)
    const start = await readFully(handle, path, 0, 8)
    const length = Buffer.from(start.buffer).readBigUInt64LE()
    if (length > BigInt(Math.min(size - 8, MAX_HEADER_BYTES))) throw await badHeaderLength(handle, path, length, size)
    const dataStart = 8 + Number(length)
    return checkHeader(path, await readFully(handle, path, 8, Number(length)), dataStart, size - dataStart)
  } catch (error) {
    throw readError('safetensors', path, error)
  } finally {
    await handle.close()
  }
}

/**
 * The bytes of a tensor, for small ones and for tests: large ones are read by the engine, straight into its own memory.
 */
export async function readTensorBytes(
  entry: Readonly<Pick<TensorEntry, 'name' | 'path' | 'fileOffset' | 'byteLength'>>,
): Promise<Uint8Array> {
  const handle = await openRegularFile('safetensors', entry.path)
  try {
    const { size } = await handle.stat()
    if (entry.fileOffset + entry.byteLength > size) {
      throw new ModelError(`[safetensors] ${entry.path} ends inside tensor ${describeValue(entry.name)}; ${DAMAGED}`)
    }
    return await readFully(handle, entry.path, entry.fileOffset, entry.byteLength)
  } catch (error) {
    throw readError('safetensors', entry.path, error)
  } finally {
    await handle.close()
  }
}

/**
 * Writes the file at `path` atomically, one tensor in memory at a time. The same tensors give the same bytes in any
 * order, and the bytes that the reference library writes.
 * @throws naming the tensor whose description or bytes are wrong, or the path when writing fails
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<TensorToWrite>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeFileAtomic(path, safetensorsContent(path, tensors, metadata))
}

/**
 * The content of a file for `writeFilesAtomic`. Descriptions are checked at once; bytes are asked for while writing.
 */
export function safetensorsContent(
  path: string,
  tensors: Iterable<TensorToWrite>,
  metadata: Readonly<Record<string, string>> = {},
): FileContent {
  const names = new Map<TensorToWrite, Buffer>()
  const seen = new Set<string>()
  for (const tensor of tensors) {
    if (seen.has(tensor.name) || tensor.name === METADATA || !isWellFormed(tensor.name)) {
      throw new ModelError(
        `[safetensors] expected tensor names of ${path} to be unique text, got ${describeValue(tensor.name)}`,
      )
    }
    seen.add(tensor.name)
    names.set(tensor, Buffer.from(tensor.name))
  }
  const sorted = [...names.keys()].sort(
    (a, b) => DTYPES.indexOf(b.dtype) - DTYPES.indexOf(a.dtype) || names.get(a)!.compare(names.get(b)!),
  )

  const entries: string[] = []
  const keys = Object.keys(metadata).sort()
  if (keys.length > 0) {
    entries.push(`"${METADATA}":${JSON.stringify(Object.fromEntries(keys.map((key) => [key, metadata[key]])))}`)
  }
  let offset = 0
  const lengths: number[] = []
  for (const { name, dtype, shape } of sorted) {
    const length = tensorByteLength(dtype, shape, (problem) => {
      return new ModelError(`[safetensors] cannot write ${path}: tensor ${describeValue(name)} ${problem}`)
    })
    entries.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [offset, offset + length] })}`)
    lengths.push(length)
    offset += length
  }
  const json = Buffer.from(`{${entries.join(',')}}`)
  const header = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, ' ')
  header.writeBigUInt64LE(BigInt(header.length - 8))
  json.copy(header, 8)

  return (async function* () {
    yield header
    for (const [index, tensor] of sorted.entries()) {
      const bytes = await tensor.bytes()
      if (bytes.byteLength !== lengths[index]) {
        throw new ModelError(
          `[safetensors] expected ${lengths[index]} bytes for tensor ${describeValue(tensor.name)} ` +
            `(${tensor.dtype} ${describeValue(tensor.shape)}), got ${bytes.byteLength}`,
        )
      }
      yield bytes
    }
  })()
}

/** PyTorch has no more. */
const MOST_DIMENSIONS = 64

/**
 * Bytes of a tensor. Throws what `fail` makes of the problem if dtype or shape are not possible, or the product is not
 * exact.
 */
export function tensorByteLength(dtype: unknown, shape: unknown, fail: (problem: string) => Error): number {
  if (!isDType(dtype)) throw fail(`has the dtype ${describeValue(dtype)}, which is none of ${listNames(DTYPES, 99)}`)
  if (!Array.isArray(shape) || !shape.every(isSize)) throw fail(`has the impossible shape ${describeValue(shape)}`)
  if (shape.length > MOST_DIMENSIONS) throw fail(`has ${shape.length} dimensions, more than ${MOST_DIMENSIONS}`)
  let bits: number = BITS[dtype]
  for (const size of shape) {
    bits *= size
    if (!Number.isSafeInteger(bits)) throw fail(`has the shape ${describeValue(shape)}, which overflows`)
  }
  if (bits % 8 !== 0) throw fail(`has the shape ${describeValue(shape)}, which does not fill whole bytes of ${dtype}`)
  return bits / 8
}

function checkHeader(path: string, bytes: Uint8Array, dataStart: number, dataBytes: number): SafetensorsHeader {
  const json = parseJsonObject('safetensors', `the header of ${path}`, bytes)
  const entries: TensorEntry[] = []
  for (const [name, value] of Object.entries(json)) {
    if (name === METADATA) continue
    const fail = (problem: string) =>
      new ModelError(`[safetensors] ${path}: tensor ${describeValue(name)} ${problem}; ${DAMAGED}`)
    if (!isJsonObject(value))
      throw fail(`is described by ${describeValue(value)} instead of dtype, shape and data_offsets`)
    const length = tensorByteLength(value.dtype, value.shape, fail)
    const offsets = value.data_offsets
    if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize)) {
      throw fail(`has the impossible data_offsets ${describeValue(offsets)}`)
    }
    const [begin, end] = offsets as [number, number]
    const range = `[${begin}, ${end}]`
    if (end > dataBytes) throw fail(`has data_offsets ${range} outside the ${dataBytes} bytes of data in the file`)
    if (end - begin !== length) {
      throw fail(`has data_offsets ${range}, but ${value.dtype} ${describeValue(value.shape)} takes ${length} bytes`)
    }
    entries.push({
      name,
      dtype: value.dtype as SafetensorsDType,
      shape: value.shape as number[],
      path,
      fileOffset: dataStart + begin,
      byteLength: length,
    })
  }
  // Empty tensors begin where they end: they belong before the next one.
  entries.sort((a, b) => a.fileOffset - b.fileOffset || a.byteLength - b.byteLength)
  checkCoverage(path, entries, dataStart, dataBytes)
  return {
    metadata: checkMetadata(path, json[METADATA]),
    tensors: new Map(entries.map((entry) => [entry.name, entry])),
  }
}

/** Tensors must fill the file: anything else is a sign of damage, or of something hidden in the gaps. */
function checkCoverage(path: string, sorted: readonly TensorEntry[], dataStart: number, dataBytes: number): void {
  let at = dataStart
  let previous = 'the header'
  for (const entry of sorted) {
    const name = `tensor ${describeValue(entry.name)}`
    if (entry.fileOffset < at) throw new ModelError(`[safetensors] ${path}: ${name} overlaps ${previous}; ${DAMAGED}`)
    if (entry.fileOffset > at) {
      throw new ModelError(
        `[safetensors] ${path}: ${entry.fileOffset - at} unused bytes between ${previous} and ${name}; ${DAMAGED}`,
      )
    }
    at += entry.byteLength
    previous = name
  }
  const rest = dataStart + dataBytes - at
  if (rest !== 0) throw new ModelError(`[safetensors] ${path}: ${rest} unused bytes after ${previous}; ${DAMAGED}`)
}

function checkMetadata(path: string, value: unknown): Record<string, string> {
  if (value === undefined) return {}
  if (!isJsonObject(value) || !Object.values(value).every((item) => typeof item === 'string')) {
    throw new ModelError(
      `[safetensors] ${path}: expected text values in ${METADATA}, got ${describeValue(value)}; ${DAMAGED}`,
    )
  }
  return value as Record<string, string>
}

async function badHeaderLength(handle: FileHandle, path: string, length: bigint, size: number): Promise<Error> {
  const start = Buffer.from(await readFully(handle, path, 0, Math.min(size, 64))).toString('latin1')
  if (start.startsWith('version https://git-lfs')) {
    return new ModelError(
      `[safetensors] ${path} is a Git LFS pointer, not the weights; run "git lfs pull" in its directory`,
    )
  }
  const limit = size - 8 < MAX_HEADER_BYTES ? `the ${size} bytes of the file` : `the limit of ${MAX_HEADER_BYTES} bytes`
  return new ModelError(`[safetensors] ${path}: the header length ${length} exceeds ${limit}; ${DAMAGED}`)
}

async function readFully(handle: FileHandle, path: string, position: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; ) {
    const { bytesRead } = await handle.read(bytes, at, Math.min(length - at, LARGEST_READ), position + at)
    if (bytesRead === 0) throw new ModelError(`[safetensors] ${path} ended while it was read; ${DAMAGED}`)
    at += bytesRead
  }
  return bytes
}

function isDType(value: unknown): value is SafetensorsDType {
  return typeof value === 'string' && Object.hasOwn(BITS, value)
}

/** A count of elements or bytes. JSON can also say -0, which no writer means. */
function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && ((value as number) > 0 || Object.is(value, 0))
}

/** Lone surrogates have no UTF-8. (String.prototype.isWellFormed is newer than the oldest Node here.) */
function isWellFormed(text: string): boolean {
  return Buffer.from(text).toString() === text
}
