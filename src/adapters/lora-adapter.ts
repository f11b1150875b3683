/** @file LoRA adapters on a model: made, attached, loaded and saved as PEFT does (Hu et al. 2021, arXiv:2106.09685). */

import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Parameter } from '../autograd/parameter.js'
import {
  FLOATS,
  readSafetensorsHeader,
  readTensorBytes,
  type SafetensorsHeader,
  safetensorsContent,
  type TensorEntry,
  type TensorToWrite,
} from '../checkpoint/safetensors.js'
import { haveSameValues } from '../checkpoint/same-values.js'
import { describeValue, expectKnownOptions, listNames } from '../errors.js'
import { type FileToWrite, writeFilesAtomic } from '../files.js'
import { CARD_FILE } from '../hub/model-files.js'
import type { CausalLM } from '../models/model.js'
import { Random } from '../random.js'
import { readRegularFile } from '../regular-file.js'
import { type AdapterParts, AdapterSet, type AttachedSlab } from './adapter-set.js'
import { expectBaseCopy } from './base-copies.js'
import type { LoraConfig, LoraOptions } from './lora-config.js'
import { adapterParts, targetableModules } from './lora-parts.js'
import { type MergeOptions, type MergeReport, mergeInPlace, mergeIntoDirectory } from './merge.js'
import { isOwnCard, modelCard } from './model-card.js'
import { PEFT_CONFIG_FILE, parseLoraOptions, readPeftConfig, toPeftConfig } from './peft-config.js'
import {
  baseWeightOf,
  isRepeatedBias,
  PEFT_WEIGHTS_FILE,
  type PeftTensorName,
  parsePeftTensorName,
  peftBiasName,
  peftModuleTensorName,
  peftTensorName,
} from './peft-names.js'
import { ALL_LINEAR, targetNames } from './target-modules.js'

/** Where an adapter stands among those of its model. */
export interface AdapterPlace {
  /** Default 'default', or 'default_2'... where that is taken. */
  adapterName?: string
  /** false: the adapter is on the model but changes nothing until `setAdapter` names it. Default true. */
  active?: boolean
}

/** How `LoraAdapter.create` begins. */
export interface CreateAdapterOptions extends AdapterPlace {
  /** Of the random numbers; default 42. */
  seed?: number
}

const PLACE = ['adapterName', 'active']

/** What PEFT wrote until 0.6. */
const PICKLED_WEIGHTS_FILE = 'adapter_model.bin'

/**
 * A LoRA adapter, on its model from the moment it is made until `detach()`. A model may have several: the active ones add up.
 *
 * Each target W gets `W x + scale * B A dropout(x)`, scale = loraAlpha / r, or loraAlpha / sqrt(r) with useRslora. A and B are float32 masters.
 */
export class LoraAdapter {
  readonly model: CausalLM
  readonly config: LoraConfig
  readonly #parts: AdapterParts
  readonly #givenName: string | undefined
  #name: string
  #isDisposed = false
  #warnings: readonly string[] = []

  private constructor(
    model: CausalLM,
    config: LoraConfig,
    givenName: string | undefined,
    onUnmatched?: (setting: string, names: readonly string[]) => void,
  ) {
    const set = AdapterSet.of(model)
    if (givenName !== undefined) set.checkName(givenName)
    this.model = model
    this.config = config
    this.#givenName = givenName
    this.#name = givenName ?? set.freeName
    this.#parts = { ...adapterParts(model, config, onUnmatched), bias: config.bias, dispose: () => this.dispose() }
  }

  /**
   * A new adapter. Unless `initLoraWeights` is false, B is zero, so that the model computes what it did.
   * @param options PEFT's names in camelCase; see LoraOptions.
   * @throws on unknown options, on targets, limits and patterns that match nothing, and where other adapters do not allow it: of those on a
   * model one may train biases, and of the active ones one may have a module in modulesToSave.
   */
  static create(model: CausalLM, options: LoraOptions = {}, create: CreateAdapterOptions = {}): LoraAdapter {
    expectKnownOptions('lora', create, ['seed', ...PLACE])
    const { seed = 42, adapterName, active } = create
    const adapter = new LoraAdapter(model, parseLoraOptions(options), checkedName(adapterName))
    adapter.#initialize(seed)
    adapter.#place(active)
    return adapter
  }

