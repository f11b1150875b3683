/**
 * @file Whether head and embedding are one weight where the config says so: a checkpoint that holds other values for
 * the head has the last word.
 */

import type { RawConfig } from '../architecture/config.js'
import { CausalLM } from '../causal-lm/causal-lm.js'
import { findArchitecture } from '../models/registry.js'
import { Device } from '../tensor/device.js'
import { haveSameValues } from '../weights/same-values.js'
import type { WeightTensor } from '../weights/weight-tensor.js'
import { nameInFile } from './load-weights.js'

/** A config, and what there is to say of it. */
export interface ConfigAsStored {
  readonly config: RawConfig
  readonly warnings: readonly string[]
}

/**
 * The config of the model that the tensors make: `tie_word_embeddings` is false where the two tensors are there with
 * other values, as transformers 5 loads such files.
 * @param config of the model, without a `quantization_config`
 * @param path the directory that the tensors are of
 */
export async function withHeadAsStored(
  config: RawConfig,
  tensors: ReadonlyMap<string, WeightTensor>,
  path: string,
): Promise<ConfigAsStored> {
  const tied = config.tie_word_embeddings === false ? undefined : tiedNames(config, tensors, path)
  const embedding = tied && tensors.get(tied.embedding)
  const head = tied && tensors.get(tied.head)
  if (!embedding || !head || (await haveSameValues(embedding, head))) return { config, warnings: [] }
  const warning =
    `${path}: config.json says that ${head.name} and ${embedding.name} are one weight (tie_word_embeddings), but the files hold other values for the two; ` +
    'each is loaded as it is, as transformers 5 does. Set tie_word_embeddings to false in config.json to say so, or remove ' +
    `${head.name} from the files to have the embedding for both`
  return { config: { ...config, tie_word_embeddings: false }, warnings: [warning] }
}

/** The names that the two have in files; undefined where the config gives the head a weight of its own. */
function tiedNames(
  config: RawConfig,
  tensors: ReadonlyMap<string, WeightTensor>,
  path: string,
): { embedding: string; head: string } | undefined {
  const architecture = findArchitecture(config, path)
  const device = Device.open('cpu', { dryRun: true })
  try {
    const model = new CausalLM(architecture, config, device, 'float32', path)
    if (model.hasOwnHead) return undefined
    const { head } = model
    return { embedding: nameInFile(head.weight.name, architecture, tensors), head: `${head.path}.weight` }
  } finally {
    device.close()
  }
}
