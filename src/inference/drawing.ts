/** @file Tokens from logits, each row by its own request's rules, and the newest token of each sequence. */

import { add } from '../ops/add.js'
import { argmax } from '../ops/argmax.js'
import { copy_ } from '../ops/cast.js'
import { type SamplingParameters, sample_ } from '../ops/sample.js'
import type { Device } from '../tensor/device.js'
import { scope, unregisterFromScope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import type { BatchRow } from './batch-executor.js'
import type { InferenceToken } from './inference-request.js'
import { logProbsOf } from './log-probs.js'

/** What is kept for a sequence while it runs. */
interface SlotState {
  /** uint8 [1, V]: the ids of its prompt and answer, where a penalty asks for them. */
  seen: Tensor | undefined
  hasEnded: boolean
}

/** A row of logits. */
export interface DrawnRow {
  /** The place of the draw in its step. */
  readonly index: number
  readonly slot: number
  /** Tokens before the one that is drawn: another number for each draw of a sequence. */
  readonly step: number
  readonly sampling: SamplingParameters | undefined
  readonly logprobs: number | undefined
  readonly state: SlotState
}

export class Drawing {
  readonly #device: Device
  readonly #vocabSize: number
  /** int32 [M, 1], by slot: tokens whose keys are not in the cache yet. */
  readonly #newest: Tensor
  readonly #states = new Map<number, SlotState>()

  constructor(device: Device, maxSequences: number, vocabSize: number) {
    this.#device = device
    this.#vocabSize = vocabSize
    this.#newest = unregisterFromScope(Tensor.from(device, new Int32Array(maxSequences), [maxSequences, 1]))
  }

  /** @param draw its place among the draws of the step; `step`: the tokens before */
  rowOf({ slot, promptIds, sampling, logprobs }: BatchRow, draw: number, step: number): DrawnRow {
    let state = this.#states.get(slot)
    if (!state) {
      state = { seen: undefined, hasEnded: false }
      this.#states.set(slot, state)
      if (sampling && sampling.repetitionPenalty !== 1) state.seen = this.#seenIds(promptIds)
    }
    return { index: draw, slot, step, sampling, logprobs, state }
  }

  end(slot: number): void {
    const state = this.#states.get(slot)
    if (!state) return
    this.#states.delete(slot)
    state.hasEnded = true
    state.seen?.dispose()
  }

  dispose(): void {
    for (const slot of [...this.#states.keys()]) this.end(slot)
    this.#newest.dispose()
  }

  /** Writes newest tokens to their places in a vector of ids. */
  copyNewest(ids: Tensor, places: readonly { at: number; slot: number }[]): void {
    const column = ids.reshape([ids.size, 1])
    for (const { from, to, count } of runsOf(places.map(({ at, slot }) => ({ from: slot, to: at }))))
      copy_(column.slice(to, to + count), this.#newest.slice(from, from + count))
  }

  /** Queues the draws of all rows. Masks are by `index`. */
  async draw(
    logits: Tensor,
    rows: readonly DrawnRow[],
    masks: readonly (Uint32Array | undefined)[],
  ): Promise<{ index: number; token: InferenceToken }[]> {
    const queued = scope(() => {
      const ids = Tensor.empty(this.#device, [rows.length, 1], 'int32')
      const isPlain = rows.every(({ index, sampling }) => !sampling && !masks[index])
      if (isPlain) argmax(logits, ids.reshape([rows.length]))
      else for (const [i, row] of rows.entries()) this.#drawRow(logits.slice(i, i + 1), ids.slice(i, i + 1), row, masks)
      for (const { from, to, count } of runsOf(rows.map(({ slot }, i) => ({ from: i, to: slot }))))
        copy_(this.#newest.slice(to, to + count), ids.slice(from, from + count))
      const asked = rows.map(({ logprobs, state }, i) =>
        logprobs === undefined || state.hasEnded ? undefined : logits.slice(i, i + 1).read(),
      )
      return { ids: ids.readInt32(), asked }
    })
    const [ids, ...asked] = await Promise.all([queued.ids, ...queued.asked])
    return rows.map(({ index, logprobs = 0 }, i) => {
      const id = ids[i] as number
      const values = asked[i]
      return { index, token: values ? { id, ...logProbsOf(values, id, logprobs) } : { id } }
    })
  }

  #drawRow(logits: Tensor, id: Tensor, row: DrawnRow, masks: readonly (Uint32Array | undefined)[]): void {
    const { sampling, state, step } = row
    const ids = id.reshape([1])
    const mask = masks[row.index]
    // The same parameters as of a draw of the most likely id.
    if (!sampling || state.hasEnded) return void argmax(mask ? this.#masked(logits, mask) : logits, ids)
    const steps = Tensor.from(this.#device, Int32Array.of(step), [1])
    sample_({ logits: mask ? this.#masked(logits, mask) : logits, ids, steps, seen: state.seen }, sampling)
  }

  #masked(logits: Tensor, words: Uint32Array): Tensor {
    const bias = Float32Array.from({ length: this.#vocabSize }, (_, id) =>
      ((words[id >> 5] as number) >>> (id % 32)) & 1 ? 0 : Number.NEGATIVE_INFINITY,
    )
    return add(logits, Tensor.from(this.#device, bias, [1, this.#vocabSize]))
  }

  #seenIds(ids: Int32Array): Tensor {
    const values = new Uint8Array(this.#vocabSize)
    for (const id of ids) values[id] = 1
    const seen = unregisterFromScope(Tensor.empty(this.#device, [1, this.#vocabSize], 'uint8'))
    this.#device.upload(seen, values, 'uint8')
    return seen
  }
}

/** Moves that lie side by side on both sides, together. */
function runsOf(moves: readonly { from: number; to: number }[]): { from: number; to: number; count: number }[] {
  const runs: { from: number; to: number; count: number }[] = []
  for (const { from, to } of moves) {
    const run = runs.at(-1)
    if (run && run.from + run.count === from && run.to + run.count === to) run.count++
    else runs.push({ from, to, count: 1 })
  }
  return runs
}
