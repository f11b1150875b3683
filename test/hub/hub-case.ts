/**
 * @file What the Hub tests share: a server, an empty cache, an environment that points at both, and a small repository.
 */

import { mkdtemp, readdir, readlink, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, vi } from 'vitest'
import { type FakeHub, startHub } from '../support/hub-server.js'
import { seededRandom } from '../support/values.js'

export const ID = 'org/name'

export interface HubCase {
  hub: FakeHub
  /** The Hub cache. */
  cache: string
  /** A directory for HF_HOME. */
  home: string
}

/** Fills the returned object before each test. */
export function hubCase(): HubCase {
  const place = {} as HubCase
  let root: string
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'lowrank-hub-'))
    Object.assign(place, { hub: await startHub(), cache: join(root, 'cache'), home: join(root, 'home') })
    const empty = ['HUGGINGFACE_HUB_CACHE', 'XDG_CACHE_HOME', 'HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN', 'HF_TOKEN_PATH']
    for (const name of [...empty, 'HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE', 'HF_HUB_DISABLE_IMPLICIT_TOKEN'])
      vi.stubEnv(name, '')
    for (const name of ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy'])
      vi.stubEnv(name, '')
    vi.stubEnv('HF_HUB_CACHE', place.cache)
    vi.stubEnv('HF_HOME', place.home)
    vi.stubEnv('HF_ENDPOINT', place.hub.endpoint)
  })
  afterEach(async () => {
    vi.unstubAllEnvs()
    await place.hub.close()
    await rm(root, { recursive: true, force: true })
  })
  return place
}

/** The same bytes each time, that no compression makes small. */
export function weights(bytes: number, seed = 1): Buffer {
  const random = seededRandom(seed)
  return Buffer.from(Uint8Array.from({ length: bytes }, () => 128 * (random() + 1)))
}

export const WEIGHTS = weights(100_003)

/** What a repository of a model has, and more than is needed. */
export const FILES: Readonly<Record<string, string | Uint8Array>> = {
  '.gitattributes': '*.safetensors filter=lfs',
  'README.md': '---\nlicense: apache-2.0\n---\n# A model\n',
  'config.json': '{"model_type":"llama"}',
  'generation_config.json': '{}',
  'tokenizer.json': '{"model":{}}',
  'tokenizer_config.json': '{"chat_template":null}',
  'special_tokens_map.json': '{}',
  'vocab.json': '{"a":0}',
  'merges.txt': '#version: 0.2\n',
  'chat_template.jinja': '{{ messages }}',
  'additional_chat_templates/tools.jinja': '{{ tools }}',
  'model.safetensors': WEIGHTS,
  'pytorch_model.bin': weights(77, 2),
  'onnx/model.onnx': weights(78, 3),
  'model-q4.gguf': weights(79, 4),
  'tf_model.h5': weights(80, 5),
  'training_args.json': '{}',
}

export const NEEDED = [
  'README.md',
  'additional_chat_templates/tools.jinja',
  'chat_template.jinja',
  'config.json',
  'generation_config.json',
  'merges.txt',
  'model.safetensors',
  'special_tokens_map.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'vocab.json',
]

/** Files and links below a directory, links with what they point to. */
export async function tree(directory: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isDirectory()) continue
    found[path.slice(directory.length + 1)] = entry.isSymbolicLink() ? await readlink(path) : ''
  }
  return found
}
