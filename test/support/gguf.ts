/**
 * @file GGUF files for tests: written from keys and tensors, sound or not, and made of a model directory as llama.cpp's
 * converter makes them.
 */

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openCheckpoint } from '../../src/checkpoint/weights-on-disk.js'
import { readTensorBytes } from '../../src/weights/safetensors.js'

/** Numbers of the types of values. */
const TYPES = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  str: 8,
  arr: 9,
  u64: 10,
  i64: 11,
  f64: 12,
}
export type TypeName = keyof typeof TYPES

/** A value of a given type; arrays are of values of one type. */
export class Typed {
  readonly type: TypeName
  readonly value: unknown
  constructor(type: TypeName, value: unknown) {
    this.type = type
    this.value = value
  }
}

export interface TensorParts {
  name: string
  /** The columns last. */
  shape: readonly number[]
  /** The number of the type. */
  type: number
  data: Uint8Array
  /** Where it is said to lie; default behind the one before. */
  offset?: number | bigint
}

export interface GgufParts {
  keys?: Readonly<Record<string, unknown>> | readonly (readonly [string, unknown])[]
  tensors?: readonly TensorParts[]
  version?: number
  alignment?: number
  /** What the header says there is of each; default what there is. */
  tensorCount?: bigint
  keyCount?: bigint
}

/**
 * The file as bytes: texts, truth values, uint32, float32, and arrays of texts, int32 or float32 by what JavaScript
 * has.
 */
export function ggufBytes({ keys = {}, tensors = [], version = 3, alignment = 32, ...counts }: GgufParts): Buffer {
  const pairs = Array.isArray(keys) ? keys : Object.entries(keys)
  const header = [
    Buffer.from('GGUF'),
    bytesOf('u32', version),
    bytesOf('u64', counts.tensorCount ?? BigInt(tensors.length)),
    bytesOf('u64', counts.keyCount ?? BigInt(pairs.length)),
    ...pairs.flatMap(([key, value]) => {
      const { type, value: raw } = typed(value)
      return [bytesOf('str', key), bytesOf('u32', TYPES[type]), bytesOf(type, raw)]
    }),
  ]
  const data: Buffer[] = []
  let at = 0
  for (const { name, shape, type, data: bytes, offset } of tensors) {
    header.push(bytesOf('str', name), bytesOf('u32', shape.length))
    for (const size of [...shape].reverse()) header.push(bytesOf('u64', BigInt(size)))
    header.push(bytesOf('u32', type), bytesOf('u64', BigInt(offset ?? at)))
    const padded = Buffer.alloc(Math.ceil(bytes.length / alignment) * alignment)
    padded.set(bytes)
    data.push(padded)
    at += padded.length
  }
  const start = Buffer.concat(header)
  return Buffer.concat([start, Buffer.alloc((alignment - (start.length % alignment)) % alignment), ...data])
}

function typed(value: unknown): Typed {
  if (value instanceof Typed) return value
  if (typeof value === 'string') return new Typed('str', value)
  if (typeof value === 'boolean') return new Typed('bool', value)
  if (typeof value === 'number') return new Typed(Number.isInteger(value) ? 'u32' : 'f32', value)
  const items = value as unknown[]
  const type = typeof items[0] === 'string' ? 'str' : items.every(Number.isInteger) ? 'i32' : 'f32'
  return new Typed(
    'arr',
    items.map((item) => new Typed(type, item)),
  )
}

export function bytesOf(type: TypeName, value: unknown): Buffer {
  const buffer = Buffer.alloc(8)
  switch (type) {
    case 'u8':
    case 'bool':
      return buffer.fill(Number(value), 0, 1).subarray(0, 1)
    case 'i8':
      buffer.writeInt8(value as number)
      return buffer.subarray(0, 1)
    case 'u16':
      buffer.writeUInt16LE(value as number)
      return buffer.subarray(0, 2)
    case 'i16':
      buffer.writeInt16LE(value as number)
      return buffer.subarray(0, 2)
    case 'u32':
      buffer.writeUInt32LE(value as number)
      return buffer.subarray(0, 4)
    case 'i32':
      buffer.writeInt32LE(value as number)
      return buffer.subarray(0, 4)
    case 'f32':
      buffer.writeFloatLE(value as number)
      return buffer.subarray(0, 4)
    case 'u64':
      buffer.writeBigUInt64LE(BigInt(value as number))
      return buffer
    case 'i64':
      buffer.writeBigInt64LE(BigInt(value as number))
      return buffer
    case 'f64':
      buffer.writeDoubleLE(value as number)
      return buffer
    case 'str': {
      const text = Buffer.from(value as string)
      return Buffer.concat([bytesOf('u64', text.length), text])
    }
    case 'arr': {
      const items = value as Typed[]
      const item = items[0]?.type ?? 'str'
      return Buffer.concat([
        bytesOf('u32', TYPES[item]),
        bytesOf('u64', items.length),
        ...items.map((element) => bytesOf(item, element.value)),
      ])
    }
    default:
      return type satisfies never
  }
}

const DECODER = {
  'model.embed_tokens': 'token_embd',
  'model.norm': 'output_norm',
  lm_head: 'output',
  input_layernorm: 'attn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  'self_attn.q_norm': 'attn_q_norm',
  'self_attn.k_norm': 'attn_k_norm',
  post_attention_layernorm: 'ffn_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
  'transformer.wte': 'token_embd',
  'transformer.wpe': 'position_embd',
  'transformer.ln_f': 'output_norm',
  ln_1: 'attn_norm',
  'attn.c_attn': 'attn_qkv',
  'attn.c_proj': 'attn_output',
  ln_2: 'ffn_norm',
  'mlp.c_fc': 'ffn_up',
  'mlp.c_proj': 'ffn_down',
} as const

