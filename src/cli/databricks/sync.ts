/** @file `lowrank databricks sync`: a directory made like another, one of them in a workspace. */

import { SYNC_DIRECTORY_OPTIONS, type SyncComparison } from '../../databricks/client/files/options.js'
import { pathTest } from '../../databricks/client/files/patterns.js'
import { isRemotePath, parseRemotePath } from '../../databricks/client/files/remote-path.js'
import type { Command } from '../command.js'
import { JSON_OBJECT } from '../flags.js'
import { UsageError } from '../usage-error.js'
import { CONNECTION_FLAGS, type ConnectionFlags, connectionOf } from './connection-flags.js'

interface SyncFlags extends ConnectionFlags {
  readonly compare: SyncComparison
  readonly delete?: boolean
  readonly dryRun?: boolean
  readonly exclude?: readonly string[]
  readonly include?: readonly string[]
  readonly concurrency: number
  readonly json?: boolean
}

interface Sync extends SyncFlags {
  readonly from: string
  readonly to: string
}

const PATH_HELP = 'a directory of this machine, or /Volumes/..., dbfs:/... or workspace:/...'
const { compare, exclude, include, concurrency, delete: deletion, dryRun } = SYNC_DIRECTORY_OPTIONS

export const command: Command<SyncFlags, Sync> = {
  summary: 'make a directory like another, one of them in a workspace',
  details:
    'Only files that differ are copied: those of another size, and those that were written after their copy. Links to ' +
    'directories, empty directories and notebooks are passed over.',
  arguments: [
    { name: 'from', help: PATH_HELP, otherwise: 'needed' },
    { name: 'to', help: PATH_HELP, otherwise: 'needed' },
  ],
  flags: {
    compare: { ...compare, flag: { name: '--compare', argument: 'how', group: 'Copy' } },
    delete: { rule: deletion.rule, help: 'remove from the target what the source lacks', flag: { name: '--delete' } },
    dryRun: { rule: dryRun.rule, help: 'tell what would be done, and do nothing', flag: { name: '--dry-run' } },
    exclude: {
      ...exclude,
      help: 'pattern of files to pass over, as .gitignore has it; may be given several times',
      flag: { name: '--exclude', argument: 'pattern', isRepeatable: true },
    },
    include: {
      ...include,
      help: 'pattern of files to copy; may be given several times',
      flag: { name: '--include', argument: 'pattern', isRepeatable: true },
    },
    concurrency: { ...concurrency, flag: { name: '--concurrency', argument: 'count' } },
    json: JSON_OBJECT,
    ...CONNECTION_FLAGS,
  },
  examples: [
    {
      text: 'Bring what is new into a volume, and see first what that is',
      line: 'databricks sync data /Volumes/c/s/v/data --exclude "*.tmp" --dry-run',
    },
    {
      text: 'Make a local folder like one of a volume',
      line: 'databricks sync /Volumes/main/risk/files/data data --delete',
    },
  ],
  check({ flags, words: [from, to] }) {
    if (from === undefined || to === undefined)
      throw new UsageError('[databricks sync] expected two directories, got fewer; write: databricks sync FROM TO')
    if (isRemotePath(from) === isRemotePath(to)) {
      throw new UsageError(
        '[databricks sync] expected one directory of this machine and one of a workspace (/Volumes/..., dbfs:/..., workspace:/...), got ' +
          `two ${isRemotePath(from) ? 'of a workspace' : 'of this machine'}; change one`,
      )
    }
    parseRemotePath(isRemotePath(from) ? from : to)
    pathTest([...(flags.exclude ?? []), ...(flags.include ?? [])])
    return { ...flags, from, to }
  },
  async run({ from, to, json, profile, host, ...options }) {
    const { showSync } = await import('./show-sync.js')
    const databricks = connectionOf({ ...(profile !== undefined && { profile }), ...(host !== undefined && { host }) })
    await showSync(from, to, { databricks, ...options }, { json: json === true, verb: 'Copied' })
  },
}
