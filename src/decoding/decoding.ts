/**
 * @file Decoding: sequences that grow token by token on top of a key/value cache, without JavaScript between one token
 * and the next.
 */

import type { Decoder, RaggedInput } from '../architecture/architecture.js'
import { positionsInSequences } from '../architecture/ragged-batch.js'
import { noGrad } from '../autograd/tape.js'
import { ModelError } from '../lowrank-error.js'
import { linear } from '../ops/linear.js'
import { gatherRows } from '../ops/rows.js'
import type { CommandList, Device } from '../tensor/device.js'
import type { ComputeDType } from '../tensor/dtype.js'
import { scope, unregisterFromScope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import { KvCache } from './kv-cache.js'

/** Tokens that a cache is made for at first, where more may come. */
const FIRST_CAPACITY = 256

/**
 * Queues the op that chooses the next ids, int32 [S], from float32 logits [S, V]; `positions`, int32 [S], are those
 * that the ids will have.
 */
export type Choose = (logits: Tensor, ids: Tensor, positions: Tensor) => void

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

  /**
   * @param mostTokens that a sequence may have in the end, its prompt included.
   * @param hooks `expectUnchanged` throws where the model is not what it was when the decoding began, and is asked
   * before steps are recorded, which then stay as they are; `onEnd` is called once, when this is disposed.
   */
  constructor(
    decoder: Decoder,
    device: Device,
    dtype: ComputeDType,
    prompts: readonly Int32Array[],
    mostTokens: number,
    choose: Choose,
    hooks: { expectUnchanged(): void; onEnd(): void },
  ) {
    this.#hooks = hooks
    this.#decoder = decoder
    this.#device = device
    this.#dtype = dtype
    this.#choose = choose
    this.#prompts = prompts
    this.#mostTokens = mostTokens
    this.#lengths = prompts.map(() => 0)
    this.#ended = prompts.map(() => false)
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
    noGrad(() => scope(() => (this.#isPrefilled ? this.#decodeOne() : this.#prefill())))
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
    for (const tensor of [this.#ids, this.#positions, this.#cacheRows, this.#seqUsedK]) tensor.dispose()
  }

  #prefill(): void {
    const lengths = this.#prompts.map(({ length }) => length)
    const cache = this.#reserve(Math.max(...lengths))
    const cuSeqlens = new Int32Array(lengths.length + 1)
    lengths.forEach((length, s) => {
      cuSeqlens[s + 1] = (cuSeqlens[s] as number) + length
    })
    const positions = positionsInSequences(cuSeqlens)
    const inputIds = new Int32Array(positions.length)
    const rows = new Int32Array(positions.length)
    this.#prompts.forEach((prompt, s) => {
      const start = cuSeqlens[s] as number
      inputIds.set(prompt, start)
      for (let i = 0; i < prompt.length; i++) rows[start + i] = s * cache.capacity + i
    })
    this.#seqUsedK.write_(Int32Array.from(lengths))
    const hidden = this.#forward(cache, {
      inputIds: this.#integers(inputIds),
      positions: this.#integers(positions),
      sequenceLength: Math.max(...lengths),
      cacheRows: this.#integers(rows),
      cuSeqlensQ: this.#integers(cuSeqlens),
      cuSeqlensK: this.#cuSeqlensK(cache),
    })
    this.#chooseFrom(gatherRows(hidden, this.#integers(cuSeqlens.slice(1).map((end) => end - 1))))
    this.#isPrepared = true
    this.#isPrefilled = true
    lengths.forEach((length, s) => {
      this.#lengths[s] = length
    })
  }

  #decodeOne(): void {
    // Those that have ended write over their last token, for nobody.
    const positions = Int32Array.from(this.#lengths, (length, s) => (this.#ended[s] ? length - 1 : length))
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
    const { numHiddenLayers: layers, numKeyValueHeads, headDim, maxPositionEmbeddings } = this.#decoder.config
    let capacity = Math.min(this.#mostTokens, Math.max(FIRST_CAPACITY, 2 * tokens))
    // Models with learned positions have no more: what is beyond is refused when a sequence gets there, not before.
    if (tokens <= maxPositionEmbeddings) capacity = Math.min(capacity, maxPositionEmbeddings)
    const shape = { layers, width: numKeyValueHeads * headDim, sequences: this.#prompts.length }
    const cache = new KvCache(this.#device, this.#dtype, shape, capacity)
    this.#step?.dispose()
    this.#step = undefined
    this.#isPrepared = false
    if (old) cache.copyFrom(old, this.#lengths)
    old?.dispose()
    this.#cache = cache
    return cache
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
  #forward(cache: KvCache, input: Omit<RaggedInput, 'positionCount' | 'seqUsedK'>): Tensor {
    const all = { ...input, seqUsedK: this.#seqUsedK, positionCount: cache.capacity }
    return this.#decoder.forward(all, { gradientCheckpointing: false, trainable: false, cache })
  }

  #chooseFrom(hidden: Tensor): void {
    this.#choose(linear(hidden, [this.#decoder.head], { outputDType: 'float32' }), this.#ids, this.#seqUsedK)
  }
}

/** The error of logits that no token can be chosen from, with what is mostly behind it. */
function withCause(error: unknown): unknown {
  if (!(error instanceof Error) || !/^\[(?:argmax|sample)\] expected (?:a logit|logits)/.test(error.message))
    return error
  return new ModelError(
    `${error.message}; mostly weights of the model or its adapter are no numbers, as after a download that was cut or a training run ` +
      'that diverged: get the files anew, or try without the adapter',
    { cause: error },
  )
}