/** Packs the float32 values of a matrix; other tensors stay float32. */
export interface Packing {
  type: number
  pack(values: Float32Array): Uint8Array
}

/** Keys and tensors as the converter writes them of a model directory with float32 weights. */
export async function convertModel(
  directory: string,
  packing?: Packing,
): Promise<Required<Pick<GgufParts, 'keys' | 'tensors'>>> {
  const config = JSON.parse(await readFile(join(directory, 'config.json'), 'utf8'))
  const architecture = architectureOf(config)
  const tensors: TensorParts[] = []
  for (const entry of (await openCheckpoint(directory)).tensors.values()) {
    const [, layer, path = '', kind] =
      /^(?:(?:model\.layers|transformer\.h)\.(\d+)\.)?(.+)\.(weight|bias)$/.exec(entry.name) ?? []
    const stem = DECODER[path as keyof typeof DECODER]
    let values = new Float32Array((await readTensorBytes(entry)).slice().buffer)
    let { shape } = entry
    if (architecture === 'gpt2' && /c_(attn|proj|fc)$/.test(path) && kind === 'weight') {
      values = transpose(values, shape[0] as number, shape[1] as number)
      shape = [...shape].reverse()
    }
    if (architecture === 'llama' && /[qk]_proj$/.test(path)) {
      const heads = /q_proj$/.test(path) ? config.num_attention_heads : config.num_key_value_heads
      values = interleave(values, shape[0] as number, heads)
    }
    const packed = shape.length === 2 ? packing : undefined
    tensors.push({
      name: `${layer === undefined ? '' : `blk.${layer}.`}${stem}.${kind}`,
      shape,
      type: packed?.type ?? 0,
      data: packed ? packed.pack(values) : new Uint8Array(values.buffer),
    })
  }
  return { keys: keysOf(config), tensors }
}

/** Mistral's files are those of a llama with a window. */
function architectureOf({ model_type: type }: Record<string, unknown>): string {
  return type === 'mistral' ? 'llama' : (type as string)
}

function keysOf(config: Record<string, unknown>): Record<string, unknown> {
  const architecture = architectureOf(config)
  const headDim = config.head_dim ?? (config.hidden_size as number) / (config.num_attention_heads as number)
  const named: Record<string, unknown> =
    architecture === 'gpt2'
      ? {
          context_length: config.n_positions,
          embedding_length: config.n_embd,
          feed_forward_length: 4 * (config.n_embd as number),
          block_count: config.n_layer,
          'attention.head_count': config.n_head,
          'attention.layer_norm_epsilon': new Typed('f32', config.layer_norm_epsilon),
        }
      : {
          vocab_size: config.vocab_size,
          context_length: config.max_position_embeddings,
          embedding_length: config.hidden_size,
          block_count: config.num_hidden_layers,
          feed_forward_length: config.intermediate_size,
          'rope.dimension_count': headDim,
          ...(config.head_dim !== undefined && { 'attention.key_length': headDim, 'attention.value_length': headDim }),
          ...(config.model_type === 'mistral' && { 'attention.sliding_window': config.sliding_window }),
          'rope.freq_base': new Typed('f32', config.rope_theta ?? 10000),
          'attention.head_count': config.num_attention_heads,
          'attention.head_count_kv': config.num_key_value_heads,
          'attention.layer_norm_rms_epsilon': new Typed('f32', config.rms_norm_eps),
        }
  return {
    'general.architecture': architecture,
    'general.name': 'tiny',
    'general.quantization_version': 2,
    ...Object.fromEntries(Object.entries(named).map(([name, value]) => [`${architecture}.${name}`, value])),
    'tokenizer.ggml.bos_token_id': 1,
    'tokenizer.ggml.eos_token_id': 2,
  }
}

/** Rows of the first and the second half of each head in turn: where rotary pairs are neighbours. */
function interleave(values: Float32Array<ArrayBuffer>, rows: number, heads: number): Float32Array<ArrayBuffer> {
  const cols = values.length / rows
  const headDim = rows / heads
  const result = new Float32Array(values.length)
  for (let head = 0; head < heads; head++) {
    for (let half = 0; half < 2; half++) {
      for (let i = 0; i < headDim / 2; i++) {
        const from = head * headDim + half * (headDim / 2) + i
        result.set(values.subarray(from * cols, (from + 1) * cols), (head * headDim + 2 * i + half) * cols)
      }
    }
  }
  return result
}

function transpose(values: Float32Array, rows: number, cols: number): Float32Array<ArrayBuffer> {
  return Float32Array.from(
    { length: values.length },
    (_, at) => values[(at % rows) * cols + Math.floor(at / rows)] as number,
  )
}

/** Keys of a byte-level tokenizer, without `pre` and special tokens, from the contents of tokenizer.json. */
export function tokenizerKeys(tokenizer: {
  model: { vocab: Record<string, number>; merges: (string | [string, string])[] }
}): Record<string, unknown> {
  const { vocab, merges } = tokenizer.model
  const tokens = Object.entries(vocab).sort(([, a], [, b]) => a - b)
  return {
    model: 'gpt2',
    tokens: tokens.map(([token]) => token),
    merges: merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' '))),
  }
}
