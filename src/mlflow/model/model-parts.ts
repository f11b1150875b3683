/** @file What a model directory takes of a whole model: weights, configuration, tokenizer. */

import { basename, join } from 'node:path'
import { GENERATION_CONFIG_FILE } from '../../checkpoint/generation-config.js'
import { openCheckpoint } from '../../checkpoint/weights-on-disk.js'
import { INDEX_FILE } from '../../hub/model-files.js'
import { ModelError } from '../../lowrank-error.js'
import { readDirectory } from '../../regular-file.js'
import { readJsonObject } from '../../weights/strict-json.js'
import type { PackOptions } from './pack-options.js'
import { cardSources, expectChatTemplate, type PackedParts, tokenizerSources } from './parts.js'

/** MLflow's name of the folder of weights. */
const MODEL_FOLDER = 'model'

/** @throws ModelError for a directory that MLflow's client cannot load as a language model */
export async function modelParts(
  directory: string,
  { baseModel, baseRevision, task }: PackOptions,
): Promise<PackedParts> {
  const { tensors } = await openCheckpoint(directory)
  const config = await readJsonObject('pack', join(directory, 'config.json'))
  if (config.quantization_config)
    throw new ModelError(
      `[pack] expected dense weights in ${directory}, got quantization_config in config.json, which asks for a GPU and more packages; save the model ` +
        'in bfloat16 (merge() decodes NF4)',
    )
  const [architecture] = Array.isArray(config.architectures) ? config.architectures : []
  const tokenizer = await tokenizerSources(directory)
  if (tokenizer.length === 0)
    throw new ModelError(
      `[pack] expected a tokenizer in ${directory}, got none; save the model again with tokenizerFrom`,
    )
  await expectChatTemplate(task, tokenizer)
  const present = await readDirectory('pack', directory)
  const weights = [...new Set([...tensors.values()].map(({ path }) => path))]
  const others = ['config.json', GENERATION_CONFIG_FILE, ...(weights.length > 1 ? [INDEX_FILE] : [])]
  const names = others.filter((name) => present.includes(name))
  return {
    flavor: {
      model_binary: MODEL_FOLDER,
      pipeline_model_type: typeof architecture === 'string' ? architecture : 'AutoModelForCausalLM',
      source_model_name: baseModel ?? MODEL_FOLDER,
    },
    facts: { kind: 'model', base_model: baseModel ?? null, base_model_revision: baseRevision ?? null },
    sources: [
      ...names.map((name) => ({ path: `${MODEL_FOLDER}/${name}`, source: join(directory, name) })),
      ...weights.map((path) => ({ path: `${MODEL_FOLDER}/${basename(path)}`, source: path })),
      ...tokenizer,
      ...(await cardSources(directory, baseModel)),
    ],
    needsPeft: false,
    warnings: [],
  }
}
