/**
 * @file The adapters that a model has: by name, which of them are active, and what its modules compute with therefore.
 */

import type { Parameter } from '../autograd/parameter.js'
import { type CausalLM, expectModel } from '../causal-lm/causal-lm.js'
import { describeValue, listNames } from '../errors.js'
import { LowrankError, OptionError } from '../lowrank-error.js'
import type { Linear } from '../nn/module.js'
import type { LoraPair } from '../ops/linear.js'
import type { Tensor } from '../tensor/tensor.js'
import type { LoraBias } from './lora-config.js'

/** A low-rank update of one projection. */
export interface AttachedPair {
  readonly linear: Linear
  readonly pair: LoraPair
}

/** A module whose weight or bias can be another's. */
interface Replaceable {
  weight: Parameter
  bias?: Parameter | undefined
}

/** A trainable copy that stands in the place of a weight or bias of the base model while its adapter is active. */
export interface Replacement {
  readonly path: string
  readonly module: Replaceable
  readonly slot: 'weight' | 'bias'
  readonly parameter: Parameter
  readonly original: Parameter
}

/** What an adapter changes in its model. */
export interface AdapterTensors {
  readonly pairs: readonly AttachedPair[]
  readonly replacements: readonly Replacement[]
  readonly bias: LoraBias
  /** Frees the adapter. */
  dispose(): void
}

const sets = new WeakMap<CausalLM, AdapterSet>()

/**
 * 1. An adapter that is on the model has a name of its own. It is active or not; one that is not costs nothing in
 *    forward.
 * 2. Modules show the active adapters, unless all are disabled: their LoRA pairs one after the other, their copies in
 *    place of weights. Lists of
 * LoRA pairs are replaced, never changed, so that what was recorded stays as it was.
 * 3. Two active adapters cannot stand in for the same weight, and of all adapters only one may train biases, as in
 *    PEFT.
 */
export class AdapterSet {
  readonly #members = new Map<string, AdapterTensors>()
  #active: readonly AdapterTensors[] = []
  #isEnabled = true
  /** What modules show at present. */
  #shown: readonly AdapterTensors[] = []

  /** The set of a model. */
  static of(model: CausalLM): AdapterSet {
    expectModel('lora', model)
    const set = sets.get(model) ?? new AdapterSet()
    sets.set(model, set)
    return set
  }

