/**
 * @file From an adapter's file to the parameters of an adapter: names in all their spellings, shapes, and copies of the
 * base model's weights.
 */

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Parameter } from '../autograd/parameter.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { CHECKSUM_FILE, changedFiles } from '../checkpoint/checksums.js'
import { listNames, shorten } from '../errors.js'
import { ModelError } from '../lowrank-error.js'
import {
  FLOATS,
  readSafetensorsHeader,
  readTensorBytes,
  type SafetensorsHeader,
  type TensorEntry,
} from '../weights/safetensors.js'
import { haveSameValues } from '../weights/same-values.js'
import { expectBaseCopy } from './base-copies.js'
import type { LoraConfig } from './lora-config.js'
import { PEFT_CONFIG_FILE } from './peft-config.js'
import {
  baseWeightOf,
  isRepeatedBias,
  MERGE_IN_PEFT,
  PEFT_WEIGHTS_FILE,
  type PeftTensorName,
  parsePeftTensorName,
  peftBiasName,
  peftModuleTensorName,
  peftTensorName,
} from './peft-names.js'

/** What PEFT wrote until 0.6. */
const PICKLED_WEIGHTS_FILE = 'adapter_model.bin'

/**
 * Fills the parameters of an adapter.
 * @param tensors of the file at `path`.
 * @param warnings sentences that explain why tensors may be left over. Takes one more where PEFT lost trained biases.
 * @throws naming tensors that are missing, misshapen or superfluous, and copies that are not the base model's weights
 */
export async function fillFromFile(
  model: CausalLM,
  { bias }: Pick<LoraConfig, 'bias'>,
  parameters: ReadonlyMap<string, Parameter>,
  tensors: ReadonlyMap<string, TensorEntry>,
  path: string,
  warnings: string[],
): Promise<void> {
  const byName = new Map<string, TensorEntry>()
  for (const [name, entry] of tensors) {
    if (bias === 'all' && isRepeatedBias(name)) continue
    const parsed = parsePeftTensorName(name)
    if (parsed?.kind === 'base') {
      const weight = `${parsed.module}.${parsed.parameter}`
      if (!(await expectBaseCopy(model, weight, entry))) byName.set(name, entry)
      continue
    }
    const canonical = parsed ? canonicalName(parsed, name, path, parameters) : name
    const other = byName.get(canonical)
    // Where embeddings are trained and saved on top of that, PEFT writes them under two names.
    if (other && !(await haveSameValues(other, entry)))
      throw new ModelError(
        `[lora] ${path} holds ${shorten(canonical)} twice, as ${shorten(name)} too, and with other values; save it again`,
      )
    byName.set(canonical, entry)
  }
  const unused = new Set(byName.keys())
  const missing: string[] = []
  const lost: string[] = []
  const hasBiases = [...tensors.keys()].some((name) => name.endsWith('.bias'))
  for (const [name, parameter] of parameters) {
    const entry = byName.get(name)
    if (!entry) {
      const isLost = bias === 'lora_only' && !hasBiases && name.endsWith('.base_layer.bias')
      ;(isLost ? lost : missing).push(name)
      continue
    }
    unused.delete(name)
    await loadParameter(parameter, entry, `the adapter is of another model than ${model.nameOrPath}`)
  }
  if (missing.length > 0) {
    throw new ModelError(
      `[lora] expected ${parameters.size} tensors in ${path}, but ${missing.length} are missing: ${listNames(missing)}; is the adapter of this model?`,
    )
  }
  // They are what they were made as: copies of the base model's.
  if (lost.length > 0) {
    warnings.push(
      `${path} holds none of the ${lost.length} biases that bias 'lora_only' trains, which several versions of PEFT did not save; those of the base model are ` +
        'used, as PEFT does',
    )
  }
  for (const name of unused) {
    const weight = baseWeightOf(name)
    const isCopy = weight !== undefined && (await expectBaseCopy(model, weight, byName.get(name) as TensorEntry))
    if (isCopy) unused.delete(name)
  }
  if (unused.size > 0) {
    throw new ModelError(
      `[lora] applied ${parameters.size} tensors of ${path}, but nothing in the model takes ${unused.size} others: ${listNames([...unused])}; ` +
        `the adapter would silently do less than it was trained to${warnings.map((warning) => `; ${warning}`).join('')}`,
    )
  }
}

/** @throws where the weights are in a format of Python objects, or not there, saying what is. */
export async function readAdapterHeader(directory: string): Promise<SafetensorsHeader> {
  const path = join(directory, PEFT_WEIGHTS_FILE)
  const names = await readdir(directory).catch((): string[] => [])
  if (names.includes(PICKLED_WEIGHTS_FILE) && !names.includes(PEFT_WEIGHTS_FILE)) {
    throw new ModelError(
      `[lora] ${directory} holds ${PICKLED_WEIGHTS_FILE}, which is Python pickle: it can run code, and is not read; load it in PEFT 0.7 or later and ` +
        `save it anew with save_pretrained(), which writes ${PEFT_WEIGHTS_FILE}`,
    )
  }
  return await readSafetensorsHeader(path)
}

/**
 * The name that PEFT gives a tensor today, from any of its spellings.
 * @throws on tensors of features that are not supported.
 */
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
      throw new ModelError(
        `[lora] ${path} holds ${shorten(name)}, which belongs to ${shorten(parsed.feature)}; that is not supported yet; ${MERGE_IN_PEFT}`,
      )
    default:
      return peftTensorName(parsed.module, parsed.kind)
  }
}

/** Fills a parameter from a tensor of a file. @throws when the shapes differ, adding `hint`. */
export async function loadParameter(parameter: Parameter, entry: TensorEntry, hint: string): Promise<void> {
  if (entry.shape.length !== parameter.shape.length || entry.shape.some((size, i) => size !== parameter.shape[i])) {
    throw new ModelError(
      `[load] expected shape [${parameter.shape.join(', ')}] for ${parameter.name}, got [${entry.shape.join(', ')}] in ${entry.path}; ${hint}`,
    )
  }
  const dtype = FLOATS[entry.dtype]
  if (!dtype)
    throw new ModelError(
      `[load] expected F32, F16 or BF16 for ${shorten(entry.name)}, got ${entry.dtype} in ${entry.path}`,
    )
  parameter.set(await readTensorBytes(entry), dtype)
}

/** @returns warnings. @throws when the weights are not those that were saved */
export async function checkFiles(directory: string): Promise<string[]> {
  const changed = await changedFiles('lora', directory, [PEFT_WEIGHTS_FILE, PEFT_CONFIG_FILE])
  const sums = join(directory, CHECKSUM_FILE)
  const weights = changed.find(({ path }) => path.endsWith(PEFT_WEIGHTS_FILE))
  if (weights)
    throw new ModelError(
      `[lora] expected in ${weights.path} what was saved, got SHA-256 ${weights.found}, in ${CHECKSUM_FILE} ${weights.expected}; the file is damaged: ` +
        `get it again, or, where another program wrote it on purpose, remove ${sums}`,
    )
  return changed.map(
    ({ path }) =>
      `${path} was changed after it was saved with its weights; where that was on purpose, remove its line from ${sums}`,
  )
}
