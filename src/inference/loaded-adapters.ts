/** @file The adapters of an engine by name, and how many answers use each. */

import { readAdapterHeader } from '../adapters/adapter-file.js'
import { AdapterSet, type AdapterTensors } from '../adapters/adapter-set.js'
import { LoraAdapter } from '../adapters/lora-adapter.js'
import { resolveAdapter } from '../adapters/resolve-adapter.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { describeValue, listNames } from '../errors.js'
import { LowrankError, ModelError, OptionError, OutOfMemoryError } from '../lowrank-error.js'
import { check, text } from '../options/rules.js'
import { dtypeBytes } from '../tensor/dtype.js'
import type { PagePool } from './page-pool.js'

/** An adapter that answers may be made with. */
export interface LoadedAdapter {
  readonly parts: AdapterTensors
  /** The pool's root for its keys and values. */
  readonly root: number
}

interface Entry extends LoadedAdapter {
  /** Answers that use it. */
  users: number
  /** Set where it is to go: called when the last answer has ended. */
  onUnused: (() => void) | undefined
  dispose(): void
}

interface AdapterLimits {
  readonly maxLoras: number
  readonly maxLoraRank: number
  /** Bytes that are free for adapters. */
  freeBytes(): number
  /** Whether an adapter gives finite logits. */
  isFinite(parts: AdapterTensors): Promise<boolean>
  /** Called when an adapter goes: no answer uses it any more. */
  onGone(parts: AdapterTensors): void
}

export class LoadedAdapters {
  readonly #model: CausalLM
  readonly #pool: PagePool
  readonly #limits: AdapterLimits
  readonly #entries = new Map<string, Entry>()
  /** Loads one after the other, so that each counts those before it. */
  #loading: Promise<unknown> = Promise.resolve()
  #count = 0

  /** Takes in the adapters that are on the model, active or not. */
  constructor(model: CausalLM, pool: PagePool, limits: AdapterLimits) {
    this.#model = model
    this.#pool = pool
    this.#limits = limits
    const set = AdapterSet.of(model)
    for (const name of set.names) this.#put(name, set.get(name), () => undefined)
  }

  get names(): string[] {
    return [...this.#entries.keys()]
  }

  /** An adapter, with one more answer that uses it. @throws where there is none of that name */
  use(name: string): LoadedAdapter {
    const entry = this.#get(name)
    entry.users++
    return entry
  }

  /** An answer has ended. */
  leave(adapter: LoadedAdapter): void {
    const entry = adapter as Entry
    entry.users--
    if (entry.users === 0) entry.onUnused?.()
  }

  async load(name: string, directory: string): Promise<void> {
    check('inference', 'adapterName', name, text)
    const before = this.#loading
    const loading = (async () => {
      await before.catch(() => undefined)
      await this.#load(name, directory)
    })()
    this.#loading = loading.catch(() => undefined)
    await loading
  }

  /** @returns when no answer uses it any more. @throws where there is none of that name */
  async remove(name: string): Promise<void> {
    const entry = this.#get(name)
    this.#entries.delete(name)
    await this.#retire(entry)
  }

  async #load(name: string, directory: string): Promise<void> {
    const { maxLoras, maxLoraRank } = this.#limits
    const old = this.#entries.get(name)
    if (!old && this.#entries.size >= maxLoras)
      throw new OptionError(
        `[inference] expected at most ${maxLoras} adapters (maxLoras), got ${describeValue(name)} as one more; remove one of ${listNames(this.names)}`,
      )
    const path = await resolveAdapter(directory)
    const [needed, free] = [await adapterBytes(path, this.#model), this.#limits.freeBytes()]
    if (needed > free)
      throw new OutOfMemoryError(
        `[inference] expected an adapter of at most ${Math.max(0, free)} bytes, which are free beside pages and steps, ` +
          `got ${needed} in ${directory}; lower kvCacheMemory, or remove an adapter`,
      )
    // Answers may still use the one of this name.
    const adapterName = `${name} (inference ${++this.#count})`
    const adapter = await LoraAdapter.load(this.#model, path, { adapterName, active: false })
    const parts = AdapterSet.of(this.#model).get(adapterName)
    const rank = Math.max(0, ...parts.pairs.map(({ pair }) => pair.a.shape[0] as number))
    try {
      if (rank > maxLoraRank)
        throw new OptionError(
          `[inference] expected an adapter of rank ${maxLoraRank} at most (maxLoraRank), got rank ${rank} in ${directory}; raise maxLoraRank`,
        )
      // Answers of other adapters are computed in the same products: what is no number would reach them.
      if (!(await this.#limits.isFinite(parts)))
        throw new ModelError(
          `[inference] expected an adapter that gives finite logits, got NaN or infinity with ${directory}; ` +
            'its training diverged, or its file is damaged',
        )
    } catch (error) {
      adapter.dispose()
      throw error
    }
    this.#put(name, parts, () => adapter.dispose())
    if (old) void this.#retire(old)
  }

  #put(name: string, parts: AdapterTensors, dispose: () => void): void {
    this.#entries.set(name, { parts, root: this.#pool.newRoot(), users: 0, onUnused: undefined, dispose })
  }

  async #retire(entry: Entry): Promise<void> {
    if (entry.users > 0) await new Promise<void>((resolve) => (entry.onUnused = resolve))
    this.#pool.forget(entry.root)
    this.#limits.onGone(entry.parts)
    entry.dispose()
  }

  #get(name: string): Entry {
    const entry = this.#entries.get(name)
    if (entry) return entry
    const there = this.names.length > 0 ? `there are ${listNames(this.names, this.names.length)}` : 'there is none'
    throw new OptionError(
      `[inference] expected the name of a loaded adapter for adapter, got ${describeValue(name)}; ${there}`,
    )
  }

  /** Resolves when nothing is being loaded. */
  async settle(): Promise<void> {
    await this.#loading
  }

  /** Frees what was loaded here. @throws while an answer uses one */
  dispose(): void {
    for (const [name, entry] of this.#entries) {
      if (entry.users > 0)
        throw new LowrankError('INTERNAL', `[inference] expected adapters that no answer uses, got ${name} in use`)
      entry.dispose()
    }
    this.#entries.clear()
  }
}

/** Bytes of an adapter's parameters: float32, and a copy in the model's type. */
async function adapterBytes(directory: string, { dtype }: CausalLM): Promise<number> {
  const { tensors } = await readAdapterHeader(directory)
  let elements = 0
  for (const { shape } of tensors.values()) elements += shape.reduce((product, size) => product * size, 1)
  return elements * (dtypeBytes('float32') + (dtype === 'float32' ? 0 : dtypeBytes(dtype)))
}
