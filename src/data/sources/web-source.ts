/** @file Rows of a file on any server, by its address. */

import { join } from 'node:path'
import { cacheDirectory } from '../../cache-directory.js'
import { RemoteBytes } from '../../hub/remote-bytes.js'
import { type HubSettings, readHubSettings } from '../../hub/settings.js'
import { fetchWebFile } from '../../hub/web-file.js'
import { shownAddress, webTarget } from '../../hub/web-target.js'
import { OptionError } from '../../lowrank-error.js'
import { DataFile } from './data-file.js'
import type { FetchOptions } from './fetch-options.js'
import { locatedSource } from './file-source.js'
import { type LocatedFile, localFile } from './located-file.js'
import type { RowSource } from './row-source.js'

/** Milliseconds between two events. */
const EVENT_INTERVAL = 100

/**
 * The rows of a file by its address.
 * @param streaming Whether nothing is stored; else the file goes into the cache, from where it is read
 * @throws OptionError for an address that is not asked
 */
export function webSource(address: string, options: FetchOptions, streaming: boolean): RowSource {
  const location = shownAddress(address)
  // The content that was fetched is that of all readings of a source.
  let path: Promise<string> | undefined
  const fetched = (settings: HubSettings, signal: AbortSignal | undefined): Promise<string> => {
    path ??= fetchTo(address, location, settings, options.onEvent, signal)
    return path.catch((error: unknown) => {
      path = undefined
      throw error
    })
  }
  return locatedSource(location, async (signal) => {
    const settings = await readHubSettings(options)
    const remote = (): RemoteBytes => new RemoteBytes(address, webTarget(address, settings), signal)
    if (streaming && settings.offline !== undefined) {
      throw new OptionError(
        `[data] expected streaming of ${location} with a network, got ${settings.offline}; remove one`,
      )
    }
    const file: LocatedFile = streaming
      ? {
          location,
          size: async () => undefined,
          open: async (onBytes, needsHash) => DataFile.ofRemote(location, remote(), onBytes, needsHash),
          peek: async () => DataFile.ofRemote(location, remote()),
        }
      : {
          location,
          size: async () => await localFile(await fetched(settings, signal)).size(),
          open: async (...how) => await localFile(await fetched(settings, signal), location).open(...how),
          peek: async () =>
            settings.offline === undefined
              ? DataFile.ofRemote(location, remote())
              : await localFile(await fetched(settings, signal), location).open(() => {}),
        }
    return [file]
  })
}

async function fetchTo(
  address: string,
  location: string,
  settings: HubSettings,
  onEvent: FetchOptions['onEvent'],
  signal: AbortSignal | undefined,
): Promise<string> {
  let last = 0
  return await fetchWebFile(address, {
    settings,
    directory: join(cacheDirectory(), 'downloads'),
    signal,
    onBytes: (bytes, total) => {
      if (total === undefined || (bytes < total && performance.now() - last < EVENT_INTERVAL)) return
      last = performance.now()
      onEvent?.({ type: 'download', model: location, revision: '', files: 1, bytes, totalBytes: total })
    },
  })
}
