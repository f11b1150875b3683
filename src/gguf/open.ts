/** @file A GGUF file, or the first of a split one, as a model: config and weights in Hugging Face's terms. */

import type { RawConfig } from '../architecture/config.js'
import { describeValue } from '../errors.js'
import { ModelError } from '../lowrank-error.js'
import { haveSameValues } from '../weights/same-values.js'
import type { WeightTensor } from '../weights/weight-tensor.js'
import { architectureOf, configOf } from './config.js'
import { endingTokenIds } from './ending-tokens.js'
import { huggingFaceTensors } from './names.js'
import { type GgufFile, readGguf } from './reader.js'

/** A model whose description is read and checked; no weight is read yet. */
export interface GgufModel {
  /** What config.json would hold. */
  readonly config: RawConfig
  readonly tensors: ReadonlyMap<string, WeightTensor>
  /** Ids that end an answer; see ending-tokens.ts. */
  readonly endingTokenIds: readonly number[]
}

/** Parts of a split model, as llama.cpp names them. */
const PART = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i

/** Reads all but the weights. @throws naming the file and what in it is damaged, missing or not supported */
export async function openGguf(path: string): Promise<GgufModel> {
  const file = readAllParts(path)
  const architecture = architectureOf(file)
  const named = configOf(file)
  const tensors = huggingFaceTensors(file.tensors, architecture, named)
  const config = architecture === 'gpt2' ? await withOwnHead(named, tensors) : named
  return { config, tensors, endingTokenIds: endingTokenIds(file.metadata) }
}

/** The file with the tensors of all its parts. */
function readAllParts(path: string): GgufFile {
  const first = readGguf(path)
  const count = first.metadata.integer('split.count', 1)
  if (count <= 1) return first
  const [, stem, number, named] = PART.exec(path) ?? []
  if (
    stem === undefined ||
    Number(number) !== 1 ||
    Number(named) !== count ||
    first.metadata.integer('split.no') !== 0
  ) {
    throw new ModelError(
      `[gguf] ${path} is one of ${count} files of a model; give the first, whose name ends in -00001-of-${String(count).padStart(5, '0')}.gguf, ` +
        'with the others beside it under their original names',
    )
  }
  const tensors = new Map(first.tensors)
  for (let part = 1; part < count; part++) {
    const next = readGguf(`${stem}-${String(part + 1).padStart(5, '0')}-of-${named}.gguf`)
    for (const [key, wanted] of [
      ['split.no', part],
      ['split.count', count],
    ] as const) {
      const value = next.metadata.integer(key)
      if (value !== wanted) throw next.metadata.error(key, String(wanted), value)
    }
    for (const [name, tensor] of next.tensors) {
      if (tensors.has(name))
        throw new ModelError(`[gguf] tensor ${describeValue(name)} is in two files, ${next.path} the second`)
      tensors.set(name, tensor)
    }
  }
  const total = first.metadata.integer('split.tensors.count', tensors.size)
  if (total !== tensors.size) throw first.metadata.error('split.tensors.count', String(tensors.size), total)
  return { ...first, tensors }
}

/**
 * GPT-2's config says nothing of the head. Converters of 2023 wrote the embedding a second time, as the head: it is
 * dropped where it is one, and is a weight of its own where it has other values, as where the two were quantised to two
 * types. llama.cpp computes with it in any case.
 */
async function withOwnHead(config: RawConfig, tensors: Map<string, WeightTensor>): Promise<RawConfig> {
  const head = tensors.get('lm_head.weight')
  const embedding = tensors.get('transformer.wte.weight')
  if (!head || !embedding) return config
  if (!(await haveSameValues(head, embedding))) return { ...config, tie_word_embeddings: false }
  tensors.delete('lm_head.weight')
  return config
}
