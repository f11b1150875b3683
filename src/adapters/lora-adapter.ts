/** @file LoRA adapters on a model: made, attached, loaded and saved as PEFT does (Hu et al. 2021, arXiv:2106.09685). */

import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Parameter } from '../autograd/parameter.js'
import {
  FLOATS,
  readSafetensorsHeader,
  readTensorBytes,
  safetensorsContent,
  type TensorEntry,
  type TensorToWrite,
} from '../checkpoint/safetensors.js'
import { expectKnownOptions, listNames } from '../errors.js'
import { type FileToWrite, writeFilesAtomic } from '../files.js'
import type { CausalLM } from '../models/model.js'
import type { Embedding, Linear } from '../nn/module.js'
import type { LoraSlab } from '../ops/linear.js'
import { Random } from '../random.js'
import { CARD_FILE, modelCard } from './model-card.js'
import {
  type LoraConfig,
  type LoraOptions,
  PEFT_CONFIG_FILE,
  parseLoraOptions,
  readPeftConfig,
  toPeftConfig,
} from './peft-config.js'
import { PEFT_WEIGHTS_FILE, parsePeftTensorName, peftModuleTensorName, peftTensorName } from './peft-names.js'
import { ALL_LINEAR, matchTargetModules, type TargetableModule, targetNames } from './target-modules.js'

/** A low-rank update of one projection, and the number under which it attaches. */
interface AttachedSlab {
  readonly linear: Linear
  readonly slab: LoraSlab
}

/** A module trained in full beside the low-rank updates, and the frozen weights that it replaced. */
interface SavedModule {
  readonly module: Linear | Embedding
  readonly weight: Parameter
  readonly bias: Parameter | undefined
  readonly original: { weight: Parameter; bias: Parameter | undefined }
}

/**
 * A LoRA adapter, attached to its model from the moment it is made until `detach()`.
 *
 * Each target W gets `W x + scale * B A dropout(x)`, scale = loraAlpha / r, or loraAlpha / sqrt(r) with useRslora. A and B are float32 masters.
 */
export class LoraAdapter {
  readonly model: CausalLM
  readonly config: LoraConfig
  readonly #slabs: AttachedSlab[]
  readonly #savedModules: SavedModule[]
  #isDisposed = false

  private constructor(model: CausalLM, config: LoraConfig, slabs: AttachedSlab[], savedModules: SavedModule[]) {
    this.model = model
    this.config = config
    this.#slabs = slabs
    this.#savedModules = savedModules
  }

