/** @file Which files of a repository a model needs. Names only; nothing here reads a file or a network. */

import { describeValue, listNames } from '../errors.js'
import { HubError } from './hub-error.js'

export const INDEX_FILE = 'model.safetensors.index.json'
export const SINGLE_FILE = 'model.safetensors'
/** Not needed to compute, but small, and it names the licence. */
export const CARD_FILE = 'README.md'

export const SMALL_FILES: readonly string[] = [
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'tokenizer.model',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'vocab.txt',
  'merges.txt',
  'spiece.model',
  'chat_template.jinja',
  'chat_template.json',
]
/** Those of a model, which a repository may have beside its adapter. */
const MODEL_CONFIGS: ReadonlySet<string> = new Set(['config.json', 'generation_config.json'])
const EXTRA_TEMPLATE = /^additional_chat_templates\/[^/]+\.jinja$/

/** What is fetched: a whole model, what says how large it is, or the adapter that a repository holds. */
export type ModelPart = 'model' | 'config' | 'adapter'

/** What an adapter has to have; the names of PEFT. */
export const ADAPTER_FILES: readonly string[] = ['adapter_config.json', 'adapter_model.safetensors']

/** Files of a model whose weights are one file or lie in the shards of an index. */
export interface NeededFiles {
  readonly files: readonly string[]
  /** Whether `files` has an index, which names more files. */
  readonly isSharded: boolean
}

/**
 * Picks the files of a model out of those of its repository.
 * @throws HubError when there are no weights in safetensors, saying what there is instead
 */
export function neededFiles(id: string, all: readonly string[], part: ModelPart): NeededFiles {
  if (part === 'adapter') return { files: adapterFiles(id, all), isSharded: false }
  if (!all.includes('config.json')) throw noModel(id, all)
  if (part === 'config') return { files: ['config.json'], isSharded: false }
  // The single file goes first where both are there, as when the model is loaded.
  const weights = [SINGLE_FILE, INDEX_FILE].find((name) => all.includes(name))
  if (weights === undefined) throw noModel(id, all)
  return { files: [...smallFiles(all), weights], isSharded: weights === INDEX_FILE }
}

function smallFiles(all: readonly string[]): string[] {
  return all.filter((path) => SMALL_FILES.includes(path) || EXTRA_TEMPLATE.test(path))
}

/** An adapter, and the tokenizer that it was trained with where the repository has one. */
function adapterFiles(id: string, all: readonly string[]): readonly string[] {
  const lacking = ADAPTER_FILES.find((path) => !all.includes(path))
  if (lacking === undefined) return [...smallFiles(all).filter((path) => !MODEL_CONFIGS.has(path)), ...ADAPTER_FILES]
  const pickled = all.includes('adapter_model.bin')
  const problem = pickled
    ? 'has its adapter in adapter_model.bin only, which is Python pickle; save it again with PEFT, which writes safetensors'
    : `holds no adapter: there is no ${lacking}, only: ${listNames(all) || 'nothing'}; check the id`
  throw new HubError(`[hub] "${id}" ${problem}`, { cacheMayServe: false })
}

/** A plain name of a file: an index must not reach outside of its directory. */
export function isShardName(name: unknown): name is string {
  return typeof name === 'string' && /^[^/\\:\0]+\.safetensors$/.test(name)
}

/** The shards that an index names. @throws HubError when it names none, or a file that is not beside it */
export function shardsOf(id: string, index: string): string[] {
  const problem = (got: unknown) =>
    new HubError(
      `[hub] expected ${INDEX_FILE} of "${id}" to name .safetensors files beside it, got ${describeValue(got)}; get the model from a ` +
        'source that you trust',
      { cacheMayServe: false },
    )
  let parsed: { weight_map?: unknown }
  try {
    parsed = JSON.parse(index) ?? {}
  } catch {
    throw problem(index)
  }
  const names = typeof parsed.weight_map === 'object' ? Object.values(parsed.weight_map ?? {}) : []
  if (names.length === 0) throw problem(parsed.weight_map)
  for (const name of names) if (!isShardName(name)) throw problem(name)
  return [...new Set(names as string[])].sort()
}

function noModel(id: string, all: readonly string[]): HubError {
  const named = (pattern: RegExp) => all.filter((path) => pattern.test(path))
  const gguf = named(/\.gguf$/i)
  const pickled = named(/^pytorch_model.*\.bin/)
  const adapter = all.includes('adapter_config.json')
  const problem = adapter
    ? 'is an adapter, not a model: give the model that its adapter_config.json names, and load the adapter on it'
    : gguf.length > 0
      ? `has its weights in GGUF files only: ${listNames(gguf)}; fetch one with "hf download ${id} ${gguf[0]}" and give the path of that ` +
        'file, or use the safetensors version of the model'
      : pickled.length > 0
        ? `has its weights in ${listNames(pickled, 2)} only, which is Python pickle; use a model with safetensors, or the revision ` +
          'of a pull request that converts it (refs/pr/N)'
        : `has no config.json with ${SINGLE_FILE} or ${INDEX_FILE}, only: ${listNames(all) || 'nothing'}`
  return new HubError(`[hub] "${id}" ${problem}`, { cacheMayServe: false })
}