  /**
   * Loads an adapter that PEFT or lowrank saved. Names in its settings that the model does not have are no error, as in PEFT: see `warnings`.
   * @throws when the adapter is of another model, lacks a tensor, or holds one that nothing takes.
   */
  static async load(model: CausalLM, directory: string, place: AdapterPlace = {}): Promise<LoraAdapter> {
    expectKnownOptions('lora', place, PLACE)
    const name = checkedName(place.adapterName)
    const { lora: config } = await readPeftConfig(directory)
    const path = join(directory, PEFT_WEIGHTS_FILE)
    const { tensors } = await readWeightsHeader(directory, path)
    const warnings: string[] = []
    const onUnmatched = (setting: string, names: readonly string[]): void => {
      warnings.push(
        `${join(directory, PEFT_CONFIG_FILE)}: ${setting} names what the model does not have: ${listNames(names)}`,
      )
    }
    let adapter: LoraAdapter | undefined
    try {
      adapter = new LoraAdapter(model, config, name, onUnmatched)
      adapter.#warnings = warnings
      await adapter.#fill(tensors, path)
      adapter.#place(place.active)
      return adapter
    } catch (cause) {
      adapter?.dispose()
      throw new Error(`${(cause as Error).message} (settings: ${join(directory, PEFT_CONFIG_FILE)})`, { cause })
    }
  }

  /** What the file of the adapter says that does nothing on this model, a sentence each; empty for a new one. */
  get warnings(): readonly string[] {
    return this.#warnings
  }

  /** Under which `setAdapter` and others know the adapter. */
  get name(): string {
    return this.#name
  }

  /** Trainable parameters by the name of their tensor in adapter_model.safetensors. */
  parameters(): ReadonlyMap<string, Parameter> {
    const { slabs, replacements } = this.#parts
    const all = [...slabs.flatMap(({ slab }) => [slab.a, slab.b]), ...replacements.map(({ parameter }) => parameter)]
    return new Map(all.map((parameter) => [parameter.name, parameter]))
  }

  /** Paths of the modules that carry a low-rank update. */
  get targetPaths(): string[] {
    return this.#parts.slabs.map(({ linear }) => linear.path)
  }

  /** Number of trainable elements. */
  get numParameters(): number {
    return count(this.parameters().values())
  }

  /** Number of elements that the model has not got without the adapter: trained biases are in the place of its own. */
  get numAddedParameters(): number {
    const biases = this.#parts.replacements.filter(({ slot }) => slot === 'bias')
    return this.numParameters - count(biases.map(({ parameter }) => parameter))
  }

  /**
   * Writes adapter_config.json and adapter_model.safetensors (float32), together or not at all; for a model of the Hub also a
   * README.md that names the model and its licence, unless there is one that someone else wrote.
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
    const present = (await readRegularFile(card, { where: 'adapter' }).catch(() => undefined))?.toString()
    const isOurs = present === undefined || isOwnCard(present)
    if (origin.revision !== undefined && isOurs)
      files.push({ path: card, content: await modelCard(nameOrPath, origin, this.config) })
    await writeFilesAtomic(files)
    // What it says of another base would be wrong.
    if (origin.revision === undefined && present !== undefined && isOurs) await rm(card)
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
    const fanInFanOut = this.#parts.slabs.some(({ linear }) => linear.kind === 'conv1d')
    const { targetModules } = this.config
    const names =
      targetModules === ALL_LINEAR
        ? targetNames(this.targetPaths, targetableModules(this.model), this.config)
        : targetModules
    const { nameOrPath, origin } = this.model
    return toPeftConfig(
      { ...this.config, targetModules: names },
      { baseModel: nameOrPath, revision: origin.revision, fanInFanOut },
    )
  }

  /** Takes the adapter off its model, other adapters stay as they are; `attach()` puts it back. */
  detach(): void {
    AdapterSet.of(this.model).remove(this.#parts)
  }

  /**
   * Puts a detached adapter back on its model, and makes it active.
   * @throws when it was disposed, when its name was taken meanwhile, and as `create` where other adapters do not allow it.
   */
  attach(): void {
    if (this.#isDisposed) throw new Error('[lora] expected an adapter with its weights, got one that was disposed')
    this.#attach(true)
  }

  /**
   * Writes the model with the adapter folded in, W + scale B A, as a model that needs no adapter. NF4 weights are decoded and written dense, never
   * quantised again. Computed on the device of the model, where it needs memory for the weights of one layer and for the largest tensor beside the
   * model; model and adapter stay as they are.
   * @param directory new or empty; it appears with all its files or not at all.
   * @returns what was written, and the largest difference that rounding made to a logit.
   */
  async merge(directory: string, options: MergeOptions = {}): Promise<MergeReport> {
    this.#expectAttached()
    return await mergeIntoDirectory(this.model, this.#parts, directory, options)
  }

  /**
   * Folds the adapter into the weights of the loaded model, as PEFT's `merge_and_unload()`: the model computes the same without the adapter, which
   * is disposed, and `saveModel` writes it. Weights are rounded to the model's dtype. It is another model then: adapters that are made afterwards
   * name no commit of the base, and others that were loaded before no longer fit it.
   * @throws on NF4 weights, which would have to be quantised again; `merge(directory)` writes those dense.
   */
  async mergeAndUnload(): Promise<CausalLM> {
    this.#expectAttached()
    await mergeInPlace(this.model, this.#parts)
    this.dispose()
    return this.model
  }

  #expectAttached(): void {
    const { slab, linear } = this.#parts.slabs[0] as AttachedSlab
    const set = AdapterSet.of(this.model)
    if (!linear.slabs.includes(slab)) {
      const remedy = set.activeNames.includes(this.#name) ? 'enableAdapters()' : 'attach() or setAdapter() it'
      throw new Error(`[merge] expected an adapter that is active on its model, got one that is not; ${remedy}`)
    }
    const others = set.activeNames.filter((name) => name !== this.#name)
    if (others.length > 0)
      throw new Error(
        `[merge] expected one active adapter, got ${listNames(others)} beside ${this.#name}; setAdapter() one of them`,
      )
  }

  /** Detaches the adapter and frees its memory. */
  dispose(): void {
    this.detach()
    this.#isDisposed = true
    for (const parameter of this.parameters().values()) parameter.dispose()
  }

  #attach(active: boolean): void {
    this.#name = AdapterSet.of(this.model).add(this.#givenName, this.#parts, active)
  }

  /** Attaches a new adapter, or frees it. */
  #place(active = true): void {
    try {
      this.#attach(active)
    } catch (error) {
      this.dispose()
      throw error
    }
  }

  #initialize(seed: number): void {
    const { initLoraWeights } = this.config
    const { dryRun } = this.model.device
    this.#parts.slabs.forEach(({ slab: { a, b } }, index) => {
      const [r, inputs] = a.shape as [number, number]
      const random = new Random(seed, index)
      if (dryRun) a.fill(0)
      else if (initLoraWeights === 'gaussian') a.set(random.normals(a.size, 0, 1 / r))
      else a.set(random.uniforms(a.size, 1 / Math.sqrt(inputs)))
      if (initLoraWeights || dryRun) b.fill(0)
      else b.set(random.uniforms(b.size, 1 / Math.sqrt(r)))
    })
  }

