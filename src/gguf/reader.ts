/**
 * @file The structure of GGUF files, versions 2 and 3: header, metadata and descriptions of tensors, each number
 * checked against the file before anything is made of it. Knows no model. Format:
 * https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 *
 * Layout: "GGUF", uint32 version, uint64 tensors, uint64 keys; the keys; per tensor its name, dimensions (that of the
 * columns first), type and offset; padding; the tensors, each beginning at a multiple of the alignment.
 */

import { closeSync, fstatSync } from 'node:fs'
import { describeValue, listNames } from '../errors.js'
import { ModelError } from '../lowrank-error.js'
import { openRegularFileSync, readError } from '../regular-file.js'
import { runAtOnce, type Steps } from '../turns.js'
import type { WeightTensor } from '../weights/weight-tensor.js'
import { BLOCK_FORMATS } from './block-formats.js'
import { Cursor } from './cursor.js'
import { type GgufMetadata, readKeyCount, readMetadata } from './metadata.js'

/** What a file holds. Tensors are under the names that the file gives them, their shapes with the columns last. */
export interface GgufFile {
  readonly path: string
  readonly metadata: GgufMetadata
  readonly tensors: ReadonlyMap<string, WeightTensor>
}

const MAGIC = 'GGUF'
const DEFAULT_ALIGNMENT = 32
const LARGEST_ALIGNMENT = 1 << 16
const MOST_TENSORS = 65_536
const LONGEST_NAME = 128
const MOST_DIMENSIONS = 4

/** Names by number, so that types that are not read can be named too. */
const TYPE_NAMES: Readonly<Record<number, string>> = {
  0: 'F32',
  1: 'F16',
  2: 'Q4_0',
  3: 'Q4_1',
  6: 'Q5_0',
  7: 'Q5_1',
  8: 'Q8_0',
  9: 'Q8_1',
  10: 'Q2_K',
  11: 'Q3_K',
  12: 'Q4_K',
  13: 'Q5_K',
  14: 'Q6_K',
  15: 'Q8_K',
  16: 'IQ2_XXS',
  17: 'IQ2_XS',
  18: 'IQ3_XXS',
  19: 'IQ1_S',
  20: 'IQ4_NL',
  21: 'IQ3_S',
  22: 'IQ2_S',
  23: 'IQ4_XS',
  24: 'I8',
  25: 'I16',
  26: 'I32',
  27: 'I64',
  28: 'F64',
  29: 'IQ1_M',
  30: 'BF16',
  34: 'TQ1_0',
  35: 'TQ2_0',
  39: 'MXFP4',
}

const FLOAT_BYTES: Readonly<Record<string, number>> = { F32: 4, F16: 2, BF16: 2 }
const READ_TYPES = [...Object.keys(FLOAT_BYTES), ...Object.keys(BLOCK_FORMATS)]

/** Whether a path is that of a GGUF file, by its name. */
export function isGgufPath(path: string): boolean {
  return path.toLowerCase().endsWith('.gguf')
}

/** Reads all that comes before the tensors. @throws naming the file, the key or tensor, and what is wrong with it */
export function readGguf(path: string): GgufFile {
  return runAtOnce(readGgufInSteps(path))
}

/** The same in steps, so that a long vocabulary does not hold the event loop up. */
export function* readGgufInSteps(path: string): Steps<GgufFile> {
  const file = openRegularFileSync('gguf', path)
  try {
    const cursor = new Cursor(file, path, fstatSync(file).size)
    const tensorCount = readStart(cursor)
    const metadata = yield* readMetadata(cursor, readKeyCount(cursor))
    return { path, metadata, tensors: readTensors(cursor, tensorCount, alignmentOf(metadata)) }
  } catch (error) {
    throw readError('gguf', path, error)
  } finally {
    closeSync(file)
  }
}

/** @returns the number of tensors */
function readStart(cursor: Cursor): number {
  const { path } = cursor
  let magic = ''
  for (let i = 0; i < Math.min(4, cursor.size); i++) magic += String.fromCharCode(cursor.uint8())
  if (magic !== MAGIC) {
    const hint =
      magic === 'vers'
        ? '; it looks like a Git LFS pointer: run "git lfs pull" in its directory'
        : '; download it again'
    throw new ModelError(`[gguf] ${path}: expected a file that begins with "GGUF", got ${describeValue(magic)}${hint}`)
  }
  const version = cursor.uint32()
  if (version > 0xffff && version % 0x10000 === 0) {
    throw new ModelError(
      `[gguf] ${path} is big-endian, which is not supported; get the little-endian version of the model`,
    )
  }
  if (version !== 2 && version !== 3) {
    throw new ModelError(
      `[gguf] ${path}: expected version 2 or 3 of the format, got ${version}; get a newer conversion of the model`,
    )
  }
  cursor.what = 'the number of tensors'
  return cursor.count(8 + 1 + 4 + 8 + 4 + 8, MOST_TENSORS, 'tensors')
}