  get names(): string[] {
    return [...this.#members.keys()]
  }

  /** Names of the active adapters, disabled or not. */
  get activeNames(): string[] {
    return this.#active.map((parts) => this.#nameOf(parts) as string)
  }

  /** 'default', or the first of 'default_2', 'default_3'... that is free. */
  get freeName(): string {
    let name = 'default'
    for (let number = 2; this.#members.has(name); number++) name = `default_${number}`
    return name
  }

  /** What an adapter of this model that replaces a weight or bias puts back. */
  original(module: Replaceable, slot: 'weight' | 'bias'): Parameter | undefined {
    const standIn = this.#shown
      .flatMap(({ replacements }) => replacements)
      .find((replacement) => replacement.module === module && replacement.slot === slot)
    return standIn ? standIn.original : module[slot]
  }

  /**
   * Takes an adapter in, inactive unless `active`; one that is in already may become active.
   * @param givenName default a free one
   * @returns its name
   * @throws when the name is taken, and when it does not go together with the others
   */
  add(givenName: string | undefined, parts: AdapterTensors, active: boolean): string {
    if (active) checkTogether([...this.#active.filter((other) => other !== parts), parts])
    let name = this.#nameOf(parts)
    if (name === undefined) {
      name = givenName ?? this.freeName
      this.checkName(name)
      this.#checkBias(name, parts)
      this.#members.set(name, parts)
    }
    if (active && !this.#active.includes(parts)) this.#show([...this.#active, parts])
    return name
  }

  /** @throws when an adapter has the name already. */
  checkName(name: string): void {
    if (this.#members.has(name)) {
      throw new OptionError(
        `[lora] expected a new name for the adapter, got ${describeValue(name)}, which another has; choose another, or deleteAdapter() that one`,
      )
    }
  }

  /** Takes an adapter out, if it is in. */
  remove(parts: AdapterTensors): void {
    const name = this.#nameOf(parts)
    if (name === undefined) return
    this.#members.delete(name)
    this.#show(this.#active.filter((other) => other !== parts))
  }

  /** @throws when there is no adapter of that name. */
  get(name: string): AdapterTensors {
    const parts = this.#members.get(name)
    if (parts) return parts
    const names = this.names
    const present = names.length > 0 ? `it has: ${listNames(names, names.length)}` : 'it has none; loadAdapter() first'
    throw new OptionError(`[lora] expected the name of an adapter of the model, got ${describeValue(name)}; ${present}`)
  }

  /** Makes exactly these active. @throws when one is not there, and when two do not go together */
  setActive(names: readonly string[]): void {
    const active = [...new Set(names)].map((name) => this.get(name))
    checkTogether(active)
    this.#show(active)
  }

  /** Whether modules show the active adapters. */
  setEnabled(isEnabled: boolean): void {
    this.#isEnabled = isEnabled
    this.#show(this.#active)
  }

  /**
   * Runs `fn` while modules show these adapters and no others. Then they show again what they did, the same lists:
   * nobody else sees a difference.
   * @param shown each with the rows that it is of, as `LoraPair` has them; default all
   */
  static showing<T>(
    model: CausalLM,
    shown: readonly { readonly parts: AdapterTensors; readonly rows?: Tensor | undefined }[],
    fn: () => T,
  ): T {
    const set = AdapterSet.of(model)
    const before = [...model.modules.linears.values()].map((linear) => ({ linear, pairs: linear.pairs }))
    const replaced = set.#shown.flatMap(({ replacements }) => replacements)
    try {
      for (const { linear } of before) linear.pairs = []
      for (const { module, slot, original } of replaced) module[slot] = original
      for (const { parts, rows } of shown) {
        for (const { linear, pair } of parts.pairs) linear.pairs.push(rows ? { ...pair, rows } : pair)
        for (const { module, slot, parameter } of parts.replacements) module[slot] = parameter
      }
      return fn()
    } finally {
      for (const { parts } of shown)
        for (const { module, slot, original } of parts.replacements) module[slot] = original
      for (const { module, slot, parameter } of replaced) module[slot] = parameter
      for (const { linear, pairs } of before) linear.pairs = pairs
    }
  }

  #nameOf(parts: AdapterTensors): string | undefined {
    for (const [name, other] of this.#members) if (other === parts) return name
    return undefined
  }

  #checkBias(name: string, { bias }: AdapterTensors): void {
    if (bias === 'none') return
    for (const [other, parts] of this.#members) {
      if (parts.bias === 'none') continue
      throw new LowrankError(
        'INVALID_CALL',
        `[lora] expected one adapter with bias on a model, but ${describeValue(other)} has bias '${parts.bias}' and ${describeValue(name)} ` +
          `bias '${bias}'; detach() or deleteAdapter() one of them, or train with bias 'none'`,
      )
    }
  }

  #show(active: readonly AdapterTensors[]): void {
    for (const { pairs, replacements } of this.#shown) {
      for (const { linear, pair } of pairs) linear.pairs = linear.pairs.filter((other) => other !== pair)
      for (const { module, slot, original } of replacements) module[slot] = original
    }
    this.#active = active
    this.#shown = this.#isEnabled ? active : []
    for (const { pairs, replacements } of this.#shown) {
      for (const { linear, pair } of pairs) linear.pairs = [...linear.pairs, pair]
      for (const { module, slot, parameter } of replacements) module[slot] = parameter
    }
  }
}

/** @throws when two adapters stand in for the same weight or bias. */
function checkTogether(adapters: readonly AdapterTensors[]): void {
  const seen: Replacement[] = []
  for (const { replacements } of adapters) {
    for (const { path, module, slot } of replacements) {
      if (!seen.some((other) => other.module === module && other.slot === slot)) continue
      const [what, option] =
        slot === 'weight' ? [path, 'modulesToSave'] : [`the bias of ${path}`, 'modulesToSave or bias']
      throw new LowrankError(
        'INVALID_CALL',
        `[lora] expected ${what} of the base model, but another adapter has it in its ${option}; detach() that one first`,
      )
    }
    seen.push(...replacements)
  }
}
