/** @file Rows of a data set of the Hub, by its id. */

import { type HubDataset, openHubDataset } from '../../hub/fetch-dataset.js'
import { DataFile } from './data-file.js'
import type { PathOptions } from './dataset-entry.js'
import { chooseFiles, type DatasetChoice } from './dataset-files.js'
import type { FetchOptions } from './fetch-options.js'
import { locatedSource } from './file-source.js'
import { CONVERTED } from './hub-address.js'
import { type LocatedFile, localFile } from './located-file.js'
import type { RowSource } from './row-source.js'

const CARD = 'README.md'

/** What is read of a data set of the Hub. */
export interface HubPart extends PathOptions {
  readonly split: string | readonly string[]
}

/** The rows of one split. The commit that is read first is that of all readings of the source. */
export function hubSource(id: string, part: HubPart, { onEvent, ...fetching }: FetchOptions): RowSource {
  const { revision, token = fetching.token, streaming } = part
  const options = { ...fetching, ...(revision !== undefined && { revision }), ...(token !== undefined && { token }) }
  let opened: Promise<{ dataset: HubDataset; paths: readonly string[] }> | undefined
  const open = async (signal: AbortSignal | undefined): Promise<{ dataset: HubDataset; paths: readonly string[] }> => {
    const dataset = await openHubDataset(id, options, signal)
    const card = dataset.files.includes(CARD) ? await dataset.text(CARD, signal) : undefined
    const place = `"${id}"`
    const isConverted = revision === CONVERTED
    const layout = { place, kind: 'a data set', paths: dataset.files, card, isConverted, isForeign: true }
    return { dataset, paths: await chooseFiles(layout, part as DatasetChoice) }
  }
  return locatedSource(id, async (signal) => {
    opened ??= open(signal).catch((error: unknown) => {
      opened = undefined
      throw error
    })
    const { dataset, paths } = await opened
    let fetched: Promise<string[]> | undefined
    const local = async (index: number): Promise<LocatedFile> => {
      fetched ??= dataset.fetch(paths, signal, onEvent)
      return localFile((await fetched)[index] as string, locationOf(dataset, paths[index] as string))
    }
    return paths.map((path, index): LocatedFile => {
      const location = locationOf(dataset, path)
      const remote = async (...how: Parameters<LocatedFile['open']>): Promise<DataFile> =>
        DataFile.ofRemote(location, dataset.remote(path, signal), ...how)
      return {
        location,
        size: async () => (streaming ? dataset.sizeOf(path) : await (await local(index)).size()),
        open: streaming ? remote : async (...how) => await (await local(index)).open(...how),
        // The first answers for all: whether the files may be read is one question.
        ...(index === 0 && {
          peek: async () => {
            const cached = streaming ? undefined : await dataset.cached(path)
            return await (cached === undefined ? remote(() => {}) : localFile(cached, location).open(() => {}))
          },
        }),
      }
    })
  })
}

/** As fsspec and DuckDB write it, with the commit. */
function locationOf({ id, commit }: HubDataset, path: string): string {
  return `hf://datasets/${id}@${commit}/${path}`
}
