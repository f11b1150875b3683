/** @file Low-rank updates as PEFT's two files, with settings that mean exactly them. */

import { join } from 'node:path'
import { DEFAULT_LORA_CONFIG } from '../adapters/lora-config.js'
import { PEFT_CONFIG_FILE, toPeftConfig } from '../adapters/peft-config.js'
import { PEFT_WEIGHTS_FILE, peftTensorName } from '../adapters/peft-names.js'
import { writeFilesAtomic } from '../atomic-write.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { withChecksums } from '../checkpoint/checksums.js'
import { safetensorsContent, type TensorToWrite } from '../weights/safetensors.js'
import type { LoraUpdate } from './lora-updates.js'

/** How the files name the base model. */
export interface BaseName {
  readonly baseModel: string | null
  readonly revision?: string | undefined
}

/**
 * Writes adapter_config.json, adapter_model.safetensors and their checksums. Modules are named by their whole paths
 * where names alone would mean others too; ranks and scales that differ from the first stand in patterns.
 */
export async function writePeftFiles(
  directory: string,
  model: CausalLM,
  updates: readonly LoraUpdate[],
  { baseModel, revision }: BaseName,
): Promise<void> {
  const r = updates[0]?.r ?? DEFAULT_LORA_CONFIG.r
  const scale = updates[0]?.scale ?? 1
  const loraAlpha = scale * r
  const rankPattern: Record<string, number> = {}
  const alphaPattern: Record<string, number> = {}
  for (const update of updates) {
    const key = update.path.replaceAll('.', String.raw`\.`)
    if (update.r !== r) rankPattern[key] = update.r
    if (update.r !== r || update.scale !== scale) alphaPattern[key] = update.scale * update.r
  }
  const path = join(directory, PEFT_WEIGHTS_FILE)
  const config = {
    ...DEFAULT_LORA_CONFIG,
    r,
    loraAlpha,
    rankPattern,
    alphaPattern,
    targetModules: shortNames(model, updates),
  }
  const fanInFanOut = updates.some(({ path }) => model.modules.linears.get(path)?.kind === 'conv1d')
  const text = toPeftConfig(config, { baseModel, ...(revision !== undefined && { revision }), fanInFanOut })
  const files = withChecksums(directory, [
    { path, content: safetensorsContent(path, updates.flatMap(tensorsOf), { format: 'pt' }) },
    { path: join(directory, PEFT_CONFIG_FILE), content: text },
  ])
  await writeFilesAtomic(files)
}

/** The last parts of the paths where they mean exactly these modules, else the whole paths. */
function shortNames(model: CausalLM, updates: readonly LoraUpdate[]): string[] {
  const paths = new Set(updates.map(({ path }) => path))
  const nameOf = (path: string): string => path.split('.').at(-1) as string
  const names = new Set([...paths].map(nameOf))
  const all = [...model.modules.linears.keys(), ...model.modules.embeddings.keys()]
  const isExact = all.every((path) => !names.has(nameOf(path)) || paths.has(path))
  return isExact ? [...names] : [...paths]
}

function tensorsOf({ path, r, inFeatures, outFeatures, a, b }: LoraUpdate): TensorToWrite[] {
  return [
    { name: peftTensorName(path, 'lora_A'), dtype: 'F32', shape: [r, inFeatures], bytes: () => bytesOf(a) },
    { name: peftTensorName(path, 'lora_B'), dtype: 'F32', shape: [outFeatures, r], bytes: () => bytesOf(b) },
  ]
}

/** The bytes of numbers, little-endian as all machines that run here. */
export function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}
