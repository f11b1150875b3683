/**
 * @file The keys of a GGUF file that belong to its architecture: every one is read, expected to have one value, or an
 * error.
 */

import { describeValue, listNames } from '../errors.js'
import { ModelError } from '../lowrank-error.js'
import type { GgufMetadata, GgufValue } from './metadata.js'

/** Takes keys `<architecture>.<name>` and, at the end, complains of those that nobody took. */
export class ArchitectureKeys {
  readonly architecture: string
  readonly metadata: GgufMetadata
  readonly #taken = new Set<string>()

  constructor(metadata: GgufMetadata, architecture: string) {
    this.metadata = metadata
    this.architecture = architecture
  }

  has(name: string): boolean {
    return this.metadata.has(this.#take(name))
  }

  /** A whole number > 0. */
  integer(name: string, fallback?: number): number {
    const key = this.#take(name)
    const value = this.metadata.integer(key, fallback)
    if (value === 0) throw this.metadata.error(key, 'a whole number > 0', value)
    return value
  }

  /** A number, as short as float32 allows: 1e-5 and not 0.000009999999747378752. */
  number(name: string, fallback?: number): number {
    return shortest(this.metadata.number(this.#take(name), fallback))
  }

  text(name: string, fallback: string): string {
    return this.metadata.text(this.#take(name), fallback)
  }

  /** Takes keys that say nothing about what is computed. */
  ignore(...names: readonly string[]): void {
    for (const name of names) this.#take(name)
  }

  /** Takes a key that is right to ignore with one value only. */
  expect(name: string, wanted: GgufValue): void {
    const key = this.#take(name)
    const value = this.metadata.get(key)
    if (value !== undefined && value !== wanted)
      throw this.metadata.error(key, `${describeValue(wanted)} (anything else is not supported)`, value)
  }

  error(name: string, expected: string, value: unknown): Error {
    return this.metadata.error(this.#take(name), expected, value)
  }

  /** @throws naming every key of the architecture that was not taken */
  finish(): void {
    const unknown = [...this.metadata.keys()].filter(
      (key) => key.startsWith(`${this.architecture}.`) && !this.#taken.has(key),
    )
    if (unknown.length === 0) return
    throw new ModelError(
      `[gguf] ${this.metadata.path}: expected keys that are known to architecture '${this.architecture}', got ` +
        `${listNames(unknown.map((key) => `${key} = ${describeValue(this.metadata.get(key))}`))}; a key that is not understood may change ` +
        'what the model computes: use the safetensors version of the model',
    )
  }

  #take(name: string): string {
    const key = `${this.architecture}.${name}`
    this.#taken.add(key)
    return key
  }
}

/** The decimal number of fewest digits that is the same float32. */
function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const candidate = Number(value.toPrecision(digits))
    if (Math.fround(candidate) === Math.fround(value)) return candidate
  }
  return value
}
