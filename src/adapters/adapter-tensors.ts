/**
 * @file What an adapter adds to a model, made from its settings: factors beside projections, trainable copies of
 * weights and biases.
 */

import { Parameter } from '../autograd/parameter.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { describeValue, listNames } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import { type Embedding, LayerNorm, type Linear, type RmsNorm } from '../nn/module.js'
import type { LoraPair } from '../ops/linear.js'
import { AdapterSet, type AdapterTensors, type AttachedPair, type Replacement } from './adapter-set.js'
import type { LoraConfig } from './lora-config.js'
import { peftBiasName, peftModuleTensorName, peftTensorName } from './peft-names.js'
import { checkTargetLimits, matchTargetModules, patternValues, type TargetableModule } from './target-modules.js'

/**
 * The parts of a new adapter. Factors have no values yet; copies have those of the base model.
 * @param onUnmatched given where the settings come from a file, in which names, limits and patterns that match nothing
 * are left alone, as in PEFT. It takes the setting and the names of it that match nothing.
 * @throws on settings that do not fit the model
 */
export function adapterTensors(
  model: CausalLM,
  config: LoraConfig,
  onUnmatched?: (setting: string, names: readonly string[]) => void,
): Pick<AdapterTensors, 'pairs' | 'replacements'> {
  const { targetModules, modulesToSave, rankPattern, alphaPattern } = config
  const modules = targetableModules(model)
  const isFile = onUnmatched !== undefined
  const paths = matchTargetModules(
    targetModules,
    modules,
    config,
    onUnmatched && ((names) => onUnmatched('target_modules', names)),
  )
  if (!isFile) checkTargetLimits(targetModules, modules, config)
  const ranks = patternValues('rankPattern', rankPattern, paths, !isFile)
  const alphas = patternValues('alphaPattern', alphaPattern, paths, !isFile)
  const savedByName = savedModules(model, modulesToSave, paths)
  const saved = new Set(savedByName.flat())
  const unsaved = modulesToSave.filter((_, i) => savedByName[i]?.length === 0)
  if (unsaved.length > 0) {
    if (!onUnmatched) throw nothingToSave(model, unsaved)
    onUnmatched('modules_to_save', unsaved)
  }
  const biased = biasedModules(model, config, paths).filter((module) => !saved.has(module))
  const pairs = paths.map((path): AttachedPair => {
    const linear = model.modules.linears.get(path) as Linear
    const r = ranks.get(path) ?? config.r
    return { linear, pair: newPair(model, linear, { ...config, r, loraAlpha: alphas.get(path) ?? config.loraAlpha }) }
  })
  const targets = new Set(paths)
  const replacements = [
    ...[...saved].flatMap((module) => {
      const weight = replacement(model, module, 'weight', peftModuleTensorName(module.path, 'weight'))
      const hasBias = 'bias' in module && module.bias !== undefined
      return hasBias
        ? [weight, replacement(model, module, 'bias', peftModuleTensorName(module.path, 'bias'))]
        : [weight]
    }),
    ...biased.map((module) => replacement(model, module, 'bias', peftBiasName(module.path, targets.has(module.path)))),
  ]
  return { pairs, replacements }
}

/** The modules that settings may name. */
export function targetableModules(model: CausalLM): TargetableModule[] {
  const { linears, embeddings } = model.modules
  const projections = [...linears.values()].map(({ path, kind }) => ({ path, kind }))
  return [...projections, ...[...embeddings.values()].map(({ path }) => ({ path, kind: 'embedding' as const }))]
}

/** What has weights of its own. */
type WeightModule = Linear | Embedding | RmsNorm | LayerNorm

function weightModules({ modules: { linears, embeddings, norms } }: CausalLM): WeightModule[] {
  return [...linears.values(), ...embeddings.values(), ...norms.values()]
}

/**
 * The modules that each name in modulesToSave means: those whose path ends so, dot or not, as in PEFT, and all that is
 * inside of such.
 */
function savedModules(model: CausalLM, names: readonly string[], targets: readonly string[]): WeightModule[][] {
  const inside = new Map<string, WeightModule[]>()
  for (const module of weightModules(model)) {
    const parts = module.path.split('.')
    for (let length = 1; length <= parts.length; length++) {
      const path = parts.slice(0, length).join('.')
      inside.set(path, [...(inside.get(path) ?? []), module])
    }
  }
  return names.map((name) => {
    const found = [...inside].flatMap(([path, modules]) => (path.endsWith(name) ? modules : []))
    expectSavable(name, found, targets)
    return found
  })
}

/** @throws on modules that cannot be trained in full, or that have an update. */
function expectSavable(name: string, found: readonly WeightModule[], targets: readonly string[]): void {
  const quantized = found.find((module) => 'isQuantized' in module && module.isQuantized)
  if (quantized) {
    throw new OptionError(
      `[lora] expected modulesToSave to name modules with dense weights, but ${quantized.path} is in NF4, which has no gradient; ` +
        'name it in targetModules instead, or load the model without quantization',
    )
  }
  const both = found.find(({ path }) => targets.includes(path))
  if (both) {
    throw new OptionError(
      `[lora] expected modulesToSave to name other modules than targetModules, but ${describeValue(name)} also means ${both.path}, whose path ends so; ` +
        'name modules with the dot before them, as ".norm" for "model.norm"',
    )
  }
}

function nothingToSave(model: CausalLM, [name]: readonly string[]): Error {
  const names = weightModules(model).map(({ path }) => path)
  return new OptionError(
    `[lora] expected modulesToSave to name modules of the model, but nothing is called ${describeValue(name)}; there are ${listNames(names)}`,
  )
}

/** The modules whose bias is trained. */
function biasedModules(model: CausalLM, { bias }: LoraConfig, targets: readonly string[]): (Linear | LayerNorm)[] {
  const { linears, norms } = model.modules
  const projections = [...linears.values()].filter((module) => module.bias !== undefined)
  if (bias === 'all') return [...projections, ...[...norms.values()].filter((norm) => norm instanceof LayerNorm)]
  return bias === 'none' ? [] : projections.filter(({ path }) => targets.includes(path))
}

function newPair(model: CausalLM, linear: Linear, { r, loraAlpha, loraDropout, useRslora }: LoraConfig): LoraPair {
  const factor = (which: 'lora_A' | 'lora_B', shape: number[]): Parameter => {
    const parameter = new Parameter(peftTensorName(linear.path, which), shape, model.device, model.dtype)
    parameter.holder = 'adapters'
    parameter.unfreeze()
    return parameter
  }
  return {
    a: factor('lora_A', [r, linear.inFeatures]),
    b: factor('lora_B', [linear.outFeatures, r]),
    scale: loraAlpha / (useRslora ? Math.sqrt(r) : r),
    dropout: loraDropout,
    dropoutStream: model.nextDropoutStream(),
  }
}

function replacement(model: CausalLM, module: WeightModule, slot: 'weight' | 'bias', name: string): Replacement {
  const original = AdapterSet.of(model).original(module, slot) as Parameter
  const parameter = new Parameter(name, original.shape, model.device, model.dtype)
  parameter.holder = 'adapters'
  model.device.enqueue('copy', { x: original.value, y: parameter.value })
  parameter.unfreeze()
  return { path: module.path, module, slot, parameter, original }
}
