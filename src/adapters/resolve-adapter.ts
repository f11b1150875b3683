/** @file Finds an adapter: a directory, or a version of a registered model of Unity Catalog, which is pulled. */

import { isCatalogAddress } from '../databricks/client/models/address.js'
import { pullAdapter } from '../databricks/client/models/pull.js'
import type { PullOptions } from '../databricks/client/models/pull-options.js'

/**
 * The directory of an adapter. What the cache lacks of `uc://catalog.schema.model@alias` is fetched; the workspace is
 * the one that the environment names.
 * @throws what `pullAdapter` throws
 */
export async function resolveAdapter(
  directory: string,
  options: Pick<PullOptions, 'onProgress' | 'signal'> = {},
): Promise<string> {
  return isCatalogAddress(directory) ? (await pullAdapter(directory, options)).directory : directory
}
