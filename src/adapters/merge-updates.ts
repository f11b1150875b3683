/**
 * @file Folding an adapter into the weights of its model: W + scale B A in float32, rounded once, one tensor at a time;
 * and how far the logits of the merged model lie from those of model and adapter. Writes no file.
 */

import { Parameter } from '../autograd/parameter.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { FILE_DTYPES, type FileDType, isFiniteFloat16 } from '../checkpoint/save-model.js'
import { ModelError, OptionError } from '../lowrank-error.js'
import type { Linear } from '../nn/module.js'
import { cast, copy_ } from '../ops/cast.js'
import type { LoraPair } from '../ops/linear.js'
import { dequantizeNf4 } from '../ops/nf4.js'
import { sumOrderNumber } from '../ops/sum-order.js'
import { Random } from '../random.js'
import { scope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import { transpose } from '../transpose.js'
import type { TensorToWrite } from '../weights/safetensors.js'
import type { AdapterTensors, AttachedPair } from './adapter-set.js'

/** What of an adapter is merged. */
export type MergedTensors = Pick<AdapterTensors, 'pairs' | 'replacements'>

/** Elements that are summed in float32 at a time. */
const CHUNK = 1 << 20
const PROBE_ROWS = 2
const PROBE_LENGTH = 32

/** A product `x w` of float32 matrices that is the low-rank update in the layout of the weight; x carries the scale. */
interface Update {
  readonly x: Tensor
  readonly w: Tensor
  readonly inOut: boolean
}

/** How one tensor of the merged model comes about. */
interface Entry {
  readonly parameter: Parameter
  readonly updates: readonly Update[]
  /** Held as [out, in] because it is NF4, written as [in, out]. */
  readonly transposed: boolean
}

/**
 * All tensors of the merged model by their name in its checkpoint. Reads the adapter once; frees nothing of the model.
 */
export class MergeUpdates {
  /** The head has the embedding's weight, and the adapter changes only one of the two. */
  readonly untied: boolean
  readonly #model: CausalLM
  readonly #pairs: readonly AttachedPair[]
  readonly #entries: Map<string, Entry>

  private constructor(model: CausalLM, pairs: readonly AttachedPair[], entries: Map<string, Entry>, untied: boolean) {
    this.#model = model
    this.#pairs = pairs
    this.#entries = entries
    this.untied = untied
  }

  static async create(model: CausalLM, { pairs, replacements }: MergedTensors): Promise<MergeUpdates> {
    const quantized = model.quantizedWeights()
    const entries = new Map<string, Entry>()
    const add = (name: string, parameter: Parameter, updates: readonly Update[] = []): void => {
      entries.set(name, { parameter, updates, transposed: quantized.get(parameter)?.kind === 'conv1d' })
    }
    for (const [name, parameter] of model.parameters()) add(name, parameter)
    for (const { path, slot, parameter } of replacements) add(`${path}.${slot}`, parameter)
    for (const { linear, pair } of pairs) add(weightName(linear), linear.weight, [await updateOf(linear, pair)])
    // A tied head has no entry unless the adapter changed it; and where the adapter changed the embedding alone, the
    // head is still what it was.
    const { head } = model
    const tied = !model.hasOwnHead
    const embedding = tied && replacements.some(({ original }) => original === head.weight)
    const untied = tied && (embedding || entries.has(weightName(head)))
    if (untied && !entries.has(weightName(head))) add(weightName(head), head.weight)
    return new MergeUpdates(model, pairs, entries, untied)
  }

  /** The tensors to write. */
  tensors(dtype: FileDType): TensorToWrite[] {
    return [...this.#entries].map(([name, { parameter, updates, transposed }]) => ({
      name,
      dtype: FILE_DTYPES[dtype],
      shape: transposed ? [...parameter.shape].reverse() : [...parameter.shape],
      bytes: async () => {
        const merged = mergedWeight(sourceOf(parameter), updates, dtype)
        const bytes = await parameter.device.readBytes(merged)
        merged.dispose()
        if (dtype === 'float16') expectFinite(name, bytes)
        return transposed ? transposedBytes(bytes, parameter.shape, dtype) : bytes
      },
    }))
  }

  /** Puts the merged weights in the place of the model's own. For models without NF4. */
  async apply(): Promise<void> {
    const { dtype, device } = this.#model
    const base = this.#model.parameters()
    for (const [name, { parameter, updates }] of this.#entries) {
      const target = base.get(name) as Parameter
      if (updates.length === 0 && parameter === target) continue
      const merged = mergedWeight(sourceOf(parameter), updates, dtype)
      target.set(await device.readBytes(merged), dtype)
      merged.dispose()
    }
  }

  /**
   * Logits of the model with its adapter, and of the merged one. The merged weights are made as forward reads them,
   * those of one layer at a time.
   * @throws when either has values that are no numbers.
   */
  async compareLogits(dtype: FileDType, prompts = probe(this.#model)): Promise<LogitComparison> {
    const model = this.#model
    const wasTraining = model.training
    model.eval()
    try {
      const expected = await logitsOf(model, prompts)
      const merged = await this.#withMergedWeights(dtype, () => logitsOf(model, prompts))
      let difference = 0
      let largest = 0
      for (let i = 0; i < expected.length; i++) {
        // NaN stays.
        difference = Math.max(difference, Math.abs((merged[i] as number) - (expected[i] as number)))
        largest = Math.max(largest, Math.abs(expected[i] as number))
      }
      if (!Number.isFinite(difference)) throw notFinite(Number.isFinite(largest), dtype)
      return { difference, largest, tokens: expected.length / model.config.vocabSize }
    } finally {
      model.train(wasTraining)
    }
  }

  /** Frees what was made of the adapter's factors. */
  dispose(): void {
    for (const { updates } of this.#entries.values()) {
      for (const { x, w } of updates) {
        x.dispose()
        w.dispose()
      }
    }
  }

  async #withMergedWeights<T>(dtype: FileDType, run: () => Promise<T>): Promise<T> {
    const { dtype: computeDType } = this.#model
    // A wider or equal dtype in the file changes no value that is computed with.
    const rounds = dtype !== 'float32' && dtype !== computeDType
    const substituted: Parameter[] = []
    const substitute = (parameter: Parameter, updates: readonly Update[], place = parameter): void => {
      const source = sourceOf(parameter)
      place.substitute(() =>
        scope(() => {
          const merged = mergedWeight(source, updates, dtype)
          return dtype === computeDType ? merged : cast(merged, computeDType)
        }),
      )
      substituted.push(place)
    }
    const weights = this.#pairs.map(({ linear }) => linear.weight)
    try {
      for (const { linear, pair } of this.#pairs) {
        const { parameter, updates } = this.#entries.get(weightName(linear)) as Entry
        // A parameter of its own: a tied head changes, the embedding does not.
        linear.weight = new Parameter(parameter.name, parameter.shape, parameter.device, parameter.dtype)
        linear.pairs = linear.pairs.filter((other) => other !== pair)
        substitute(parameter, updates, linear.weight)
      }
      for (const { parameter, updates } of this.#entries.values())
        if (rounds && updates.length === 0) substitute(parameter, updates)
      return await run()
    } finally {
      for (const parameter of substituted) parameter.substitute(undefined)
      this.#pairs.forEach(({ linear, pair }, i) => {
        linear.weight = weights[i] as Parameter
        if (!linear.pairs.includes(pair)) linear.pairs = [...linear.pairs, pair]
      })
    }
  }
}