  /**
   * A new adapter: A uniform in +-1/sqrt(in) (Kaiming with a = sqrt 5), B zero, so that the model computes what it did.
   * @param options PEFT's names in camelCase; see LoraOptions. `seed` (default 42) draws A.
   * @throws on unknown options, on targets that match nothing, and when another adapter already trains one of modulesToSave.
   */
  static create(model: CausalLM, options: LoraOptions = {}, random: { seed?: number } = {}): LoraAdapter {
    expectKnownOptions('lora', random, ['seed'])
    const { seed = 42 } = random
    const adapter = LoraAdapter.#attach(model, parseLoraOptions(options))
    adapter.#slabs.forEach(({ slab }, index) => {
      slab.b.fill(0)
      if (model.device.dryRun) slab.a.fill(0)
      else slab.a.set(uniform(slab.a.size, 1 / Math.sqrt(slab.a.shape[1] as number), new Random(seed, index)))
    })
    return adapter
  }

  /**
   * Loads an adapter that PEFT or lowrank saved.
   * @throws when the adapter is of another model, lacks a tensor, or holds one that nothing takes.
   */
  static async load(model: CausalLM, directory: string): Promise<LoraAdapter> {
    const { lora: config } = await readPeftConfig(directory)
    const path = join(directory, PEFT_WEIGHTS_FILE)
    const { tensors } = await readSafetensorsHeader(path)
    const adapter = LoraAdapter.#attach(model, config)
    try {
      await adapter.#fill(tensors, path)
    } catch (error) {
      adapter.dispose()
      throw error
    }
    return adapter
  }

  /** Trainable parameters by the name of their tensor in adapter_model.safetensors. */
  parameters(): ReadonlyMap<string, Parameter> {
    const all = this.#slabs.flatMap(({ slab }) => [slab.a, slab.b])
    for (const { weight, bias } of this.#savedModules) all.push(weight, ...(bias ? [bias] : []))
    return new Map(all.map((parameter) => [parameter.name, parameter]))
  }

  /** Paths of the modules that carry a low-rank update. */
  get targetPaths(): string[] {
    return this.#slabs.map(({ linear }) => linear.path)
  }

  /** Number of trainable elements. */
  get numParameters(): number {
    let count = 0
    for (const parameter of this.parameters().values()) count += parameter.size
    return count
  }

  /**
   * Writes adapter_config.json and adapter_model.safetensors (float32), together or not at all; for a model of the Hub also a
   * README.md that names the model and its licence, where there is none yet.
   * @throws when the disk is full or not writable; what was there before stays.
   */
  async save(directory: string): Promise<void> {
    await mkdir(directory, { recursive: true })
    const path = join(directory, PEFT_WEIGHTS_FILE)
    const files: FileToWrite[] = [
      { path, content: safetensorsContent(path, this.tensors(), { format: 'pt' }) },
      { path: join(directory, PEFT_CONFIG_FILE), content: this.configText() },
    ]
    const { nameOrPath, origin } = this.model
    const card = join(directory, CARD_FILE)
    // A card that someone wrote is theirs.
    if (origin.revision !== undefined && !existsSync(card)) {
      files.push({ path: card, content: modelCard(nameOrPath, origin, this.config) })
    }
    await writeFilesAtomic(files)
  }

  /** The tensors that `save` writes. */
  tensors(): TensorToWrite[] {
    return [...this.parameters()].map(([name, parameter]) => ({
      name,
      dtype: 'F32' as const,
      shape: [...parameter.shape],
      bytes: async () => new Uint8Array((await parameter.read()).buffer),
    }))
  }

  /** The text of adapter_config.json. */
  configText(): string {
    const fanInFanOut = this.#slabs.some(({ linear }) => linear.kind === 'conv1d')
    const { targetModules, modulesToSave } = this.config
    const names =
      targetModules === ALL_LINEAR
        ? targetNames(this.targetPaths, targetableModules(this.model), modulesToSave)
        : targetModules
    const { nameOrPath, origin } = this.model
    return toPeftConfig(
      { ...this.config, targetModules: names },
      { baseModel: nameOrPath, revision: origin.revision, fanInFanOut },
    )
  }

  /** Takes the adapter off its model, which then computes what it did before; `attach()` puts it back. */
  detach(): void {
    for (const { linear, slab } of this.#slabs) linear.slabs = linear.slabs.filter((other) => other !== slab)
    for (const { module, weight, original } of this.#savedModules) {
      if (module.weight !== weight) continue
      module.weight = original.weight
      if ('bias' in module) module.bias = original.bias
    }
  }

  /** Puts a detached adapter back on its model. @throws when it was disposed, or another adapter took the place of a saved module. */
  attach(): void {
    if (this.#isDisposed) throw new Error('[lora] expected an adapter with its weights, got one that was disposed')
    this.detach()
    for (const { module, original } of this.#savedModules) {
      if (module.weight !== original.weight) throw takenModule(module.path)
    }
    for (const { linear, slab } of this.#slabs) linear.slabs = [...linear.slabs, slab]
    for (const { module, weight, bias } of this.#savedModules) {
      module.weight = weight
      if ('bias' in module) module.bias = bias
    }
  }

  /** Detaches the adapter and frees its memory. */
  dispose(): void {
    this.detach()
    this.#isDisposed = true
    for (const parameter of this.parameters().values()) parameter.dispose()
  }

  static #attach(model: CausalLM, config: LoraConfig): LoraAdapter {
    const { linears, embeddings } = model.modules
    const slabs = matchTargetModules(config.targetModules, targetableModules(model), config.modulesToSave).map(
      (path) => {
        const linear = linears.get(path) as Linear
        return { linear, slab: newSlab(model, linear, config) }
      },
    )
    const savedModules = config.modulesToSave.flatMap((name) => {
      const found = [...linears.values(), ...embeddings.values()].filter(
        ({ path }) => path === name || path.endsWith(`.${name}`),
      )
      if (found.length === 0)
        throw new Error(
          `[lora] expected modulesToSave to name modules of the model, but nothing is called ${name}; there are ${listNames([...linears.keys(), ...embeddings.keys()])}`,
        )
      return found.map((module) => trainableCopy(model, module))
    })
    const adapter = new LoraAdapter(model, config, slabs, savedModules)
    adapter.attach()
    return adapter
  }

  async #fill(tensors: ReadonlyMap<string, TensorEntry>, path: string): Promise<void> {
    const parameters = this.parameters()
    const byName = new Map<string, TensorEntry>()
    for (const [name, entry] of tensors) {
      const canonical = canonicalName(name, path)
      if (byName.has(canonical))
        throw new Error(`[lora] ${path} holds ${canonical} twice, as ${name} too; save it again`)
      byName.set(canonical, entry)
    }
    const unused = new Set(byName.keys())
    const missing: string[] = []
    for (const [name, parameter] of parameters) {
      const entry = byName.get(name)
      if (!entry) {
        missing.push(name)
        continue
      }
      unused.delete(name)
      await loadParameter(parameter, entry, `the adapter is of another model than ${this.model.nameOrPath}`)
    }
    if (missing.length > 0) {
      throw new Error(
        `[lora] expected ${parameters.size} tensors in ${path}, but ${missing.length} are missing: ${listNames(missing)}; is the adapter of this model?`,
      )
    }
    if (unused.size > 0) {
      throw new Error(
        `[lora] applied ${parameters.size} tensors of ${path}, but nothing in the model takes ${unused.size} others: ${listNames([...unused])}; ` +
          'the adapter would silently do less than it was trained to',
      )
    }
  }
}

/** The name that PEFT gives a tensor today, from any of its spellings. @throws on tensors of features that are not supported. */
function canonicalName(name: string, path: string): string {
  const parsed = parsePeftTensorName(name)
  if (!parsed) return name
  switch (parsed.kind) {
    case 'module':
      return peftModuleTensorName(parsed.module, parsed.parameter)
    case 'unsupported':
      throw new Error(`[lora] ${path} holds ${name}, which belongs to ${parsed.feature}; that is not supported yet`)
    default:
      return peftTensorName(parsed.module, parsed.kind)
  }
}

/** Fills a parameter from a tensor of a file. @throws when the shapes differ, adding `hint`. */
export async function loadParameter(parameter: Parameter, entry: TensorEntry, hint: string): Promise<void> {
  if (entry.shape.length !== parameter.shape.length || entry.shape.some((size, i) => size !== parameter.shape[i])) {
    throw new Error(
      `[load] expected shape [${parameter.shape.join(', ')}] for ${parameter.name}, got [${entry.shape.join(', ')}] in ${entry.path}; ${hint}`,
    )
  }
  const dtype = FLOATS[entry.dtype]
  if (!dtype) throw new Error(`[load] expected F32, F16 or BF16 for ${entry.name}, got ${entry.dtype} in ${entry.path}`)
  parameter.set(await readTensorBytes(entry), dtype)
}

function targetableModules(model: CausalLM): TargetableModule[] {
  const { linears, embeddings } = model.modules
  const projections = [...linears.values()].map(({ path, kind }) => ({ path, kind }))
  return [...projections, ...[...embeddings.values()].map(({ path }) => ({ path, kind: 'embedding' as const }))]
}

function newSlab(model: CausalLM, linear: Linear, { r, loraAlpha, loraDropout, useRslora }: LoraConfig): LoraSlab {
  const factor = (which: 'lora_A' | 'lora_B', shape: number[]): Parameter => {
    const parameter = new Parameter(peftTensorName(linear.path, which), shape, model.device, model.dtype)
    parameter.unfreeze()
    return parameter
  }
  return {
    a: factor('lora_A', [r, linear.inFeatures]),
    b: factor('lora_B', [linear.outFeatures, r]),
    scale: loraAlpha / (useRslora ? Math.sqrt(r) : r),
    dropout: loraDropout,
    site: model.takeDropoutSite(),
  }
}

function trainableCopy(model: CausalLM, module: Linear | Embedding): SavedModule {
  if ('isQuantized' in module && module.isQuantized) {
    throw new Error(
      `[lora] expected modulesToSave to name modules with dense weights, but ${module.path} is in NF4, which has no gradient; ` +
        'name it in targetModules instead, or load the model without quantization',
    )
  }
  const original = { weight: module.weight, bias: 'bias' in module ? module.bias : undefined }
  if (![...model.parameters().values()].includes(original.weight)) throw takenModule(module.path)
  const copy = (source: Parameter, suffix: string): Parameter => {
    const parameter = new Parameter(peftModuleTensorName(module.path, suffix), source.shape, model.device, model.dtype)
    model.device.enqueue('copy', { x: source.value, y: parameter.value })
    parameter.unfreeze()
    return parameter
  }
  return {
    module,
    weight: copy(original.weight, 'weight'),
    bias: original.bias && copy(original.bias, 'bias'),
    original,
  }
}

function takenModule(path: string): Error {
  return new Error(
    `[lora] expected ${path} of the base model, but another adapter has it in its modulesToSave; detach() that one first`,
  )
}

function uniform(size: number, bound: number, random: Random): Float32Array {
  const values = new Float32Array(size)
  for (let i = 0; i < size; i++) values[i] = (random.next() / 2 ** 31 - 1) * bound
  return values
}
