/** @file Finds a model: a directory, a GGUF file, or a Hub id in the standard Hugging Face cache. Looks at files only, never at a network. */

import { readdir, readFile, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { describeValue, listNames } from '../errors.js'
import { isGgufPath } from './gguf/reader.js'

/** Options of `resolveModel`. */
export interface ResolveModelOptions {
  /** Branch, tag or commit of a Hub id. Default 'main'. */
  revision?: string
}

const HUB_ID = /^[A-Za-z0-9][\w.-]*(\/[A-Za-z0-9][\w.-]*)?$/
const COMMIT = /^[0-9a-f]{40}$/

/**
 * The directory that holds a model or an adapter, or the GGUF file that is one.
 * @param idOrPath a directory, a path that ends in .gguf, or a Hub id such as 'HuggingFaceTB/SmolLM2-135M'; a directory that exists goes first
 * @throws where it is neither, saying how to fetch it
 */
export async function resolveModel(idOrPath: string, options: ResolveModelOptions = {}): Promise<string> {
  if (typeof idOrPath !== 'string' || idOrPath === '') {
    throw new Error(`[model] expected a directory or a Hub id for model, got ${describeValue(idOrPath)}`)
  }
  const path = resolve(idOrPath)
  const found = await stat(path).catch(() => undefined)
  if (found?.isDirectory()) return path
  if (found !== undefined) {
    if (isGgufPath(path)) return path
    throw new Error(
      `[model] expected a directory or a .gguf file, got the file ${path}; give the directory that also holds its config.json`,
    )
  }
  if (isGgufPath(path)) throw new Error(`[model] there is no file ${path}; check the path`)
  if (!HUB_ID.test(idOrPath) || idOrPath.includes('..') || idOrPath.includes('--')) {
    throw new Error(`[model] there is no directory ${path}; check the path, or give a Hub id such as "org/name"`)
  }
  return await findInCache(idOrPath, options.revision ?? 'main', path)
}

/** The directory of the Hub cache, from the same environment variables as huggingface_hub. */
export function hubCacheDirectory(): string {
  const { HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = process.env
  const explicit = HF_HUB_CACHE || HUGGINGFACE_HUB_CACHE
  if (explicit) return fromHome(explicit)
  if (HF_HOME) return join(fromHome(HF_HOME), 'hub')
  return join(XDG_CACHE_HOME ? fromHome(XDG_CACHE_HOME) : join(homedir(), '.cache'), 'huggingface', 'hub')
}

async function findInCache(id: string, revision: string, triedPath: string): Promise<string> {
  const cache = hubCacheDirectory()
  const repository = join(cache, `models--${id.replace('/', '--')}`)
  const flag = revision === 'main' ? '' : ` --revision ${revision}`
  const remedy =
    `fetch it with "hf download ${id}${flag}", or with "git clone https://huggingface.co/${id}" (needs git-lfs) and give the ` +
    'path of its directory'
  if (revision === '' || revision.split(/[/\\]/).includes('..')) {
    throw new Error(`[model] expected a branch, tag or commit for revision, got ${describeValue(revision)}`)
  }
  const refs = join(repository, 'refs')
  const commit = COMMIT.test(revision)
    ? revision
    : (await readFile(join(refs, revision), 'utf8').catch(() => undefined))?.trim()
  if (commit === undefined) {
    const cached = await readdir(refs).catch(() => [])
    const others = cached.length > 0 ? ` the cache holds other revisions of it (${listNames(cached)});` : ''
    throw new Error(
      `[model] ${describeValue(id)} is neither a directory (${triedPath}) nor in the Hub cache (${repository}, revision ` +
        `${revision});${others} ${remedy}`,
    )
  }
  if (!COMMIT.test(commit)) {
    throw new Error(`[model] expected a commit in ${join(refs, revision)}, got ${describeValue(commit)}; ${remedy}`)
  }
  const snapshot = join(repository, 'snapshots', commit)
  if (!(await stat(snapshot).catch(() => undefined))?.isDirectory()) {
    throw new Error(`[model] ${describeValue(id)} is in the Hub cache, but ${snapshot} is missing; ${remedy}`)
  }
  return snapshot
}

function fromHome(path: string): string {
  return path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : resolve(path)
}
