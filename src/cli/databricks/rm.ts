/** @file `lowrank databricks rm`: removes a file or directory of a workspace. */

import { parseRemotePath } from '../../databricks/client/files/remote-path.js'
import { boolean } from '../../options/rules.js'
import type { Command } from '../command.js'
import { JSON_OBJECT } from '../flags.js'
import { untilSignal } from '../until-signal.js'
import { UsageError } from '../usage-error.js'
import { CONNECTION_FLAGS, type ConnectionFlags, connectionOf } from './connection-flags.js'

interface RmFlags extends ConnectionFlags {
  readonly recursive?: boolean
  readonly json?: boolean
}

interface Rm extends RmFlags {
  readonly path: string
}

export const command: Command<RmFlags, Rm> = {
  summary: 'remove a file or a directory of a volume, of DBFS or of the workspace',
  arguments: [
    { name: 'path', help: '/Volumes/CATALOG/SCHEMA/VOLUME/..., dbfs:/... or workspace:/...', otherwise: 'needed' },
  ],
  flags: {
    recursive: {
      rule: boolean,
      help: 'remove a directory with all that lies below',
      flag: { name: '--recursive', group: 'Removal' },
    },
    json: JSON_OBJECT,
    ...CONNECTION_FLAGS,
  },
  examples: [{ text: 'Remove a folder of a volume', line: 'databricks rm /Volumes/main/risk/files/old --recursive' }],
  check({ flags, words: [path] }) {
    if (path === undefined) throw new UsageError('[databricks rm] expected a path of the workspace, got nothing')
    const { kind, path: inside } = parseRemotePath(path)
    if (inside === '/' || (kind === 'volume' && inside.split('/').length < 6)) {
      throw new UsageError(
        `[databricks rm] expected a file or a directory within a volume, DBFS or the workspace, got ${path}; name what lies in it`,
      )
    }
    return { ...flags, path }
  },
  async run({ path, recursive, json, ...connection }) {
    const { deleteDirectory, deleteFile, getMetadata } = await import('../../databricks/client/files/files.js')
    const databricks = connectionOf(connection)
    const removed = await untilSignal(async (signal) => {
      const options = { databricks, signal }
      const there = await getMetadata(path, options)
      if (there === undefined) return false
      return there.isDirectory
        ? await deleteDirectory(path, { ...options, ...(recursive && { recursive }) })
        : await deleteFile(path, options)
    })
    if (json) process.stdout.write(`${JSON.stringify({ path, removed })}\n`)
    else process.stdout.write(removed ? `Removed ${path}\n` : `Nothing is at ${path}\n`)
  },
}
