/** @file Several adapters on one model, by the names that PEFT's functions for them have. */

import type { CausalLM } from '../causal-lm/causal-lm.js'
import { describeValue } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import { AdapterSet } from './adapter-set.js'
import { LoraAdapter } from './lora-adapter.js'
import type { LoraOptions } from './lora-config.js'

/**
 * Loads an adapter that PEFT or lowrank saved, under a name. It becomes active if the model has no other; else
 * `setAdapter` makes it so.
 * @throws as `LoraAdapter.load`, and when the name is taken.
 */
export async function loadAdapter(model: CausalLM, directory: string, adapterName = 'default'): Promise<LoraAdapter> {
  return await LoraAdapter.load(model, directory, { adapterName, active: AdapterSet.of(model).names.length === 0 })
}

/**
 * A new adapter under a name. It becomes active if the model has no other; else `setAdapter` makes it so.
 * @throws as `LoraAdapter.create`, and when the name is taken.
 */
export function addAdapter(
  model: CausalLM,
  adapterName: string,
  options: LoraOptions = {},
  random: { seed?: number } = {},
): LoraAdapter {
  const active = AdapterSet.of(model).names.length === 0
  return LoraAdapter.create(model, options, { ...random, adapterName, active })
}

/**
 * Makes one adapter active, or several, which add up; the others change nothing from then on. No weight is changed or
 * freed. A pass whose layers are computed again in backward (`gradientCheckpointing`) has to be through backward()
 * first.
 * @throws when the model has no adapter of that name, and when two of them train the same module in full.
 */
export function setAdapter(model: CausalLM, adapterName: string | readonly string[]): void {
  const names: unknown = typeof adapterName === 'string' ? [adapterName] : adapterName
  if (!Array.isArray(names) || names.length === 0 || names.some((name) => typeof name !== 'string')) {
    throw new OptionError(
      `[lora] expected the name of an adapter, or several, for setAdapter, got ${describeValue(adapterName)}; disableAdapters() is for none`,
    )
  }
  AdapterSet.of(model).setActive(names as string[])
}

/** The names of the active adapters, also while they are disabled. */
export function activeAdapters(model: CausalLM): string[] {
  return AdapterSet.of(model).activeNames
}

/** The model computes what it did without adapters, until `enableAdapters`. */
export function disableAdapters(model: CausalLM): void {
  AdapterSet.of(model).setEnabled(false)
}

/** Puts the active adapters back. */
export function enableAdapters(model: CausalLM): void {
  AdapterSet.of(model).setEnabled(true)
}

/**
 * Takes an adapter off the model and frees it; the others stay as they are.
 * @throws when there is none of that name.
 */
export function deleteAdapter(model: CausalLM, adapterName: string): void {
  AdapterSet.of(model).get(adapterName).dispose()
}
