/** @file Names of tensors in PEFT's adapter_model.safetensors. */

/** The name of PEFT's weights file in an adapter's directory. */
export const PEFT_WEIGHTS_FILE = 'adapter_model.safetensors'

/** The remedy for adapters with features that are not supported. */
export const MERGE_IN_PEFT = 'merge it into its model with merge_and_unload() of PEFT, and load what that saves'

const PREFIX = 'base_model.model.'

/** What a tensor of an adapter file is. */
export type PeftTensorName =
  | { kind: 'lora_A' | 'lora_B'; module: string }
  /** A tensor of a module that was trained in full (`modules_to_save`), or a bias that was trained (`bias`). */
  | { kind: 'module'; module: string; parameter: string }
  /** A copy of a weight of the base model, which stands beside the update of a module or beside what replaced it. */
  | { kind: 'base'; module: string; parameter: string }
  /** A part of a feature that is not supported: `feature` says which. */
  | { kind: 'unsupported'; module: string; feature: string }

/** `base_model.model.<modulePath>.lora_A.weight` */
export function peftTensorName(modulePath: string, matrix: 'lora_A' | 'lora_B'): string {
  return `${PREFIX}${modulePath}.${matrix}.weight`
}

/** `base_model.model.<modulePath>.weight`: a tensor of a module that is saved in full. */
export function peftModuleTensorName(modulePath: string, parameter: string): string {
  return `${PREFIX}${modulePath}.${parameter}`
}

/**
 * `base_model.model.<modulePath>.bias`, or `.base_layer.bias` where the module has an update, which PEFT wraps round
 * it.
 */
export function peftBiasName(modulePath: string, hasUpdate: boolean): string {
  return `${PREFIX}${modulePath}.${hasUpdate ? 'base_layer.' : ''}bias`
}

/** The names of a weight of the base model, which PEFT saves as they are where embeddings are saved. */
export function baseWeightOf(name: string): string | undefined {
  return name.startsWith(PREFIX) ? name.slice(PREFIX.length) : undefined
}

/** With bias 'all' PEFT writes the biases of modules that are saved in full twice, and those that they replaced. */
export function isRepeatedBias(name: string): boolean {
  return /\.(modules_to_save|original_module)\.bias$/.test(name)
}

/**
 * Takes a name apart; undefined where it is none of PEFT's. Names with the adapter's own name in them are read as well,
 * and factors without the prefix, as transformers has them in memory.
 */
export function parsePeftTensorName(name: string): PeftTensorName | undefined {
  const isFactor = /\.lora_[AB]\.(?:[^.]+\.)?weight$/.test(name)
  if (!name.startsWith(PREFIX) && !isFactor) return undefined
  const path = name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name
  const lora = /^(.+)\.(lora_[A-Za-z_]+)(?:\.([^.]+))?(?:\.([^.]+))?$/.exec(path)
  if (lora) {
    const [, module = '', part = '', third, fourth] = lora
    // lora_A.weight, or lora_A.<adapter>.weight
    const leaf = fourth ?? third
    if ((part === 'lora_A' || part === 'lora_B') && leaf === 'weight') return { kind: part, module }
    return { kind: 'unsupported', module, feature: leaf === 'bias' ? 'lora_bias' : feature(part) }
  }
  const saved = /^(.+?)(?:\.modules_to_save(?:\.[^.]+)?)?(?:\.default)?\.([^.]+)$/.exec(path)
  if (!saved) return undefined
  const [, module = '', parameter = ''] = saved
  if (parameter === 'bias' && module.endsWith('.base_layer')) {
    return { kind: 'module', module: module.slice(0, -'.base_layer'.length), parameter }
  }
  const copy = /^(.+)\.(?:base_layer|original_module)$/.exec(module)
  if (copy) return { kind: 'base', module: copy[1]!, parameter }
  const inner = /^(.+)\.(base_layer|original_module|token_adapter)(\..+)?$/.exec(module)
  if (inner) return { kind: 'unsupported', module: inner[1]!, feature: inner[2]! }
  return { kind: 'module', module, parameter }
}

function feature(part: string): string {
  if (part === 'lora_magnitude_vector') return 'use_dora'
  if (part.startsWith('lora_embedding_')) return 'LoRA on an embedding'
  return part
}
