/**
 * @file Finds a model: a directory, a GGUF file, a Hub id, which src/hub fetches, or one of Unity Catalog, which is
 * pulled.
 */

import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { isCatalogAddress } from '../databricks/client/models/address.js'
import { pullModel } from '../databricks/client/models/pull.js'
import { describeValue, expectPath, withoutSecrets } from '../errors.js'
import { isGgufPath } from '../gguf/reader.js'
import { type FetchModelOptions, fetchModel } from '../hub/fetch-model.js'
import { hubIdOf, orNoDirectory } from '../hub/hub-id.js'
import type { ModelOrigin } from '../hub/model-origin.js'
import { ModelError, OptionError } from '../lowrank-error.js'
import { nearestPathHint } from '../nearest-path.js'
import { isMissing, readError } from '../regular-file.js'
import { refuseMisplacedModel } from './misplaced.js'

/** Options of `resolveModel`: those of the Hub count for ids only. */
export type ResolveModelOptions = FetchModelOptions

/** Where a model lies. */
export interface ModelLocation {
  /** The directory, or the GGUF file. */
  readonly path: string
  /** What it is called: the Hub id without a revision, or the path as it was given. */
  readonly nameOrPath: string
  readonly origin: ModelOrigin
}

/**
 * Where a model lies. What the Hub cache lacks of a model of the Hub is fetched.
 * @param idOrPath a directory, a path that ends in .gguf, or a Hub id such as 'HuggingFaceTB/SmolLM2-135M', with
 * 'ID@REVISION' for one that is not main; a
 *   path that exists goes first; `uc://catalog.schema.model@alias` is pulled from Unity Catalog
 * @throws where it is neither, or cannot be fetched, saying what to do
 */
export async function resolveModel(idOrPath: string, options: ResolveModelOptions = {}): Promise<ModelLocation> {
  if (typeof idOrPath !== 'string' || idOrPath === '') {
    throw new OptionError(`[model] expected a directory or a Hub id for model, got ${describeValue(idOrPath)}`)
  }
  expectPath('model', 'model', idOrPath)
  if (withoutSecrets(idOrPath) !== idOrPath) {
    throw new OptionError(
      `[model] expected a directory or a Hub id for model, got ${describeValue(idOrPath)}, which holds a secret; a token belongs in HF_TOKEN`,
    )
  }
  if (isCatalogAddress(idOrPath)) return await catalogModel(idOrPath, options)
  const path = resolve(idOrPath)
  const found = await stat(path).catch((error: unknown) => {
    if (isMissing(error)) return undefined
    throw readError('model', path, error)
  })
  if (found?.isDirectory() || (found && isGgufPath(path))) {
    if (found.isDirectory()) await refuseMisplacedModel(path)
    if (options.revision === undefined) return { path, nameOrPath: idOrPath, origin: {} }
    throw new OptionError(
      `[model] expected no revision for a path, got ${describeValue(options.revision)} for ${path}; remove it, or give a Hub id`,
    )
  }
  if (found) {
    throw new ModelError(
      `[model] expected a directory or a .gguf file, got the file ${path}; give the directory that also holds its config.json`,
    )
  }
  const hint = await nearestPathHint(idOrPath)
  if (isGgufPath(path)) throw new ModelError(`[model] there is no file ${path}${hint || '; check the path'}`)
  const named = hubIdOf(idOrPath)
  if (named === undefined) {
    const remedy = hint || '; check the path, or give a Hub id such as "org/name"'
    throw new ModelError(`[model] there is no directory ${path}${remedy}`)
  }
  const { id, revision } = named
  if (revision !== undefined && options.revision !== undefined && revision !== options.revision) {
    throw new OptionError(
      `[model] expected one revision, got ${describeValue(idOrPath)} with revision ${describeValue(options.revision)}; remove one`,
    )
  }
  const { directory, commit, license } = await fetchModel(id, path, {
    ...options,
    revision: revision ?? options.revision,
  }).catch((error: unknown) => {
    throw orNoDirectory(error, path, hint)
  })
  return { path: directory, nameOrPath: id, origin: { revision: commit, license } }
}

/** A model of Unity Catalog, under the address of its version. */
async function catalogModel(
  address: string,
  { revision, localFilesOnly, signal, onEvent }: ResolveModelOptions,
): Promise<ModelLocation> {
  if (revision !== undefined)
    throw new OptionError(
      `[model] expected no revision for a model of Unity Catalog, got ${describeValue(revision)} for ${address}; name a version with @v3`,
    )
  const pulled = await pullModel(address, {
    ...(localFilesOnly !== undefined && { localFilesOnly }),
    ...(signal && { signal }),
    ...(onEvent && {
      onProgress: ({ bytes, totalBytes }) =>
        onEvent({ type: 'download', model: address, revision: '', files: 1, bytes, totalBytes }),
    }),
  })
  return { path: pulled.directory, nameOrPath: pulled.address, origin: {} }
}
