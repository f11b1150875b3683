/**
 * @file Answers that grow together: a fixed number of places, each with the sequence of one prompt. A place whose
 * answer has ended gets the next prompt; steps are queued ahead of what JavaScript has read.
 */

import type { CausalLM } from '../causal-lm/causal-lm.js'
import { type Decoding, oneOf } from '../decoding/decoding.js'
import type { GenerateSettings } from '../decoding/generate-options.js'
import { argmax } from '../ops/argmax.js'
import { sample_ } from '../ops/sample.js'
import { unregisterFromScope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import type { Turns } from '../turns.js'
import type { GrowingAnswer } from './generate-text.js'

/** A prompt and its place in the list. */
export interface GrowingRow {
  readonly index: number
  readonly ids: Int32Array
}

/** A row that has a place. */
interface Occupant {
  readonly row: GrowingRow
  readonly answer: GrowingAnswer
  /** Tokens that are queued. */
  scheduled: number
  hasEnded: boolean
}

/** What is queued: the ids to come, and whose they are. */
interface QueuedIds {
  readonly ids: Promise<Int32Array>
  readonly occupants: readonly (Occupant | undefined)[]
}

/** What is queued at a time, so that the device has the next step while JavaScript hears of the last. */
const STEPS_AHEAD = 2

/** The share of the places that are free before prompts are computed for them: few prompts at a time are slow. */
const REFILLED_SHARE = 1 / 8

export class GrowingBatch {
  readonly #model: CausalLM
  readonly #settings: GenerateSettings
  readonly #decoding: Decoding
  readonly #places: (Occupant | undefined)[]
  /** Per place uint8 [1, V]: the ids of its prompt and answer. Empty without a penalty. */
  readonly #seen: Tensor[] = []

  constructor(
    model: CausalLM,
    settings: GenerateSettings,
    { mostTokens, size, prefix }: { mostTokens: number; size: number; prefix: Int32Array },
  ) {
    const { sampling } = settings
    this.#model = model
    this.#settings = settings
    this.#places = Array.from({ length: size }, () => undefined)
    const places = this.#places.map(() => new Int32Array(0))
    const chooseOne = (logits: Tensor, ids: Tensor, steps: Tensor, place: number): void => {
      if (sampling) sample_({ logits, ids, steps, seen: this.#seen[place] }, sampling)
      else argmax(logits, ids)
    }
    // One draw at a time, as of a prompt alone: a draw depends on the number of its sequence in the op.
    const choose = (logits: Tensor, ids: Tensor, steps: Tensor): void => {
      if (!sampling) return void argmax(logits, ids)
      for (const place of places.keys())
        chooseOne(logits.slice(place, place + 1), oneOf(ids, place), oneOf(steps, place), place)
    }
    this.#decoding = model.decoding(places, mostTokens, choose, { prefix, chooseOne })
    if (sampling && sampling.repetitionPenalty !== 1)
      this.#seen = places.map(() =>
        unregisterFromScope(Tensor.empty(model.device, [1, model.config.vocabSize], 'uint8')),
      )
  }

  dispose(): void {
    this.#decoding.dispose()
    for (const tensor of this.#seen) tensor.dispose()
  }

  /**
   * Lets the answers of all rows grow to their ends.
   * @param start makes an answer without tokens; `finish` gets it when it is whole.
   */
  async run(
    rows: readonly GrowingRow[],
    start: () => GrowingAnswer,
    finish: (row: GrowingRow, answer: GrowingAnswer) => void,
    turns: Turns,
  ): Promise<void> {
    const waiting = [...rows].reverse()
    const queue: QueuedIds[] = []
    while (waiting.length > 0 || this.#places.some((place) => place && !place.hasEnded)) {
      turns.throwIfAborted()
      this.#refill(waiting, start, queue)
      while (queue.length < STEPS_AHEAD && this.#wantsStep()) queue.push(this.#queueStep())
      const { ids, occupants } = queue.shift() as QueuedIds
      const values = await ids
      for (const [place, occupant] of occupants.entries()) {
        if (!occupant || occupant.hasEnded) continue
        const { answer } = occupant
        const id = values[place] as number
        answer.push(id)
        if (turns.isOver) await turns.next()
        const { eosTokenIds, maxNewTokens } = this.#settings
        if (!eosTokenIds.has(id) && !answer.stopped && answer.length < maxNewTokens) continue
        occupant.hasEnded = true
        this.#decoding.end(place)
        finish(occupant.row, answer)
      }
    }
  }

  /** Gives free places to waiting rows, the last of the list first, once there are enough. */
  #refill(waiting: GrowingRow[], start: () => GrowingAnswer, queue: QueuedIds[]): void {
    const free = [...this.#places.keys()].filter((place) => this.#places[place]?.hasEnded ?? true)
    const count = Math.min(free.length, waiting.length)
    const isIdle = free.length === this.#places.length
    if (count === 0 || (!isIdle && free.length < this.#places.length * REFILLED_SHARE)) return
    const filled = free.slice(0, count)
    const occupants: (Occupant | undefined)[] = this.#places.map(() => undefined)
    for (const place of filled) {
      const row = waiting.pop() as GrowingRow
      const occupant = { row, answer: start(), scheduled: 1, hasEnded: false }
      occupants[place] = occupant
      this.#places[place] = occupant
      this.#markSeen(place, row.ids)
    }
    const prompts = filled.map((place) => (this.#places[place] as Occupant).row.ids)
    queue.push({ ids: this.#watch(this.#decoding.fill(filled, prompts)), occupants })
    for (const place of filled) if (this.#settings.maxNewTokens === 1) this.#decoding.end(place)
  }

  #wantsStep(): boolean {
    return this.#places.some((place) => place && !place.hasEnded && place.scheduled < this.#settings.maxNewTokens)
  }

  #queueStep(): QueuedIds {
    const { maxNewTokens } = this.#settings
    const occupants = this.#places.map((occupant) =>
      occupant && !occupant.hasEnded && occupant.scheduled < maxNewTokens ? occupant : undefined,
    )
    const ids = this.#watch(this.#decoding.next())
    for (const [place, occupant] of occupants.entries()) {
      if (!occupant) continue
      occupant.scheduled++
      // It has all its tokens: further steps of the others are not to move it.
      if (occupant.scheduled === maxNewTokens) this.#decoding.end(place)
    }
    return { ids, occupants }
  }

  /** Also of a step that nobody waits for any more: what comes after starts without its fault. */
  #watch(ids: Promise<Int32Array>): Promise<Int32Array> {
    ids.catch(() => this.#model.device.sync()).catch(() => undefined)
    return ids
  }

  #markSeen(place: number, ids: Int32Array): void {
    const seen = this.#seen[place]
    if (!seen) return
    const values = new Uint8Array(seen.size)
    for (const id of ids) values[id] = 1
    this.#model.device.upload(seen, values, 'uint8')
  }
}
