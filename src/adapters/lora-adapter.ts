/** @file LoRA adapters on a model: made, attached, loaded and saved as PEFT does (Hu et al. 2021, arXiv:2106.09685). */

import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type FileToWrite, fillDirectory, writeFilesAtomic } from '../atomic-write.js'
import type { Parameter } from '../autograd/parameter.js'
import { type CausalLM, expectModel } from '../causal-lm/causal-lm.js'
import { withChecksums } from '../checkpoint/checksums.js'
import type { FileDType } from '../checkpoint/save-model.js'
import { type SavedTokenizer, tokenizerFiles } from '../checkpoint/save-tokenizer.js'
import { isCatalogAddress } from '../databricks/client/models/address.js'
import { describeValue, expectPath, listNames } from '../errors.js'
import { isOwnCard } from '../hub/card-text.js'
import { CARD_FILE } from '../hub/model-files.js'
import type { ModelOrigin } from '../hub/model-origin.js'
import { LowrankError, ModelError, OptionError } from '../lowrank-error.js'
import { boolean } from '../options/rules.js'
import { SEED } from '../options/shared.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { Random } from '../random.js'
import { readRegularFile } from '../regular-file.js'
import { safetensorsContent, type TensorToWrite } from '../weights/safetensors.js'
import { checkFiles, fillFromFile, readAdapterHeader } from './adapter-file.js'
import { AdapterSet, type AdapterTensors, type AttachedPair } from './adapter-set.js'
import { adapterTensors, targetableModules } from './adapter-tensors.js'
import { type LoraConfig, type LoraOptions, NAME } from './lora-config.js'
import { type MergedModel, type MergeReport, mergedTensors, mergeInPlace, mergeIntoDirectory } from './merge.js'
import type { MergeOptions } from './merge-options.js'
import { modelCard } from './model-card.js'
import { PEFT_CONFIG_FILE, parseLoraOptions, readPeftConfig, toPeftConfig } from './peft-config.js'
import { PEFT_WEIGHTS_FILE } from './peft-names.js'
import { resolveAdapter } from './resolve-adapter.js'
import { ALL_LINEAR, targetNames } from './target-modules.js'

/** Where an adapter stands among those of its model. */
export interface LoadAdapterOptions {
  /**
   * Name by which `setAdapter` and others know the adapter.
   * @default 'default', or 'default_2'... where that is taken
   */
  adapterName?: string
  /**
   * False: the adapter is on the model but changes nothing until `setAdapter` names it.
   * @default true
   */
  active?: boolean
}

/** How `LoraAdapter.create` begins. */
export interface CreateAdapterOptions extends LoadAdapterOptions {
  /**
   * Seed of the random numbers that A begins with, a whole number of at least 0.
   * @default 42
   */
  seed?: number
}

/** The options of `LoraAdapter.load`. */
export const LOAD_ADAPTER_OPTIONS = {
  adapterName: {
    rule: NAME,
    otherwise: "'default', or 'default_2'... where that is taken",
    help: 'name by which setAdapter and others know the adapter',
  },
  active: {
    rule: boolean,
    default: true,
    help: 'false: the adapter is on the model but changes nothing until setAdapter names it',
  },
} as const satisfies OptionTable<LoadAdapterOptions>

/** The options of `LoraAdapter.create` beside those of the adapter. */
export const CREATE_ADAPTER_OPTIONS = {
  ...LOAD_ADAPTER_OPTIONS,
  seed: { ...SEED, help: 'seed of the random numbers that A begins with' },
} as const satisfies OptionTable<CreateAdapterOptions>

/**
 * A LoRA adapter, on its model from the moment it is made until `detach()`. A model may have several: the active ones
 * add up.
 *
 * Each target W gets `W x + scale * B A dropout(x)`, scale = loraAlpha / r, or loraAlpha / sqrt(r) with useRslora. A
 * and B are float32 masters.
 */