function alignmentOf(metadata: GgufMetadata): number {
  const key = 'general.alignment'
  const alignment = metadata.integer(key, DEFAULT_ALIGNMENT)
  // Powers of two only.
  if (alignment < 1 || alignment > LARGEST_ALIGNMENT || (alignment & (alignment - 1)) !== 0)
    throw metadata.error(key, `a power of two up to ${LARGEST_ALIGNMENT}`, alignment)
  return alignment
}

function readTensors(cursor: Cursor, count: number, alignment: number): Map<string, WeightTensor> {
  const tensors = new Map<string, WeightTensor>()
  for (let i = 0; i < count; i++) {
    cursor.what = `tensor ${i + 1} of ${count}`
    const name = cursor.text(LONGEST_NAME)
    cursor.what = `tensor ${describeValue(name)}`
    if (tensors.has(name)) throw cursor.error('the name is there twice')
    tensors.set(name, readTensor(cursor, name, alignment))
  }
  const dataStart = Math.ceil(cursor.position / alignment) * alignment
  return place(cursor, tensors, dataStart, alignment)
}

/** Its fileOffset counts from the first tensor. */
function readTensor(cursor: Cursor, name: string, alignment: number): WeightTensor {
  const dimensions = cursor.uint32()
  if (dimensions < 1 || dimensions > MOST_DIMENSIONS)
    throw cursor.error(`expected 1 to ${MOST_DIMENSIONS} dimensions, got ${dimensions}`)
  const shape: number[] = []
  let elements = 1
  for (let i = 0; i < dimensions; i++) {
    const size = cursor.uint64()
    elements *= size
    if (size < 1 || !Number.isSafeInteger(4 * elements))
      throw cursor.error(`expected a size that is possible, got ${size}`)
    shape.unshift(size)
  }
  const type = cursor.uint32()
  const dtype = Object.hasOwn(TYPE_NAMES, type) ? (TYPE_NAMES[type] as string) : `number ${type}`
  if (!READ_TYPES.includes(dtype)) {
    throw new ModelError(
      `[gguf] ${cursor.path}: tensor ${describeValue(name)} is of type ${dtype}, which is not read; those that are: ${listNames(READ_TYPES, 99)}; ` +
        'get another quantisation of the model',
    )
  }
  const blocks = BLOCK_FORMATS[dtype]
  const cols = shape[shape.length - 1] as number
  if (blocks && cols % blocks.size !== 0)
    throw cursor.error(`expected rows of whole blocks of ${blocks.size} for ${dtype}, got ${cols} columns`)
  const byteLength = blocks ? (elements / blocks.size) * blocks.bytes : elements * (FLOAT_BYTES[dtype] as number)
  const fileOffset = cursor.uint64()
  if (fileOffset % alignment !== 0)
    throw cursor.error(`expected an offset that is a multiple of ${alignment}, got ${fileOffset}`)
  return { name, dtype, shape, path: cursor.path, fileOffset, byteLength, ...(blocks && { blocks }) }
}

/**
 * Tensors must lie in the file, one after the other, with nothing but padding between them.
 * @returns them with offsets in the file
 */
function place(
  cursor: Cursor,
  tensors: ReadonlyMap<string, WeightTensor>,
  dataStart: number,
  alignment: number,
): Map<string, WeightTensor> {
  const sorted = [...tensors.values()].sort((a, b) => a.fileOffset - b.fileOffset)
  let end = 0
  let previous = 'the header'
  for (const { name, fileOffset, byteLength } of sorted) {
    cursor.what = `tensor ${describeValue(name)}`
    if (fileOffset < end) throw cursor.error(`it overlaps ${previous}`)
    if (fileOffset - end >= alignment)
      throw cursor.error(`${fileOffset - end} unused bytes lie between it and ${previous}`)
    end = fileOffset + byteLength
    if (dataStart + end > cursor.size)
      throw cursor.error(`it ends at byte ${dataStart + end}, but the file has ${cursor.size}`)
    previous = `tensor ${describeValue(name)}`
  }
  return new Map([...tensors].map(([name, tensor]) => [name, { ...tensor, fileOffset: dataStart + tensor.fileOffset }]))
}
