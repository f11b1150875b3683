/** @file Finds the directory of a model: a path, or a Hub id, which src/hub fetches. */

import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { describeValue } from '../errors.js'
import { type FetchModelOptions, fetchModel } from '../hub/fetch-model.js'
import type { ModelOrigin } from '../models/model.js'

/** Options of `resolveModel`: those of the Hub count for ids only. */
export type ResolveModelOptions = FetchModelOptions

/** Where a model lies. */
export interface ModelLocation {
  readonly directory: string
  /** What it is called: the Hub id without a revision, or the path as it was given. */
  readonly nameOrPath: string
  readonly origin: ModelOrigin
}

const HUB_ID = /^[A-Za-z0-9][\w.-]*(\/[A-Za-z0-9][\w.-]*)?$/

/**
 * The directory that holds a model. What the Hub cache lacks of a model of the Hub is fetched.
 * @param idOrPath a directory, or a Hub id such as 'HuggingFaceTB/SmolLM2-135M', with 'ID@REVISION' for one that is not main; a
 *   directory that exists goes first
 * @throws where it is neither, or cannot be fetched, saying what to do
 */
export async function resolveModel(idOrPath: string, options: ResolveModelOptions = {}): Promise<ModelLocation> {
  if (typeof idOrPath !== 'string' || idOrPath === '') {
    throw new Error(`[model] expected a directory or a Hub id for model, got ${describeValue(idOrPath)}`)
  }
  if (idOrPath.toLowerCase().endsWith('.gguf')) {
    throw new Error(`[model] ${idOrPath}: GGUF files are not supported yet; use the safetensors version of the model`)
  }
  const path = resolve(idOrPath)
  const found = await stat(path).catch(() => undefined)
  if (found?.isDirectory()) {
    if (options.revision === undefined) return { directory: path, nameOrPath: idOrPath, origin: {} }
    throw new Error(
      `[model] expected no revision for a directory, got ${describeValue(options.revision)} for ${path}; remove it, or give a Hub id`,
    )
  }
  if (found !== undefined) {
    throw new Error(
      `[model] expected a directory, got the file ${path}; give the directory that also holds its config.json`,
    )
  }
  const [id = '', revision] = splitRevision(idOrPath)
  if (!HUB_ID.test(id) || id.includes('..') || id.includes('--')) {
    throw new Error(`[model] there is no directory ${path}; check the path, or give a Hub id such as "org/name"`)
  }
  if (revision !== undefined && options.revision !== undefined && revision !== options.revision) {
    throw new Error(
      `[model] expected one revision, got ${describeValue(idOrPath)} with revision ${describeValue(options.revision)}; remove one`,
    )
  }
  const { directory, commit, license } = await fetchModel(id, path, {
    ...options,
    revision: revision ?? options.revision,
  })
  return { directory, nameOrPath: id, origin: { revision: commit, license } }
}

function splitRevision(idOrPath: string): [string, string?] {
  const at = idOrPath.indexOf('@')
  return at < 0 ? [idOrPath] : [idOrPath.slice(0, at), idOrPath.slice(at + 1)]
}