export class LoraAdapter {
  readonly model: CausalLM
  readonly config: LoraConfig
  /**
   * What a saved adapter names as its base model, for whoever loads it: a Hub id where the model was loaded from a path
   * but is on the Hub too. Default undefined: the Hub id of the model, else the absolute path that it was loaded from.
   * One that was loaded keeps the Hub id of its file.
   */
  baseModelName: string | undefined
  /**
   * The tokenizer and chat template that `save` and `merge` write, for answers to be asked for as in training. Default
   * undefined: `save` writes none. One that was loaded has those beside it; training with `chatTemplate` sets it.
   */
  tokenizer: SavedTokenizer | undefined
  readonly #parts: AdapterTensors
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
    this.#parts = { ...adapterTensors(model, config, onUnmatched), bias: config.bias, dispose: () => this.dispose() }
  }

  /**
   * A new adapter. Unless `initLoraWeights` is false, B is zero, so that the model computes what it did.
   * @param options PEFT's names in camelCase; see LoraOptions.
   * @throws on unknown options, on targets, limits and patterns that match nothing, and where other adapters do not
   * allow it: of those on a model one may train biases, and of the active ones one may have a module in modulesToSave.
   */
  static create(model: CausalLM, options: LoraOptions = {}, create: CreateAdapterOptions = {}): LoraAdapter {
    const { seed, adapterName, active } = readOptions('lora', create, CREATE_ADAPTER_OPTIONS)
    expectModel('lora', model)
    model.expectLive('lora')
    const adapter = new LoraAdapter(model, parseLoraOptions(options), adapterName)
    adapter.#initialize(seed)
    adapter.#place(active)
    return adapter
  }

  /**
   * Loads an adapter that PEFT or lowrank saved. Names in its settings that the model does not have are no error, as in
   * PEFT: see `warnings`. Where there is a SHA256SUMS the weights have to be what it says; settings that were changed
   * since are a warning.
   * @param from the directory of the adapter; or its Hub id or `uc://catalog.schema.model@alias`, which are fetched
   * @throws when the adapter is of another model, lacks a tensor, or holds one that nothing takes, and when its weights
   * are not those that were saved.
   */
  static async load(model: CausalLM, from: string, options: LoadAdapterOptions = {}): Promise<LoraAdapter> {
    const { adapterName, active } = readOptions('lora', options, LOAD_ADAPTER_OPTIONS)
    expectPath('lora', 'directory', from)
    expectModel('lora', model)
    model.expectLive('lora')
    const directory = await resolveAdapter(from)
    const { lora: config, baseModel } = await readPeftConfig(directory)
    const path = join(directory, PEFT_WEIGHTS_FILE)
    const { tensors } = await readAdapterHeader(directory)
    const warnings = await checkFiles(directory)
    const onUnmatched = (setting: string, names: readonly string[]): void => {
      warnings.push(
        `${join(directory, PEFT_CONFIG_FILE)}: ${setting} names what the model does not have: ${listNames(names)}`,
      )
    }
    let adapter: LoraAdapter | undefined
    try {
      adapter = new LoraAdapter(model, config, adapterName, onUnmatched)
      adapter.#warnings = warnings
      if (await isThere(join(directory, 'tokenizer.json'))) adapter.tokenizer = { tokenizerFrom: directory }
      if (model.origin.revision === undefined && (await isHubName(baseModel))) adapter.baseModelName = baseModel
      await fillFromFile(model, config, adapter.parameters(), tensors, path, warnings)
      adapter.#place(active)
      return adapter
    } catch (cause) {
      adapter?.dispose()
      throw new ModelError(`${(cause as Error).message} (settings: ${join(directory, PEFT_CONFIG_FILE)})`, { cause })
    }
  }

  /**
   * What the settings of the adapter say that does nothing on this model, and that they were changed, a sentence each;
   * empty for a new one.
   */
  get warnings(): readonly string[] {
    return this.#warnings
  }

  /** Under which `setAdapter` and others know the adapter. */
  get name(): string {
    return this.#name
  }

  /** Trainable parameters by the name of their tensor in adapter_model.safetensors. */
  parameters(): ReadonlyMap<string, Parameter> {
    const { pairs, replacements } = this.#parts
    const all = [...pairs.flatMap(({ pair }) => [pair.a, pair.b]), ...replacements.map(({ parameter }) => parameter)]
    return new Map(all.map((parameter) => [parameter.name, parameter]))
  }

  /** Paths of the modules that carry a low-rank update. */
  get targetPaths(): string[] {
    return this.#parts.pairs.map(({ linear }) => linear.path)
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
   * Writes adapter_config.json, adapter_model.safetensors (float32), SHA256SUMS with the checksums of both, and the
   * files of `tokenizer`, together or not at all; for a model of the Hub also a README.md that names the model and its
   * licence, unless there is one that someone else wrote.
   * @throws when the disk is full or not writable, and on a `baseModelName` that is no name; what was there before
   * stays.
   */
  async save(directory: string): Promise<void> {
    expectPath('lora', 'directory', directory)
    this.#expectWeights()
    const { name: base, origin, isOnHub } = await this.#base()
    const path = join(directory, PEFT_WEIGHTS_FILE)
    const files: FileToWrite[] = withChecksums(directory, [
      { path, content: safetensorsContent(path, this.tensors(), { format: 'pt' }) },
      { path: join(directory, PEFT_CONFIG_FILE), content: this.configText() },
    ])
    files.push(...(await tokenizerFiles(directory, this.tokenizer ?? {})))
    const card = join(directory, CARD_FILE)
    const present = (await readRegularFile(card, { where: 'adapter' }).catch(() => undefined))?.toString()
    const isOurs = present === undefined || isOwnCard(present)
    if (isOnHub && isOurs) files.push({ path: card, content: modelCard(base, origin, this.config) })
    await fillDirectory(directory, () => writeFilesAtomic(files))
    // What it says of another base would be wrong.
    if (!isOnHub && present !== undefined && isOurs) await rm(card, { force: true })
  }

  /** The base model as files name it, and what is known of its place on the Hub. */
  async #base(): Promise<{ name: string; origin: ModelOrigin; isOnHub: boolean }> {
    const { origin } = this.model
    const name = this.#baseName()
    const isOwn = this.baseModelName === undefined || this.baseModelName === this.model.nameOrPath
    if (isOwn) return { name, origin, isOnHub: origin.revision !== undefined }
    return { name, origin: {}, isOnHub: await isHubName(name) }
  }

  #baseName(): string {
    const { nameOrPath, origin, path } = this.model
    const isNamed = origin.revision !== undefined || isCatalogAddress(nameOrPath)
    const { baseModelName = isNamed ? nameOrPath : (path ?? nameOrPath) } = this
    if (typeof baseModelName === 'string' && baseModelName !== '') return baseModelName
    throw new OptionError(`[lora] expected a Hub id or a path for baseModelName, got ${describeValue(baseModelName)}`)
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
    const fanInFanOut = this.#parts.pairs.some(({ linear }) => linear.kind === 'conv1d')
    const { targetModules } = this.config
    const names =
      targetModules === ALL_LINEAR
        ? targetNames(this.targetPaths, targetableModules(this.model), this.config)
        : targetModules
    const { nameOrPath, origin } = this.model
    const baseModel = this.#baseName()
    // The commit is of what was loaded.
    const revision = baseModel === nameOrPath ? origin.revision : undefined
    return toPeftConfig({ ...this.config, targetModules: names }, { baseModel, revision, fanInFanOut })
  }

  /** Takes the adapter off its model, other adapters stay as they are; `attach()` puts it back. */
  detach(): void {
    AdapterSet.of(this.model).remove(this.#parts)
  }

  /**
   * Puts a detached adapter back on its model, and makes it active.
   * @throws when it was disposed, when its name was taken meanwhile, and as `create` where other adapters do not allow
   * it.
   */
  attach(): void {
    this.#expectWeights()
    this.#attach(true)
  }

  /**
   * Writes the model with the adapter folded in, W + scale B A, as a model that needs no adapter. NF4 weights are
   * decoded and written dense, never quantised again. Computed on the device of the model, where it needs memory for
   * the weights of one layer and for the largest tensor beside the model; model and adapter stay as they are.
   * @param directory new or empty; it appears with all its files or not at all.
   * @returns what was written, and the largest difference that rounding made to a logit.
   */
  async merge(directory: string, options: MergeOptions = {}): Promise<MergeReport> {
    this.#expectAttached()
    return await mergeIntoDirectory(this.model, this.#parts, directory, options, this.tokenizer)
  }

  /**
   * The tensors that `merge` writes, for a writer of another format. The model has to stay as it is until they are
   * written; `dispose()` them then.
   * @param dtype of the tensors' bytes
   */
  async mergedTensors(dtype: FileDType): Promise<MergedModel> {
    this.#expectAttached()
    return await mergedTensors(this.model, dtype, this.#parts)
  }

  /**
   * Folds the adapter into the weights of the loaded model, as PEFT's `merge_and_unload()`: the model computes the same
   * without the adapter, which is disposed, and `saveModel` writes it. Weights are rounded to the model's dtype. It is
   * another model then: adapters that are made afterwards name no commit of the base, and others that were loaded
   * before no longer fit it.
   * @throws while an answer is generated, and on NF4 weights, which would have to be quantised again;
   * `merge(directory)` writes those dense.
   */
  async mergeAndUnload(): Promise<CausalLM> {
    this.#expectAttached()
    await this.model.changeWeights('merge', async () => {
      await mergeInPlace(this.model, this.#parts)
      this.dispose()
    })
    return this.model
  }

  #expectWeights(): void {
    if (this.#isDisposed)
      throw new LowrankError('INVALID_CALL', '[lora] expected an adapter with its weights, got one that was disposed')
    this.model.expectLive('lora')
  }

  #expectAttached(): void {
    this.#expectWeights()
    const { pair, linear } = this.#parts.pairs[0] as AttachedPair
    const set = AdapterSet.of(this.model)
    if (!linear.pairs.includes(pair)) {
      const remedy = set.activeNames.includes(this.#name) ? 'enableAdapters()' : 'attach() or setAdapter() it'
      throw new LowrankError(
        'INVALID_CALL',
        `[merge] expected an adapter that is active on its model, got one that is not; ${remedy}`,
      )
    }
    const others = set.activeNames.filter((name) => name !== this.#name)
    if (others.length > 0)
      throw new LowrankError(
        'INVALID_CALL',
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
  #place(active: boolean): void {
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
    this.#parts.pairs.forEach(({ pair: { a, b } }, index) => {
      const [r, inputs] = a.shape as [number, number]
      const random = new Random(seed, index)
      if (dryRun) a.fill(0)
      else if (initLoraWeights === 'gaussian') a.set(random.normals(a.size, 0, 1 / r))
      else a.set(random.uniforms(a.size, 1 / Math.sqrt(inputs)))
      if (initLoraWeights || dryRun) b.fill(0)
      else b.set(random.uniforms(b.size, 1 / Math.sqrt(r)))
    })
  }
}

/** Whether it is what a model of the Hub is called, and no path: 'org/name', and nothing of that name here. */
async function isHubName(name: string | undefined): Promise<boolean> {
  if (name === undefined || !/^[\w-][\w.-]*\/[\w-][\w.-]*$/.test(name)) return false
  return !(await isThere(name))
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  )
}

function count(parameters: Iterable<Parameter>): number {
  let sum = 0
  for (const { size } of parameters) sum += size
  return sum
}
