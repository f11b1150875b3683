/** @file Builds safetensors files, sound and hostile, byte by byte. */

/** A file with the given header text and data; `length` overrides the header length that it states. */
export function safetensorsBytes(header: string | Uint8Array, data = new Uint8Array(), length?: bigint): Buffer {
  const json = Buffer.from(header)
  const start = Buffer.alloc(8)
  start.writeBigUInt64LE(length ?? BigInt(json.length))
  return Buffer.concat([start, json, data])
}

/** Header text of tensors laid out one after the other: name, dtype, shape, bytes. */
export function headerOf(...tensors: [name: string, dtype: string, shape: unknown, bytes: number][]): string {
  let at = 0
  const entries = tensors.map(([name, dtype, shape, bytes]) => {
    const entry = { dtype, shape, data_offsets: [at, at + bytes] }
    at += bytes
    return [name, entry] as const
  })
  return JSON.stringify(Object.fromEntries(entries))
}