  async #fill(tensors: ReadonlyMap<string, TensorEntry>, path: string): Promise<void> {
    const parameters = this.parameters()
    const byName = new Map<string, TensorEntry>()
    for (const [name, entry] of tensors) {
      if (this.config.bias === 'all' && isRepeatedBias(name)) continue
      const parsed = parsePeftTensorName(name)
      if (parsed?.kind === 'base') {
        const weight = `${parsed.module}.${parsed.parameter}`
        if (!(await expectBaseCopy(this.model, weight, entry))) byName.set(name, entry)
        continue
      }
      const canonical = parsed ? canonicalName(parsed, name, path, parameters) : name
      const other = byName.get(canonical)
      // Where embeddings are trained and saved on top of that, PEFT writes them under two names.
      if (other && !(await haveSameValues(other, entry)))
        throw new Error(`[lora] ${path} holds ${canonical} twice, as ${name} too, and with other values; save it again`)
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
    for (const name of unused) {
      const weight = baseWeightOf(name)
      const isCopy = weight !== undefined && (await expectBaseCopy(this.model, weight, byName.get(name) as TensorEntry))
      if (isCopy) unused.delete(name)
    }
    if (unused.size > 0) {
      throw new Error(
        `[lora] applied ${parameters.size} tensors of ${path}, but nothing in the model takes ${unused.size} others: ${listNames([...unused])}; ` +
          `the adapter would silently do less than it was trained to${this.#warnings.map((warning) => `; ${warning}`).join('')}`,
      )
    }
  }
}

/** @throws where the weights are in a format of Python objects, or not there, saying what is. */
async function readWeightsHeader(directory: string, path: string): Promise<SafetensorsHeader> {
  const names = await readdir(directory).catch((): string[] => [])
  if (names.includes(PICKLED_WEIGHTS_FILE) && !names.includes(PEFT_WEIGHTS_FILE)) {
    throw new Error(
      `[lora] ${directory} holds ${PICKLED_WEIGHTS_FILE}, which is Python pickle: it can run code, and is not read; load it in PEFT 0.6 or later and ` +
        `save it anew with save_pretrained(), which writes ${PEFT_WEIGHTS_FILE}`,
    )
  }
  return await readSafetensorsHeader(path)
}

/** The name that PEFT gives a tensor today, from any of its spellings. @throws on tensors of features that are not supported. */
function canonicalName(
  parsed: Exclude<PeftTensorName, { kind: 'base' }>,
  name: string,
  path: string,
  parameters: ReadonlyMap<string, Parameter>,
): string {
  switch (parsed.kind) {
    case 'module': {
      // A bias of a module with an update has its name with and without base_layer, by the version of PEFT.
      const bias = peftBiasName(parsed.module, true)
      if (parsed.parameter === 'bias' && parameters.has(bias)) return bias
      return peftModuleTensorName(parsed.module, parsed.parameter)
    }
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

function checkedName(name: unknown): string | undefined {
  if (name === undefined || (typeof name === 'string' && name !== '')) return name
  throw new Error(`[lora] expected a name for adapterName, got ${describeValue(name)}`)
}

function count(parameters: Iterable<Parameter>): number {
  let sum = 0
  for (const { size } of parameters) sum += size
  return sum
}
