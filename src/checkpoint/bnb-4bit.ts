/**
 * @file NF4 weights in checkpoints as bitsandbytes and transformers write them: which tensors make up a weight, and the
 * field of config.json that goes with them. See src/ops/nf4.ts for what the numbers mean.
 *
 * A weight `X` is the tensors `X` (packed bytes under any dtype), `X.absmax`, `X.quant_map`, with double quantisation
 * `X.nested_absmax` and `X.nested_quant_map`, and `X.quant_state.bitsandbytes__nf4`: JSON as bytes.
 */

import type { RawConfig } from '../architecture/config.js'
import { describeValue, listNames } from '../errors.js'
import { ModelError } from '../lowrank-error.js'
import type { Device } from '../tensor/device.js'
import type { DType } from '../tensor/dtype.js'
import {
  NF4_BLOCK_SIZE,
  NF4_CODES,
  NF4_NESTED_BLOCK_SIZE,
  NF4_NESTED_CODES,
  type Nf4Weight,
  nf4Sizes,
} from '../tensor/nf4.js'
import { unregisterFromScope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import { FLOATS, readTensorBytes, type TensorToWrite } from '../weights/safetensors.js'
import { isJsonObject, type JsonObject, parseJsonObject } from '../weights/strict-json.js'
import type { WeightTensor } from '../weights/weight-tensor.js'

/** An NF4 weight in files: checked, not read yet. */
export interface StoredNf4 {
  /** [O, K]. */
  readonly shape: readonly [number, number]
  readonly blockSize: number
  readonly nestedBlockSize: number
  readonly packed: WeightTensor
  readonly absmax: WeightTensor
  readonly code: WeightTensor
  /** With double quantisation. */
  readonly nested?: { readonly absmax: WeightTensor; readonly code: WeightTensor; readonly offset: number }
}

const BLOCK_SIZES = [32, 64, 128, 256, 512, 1024, 2048, 4096]

const STATE = '.quant_state.bitsandbytes__'
const NF4_STATE = `${STATE}nf4`
const STATE_FIELDS = ['quant_type', 'blocksize', 'dtype', 'shape', 'nested_blocksize', 'nested_dtype', 'nested_offset']
const LARGEST_STATE = 10_000

type Entries = ReadonlyMap<string, WeightTensor>

/** Names of the weights that the checkpoint holds in NF4. @throws when it holds weights of another 4-bit type */
export function storedNf4Names(tensors: Entries): Set<string> {
  const names = new Set<string>()
  for (const [name, { path }] of tensors) {
    const at = name.indexOf(STATE)
    if (at < 0) continue
    const type = name.slice(at + STATE.length)
    if (type !== 'nf4') throw unsupported(`${name} in ${path}`, `4-bit weights of type ${describeValue(type)}`)
    names.add(name.slice(0, at))
  }
  return names
}

/** Bytes that a weight of `count` elements takes on a device: as it is stored, or as quantising makes it. */
export function nf4Bytes(count: number, stored?: StoredNf4): number {
  const { blockSize = NF4_BLOCK_SIZE, nestedBlockSize = NF4_NESTED_BLOCK_SIZE } = stored ?? {}
  const { packed, absmax, nestedAbsmax } = nf4Sizes(count, blockSize, nestedBlockSize)
  const scales = stored && !stored.nested ? 4 * absmax : absmax + 4 * (nestedAbsmax + NF4_NESTED_CODES + 1)
  return packed + scales + 4 * NF4_CODES
}

/** Every tensor of the weight `name`, whatever is missing. */
export function storedNf4Parts(name: string): string[] {
  return ['', '.absmax', '.quant_map', '.nested_absmax', '.nested_quant_map', NF4_STATE].map((part) => name + part)
}

/**
 * Checks all that the files say of the weight `name`.
 * @param shape [O, K] that config.json asks for
 * @throws naming the tensor, the file and what is wrong: damaged JSON, a part that is missing or has another size
 */
export async function readStoredNf4(name: string, tensors: Entries, shape: readonly number[]): Promise<StoredNf4> {
  const stateEntry = tensors.get(name + NF4_STATE) as WeightTensor
  const where = `${stateEntry.name} in ${stateEntry.path}`
  if (stateEntry.byteLength > LARGEST_STATE)
    throw damaged(where, 'a few bytes of JSON', `${stateEntry.byteLength} bytes`)
  const state = parseJsonObject('nf4', where, await readTensorBytes(stateEntry))
  const unknown = Object.keys(state).filter((key) => !STATE_FIELDS.includes(key))
  if (unknown.length > 0) throw damaged(where, `only the fields ${STATE_FIELDS.join(', ')}`, listNames(unknown))
  if (state.quant_type !== 'nf4') throw damaged(where, "'nf4' for quant_type", describeValue(state.quant_type))
  if (!Array.isArray(state.shape) || state.shape.length !== 2 || state.shape.some((size, i) => size !== shape[i])) {
    throw new ModelError(
      `[nf4] expected shape [${shape.join(', ')}], as config.json says, in ${where}, got ${describeValue(state.shape)}; ` +
        'config.json and weights are not of one model',
    )
  }
  const nested = state.nested_blocksize !== undefined
  const blockSize = blockSizeOf(state, 'blocksize', where)
  const nestedBlockSize = nested ? blockSizeOf(state, 'nested_blocksize', where) : NF4_NESTED_BLOCK_SIZE
  const sizes = nf4Sizes((shape[0] as number) * (shape[1] as number), blockSize, nestedBlockSize)
  const part = (suffix: string, count: number, dtype: 'float' | 'U8'): WeightTensor => {
    const entry = tensors.get(name + suffix)
    if (!entry) {
      throw new ModelError(
        `[nf4] expected ${name}${suffix}, a part of the NF4 weight ${name}, beside it, but it is missing in ${stateEntry.path}; download the model again`,
      )
    }
    const elements = entry.shape.reduce((product, size) => product * size, 1)
    if (elements === count && (dtype === 'U8' ? entry.dtype === 'U8' : FLOATS[entry.dtype])) return entry
    throw damaged(
      `${entry.name} in ${entry.path}`,
      `${count} values of ${dtype === 'U8' ? 'U8' : 'F32, F16 or BF16'}`,
      `${entry.dtype} [${entry.shape.join(', ')}]`,
    )
  }
  const packed = tensors.get(name)
  if (packed?.byteLength !== sizes.packed) {
    throw damaged(
      packed ? `${packed.name} in ${packed.path}` : `${name} in ${stateEntry.path}`,
      `${sizes.packed} bytes for ${shape[0]} x ${shape[1]} elements of NF4`,
      packed ? `${packed.dtype} [${packed.shape.join(', ')}]` : 'none',
    )
  }
  const common = { shape: [shape[0] as number, shape[1] as number] as const, blockSize, nestedBlockSize, packed }
  const code = part('.quant_map', NF4_CODES, 'float')
  if (!nested) return { ...common, absmax: part('.absmax', sizes.absmax, 'float'), code }
  const offset = state.nested_offset
  if (typeof offset !== 'number' || !Number.isFinite(Math.fround(offset)))
    throw damaged(where, 'a number for nested_offset', describeValue(offset))
  return {
    ...common,
    absmax: part('.absmax', sizes.absmax, 'U8'),
    code,
    nested: {
      absmax: part('.nested_absmax', sizes.nestedAbsmax, 'float'),
      code: part('.nested_quant_map', NF4_NESTED_CODES, 'float'),
      offset,
    },
  }
}

/** Queues the reading of a weight. */
export function loadStoredNf4(device: Device, stored: StoredNf4): Nf4Weight {
  const { shape, blockSize, nestedBlockSize, packed, absmax, code, nested } = stored
  const load = (entry: WeightTensor, count: number, dtype: DType, sourceDType: DType): Tensor => {
    const tensor = unregisterFromScope(Tensor.empty(device, [count], dtype))
    device.loadFile(tensor, entry.path, entry.fileOffset, sourceDType)
    return tensor
  }
  const bytes = (entry: WeightTensor): Tensor => load(entry, entry.byteLength, 'uint8', 'uint8')
  const floats = (entry: WeightTensor): Tensor => {
    const count = entry.shape.reduce((product, size) => product * size, 1)
    return load(entry, count, 'float32', FLOATS[entry.dtype] as DType)
  }
  return {
    shape: [...shape],
    blockSize,
    nestedBlockSize,
    packed: bytes(packed),
    absmax: nested ? bytes(absmax) : floats(absmax),
    code: floats(code),
    ...(nested && {
      nestedAbsmax: floats(nested.absmax),
      nestedCode: floats(nested.code),
      offset: unregisterFromScope(Tensor.from(device, Float32Array.of(nested.offset), [1])),
    }),
  }
}

/**
 * The tensors of a weight, as bitsandbytes writes them.
 * @param dtype what the weight was before, by the name that the state gives it
 */
export async function nf4Tensors(name: string, weight: Nf4Weight, dtype: string): Promise<TensorToWrite[]> {
  const { device } = weight.packed
  const { nestedAbsmax, nestedCode, offset } = weight
  const state: JsonObject = {
    quant_type: 'nf4',
    blocksize: weight.blockSize,
    dtype,
    shape: weight.shape,
    ...(offset && {
      nested_blocksize: weight.nestedBlockSize,
      nested_dtype: 'float32',
      nested_offset: (await offset.read())[0],
    }),
  }
  const text = Buffer.from(JSON.stringify(state))
  const floats = (suffix: string, tensor: Tensor): TensorToWrite => ({
    name: name + suffix,
    dtype: 'F32',
    shape: [tensor.size],
    bytes: () => device.readBytes(tensor),
  })
  const bytes = (suffix: string, tensor: Tensor, shape: number[]): TensorToWrite => ({
    ...floats(suffix, tensor),
    dtype: 'U8',
    shape,
  })
  const { packed, absmax, code } = weight
  return [
    bytes('', packed, [packed.size, 1]),
    offset ? bytes('.absmax', absmax, [absmax.size]) : floats('.absmax', absmax),
    floats('.quant_map', code),
    ...(nestedAbsmax ? [floats('.nested_absmax', nestedAbsmax)] : []),
    ...(nestedCode ? [floats('.nested_quant_map', nestedCode)] : []),
    { name: name + NF4_STATE, dtype: 'U8', shape: [text.length], bytes: () => text },
  ]
}

/** What config.json says beside such weights, so that transformers loads them. */
export function bnb4bitConfig(dtype: string, doubleQuant: boolean, skipModules: readonly string[]): JsonObject {
  return {
    quant_method: 'bitsandbytes',
    load_in_4bit: true,
    load_in_8bit: false,
    bnb_4bit_quant_type: 'nf4',
    bnb_4bit_use_double_quant: doubleQuant,
    bnb_4bit_compute_dtype: dtype,
    bnb_4bit_quant_storage: 'uint8',
    llm_int8_skip_modules: skipModules,
  }
}

// Fields of quantization_config that say how transformers is to run, or what the tensors say themselves.
const CONFIG_FIELDS = [
  '_load_in_4bit',
  '_load_in_8bit',
  'bnb_4bit_compute_dtype',
  'bnb_4bit_quant_storage',
  'bnb_4bit_quant_type',
  'bnb_4bit_use_double_quant',
  'llm_int8_enable_fp32_cpu_offload',
  'llm_int8_has_fp16_weight',
  'llm_int8_skip_modules',
  'llm_int8_threshold',
  'load_in_4bit',
  'load_in_8bit',
  'quant_method',
]

/**
 * Takes `quantization_config` out of a config: which weights are quantised is seen from the tensors.
 * @throws on every kind of quantisation but NF4 of bitsandbytes
 */
export function withoutQuantizationConfig(config: RawConfig, where: string): RawConfig {
  const { quantization_config: quantization, ...rest } = config
  if (quantization === undefined || quantization === null) return config
  const at = `quantization_config in ${where}`
  if (!isJsonObject(quantization)) throw damaged(at, 'an object', describeValue(quantization))
  const { quant_method: method = 'bitsandbytes', load_in_4bit: is4bit, load_in_8bit: is8bit } = quantization
  if (method !== 'bitsandbytes') throw unsupported(at, `quant_method ${describeValue(method)}`)
  if (is8bit === true || is4bit !== true) throw unsupported(at, is8bit === true ? 'load_in_8bit' : 'no load_in_4bit')
  const type = quantization.bnb_4bit_quant_type ?? 'fp4'
  if (type !== 'nf4') throw unsupported(at, `bnb_4bit_quant_type ${describeValue(type)}`)
  const unknown = Object.keys(quantization).filter((name) => !CONFIG_FIELDS.includes(name))
  if (unknown.length > 0) throw unsupported(at, listNames(unknown))
  return rest
}

function blockSizeOf(state: JsonObject, name: 'blocksize' | 'nested_blocksize', where: string): number {
  const size = state[name]
  if (typeof size === 'number' && BLOCK_SIZES.includes(size)) return size
  throw damaged(where, `one of ${BLOCK_SIZES.join(', ')} for ${name}`, describeValue(size))
}

function damaged(where: string, expected: string, got: string): Error {
  return new ModelError(`[nf4] ${where}: expected ${expected}, got ${got}; the file is damaged: download it again`)
}

function unsupported(where: string, what: string): Error {
  return new ModelError(
    `[nf4] ${where}: expected NF4 of bitsandbytes, got ${what}, which is not supported; ` +
      "use the 16-bit version of the model, with quantization: 'nf4' to have it quantised while it loads",
  )
}
