/**
 * @file A tensor of weights in a file of whatever format, and filling a tensor of a device from it. What lies there as
 * rows of floats the engine reads itself; what is packed in blocks, or in another order than Hugging Face's, comes
 * through here in pieces of a few MiB.
 */

import type { FileHandle } from 'node:fs/promises'
import { ModelError } from '../lowrank-error.js'
import { openRegularFile } from '../regular-file.js'
import { type DType, dtypeBytes } from '../tensor/dtype.js'
import type { Tensor } from '../tensor/tensor.js'
import { transpose } from '../transpose.js'
import { FLOATS } from './safetensors.js'

/** How values are packed: blocks of `size` elements in `bytes` bytes, never across the end of a row. */
export interface BlockFormat {
  readonly size: number
  readonly bytes: number
  /** Unpacks `count` blocks from the beginning of `packed` into `values`. */
  unpack(packed: Uint8Array, count: number, values: Float32Array): void
}

/**
 * Where a tensor lies and how: enough to check and to load it. Its shape is the one that Hugging Face's files give it.
 */
export interface WeightTensor {
  readonly name: string
  /** The element type by the name that the format gives it. */
  readonly dtype: string
  readonly shape: readonly number[]
  readonly path: string
  readonly fileOffset: number
  readonly byteLength: number
  /** Absent: elements lie one by one. */
  readonly blocks?: BlockFormat
  /**
   * Rows of the two halves of every so many rows alternate in the file: 0, n/2, 1, n/2 + 1...; absent: rows are in
   * order.
   */
  readonly interleaved?: number
  /** The file holds the transpose of `shape`. */
  readonly transposed?: boolean
}

/** Unpacked at a time. */
const PIECE_BYTES = 4 * 2 ** 20

/** The narrowest dtype that holds every value; undefined where the tensor is not one of floats. */
export function floatDType(tensor: WeightTensor): DType | undefined {
  return tensor.blocks ? 'float32' : FLOATS[tensor.dtype]
}

/**
 * Fills `target`, which has the tensor's shape, or with `isTransposed` the transposed one. Plain floats are only queued
 * to be read; otherwise the values are on the device when the promise resolves.
 */
export async function fillFrom(target: Tensor, tensor: WeightTensor, isTransposed = false): Promise<void> {
  const { device } = target
  const dtype = floatDType(tensor) as DType
  const turn = isTransposed !== (tensor.transposed === true)
  if (!tensor.blocks && !tensor.interleaved && !turn) {
    device.loadFile(target, tensor.path, tensor.fileOffset, dtype)
    return
  }
  const [rows, cols] = fileRows(tensor)
  const matrix = target.reshape(turn ? [cols, rows] : [rows, cols])
  try {
    for await (const { start, end, values } of pieces(tensor, rows, cols, dtype)) {
      const part = turn ? matrix.columns(start, end) : matrix.slice(start, end)
      device.upload(part, turn ? transpose(values, end - start, cols) : values, dtype)
      part.dispose()
      // So that the queue never holds copies of more than a piece.
      await device.sync()
    }
  } finally {
    matrix.dispose()
  }
}

/** Rows and columns as they lie in the file; the elements of a vector are rows where their order counts. */
function fileRows({ shape, transposed, interleaved }: WeightTensor): [number, number] {
  if (shape.length === 1) return interleaved ? [shape[0] as number, 1] : [1, shape[0] as number]
  const cols = shape[shape.length - 1] as number
  const rows = shape.slice(0, -1).reduce((product, size) => product * size, 1)
  return transposed ? [cols, rows] : [rows, cols]
}

type Values = Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>

/**
 * The rows of the file, as many at a time as make a piece, unpacked and put in order. 16-bit floats stay as they are.
 */
async function* pieces(
  tensor: WeightTensor,
  rows: number,
  cols: number,
  dtype: DType,
): AsyncGenerator<{ start: number; end: number; values: Values }> {
  const { blocks, interleaved = 1 } = tensor
  const rowBytes = blocks ? (cols / blocks.size) * blocks.bytes : cols * dtypeBytes(dtype)
  const fitting = Math.floor(PIECE_BYTES / (cols * dtypeBytes(dtype)))
  const step = Math.max(interleaved, fitting - (fitting % interleaved))
  const handle = await openRegularFile('loadModel', tensor.path)
  try {
    for (let start = 0; start < rows; start += step) {
      const end = Math.min(rows, start + step)
      const bytes = await readExactly(handle, tensor, start * rowBytes, (end - start) * rowBytes)
      const values = unpack(bytes, blocks, dtype, (end - start) * cols)
      yield { start, end, values: interleaved > 1 ? deinterleave(values, interleaved, cols) : values }
    }
  } finally {
    await handle.close()
  }
}

function unpack(bytes: Uint8Array<ArrayBuffer>, blocks: BlockFormat | undefined, dtype: DType, count: number): Values {
  if (!blocks) return dtype === 'float32' ? new Float32Array(bytes.buffer) : new Uint16Array(bytes.buffer)
  const values = new Float32Array(count)
  blocks.unpack(bytes, count / blocks.size, values)
  return values
}

/** Row 2i + j of each group becomes its row j * group / 2 + i. */
function deinterleave(values: Values, group: number, cols: number): Values {
  const ordered = values.slice()
  const half = group / 2
  for (let row = 0; row < values.length / cols; row++) {
    const inGroup = row % group
    const to = row - inGroup + (inGroup % 2) * half + (inGroup >> 1)
    ordered.set(values.subarray(row * cols, (row + 1) * cols), to * cols)
  }
  return ordered
}

/** Bytes of a tensor, counted from where it begins. */
export async function readExactly(
  handle: FileHandle,
  { name, path, fileOffset }: WeightTensor,
  from: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; ) {
    const { bytesRead } = await handle.read(bytes, at, length - at, fileOffset + from + at)
    if (bytesRead === 0)
      throw new ModelError(`[loadModel] ${path} ends inside ${name}; the file was changed while it was read`)
    at += bytesRead
  }
  return bytes
}
