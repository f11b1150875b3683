/**
 * @file Decoding: sequences that grow token by token on top of a key/value cache, without JavaScript between one token
 * and the next.
 */

import type { Decoder, RaggedInput } from '../architecture/architecture.js'
import { noGrad } from '../autograd/tape.js'
import { ModelError } from '../lowrank-error.js'
import { linear } from '../ops/linear.js'
import { gatherRows } from '../ops/rows.js'
import type { CommandList, Device } from '../tensor/device.js'
import type { ComputeDType } from '../tensor/dtype.js'
import { scope, unregisterFromScope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import { KvCache, type KvCacheShape } from './kv-cache.js'

/** Tokens that a cache is made for at first, where more may come. */
const FIRST_CAPACITY = 256

/** Tokens of prompts that are computed at a time: enough to keep a device busy, few enough to take little memory. */
const PROMPT_TOKENS = 8192

/**
 * A beginning that prompts share is computed in whole blocks of attention's queries, so that all sums are those of a
 * prompt that is computed at once.
 */
export const PREFIX_MULTIPLE = 64

/**
 * Queues the op that chooses the next ids, int32 [S], from float32 logits [S, V]; `positions`, int32 [S], are those
 * that the ids will have.
 */
export type Choose = (logits: Tensor, ids: Tensor, positions: Tensor) => void

/** The same for one sequence: logits [1, V], ids and positions [1]. */
export type ChooseOne = (logits: Tensor, id: Tensor, position: Tensor, sequence: number) => void

/** What a decoding needs to take further prompts in the place of those that have ended. */
export interface RefillOptions {
  /** Beginning of all prompts, present and later, which is computed once. Its length: whole PREFIX_MULTIPLEs. */
  readonly prefix: Int32Array
  /** Chooses the first token of a prompt that comes by `fill()`. */
  readonly chooseOne: ChooseOne
}

/**
 * Steps may be queued ahead: the ids that one chooses stay on the device for the next. All steps after the prompt are
 * the same ops on the same tensors, recorded once for a capacity of the cache, which doubles when it is full.
 */
export class Decoding {
  readonly #decoder: Decoder
  readonly #device: Device
  readonly #dtype: ComputeDType
  readonly #choose: Choose
  readonly #hooks: { expectUnchanged(): void; onEnd(): void }
  #isDisposed = false
  readonly #prompts: readonly Int32Array[]
  readonly #mostTokens: number
  /** Tokens in the cache, of each sequence. */
  readonly #lengths: number[]
  readonly #ended: boolean[]
  /** int32 [S]: the newest token of each sequence, which is not in the cache yet. */
  readonly #ids: Tensor
  /** int32 [S]: its position, where it goes in the cache, and the keys that are there with it. */
  readonly #positions: Tensor
  readonly #cacheRows: Tensor
  readonly #seqUsedK: Tensor
  #cache: KvCache | undefined
  #step: CommandList | undefined
  /** What steps share, as the table of rope, was made for this cache: its first pass was not recorded. */
  #isPrepared = false
  #isPrefilled = false
  readonly #refill: RefillOptions | undefined
  /** Keys and values of the shared beginning. */
  #prefix: KvCache | undefined

  /**
   * @param mostTokens that a sequence may have in the end, its prompt included.
   * @param hooks `expectUnchanged` throws where the model is not what it was when the decoding began, and is asked
   * before steps are recorded, which then stay as they are; `onEnd` is called once, when this is disposed.
   * @param refill present where prompts come by `fill()`: `prompts` then says only how many grow at a time.
   */
  constructor(
    decoder: Decoder,
    device: Device,
    dtype: ComputeDType,
    prompts: readonly Int32Array[],
    mostTokens: number,
    choose: Choose,
    hooks: { expectUnchanged(): void; onEnd(): void },
    refill?: RefillOptions,
  ) {
    this.#hooks = hooks
    this.#refill = refill
    this.#decoder = decoder
    this.#device = device
    this.#dtype = dtype
    this.#choose = choose
    this.#prompts = prompts
    this.#mostTokens = mostTokens
    this.#lengths = prompts.map(() => 0)
    this.#ended = prompts.map(() => refill !== undefined)
    const integers = (): Tensor =>
      unregisterFromScope(Tensor.from(device, new Int32Array(prompts.length), [prompts.length]))
    this.#ids = integers()
    this.#positions = integers()
    this.#cacheRows = integers()
    this.#seqUsedK = integers()
  }

  /**
   * Queues one token more for every sequence; resolves to their ids, [S], rejects where the model has no more
   * positions.
   */
  async next(): Promise<Int32Array> {
    noGrad(() => scope(() => (this.#isPrefilled || this.#refill ? this.#decodeOne() : this.#prefill())))
    try {
      return await this.#ids.readInt32()
    } catch (error) {
      throw withCause(error)
    }
  }

  /** A sequence that is not to grow any more: its ids from now on mean nothing. */
  end(sequence: number): void {
    this.#ended[sequence] = true
  }

  dispose(): void {
    if (!this.#isDisposed) this.#hooks.onEnd()
    this.#isDisposed = true
    this.#step?.dispose()
    this.#cache?.dispose()
    this.#prefix?.dispose()
    for (const tensor of [this.#ids, this.#positions, this.#cacheRows, this.#seqUsedK]) tensor.dispose()
  }

  /**
   * Queues prompts in the place of sequences that have ended or never began, with the first token of each; resolves to
   * the newest ids of all sequences, [S].
   */
  async fill(sequences: readonly number[], prompts: readonly Int32Array[]): Promise<Int32Array> {
    const order = [...sequences.keys()].sort((a, b) => (sequences[a] as number) - (sequences[b] as number))
    const places = order.map((i) => sequences[i] as number)
    noGrad(() =>
      scope(() =>
        this.#fill(
          places,
          order.map((i) => prompts[i] as Int32Array),
        ),
      ),
    )
    for (const sequence of places) this.#ended[sequence] = false
    try {
      return await this.#ids.readInt32()
    } catch (error) {
      throw withCause(error)
    }
  }

  #prefill(): void {
    this.#fill([...this.#prompts.keys()], this.#prompts)
    this.#isPrefilled = true
  }

  /** Computes prompts, some at a time; `places` ascend. */
  #fill(places: readonly number[], prompts: readonly Int32Array[]): void {
    const longest = Math.max(...prompts.map(({ length }) => length))
    const cache = this.#reserve(longest)
    const prefix = this.#refill?.prefix.length ?? 0
    const most = this.#refill ? PROMPT_TOKENS : Number.POSITIVE_INFINITY
    for (let first = 0; first < places.length; ) {
      let end = first
      for (let tokens = 0; end < places.length && (end === first || tokens < most); end++)
        tokens += (prompts[end] as Int32Array).length - prefix
      const part = [places.slice(first, end), prompts.slice(first, end)] as const
      scope(() => this.#fillTogether(cache, ...part, longest))
      first = end
    }
    this.#isPrepared = true
    places.forEach((place, i) => {
      this.#lengths[place] = (prompts[i] as Int32Array).length
    })
  }

  #fillTogether(
    cache: KvCache,
    places: readonly number[],
    prompts: readonly Int32Array[],
    sequenceLength: number,
  ): void {
    const shared = this.#copyPrefix(cache, places)
    // Sequences lie behind each other in the cache, from its beginning on: what lies before the first has no queries.
    const before = places[0] === 0 ? 0 : 1
    const all = before + places.length
    const [cuSeqlensQ, cuSeqlensK] = [new Int32Array(all + 1), new Int32Array(all + 1)]
    const [used, last] = [new Int32Array(all), new Int32Array(places.length)]
    const total = prompts.reduce((sum, { length }) => sum + length - shared, 0)
    const [inputIds, positions, rows] = [new Int32Array(total), new Int32Array(total), new Int32Array(total)]
    let at = 0
    prompts.forEach((prompt, i) => {
      const start = (places[i] as number) * cache.capacity
      cuSeqlensK[before + i] = start
      for (let position = shared; position < prompt.length; position++, at++) {
        inputIds[at] = prompt[position] as number
        positions[at] = position
        rows[at] = start + position
      }
      cuSeqlensQ[before + i + 1] = at
      used[before + i] = prompt.length
      last[i] = at - 1
      cuSeqlensK[before + i + 1] = start + cache.capacity
    })
    const hidden = this.#forward(
      cache,
      {
        inputIds: this.#integers(inputIds),
        positions: this.#integers(positions),
        sequenceLength,
        cacheRows: this.#integers(rows),
        cuSeqlensQ: this.#integers(cuSeqlensQ),
        cuSeqlensK: this.#integers(cuSeqlensK),
      },
      this.#integers(used),
    )
    const chosen = gatherRows(hidden, this.#integers(last))
    const counts = this.#integers(Int32Array.from(prompts, ({ length }) => length))
    const logits = this.#logits(chosen)
    if (!this.#refill) this.#choose(logits, this.#ids, counts)
    for (const [i, place] of places.entries())
      this.#refill?.chooseOne(logits.slice(i, i + 1), oneOf(this.#ids, place), oneOf(counts, i), place)
  }

  /** Copies the shared beginning into the cache; returns its length. */
  #copyPrefix(cache: KvCache, places: readonly number[]): number {
    const ids = this.#refill?.prefix
    if (!ids || ids.length === 0) return 0
    const count = ids.length
    const upTo = (size: number): Int32Array => Int32Array.from({ length: size }, (_, i) => i)
    if (!this.#prefix) {
      this.#prefix = new KvCache(this.#device, this.#dtype, this.#cacheShape(1), count)
      const bounds = this.#integers(Int32Array.of(0, count))
      const positions = this.#integers(upTo(count))
      const input = { inputIds: this.#integers(ids), positions, cacheRows: positions, sequenceLength: count }
      const used = this.#integers(Int32Array.of(count))
      this.#forward(this.#prefix, { ...input, cuSeqlensQ: bounds, cuSeqlensK: bounds }, used)
    }
    const from = new Int32Array(places.length * count)
    const to = new Int32Array(places.length * count)
    places.forEach((place, i) => {
      for (let j = 0; j < count; j++) {
        from[i * count + j] = j
        to[i * count + j] = place * cache.capacity + j
      }
    })
    cache.copyRows(this.#prefix, this.#integers(from), this.#integers(to))
    return count
  }

  #decodeOne(): void {
    // Those that have ended write over their last token, for nobody.
    const positions = Int32Array.from(this.#lengths, (length, s) => (this.#ended[s] ? Math.max(0, length - 1) : length))
    const cache = this.#reserve(Math.max(...positions) + 1)
    this.#positions.write_(positions)
    this.#cacheRows.write_(positions.map((position, s) => s * cache.capacity + position))
    this.#seqUsedK.write_(positions.map((position) => position + 1))
    if (!this.#step) {
      this.#hooks.expectUnchanged()
      const input = {
        inputIds: this.#ids,
        positions: this.#positions,
        cacheRows: this.#cacheRows,
        cuSeqlensQ: this.#integers(Int32Array.from({ length: this.#lengths.length + 1 }, (_, s) => s)),
        cuSeqlensK: this.#cuSeqlensK(cache),
      }
      const run = (): void => this.#chooseFrom(this.#forward(cache, input))
      if (this.#isPrepared) this.#step = this.#device.record(run)
      else run()
      this.#isPrepared = true
    }
    this.#step?.replay()
    positions.forEach((position, s) => {
      this.#lengths[s] = position + 1
    })
  }

  /** A cache with room for so many tokens of each sequence; when it is a new one, steps have to be recorded again. */
  #reserve(tokens: number): KvCache {
    const old = this.#cache
    if (old && tokens <= old.capacity) return old
    const { maxPositionEmbeddings } = this.#decoder.config
    let capacity = Math.min(this.#mostTokens, Math.max(FIRST_CAPACITY, 2 * tokens))
    // Models with learned positions have no more: what is beyond is refused when a sequence gets there, not before.
    if (tokens <= maxPositionEmbeddings) capacity = Math.min(capacity, maxPositionEmbeddings)
    const cache = new KvCache(this.#device, this.#dtype, this.#cacheShape(this.#prompts.length), capacity)
    this.#step?.dispose()
    this.#step = undefined
    this.#isPrepared = false
    if (old) cache.copyFrom(old, this.#lengths)
    old?.dispose()
    this.#cache = cache
    return cache
  }

  #cacheShape(sequences: number): KvCacheShape {
    const { numHiddenLayers: layers, numKeyValueHeads, headDim } = this.#decoder.config
    return { layers, width: numKeyValueHeads * headDim, sequences }
  }

  /** int32 [S + 1]: every sequence has its part of the cache. */
  #cuSeqlensK({ capacity }: KvCache): Tensor {
    return this.#integers(Int32Array.from({ length: this.#prompts.length + 1 }, (_, s) => s * capacity))
  }

  #integers(values: Int32Array): Tensor {
    return Tensor.from(this.#device, values, [values.length])
  }

  /**
   * [N] tokens -> [N, D]. Positions up to the cache's capacity are prepared, so that a recorded step holds for all of
   * them.
   */
  #forward(
    cache: KvCache,
    input: Omit<RaggedInput, 'positionCount' | 'seqUsedK'>,
    seqUsedK: Tensor = this.#seqUsedK,
  ): Tensor {
    const all = { ...input, seqUsedK, positionCount: cache.capacity }
    return this.#decoder.forward(all, { gradientCheckpointing: false, trainable: false, cache })
  }

  #logits(hidden: Tensor): Tensor {
    return linear(hidden, [this.#decoder.head], { outputDType: 'float32' })
  }

  #chooseFrom(hidden: Tensor): void {
    this.#choose(this.#logits(hidden), this.#ids, this.#seqUsedK)
  }
}

/** One element of a vector, as a vector. */
export function oneOf(vector: Tensor, index: number): Tensor {
  return vector
    .reshape([vector.size, 1])
    .slice(index, index + 1)
    .reshape([1])
}

/** The error of logits that no token can be chosen from, with what is mostly behind it. */
export function withCause(error: unknown): unknown {
  if (
    !(error instanceof Error) ||
    error instanceof ModelError ||
    !/^\[(?:argmax|sample|sampleRows)\] expected (?:a logit|logits)/.test(error.message)
  )
    return error
  return new ModelError(
    `${error.message}; mostly weights of the model or its adapter are no numbers, as after a download that was cut or a training run ` +
      'that diverged: get the files anew, or try without the adapter',
    { cause: error },
  )
}
