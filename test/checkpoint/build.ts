/**
 * @file What suites on checkpoints share: a small model's config and batch, and safetensors files built byte by byte,
 * sound and hostile.
 */

export const CONFIG = {
  model_type: 'llama',
  vocab_size: 53,
  hidden_size: 30,
  intermediate_size: 44,
  num_hidden_layers: 2,
  num_attention_heads: 3,
  num_key_value_heads: 1,
  tie_word_embeddings: false,
}
export const BATCH = { inputIds: [[3, 14, 15, 9, 26, 5, 35]] }

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
