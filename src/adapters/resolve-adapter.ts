/**
 * @file Finds an adapter: a directory, a repository of the Hub, or a version of a registered model of Unity Catalog;
 * the last two are fetched.
 */

import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { isCatalogAddress } from '../databricks/client/models/address.js'
import { pullAdapter } from '../databricks/client/models/pull.js'
import { fetchModel } from '../hub/fetch-model.js'
import { hubIdOf, orNoDirectory } from '../hub/hub-id.js'
import { nearestPathHint } from '../nearest-path.js'

export interface ResolveAdapterOptions {
  /** Told while files come. */
  readonly onProgress?: (progress: { readonly bytes: number; readonly totalBytes: number }) => void
  readonly signal?: AbortSignal
}

/**
 * The directory of an adapter. What the caches lack of a Hub id (`org/name`, `org/name@revision`) or of
 * `uc://catalog.schema.model@alias` is fetched; token and workspace are those that the environment names. A path that
 * exists goes first. What can be neither is a directory, which its reader may find missing.
 * @throws what `pullAdapter` throws; HubError where Hub and cache do not have it
 */
export async function resolveAdapter(adapter: string, options: ResolveAdapterOptions = {}): Promise<string> {
  if (isCatalogAddress(adapter)) return (await pullAdapter(adapter, options)).directory
  const named = hubIdOf(adapter)
  // A repository of an adapter has an owner; a bare name is that of a directory.
  if (named === undefined || !named.id.includes('/') || (await isThere(adapter))) return adapter
  const { onProgress, signal } = options
  const path = resolve(adapter)
  const found = await fetchModel(named.id, path, {
    part: 'adapter',
    ...(named.revision !== undefined && { revision: named.revision }),
    ...(signal && { signal }),
    ...(onProgress && { onEvent: onProgress }),
  }).catch(async (error: unknown) => {
    throw orNoDirectory(error, path, await nearestPathHint(adapter))
  })
  return found.directory
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  )
}