/** Logits before and after the merge. */
interface LogitComparison {
  /** Largest absolute difference. */
  readonly difference: number
  /** Largest absolute logit before. */
  readonly largest: number
  /** Tokens that were looked at. */
  readonly tokens: number
}

function weightName({ path }: Linear): string {
  return `${path}.weight`
}

/** scale B A as [out, in], or its transpose where the weight is stored [in, out]. */
async function updateOf({ inOut }: Linear, { a, b, scale }: LoraPair): Promise<Update> {
  const [left, right] = inOut ? [a, b] : [b, a]
  const [rows, cols] = left.shape as [number, number]
  const values = await left.read()
  const scaled = (inOut ? transpose(values, rows, cols) : values).map((value) => value * scale)
  const x = Tensor.from(left.device, scaled, inOut ? [cols, rows] : [rows, cols])
  return { x, w: Tensor.from(right.device, await right.read(), right.shape), inOut: !inOut }
}

type Source = () => Tensor

/**
 * The exact values of a parameter, whatever stands in for it later: masters of what is trained, NF4 decoded in float32.
 */
function sourceOf(parameter: Parameter): Source {
  const { nf4 } = parameter
  if (nf4) return () => dequantizeNf4(nf4, 'float32')
  const dense = parameter.requiresGrad ? parameter.master : parameter.value
  return () => dense.alias()
}

