/**
 * @file Whether two tensors of files hold the same values, as those that share a weight must. Read a piece at a time,
 * no further than the first difference.
 */

import type { FileHandle } from 'node:fs/promises'
import { openRegularFile } from '../regular-file.js'
import { halfToFloat } from './half.js'
import { FLOATS } from './safetensors.js'
import { readExactly, type WeightTensor } from './weight-tensor.js'

/** Elements that are compared at a time; a multiple of every block. */
const PIECE = 2 ** 20

/** Compares shapes and values: bytes where both are of one type, numbers where they are floats of two widths. */
export async function haveSameValues(a: WeightTensor, b: WeightTensor): Promise<boolean> {
  if (a.shape.length !== b.shape.length || a.shape.some((size, i) => size !== b.shape[i])) return false
  if (a.dtype !== b.dtype && !(FLOATS[a.dtype] && FLOATS[b.dtype])) return false
  const files = await openBoth(a, b)
  try {
    const elements = a.shape.reduce((product, size) => product * size, 1)
    for (let start = 0; start < elements; start += PIECE) {
      const count = Math.min(PIECE, elements - start)
      const [left, right] = (await Promise.all(files.map((read) => read(start, count)))) as [Buffer, Buffer]
      if (a.dtype === b.dtype ? !left.equals(right) : !sameNumbers(left, a.dtype, right, b.dtype, count)) return false
    }
    return true
  } finally {
    await files.close()
  }
}

type ReadPiece = (start: number, count: number) => Promise<Buffer>

async function openBoth(a: WeightTensor, b: WeightTensor): Promise<ReadPiece[] & { close(): Promise<void> }> {
  const handles: FileHandle[] = []
  const close = async (): Promise<void> => {
    for (const handle of handles) await handle.close()
  }
  try {
    for (const { path } of [a, b]) handles.push(await openRegularFile('loadModel', path))
  } catch (error) {
    await close()
    throw error
  }
  const readers = [a, b].map((tensor, i): ReadPiece => {
    const elements = tensor.shape.reduce((product, size) => product * size, 1)
    const bytesOf = (count: number): number => (count * tensor.byteLength) / elements
    return async (start, count) => {
      const bytes = await readExactly(handles[i] as FileHandle, tensor, bytesOf(start), bytesOf(count))
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    }
  })
  return Object.assign(readers, { close })
}

function sameNumbers(a: Buffer, aType: string, b: Buffer, bType: string, count: number): boolean {
  for (let i = 0; i < count; i++) {
    const [left, right] = [numberAt(a, aType, i), numberAt(b, bType, i)]
    if (left !== right && !(Number.isNaN(left) && Number.isNaN(right))) return false
  }
  return true
}

const word = new DataView(new ArrayBuffer(4))

function numberAt(bytes: Buffer, dtype: string, index: number): number {
  switch (FLOATS[dtype]) {
    case 'float32':
      return bytes.readFloatLE(4 * index)
    case 'float16':
      return halfToFloat(bytes, 2 * index)
    default:
      word.setUint16(0, bytes.readUInt16LE(2 * index))
      return word.getFloat32(0)
  }
}
