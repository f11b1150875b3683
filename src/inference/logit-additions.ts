/**
 * @file What is added to the logits of an answer before its next token is drawn: biases of ids, and penalties of ids
 * that it has already. Knows neither the model nor the device.
 */

import type { InferenceRequest } from './inference-request.js'

/** Numbers that are added to some logits of a row; ids are distinct. */
export interface SparseLogits {
  readonly ids: Int32Array
  readonly values: Float32Array
}

/** How many ids of one request may have a bias. */
export const MOST_BIASES = 1024

/**
 * The additions of one answer, by OpenAI's definition: the bias of an id, less `frequencyPenalty` for each time that it
 * is in the answer, less `presencePenalty` where it is there at all. Tokens of the prompt do not count.
 */
export class LogitAdditions {
  readonly #biases: ReadonlyMap<number, number>
  readonly #presencePenalty: number
  readonly #frequencyPenalty: number
  readonly #counts = new Map<number, number>()

  private constructor(biases: ReadonlyMap<number, number>, presencePenalty: number, frequencyPenalty: number) {
    this.#biases = biases
    this.#presencePenalty = presencePenalty
    this.#frequencyPenalty = frequencyPenalty
  }

  /** Undefined where a request asks for none. */
  static of({ logitBias, presencePenalty = 0, frequencyPenalty = 0 }: InferenceRequest): LogitAdditions | undefined {
    const biases = new Map([...(logitBias ?? [])].filter(([, value]) => value !== 0))
    if (biases.size === 0 && presencePenalty === 0 && frequencyPenalty === 0) return undefined
    return new LogitAdditions(biases, presencePenalty, frequencyPenalty)
  }

  /** A token of the answer. */
  accept(id: number): void {
    if (this.#presencePenalty === 0 && this.#frequencyPenalty === 0) return
    this.#counts.set(id, (this.#counts.get(id) ?? 0) + 1)
  }

  /** What is added for the next token; undefined: nothing. */
  next(): SparseLogits | undefined {
    const ids = new Set([...this.#biases.keys(), ...this.#counts.keys()])
    if (ids.size === 0) return undefined
    return { ids: Int32Array.from(ids), values: Float32Array.from(ids, (id) => this.#addition(id)) }
  }

  #addition(id: number): number {
    const count = this.#counts.get(id) ?? 0
    const penalty = count === 0 ? 0 : this.#frequencyPenalty * count + this.#presencePenalty
    return (this.#biases.get(id) ?? 0) - penalty
  }
}