/** W plus its updates, in the layout of W: float32 sums, a few rows at a time, each rounded once. */
function mergedWeight(source: Source, updates: readonly Update[], dtype: FileDType): Tensor {
  return scope(() => {
    const weight = source()
    const { device, shape, cols } = weight
    if (updates.length === 0) return cast(weight, dtype)
    const merged = Tensor.empty(device, shape, dtype)
    const step = Math.max(1, Math.floor(CHUNK / cols))
    for (let start = 0; start < weight.rows; start += step) {
      const end = Math.min(start + step, weight.rows)
      scope(() => {
        const sum = cast(weight.slice(start, end), 'float32')
        for (const { x, w, inOut } of updates) {
          const update = Tensor.empty(device, sum.shape, 'float32')
          const part = { weight: w, nf4: [], bias: undefined, inOut, pairs: [] }
          device.enqueue('linear', { x: x.slice(start, end), y: update, parts: [part], sumOrder: sumOrderNumber() })
          device.enqueue('add', { a: sum, b: update, y: sum })
        }
        copy_(merged.slice(start, end), sum)
      })
    }
    return merged
  })
}

function transposedBytes(bytes: Uint8Array, shape: readonly number[], dtype: FileDType): Uint8Array {
  const [rows, cols] = shape as [number, number]
  const { buffer, byteOffset } = bytes
  const size = rows * cols
  const words =
    dtype === 'float32' ? new Uint32Array(buffer, byteOffset, size) : new Uint16Array(buffer, byteOffset, size)
  return new Uint8Array(transpose(words, rows, cols).buffer)
}

/** float16 ends at 65504: an element beyond it would be infinite. */
function expectFinite(name: string, bytes: Uint8Array): void {
  if (isFiniteFloat16(bytes)) return
  throw new OptionError(
    `[merge] expected ${name} to fit float16, got elements above 65504 or no numbers; merge into bfloat16 or float32`,
  )
}

/** Ids that no text would bring in this order, the same for every run. */
function probe({ config }: CausalLM): readonly (readonly number[])[] {
  const random = new Random(0)
  const length = Math.min(PROBE_LENGTH, config.maxPositionEmbeddings)
  return Array.from({ length: PROBE_ROWS }, () => Array.from({ length }, () => random.below(config.vocabSize)))
}

/** [N, V] of all tokens of all prompts. */
async function logitsOf(model: CausalLM, prompts: readonly (readonly number[])[]): Promise<Float32Array> {
  const cuSeqlens = [0]
  for (const { length } of prompts) cuSeqlens.push((cuSeqlens.at(-1) as number) + length)
  const { logits } = model.forward({ inputIds: Int32Array.from(prompts.flat()), cuSeqlens }, { logits: true })
  const values = await logits.read()
  logits.dispose()
  return values
}

function notFinite(before: boolean, dtype: FileDType): Error {
  return new ModelError(
    before
      ? `[merge] expected the merged model to give numbers, got infinite or undefined logits: its weights do not fit ${dtype}; merge into bfloat16 or float32`
      : '[merge] expected model and adapter to give numbers before they are merged, got infinite or undefined logits; is the adapter damaged?',
  )
}
