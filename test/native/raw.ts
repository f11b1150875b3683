/**
 * @file The addon without the layers above it: commands as plain numbers, so that tests can send what TypeScript never
 * would.
 */

import { type Addon, type Field, loadAddon, type NativeStream, type StreamOptions } from '../../src/tensor/addon.js'

export const F32 = 0
export const BF16 = 1
export const F16 = 2
export const I32 = 3
export const U8 = 4

/** Slot, byte offset, dtype, rows, cols, row stride. */
export type ViewWords = [number, number, number, number, number, number]

const DEVICE = (process.env.LOWRANK_TEST_DEVICES ?? 'cpu').split(',')[0] as string

/** What sizes of blocks of memory are multiples of. */
export const BLOCK_BYTES = DEVICE.startsWith('cuda') ? 256 : 64

/** What the engine leaves behind every block, in a build with AddressSanitizer. */
export const GAP_BYTES = process.env.LOWRANK_ADDON?.includes('sanitize-address') ? 256 : 0

export const OMITTED: ViewWords = [-1, 0, 0, 0, 0, 0]

export function addon(): Addon {
  return loadAddon()
}

/** On the first device of LOWRANK_TEST_DEVICES, by default the CPU. */
export function openStream(options: Omit<StreamOptions, 'device'> = {}): NativeStream {
  return new (addon().Stream)({ device: DEVICE, threads: 2, ...options })
}

export function view(slot: number, rows: number, cols: number, dtype = F32, byteOffset = 0, stride = cols): ViewWords {
  return [slot, byteOffset, dtype, rows, cols, stride]
}

/** Queues an op from views and numbers in wire order. */
export function enqueue(stream: NativeStream, op: string, ...words: (number | number[])[]): void {
  const args = Float64Array.from(words.flat())
  stream.enqueue(addon().ops[op]?.id ?? -1, args, args.length)
}

/** A float32 tensor with these values. */
export function upload(stream: NativeStream, values: readonly number[], rows = 1): ViewWords {
  const words = view(stream.allocate(values.length * 4), rows, values.length / rows)
  stream.upload(Float64Array.from(words), Float32Array.from(values), F32)
  return words
}

export function uploadInt32(stream: NativeStream, values: readonly number[]): ViewWords {
  const words = view(stream.allocate(values.length * 4), 1, values.length, I32)
  stream.upload(Float64Array.from(words), Int32Array.from(values), I32)
  return words
}

export async function readValues(stream: NativeStream, words: ViewWords): Promise<number[]> {
  return Array.from(await stream.read(Float64Array.from(words), false))
}

/** The fields of an op with its groups' and one item of each list laid open. */
export function* leaves(fields: readonly Field[], prefix = ''): Generator<Field & { path: string }> {
  for (const field of fields) {
    const path = prefix + field.name
    yield { ...field, path }
    if (field.fields) yield* leaves(field.fields, `${path}.`)
  }
}

/** A stream with a queue that takes a while: `rounds` additions over four million elements. */
export function keepBusy(stream: NativeStream, rounds: number): ViewWords {
  const big = view(stream.allocate(4_000_000 * 4), 2000, 2000)
  enqueue(stream, 'fill', big, 0)
  const one = upload(stream, [1])
  const ones = view(stream.allocate(4_000_000 * 4), 2000, 2000)
  enqueue(stream, 'fill', ones, 1)
  for (let i = 0; i < rounds; i++) enqueue(stream, 'add', big, ones, big)
  stream.release(one[0])
  stream.release(ones[0])
  return big
}
