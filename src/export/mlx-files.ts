/**
 * @file MLX adapters, as mlx-lm writes and reads them: adapters.safetensors with `<path>.lora_a` [in, r] and
 * `<path>.lora_b` [r, out], and adapter_config.json with one rank and one scale.
 */

import { join } from 'node:path'
import { writeFilesAtomic } from '../atomic-write.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { describeValue, listNames } from '../errors.js'
import { ModelError } from '../lowrank-error.js'
import { transpose } from '../transpose.js'
import { readSafetensorsHeader, safetensorsContent, type TensorEntry } from '../weights/safetensors.js'
import { isJsonObject, type JsonObject, readJsonObject } from '../weights/strict-json.js'
import { MLX_WEIGHTS_FILE } from './adapter-kinds.js'
import { readFloats } from './floats.js'
import type { LoraUpdate, UniformUpdates } from './lora-updates.js'
import { layerOf, mlxPath, pathOfMlx } from './mlx-names.js'
import { bytesOf } from './peft-files.js'

const CONFIG_FILE = 'adapter_config.json'

/** Writes both files. @throws where mlx-lm has no such module */
export async function writeMlxFiles(
  directory: string,
  model: CausalLM,
  { r, scale, updates }: UniformUpdates,
  { dropout, baseModel }: { readonly dropout: number; readonly baseModel: string | null },
): Promise<void> {
  const tied = updates.find(({ path }) => path === model.head.path && !model.hasOwnHead)
  if (tied)
    throw new ModelError(
      `[export] expected no update of ${tied.path} for an MLX adapter, got one, and mlx-lm computes this model's logits with the embedding; ` +
        'export the merged model with format mlx',
    )
  const config = {
    fine_tune_type: 'lora',
    ...(baseModel !== null && { model: baseModel }),
    ...placement(model, updates),
    lora_parameters: { rank: r, scale, dropout, keys: keysOf(model, updates) },
  }
  const path = join(directory, MLX_WEIGHTS_FILE)
  const tensors = updates.flatMap((update) => {
    const name = mlxPath(model, update.path)
    const { inFeatures, outFeatures } = update
    return [
      {
        name: `${name}.lora_a`,
        dtype: 'F32' as const,
        shape: [inFeatures, r],
        bytes: () => bytesOf(transpose(update.a, r, inFeatures)),
      },
      {
        name: `${name}.lora_b`,
        dtype: 'F32' as const,
        shape: [r, outFeatures],
        bytes: () => bytesOf(transpose(update.b, outFeatures, r)),
      },
    ]
  })
  await writeFilesAtomic([
    { path, content: safetensorsContent(path, tensors, { format: 'mlx' }) },
    { path: join(directory, CONFIG_FILE), content: `${JSON.stringify(config, null, 2)}\n` },
  ])
}

/** In how many of the last layers keys are looked for. */
function placement(model: CausalLM, updates: readonly LoraUpdate[]): { readonly num_layers: number } {
  const first = Math.min(...updates.map(({ path }) => layerOf(path)?.layer ?? model.config.numHiddenLayers))
  return { num_layers: model.config.numHiddenLayers - first }
}

/**
 * Names within a layer where the same modules change in each of the last layers, as mlx-lm itself writes them; else
 * whole paths, which mlx-lm looks for in the whole model.
 */
function keysOf(model: CausalLM, updates: readonly LoraUpdate[]): string[] {
  const layers = new Map<number, Set<string>>()
  const outside: string[] = []
  for (const { path } of updates) {
    const found = layerOf(path)
    if (found) layers.set(found.layer, (layers.get(found.layer) ?? new Set()).add(found.name))
    else outside.push(mlxPath(model, path))
  }
  const [first] = layers.values()
  const { num_layers: count } = placement(model, updates)
  const isUniform =
    layers.size === count && [...layers.values()].every((names) => haveSame(names, first as ReadonlySet<string>))
  if (isUniform) return [...(first ?? []), ...outside].sort()
  return updates.map(({ path }) => mlxPath(model, path)).sort()
}

