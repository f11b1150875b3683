/** @file Reading config.json strictly: every field is read, known to be harmless, or an error. */

import { listNames } from '../errors.js'
import { ModelError } from '../lowrank-error.js'
import { HARMLESS, HARMLESS_CLASSES, HARMLESS_VALUES } from './config-fields.js'

/** The JSON object of config.json. */
export type RawConfig = Readonly<Record<string, unknown>>

/** What every architecture knows of itself. */
export interface ModelConfig {
  readonly modelType: string
  readonly vocabSize: number
  readonly hiddenSize: number
  readonly numHiddenLayers: number
  readonly numAttentionHeads: number
  readonly numKeyValueHeads: number
  readonly headDim: number
  /** Tokens of the longest sequence that the model is for, rope scaling included: training cuts rows there. */
  readonly maxPositionEmbeddings: number
  readonly bosTokenId: number | undefined
  readonly eosTokenId: readonly number[]
}

/** What the engine can number. */
const LARGEST_SIZE = 2 ** 31 - 1
/** Layers are made before their weights are looked for; the largest models have some hundred. */
export const MOST_LAYERS = 4096
/** Largest width of a head; frequencies are made before weights are looked for. */
export const LARGEST_HEAD_DIM = 65536
const SHOWN = 160

/** A value as the file has it, unless it is long. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}...` : text
}

/** Takes fields out of a config and, at the end, complains of those that nobody took. */
export class ConfigReader {
  readonly #raw: RawConfig
  readonly #where: string
  readonly #taken = new Set<string>()

  constructor(raw: RawConfig, where: string) {
    this.#raw = raw
    this.#where = where
  }

  /** A whole number > 0, and no larger than a size can be: a damaged file must not ask for a million layers. */
  integer(name: string, fallback?: number, most = LARGEST_SIZE): number {
    const value = this.#take(name) ?? fallback
    if (typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= most) return value
    throw this.error(name, Number(value) > most ? `a whole number of at most ${most}` : 'a whole number > 0', value)
  }

  /** A finite number. */
  number(name: string, fallback?: number): number {
    return this.#number(name, fallback, 'a number', () => true)
  }

  /** A finite number above 0 that float32 holds as one. */
  positive(name: string, fallback?: number): number {
    return this.#number(name, fallback, 'a number above 0', (value) => {
      const rounded = Math.fround(value)
      return rounded > 0 && Number.isFinite(rounded)
    })
  }

  nonNegative(name: string, fallback?: number): number {
    return this.#number(name, fallback, 'a number of at least 0', (value) => value >= 0)
  }

  /** What is added to a variance before its root is divided by: a number from 0 to 1. */
  epsilon(name: string, fallback: number): number {
    return this.#number(name, fallback, 'a number from 0 to 1', (value) => value >= 0 && value <= 1)
  }

  boolean(name: string, fallback: boolean): boolean {
    const value = this.#take(name) ?? fallback
    if (typeof value === 'boolean') return value
    throw this.error(name, 'true or false', value)
  }

  /** One of the given strings. */
  choice<T extends string>(name: string, choices: readonly T[], fallback?: T): T {
    const value = this.#take(name) ?? fallback
    if (choices.includes(value as T)) return value as T
    throw this.error(name, `one of ${choices.map((choice) => `'${choice}'`).join(', ')}`, value)
  }

  /** An object, or undefined when absent or null. */
  object(name: string): RawConfig | undefined {
    const value = this.#take(name)
    if (value === undefined || value === null) return undefined
    if (typeof value === 'object' && !Array.isArray(value)) return value as RawConfig
    throw this.error(name, 'an object', value)
  }

  /** A list, or undefined when absent or null. */
  list(name: string): readonly unknown[] | undefined {
    const value = this.#take(name)
    if (value === undefined || Array.isArray(value)) return value
    throw this.error(name, 'a list', value)
  }

  /** Whether the field is there and not null. */
  has(name: string): boolean {
    return this.#raw[name] !== undefined && this.#raw[name] !== null
  }

  /**
   * Whether the field is there and null: where the default is something else, transformers tells this from a field that
   * is absent.
   */
  isNull(name: string): boolean {
    return this.#raw[name] === null
  }

  /** Token ids that are given as one number, a list or null. */
  tokenIds(name: string): number[] {
    const value = this.#take(name)
    if (value === undefined || value === null) return []
    const ids = Array.isArray(value) ? value : [value]
    if (ids.every((id) => Number.isInteger(id) && id >= 0)) return ids as number[]
    throw this.error(name, 'token ids', value)
  }

  /** Marks fields that are right to ignore only with one of these values. */
  expectValue(name: string, allowed: readonly unknown[]): void {
    const value = this.#take(name)
    if (value === undefined || allowed.includes(value)) return
    throw this.error(name, allowed.map((item) => JSON.stringify(item)).join(' or '), value)
  }

  /** @throws naming every field that was neither read nor is known to be harmless. */
  finish(): void {
    const unknown: string[] = []
    for (const [name, value] of Object.entries(this.#raw)) {
      if (this.#taken.has(name)) continue
      if (name === 'auto_map') {
        this.#expectNoOwnCode(value)
        continue
      }
      if (name === 'sliding_window' && this.#raw.use_sliding_window === false) continue
      const allowed = Object.hasOwn(HARMLESS_VALUES, name) ? HARMLESS_VALUES[name] : undefined
      if (allowed) {
        const isEmpty = typeof value === 'object' && value !== null && Object.keys(value).length === 0
        if (allowed.includes(value) || isEmpty) continue
        throw this.error(
          name,
          `${allowed.map((item) => JSON.stringify(item)).join(' or ') || 'nothing'} (anything else is not supported)`,
          value,
        )
      }
      if (!HARMLESS.has(name)) unknown.push(name)
    }
    if (unknown.length === 0) return
    throw new ModelError(
      `[config] ${this.#where}: expected fields that are known to this model type, got ${listNames(unknown.map((name) => `${name} = ${shown(this.#raw[name])}`))}; ` +
        'a field that is not understood may change what the model computes. Remove it from config.json if it is irrelevant, or report it',
    )
  }

  /** `auto_map` names Python files of a repository that stand in for the classes of transformers. */
  #expectNoOwnCode(value: unknown): void {
    const names = typeof value === 'object' && value !== null ? Object.keys(value) : []
    if (value === null || (names.length > 0 && names.every((name) => HARMLESS_CLASSES.includes(name)))) return
    throw new ModelError(
      `[config] ${this.#where}: expected a model that the classes of transformers compute, got auto_map = ${shown(value)}, which names code of its ` +
        'own, and that is not run; remove auto_map from config.json if the model is an ordinary one of its model_type',
    )
  }

  #number(name: string, fallback: number | undefined, expected: string, holds: (value: number) => boolean): number {
    const value = this.#take(name) ?? fallback
    if (typeof value === 'number' && Number.isFinite(value) && holds(value)) return value
    throw this.error(name, expected, value)
  }

  error(name: string, expected: string, value: unknown): Error {
    return new ModelError(`[config] ${this.#where}: expected ${expected} for ${name}, got ${shown(value)}`)
  }

  #take(name: string): unknown {
    this.#taken.add(name)
    const value = this.#raw[name]
    return value === null ? undefined : value
  }
}
