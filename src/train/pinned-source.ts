/**
 * @file Data sets of the Hub with the commit that was read, tables of Unity Catalog with the version: who repeats a run
 * reads the same rows, whatever a branch or a table holds by then. Reads nothing.
 */

import { isEntry, isEntryList } from '../data/sources/dataset-entry.js'
import { CONVERTED, isDatasetId, parseHubAddress } from '../data/sources/hub-address.js'
import { isPath } from '../data/sources/open-source.js'

const LOCATION = /^hf:\/\/datasets\/([^/@]+(?:\/[^/@]+)?)@([0-9a-f]{40})\//
const TABLE = /^(uc:\/\/[^@]+)@v(\d+)$/
const ADDRESS = /^(hf:\/\/datasets\/[^/@]+(?:\/[^/@]+)?)(?:@(?:refs\/pr\/[^/]+|[^/]+))?(?=\/|$)/

/**
 * `source` with the commits and versions that the files and tables of its rows name. Where one data set was read at two
 * commits, it stays as it is.
 */
export function pinnedSource(source: unknown, locations: Iterable<string>): unknown {
  const commits = new Map<string, string | undefined>()
  for (const location of locations) {
    const [, id, commit] = LOCATION.exec(location) ?? TABLE.exec(location) ?? []
    if (id !== undefined) commits.set(id, commits.has(id) && commits.get(id) !== commit ? undefined : commit)
  }
  return commits.size === 0 ? source : pinned(source, commits)
}

type Commits = ReadonlyMap<string, string | undefined>

function pinned(source: unknown, commits: Commits): unknown {
  if (typeof source === 'string') {
    if (source.startsWith('hf://')) return pinnedAddress(source, commits)
    const version = source.startsWith('uc://') ? commits.get(source) : undefined
    if (version !== undefined) return `${source}@v${version}`
    const commit = commitOf(source, commits)
    return commit === undefined ? source : `hf://datasets/${source}@${commit}`
  }
  const list: readonly unknown[] = Array.isArray(source) ? source : []
  if (list.length > 0 && (isEntryList(list) || list.every((each) => typeof each === 'string')))
    return list.map((each: unknown) => pinned(each, commits))
  if (!isEntry(source)) return source
  if ('mix' in source) return { ...source, mix: source.mix.map((each) => pinned(each, commits)) }
  const { path, revision } = source
  if (typeof path !== 'string' || /^(?:hf|uc):\/\//.test(path) || revision === CONVERTED)
    return { ...source, ...(revision !== CONVERTED && { path: pinned(path, commits) }) }
  const commit = commitOf(path, commits)
  return commit === undefined ? source : { ...source, revision: commit }
}

/** What the Hub converted is known by its revision: a commit of it would be read as any other. */
function pinnedAddress(address: string, commits: Commits): string {
  const { id, part } = parseHubAddress(address)
  const commit = commits.get(id)
  if (commit === undefined || part.revision === CONVERTED) return address
  return address.replace(ADDRESS, (_, start: string) => `${start}@${commit}`)
}

function commitOf(id: string, commits: Commits): string | undefined {
  return isDatasetId(id) && !isPath(id) ? commits.get(id) : undefined
}
