/** @file Tokens from logits, each row by its own request's rules, and the newest token of each sequence. */

import { add } from '../ops/add.js'
import { copy_ } from '../ops/cast.js'
import { gatherRows, scatterRows_ } from '../ops/rows.js'
import { SAMPLING_NUMBERS, type SamplingParameters, sampleRows_, writeSamplingRow } from '../ops/sample.js'
import { topLogProbs } from '../ops/top-log-probs.js'
import type { Device } from '../tensor/device.js'
import { scope, unregisterFromScope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import type { BatchRow } from './batch-executor.js'
import type { InferenceToken } from './inference-request.js'
import type { SparseLogits } from './logit-additions.js'

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

/** A drawn token, and its place in the step. */
interface DrawnToken {
  readonly index: number
  readonly token: InferenceToken
}

type Masks = readonly (Uint32Array | undefined)[]

/** Log probabilities that are queued: of rows from `first` on, `count` of each. */
interface QueuedLogProbs {
  readonly first: number
  readonly count: number
  readonly logProbs: Promise<Float32Array>
  readonly ids: Promise<Int32Array>
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

  /** Queues the draws of all rows. Masks and additions are by `index`. */
  async draw(
    logits: Tensor,
    rows: readonly DrawnRow[],
    masks: Masks,
    additions: readonly (SparseLogits | undefined)[],
  ): Promise<DrawnToken[]> {
    const queued = scope(() => {
      const takeAway = this.#add(logits, rows, additions)
      const ids = Tensor.empty(this.#device, [rows.length, 1], 'int32')
      // Those with a penalty have ids to remember, each for itself: they are drawn once more, by that.
      this.#sample(logits, ids, rows, masks)
      for (const [i, row] of rows.entries())
        if (row.state.seen && !row.state.hasEnded)
          this.#sample(logits.slice(i, i + 1), ids.slice(i, i + 1), [row], masks, row.state.seen)
      // Log probabilities are those of the model.
      takeAway()
      for (const { from, to, count } of runsOf(rows.map(({ slot }, i) => ({ from: i, to: slot }))))
        copy_(this.#newest.slice(to, to + count), ids.slice(from, from + count))
      return { ids: ids.readInt32(), asked: this.#logProbs(logits, ids, rows) }
    })
    const [ids, ...asked] = await Promise.all([queued.ids, ...queued.asked.map(read)])
    const tokens = rows.map(({ index }, i): DrawnToken => ({ index, token: { id: ids[i] as number } }))
    for (const { first, count, logProbs, ids: top } of asked)
      for (let i = first; i < first + logProbs.length / (count + 1); i++) {
        const { index, logprobs = 0 } = rows[i] as DrawnRow
        const at = (i - first) * (count + 1)
        const likeliest = Array.from({ length: logprobs }, (_, k) => ({
          id: top[(i - first) * count + k] as number,
          logprob: logProbs[at + 1 + k] as number,
        }))
        tokens[i] = {
          index,
          token: {
            id: ids[i] as number,
            logprob: logProbs[at] as number,
            topLogprobs: likeliest.filter(({ id }) => id >= 0),
          },
        }
      }
    return tokens
  }

  /**
   * Adds to logits in place: the elements of a row are rows of one column.
   * @returns puts the logits back that were there
   */
  #add(logits: Tensor, rows: readonly DrawnRow[], additions: readonly (SparseLogits | undefined)[]): () => void {
    const undo = rows.map(({ index, state }, i) => {
      const added = additions[index]
      if (!added || state.hasEnded) return undefined
      const elements = logits.slice(i, i + 1).reshape([logits.cols, 1])
      const at = Tensor.from(this.#device, added.ids, [added.ids.length])
      const before = gatherRows(elements, at)
      scatterRows_(elements, at, add(before, Tensor.from(this.#device, added.values, before.shape)))
      return () => scatterRows_(elements, at, before)
    })
    return () => {
      for (const one of undo) one?.()
    }
  }

  #sample(logits: Tensor, ids: Tensor, rows: readonly DrawnRow[], masks: Masks, seen?: Tensor): void {
    const words = Math.ceil(this.#vocabSize / 32)
    const isMasked = rows.some(({ index }) => masks[index])
    const options = new Float32Array(SAMPLING_NUMBERS * rows.length)
    const integers = new Int32Array(SAMPLING_NUMBERS * rows.length)
    const allowed = new Int32Array(isMasked ? words * rows.length : 0)
    for (const [i, { index, sampling, state }] of rows.entries()) {
      const mask = masks[index]
      const isLater = !seen && state.seen !== undefined
      writeSamplingRow(options, integers, i, isLater || state.hasEnded ? undefined : sampling, mask !== undefined)
      if (mask) allowed.set(mask, words * i)
    }
    sampleRows_({
      logits,
      ids: ids.reshape([rows.length]),
      steps: Tensor.from(
        this.#device,
        Int32Array.from(rows, ({ step }) => step),
        [rows.length],
      ),
      options: Tensor.from(this.#device, options, [rows.length, SAMPLING_NUMBERS]),
      integers: Tensor.from(this.#device, integers, [rows.length, SAMPLING_NUMBERS]),
      seen,
      allowed: isMasked ? Tensor.from(this.#device, allowed, [rows.length, words]) : undefined,
    })
  }

  /** Rows side by side that ask for log probabilities, together. */
  #logProbs(logits: Tensor, ids: Tensor, rows: readonly DrawnRow[]): QueuedLogProbs[] {
    const asking = rows.flatMap(({ logprobs, state }, i) => (logprobs === undefined || state.hasEnded ? [] : [i]))
    return runsOf(asking.map((i) => ({ from: i, to: i }))).map(({ from, count: length }) => {
      const count = Math.max(1, ...rows.slice(from, from + length).map(({ logprobs = 0 }) => logprobs))
      const top = topLogProbs(
        logits.slice(from, from + length),
        ids.slice(from, from + length).reshape([length]),
        count,
      )
      return { first: from, count, logProbs: top.logProbs.read(), ids: top.ids.readInt32() }
    })
  }

  #seenIds(ids: Int32Array): Tensor {
    const values = new Uint8Array(this.#vocabSize)
    for (const id of ids) values[id] = 1
    const seen = unregisterFromScope(Tensor.empty(this.#device, [1, this.#vocabSize], 'uint8'))
    this.#device.upload(seen, values, 'uint8')
    return seen
  }
}

async function read({ first, count, logProbs, ids }: QueuedLogProbs) {
  const [values, top] = await Promise.all([logProbs, ids])
  return { first, count, logProbs: values, ids: top }
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