function haveSame(names: ReadonlySet<string>, others: ReadonlySet<string>): boolean {
  return names.size === others.size && [...names].every((name) => others.has(name))
}

/** An MLX adapter as it was read. */
interface MlxAdapter {
  readonly updates: LoraUpdate[]
  readonly dropout: number
  /** What it names as its model. */
  readonly baseModel: string | null
}

/** What an MLX adapter names as its model; undefined where it names none. */
export async function mlxBaseModel(directory: string): Promise<string | undefined> {
  const { model } = await readJsonObject('adapter', join(directory, CONFIG_FILE))
  return typeof model === 'string' && model !== '' ? model : undefined
}

/** Reads both files. @throws on full and DoRA fine-tuning, and on tensors that are no pairs of LoRA */
export async function readMlxFiles(directory: string, model: CausalLM): Promise<MlxAdapter> {
  const configPath = join(directory, CONFIG_FILE)
  const config = await readJsonObject('adapter', configPath)
  const type = config.fine_tune_type ?? 'lora'
  if (type !== 'lora')
    throw new ModelError(
      `[adapter ${configPath}] expected "lora" for fine_tune_type, got ${describeValue(type)}; only LoRA is supported`,
    )
  const { scale, dropout } = parametersOf(config, configPath)
  const path = join(directory, MLX_WEIGHTS_FILE)
  const { tensors } = await readSafetensorsHeader(path)
  const others = [...tensors.keys()].filter((name) => !/\.lora_[ab]$/.test(name))
  if (others.length > 0)
    throw new ModelError(`[adapter] expected tensors named lora_a and lora_b in ${path}, got ${listNames(others)}`)
  const updates: LoraUpdate[] = []
  for (const [name, a] of tensors) {
    if (!name.endsWith('.lora_a')) continue
    const stem = name.slice(0, -'.lora_a'.length)
    updates.push(await updateOf(model, stem, a, tensors.get(`${stem}.lora_b`), scale))
  }
  const alone = [...tensors.keys()].find((name) => name.endsWith('.lora_b') && !tensors.has(`${name.slice(0, -1)}a`))
  if (alone !== undefined || updates.length === 0)
    throw new ModelError(`[adapter] expected a lora_a for each lora_b in ${path}, got ${describeValue(alone)}`)
  return { updates, dropout, baseModel: (await mlxBaseModel(directory)) ?? null }
}

function parametersOf(config: JsonObject, path: string): { readonly scale: number; readonly dropout: number } {
  const parameters = isJsonObject(config.lora_parameters) ? config.lora_parameters : {}
  const { scale, dropout = 0 } = parameters
  if (typeof scale === 'number' && scale > 0 && typeof dropout === 'number') return { scale, dropout }
  throw new ModelError(
    `[adapter ${path}] expected numbers for scale and dropout of lora_parameters, got ${describeValue(config.lora_parameters)}`,
  )
}

async function updateOf(
  model: CausalLM,
  stem: string,
  a: TensorEntry,
  b: TensorEntry | undefined,
  scale: number,
): Promise<LoraUpdate> {
  const path = pathOfMlx(model, stem)
  const linear = model.modules.linears.get(path)
  if (!linear)
    throw new ModelError(
      `[adapter] expected modules of ${model.nameOrPath} in ${a.path}, got ${describeValue(stem)}; is the adapter of this model?`,
    )
  const { inFeatures, outFeatures } = linear
  const [, r = 0] = a.shape
  const isPair =
    a.shape.length === 2 && a.shape[0] === inFeatures && r > 0 && b?.shape[0] === r && b.shape[1] === outFeatures
  if (!isPair || !b)
    throw new ModelError(
      `[adapter] expected shapes [${inFeatures}, r] and [r, ${outFeatures}] for lora_a and lora_b of ${stem} in ${a.path}, ` +
        `got [${a.shape.join(', ')}] and [${b?.shape.join(', ') ?? 'none'}]; is the adapter of this model?`,
    )
  return {
    ...{ path, r, inFeatures, outFeatures, scale },
    a: transpose(await readFloats(a), inFeatures, r),
    b: transpose(await readFloats(b), r, outFeatures),
  }
}
