/** @file Addresses of data sets of the Hub, as fsspec and DuckDB write them. Fetches nothing. */

import { OptionError } from '../../lowrank-error.js'
import type { PathOptions } from './dataset-entry.js'
import { isDataFile } from './dataset-files.js'

/** Where the Hub keeps what it made of a data set. */
export const CONVERTED = 'refs/convert/parquet'

const ADDRESS = /^hf:\/\/datasets\/([^/@]+(?:\/[^/@]+)?)(?:@(refs\/(?:convert|pr)\/[^/]+|[^/]+))?(?:\/(.*))?$/

/** The id and the part that an address of the Hub names: `hf://datasets/org/name@v1/data/*.parquet`. */
export function parseHubAddress(address: string): { readonly id: string; readonly part: PathOptions } {
  const [, id, given, path = ''] = ADDRESS.exec(address) ?? []
  if (id === undefined) {
    throw new OptionError(
      `[data] expected hf://datasets/OWNER/NAME, with @REVISION and /PATH where needed, got ${JSON.stringify(address)}; only data sets have rows`,
    )
  }
  const revision = given === '~parquet' ? CONVERTED : given === undefined ? undefined : decodeURIComponent(given)
  const isFile = /[*?[]|\.[^/]+$/.test(path)
  return {
    id,
    part: {
      ...(revision !== undefined && { revision }),
      ...(path !== '' && (isFile ? { dataFiles: path } : { dataDir: path })),
    },
  }
}

const ID = /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/

/** Whether a text may be the id of a data set: `org/name`. */
export function isDatasetId(text: string): boolean {
  return ID.test(text) && !text.includes('..') && !text.includes('--') && !isDataFile(text)
}
