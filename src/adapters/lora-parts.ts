/** @file What an adapter adds to a model, made from its settings: factors beside projections, trainable copies of weights and biases. */

import { Parameter } from '../autograd/parameter.js'
import { describeValue, listNames } from '../errors.js'
import type { CausalLM } from '../models/model.js'
import type { Embedding, LayerNorm, Linear } from '../nn/module.js'
import type { LoraSlab } from '../ops/linear.js'
import { type AdapterParts, AdapterSet, type AttachedSlab, type Replacement } from './adapter-set.js'
import type { LoraConfig } from './lora-config.js'
import { peftBiasName, peftModuleTensorName, peftTensorName } from './peft-names.js'
import {
  checkTargetLimits,
  matchTargetModules,
  patternValues,
  type TargetableModule,
  unmatchedNames,
} from './target-modules.js'

/**
 * The parts of a new adapter. Factors have no values yet; copies have those of the base model.
 * @param onUnmatched given where the settings come from a file, in which names, limits and patterns that match nothing are left alone, as in PEFT. It
 * takes the setting and the names of it that match nothing.
 * @throws on settings that do not fit the model
 */
export function adapterParts(
  model: CausalLM,
  config: LoraConfig,
  onUnmatched?: (setting: string, names: readonly string[]) => void,
): Pick<AdapterParts, 'slabs' | 'replacements'> {
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
  const unsaved = new Set(unmatchedNames(modulesToSave, modules))
  if (unsaved.size > 0) {
    if (!onUnmatched) throw nothingToSave([...unsaved], modules)
    for (const name of unsaved) refuseOtherModules(model, name)
    onUnmatched('modules_to_save', [...unsaved])
  }
  const savedNames = modulesToSave.filter((name) => !unsaved.has(name))
  const saved = new Set<Linear | Embedding | LayerNorm>(savedNames.flatMap((name) => savedModules(model, name)))
  const biased = biasedModules(model, config, paths).filter((module) => !saved.has(module))
  const slabs = paths.map((path): AttachedSlab => {
    const linear = model.modules.linears.get(path) as Linear
    const r = ranks.get(path) ?? config.r
    return { linear, slab: newSlab(model, linear, { ...config, r, loraAlpha: alphas.get(path) ?? config.loraAlpha }) }
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
  return { slabs, replacements }
}

/** The modules that settings may name. */
export function targetableModules(model: CausalLM): TargetableModule[] {
  const { linears, embeddings } = model.modules
  const projections = [...linears.values()].map(({ path, kind }) => ({ path, kind }))
  return [...projections, ...[...embeddings.values()].map(({ path }) => ({ path, kind: 'embedding' as const }))]
}

/** The modules that a name in modulesToSave means. */
function savedModules(model: CausalLM, name: string): (Linear | Embedding)[] {
  const { linears, embeddings } = model.modules
  const found = [...linears.values(), ...embeddings.values()].filter(
    ({ path }) => path === name || path.endsWith(`.${name}`),
  )
  const quantized = found.find((module) => 'isQuantized' in module && module.isQuantized)
  if (quantized) {
    throw new Error(
      `[lora] expected modulesToSave to name modules with dense weights, but ${quantized.path} is in NF4, which has no gradient; ` +
        'name it in targetModules instead, or load the model without quantization',
    )
  }
  return found
}

function nothingToSave([name]: readonly string[], modules: readonly TargetableModule[]): Error {
  return new Error(
    `[lora] expected modulesToSave to name modules of the model, but nothing is called ${describeValue(name)}; there are ${listNames(modules.map(({ path }) => path))}`,
  )
}

/** @throws where PEFT finds modules by the end of a name that cannot be saved here, such as all norms by `norm` */
function refuseOtherModules(model: CausalLM, name: string): void {
  const paths = [...model.parameters().keys()].map((key) => key.slice(0, key.lastIndexOf('.')))
  const found = [...new Set(paths)].filter((path) => path.endsWith(name))
  if (found.length === 0) return
  throw new Error(
    `[lora] modules_to_save ${describeValue(name)} means every module whose path ends so to PEFT, here ${listNames(found)}; only projections, ` +
      'the head and embeddings named in full are supported yet; merge the adapter into its model with PEFT',
  )
}

/** The modules whose bias is trained. */
function biasedModules(model: CausalLM, { bias }: LoraConfig, targets: readonly string[]): (Linear | LayerNorm)[] {
  const { linears, layerNorms } = model.modules
  const projections = [...linears.values()].filter((module) => module.bias !== undefined)
  if (bias === 'all') return [...projections, ...layerNorms.values()]
  return bias === 'none' ? [] : projections.filter(({ path }) => targets.includes(path))
}

function newSlab(model: CausalLM, linear: Linear, { r, loraAlpha, loraDropout, useRslora }: LoraConfig): LoraSlab {
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
    site: model.takeDropoutSite(),
  }
}

function replacement(
  model: CausalLM,
  module: Linear | Embedding | LayerNorm,
  slot: 'weight' | 'bias',
  name: string,
): Replacement {
  const original = AdapterSet.of(model).original(module, slot) as Parameter
  const parameter = new Parameter(name, original.shape, model.device, model.dtype)
  parameter.holder = 'adapters'
  model.device.enqueue('copy', { x: original.value, y: parameter.value })
  parameter.unfreeze()
  return { path: module.path, module, slot, parameter, original }
}
