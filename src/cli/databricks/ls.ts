/** @file `lowrank databricks ls`: what a directory of a workspace holds. */

import { formatBytes } from '../../bytes.js'
import type { DirectoryEntry } from '../../databricks/client/files/entries.js'
import { parseRemotePath } from '../../databricks/client/files/remote-path.js'
import { boolean } from '../../options/rules.js'
import { harmless } from '../../progress/text-width.js'
import type { Command } from '../command.js'
import { untilSignal } from '../until-signal.js'
import { UsageError } from '../usage-error.js'
import { CONNECTION_FLAGS, type ConnectionFlags, connectionOf } from './connection-flags.js'

interface LsFlags extends ConnectionFlags {
  readonly recursive?: boolean
  readonly json?: boolean
}

interface Ls extends LsFlags {
  readonly path: string
}

export const command: Command<LsFlags, Ls> = {
  summary: 'list files of a volume, of DBFS or of the workspace',
  arguments: [
    { name: 'path', help: '/Volumes/CATALOG/SCHEMA/VOLUME/..., dbfs:/... or workspace:/...', otherwise: 'needed' },
  ],
  flags: {
    recursive: {
      rule: boolean,
      help: 'list what lies below too',
      flag: { name: '--recursive', group: 'Output' },
    },
    json: {
      rule: boolean,
      help: 'write each entry as a line of JSON to stdout',
      flag: { name: '--json' },
    },
    ...CONNECTION_FLAGS,
  },
  examples: [
    { text: 'See the files of a volume', line: 'databricks ls /Volumes/main/risk/files' },
    { text: 'Count all files below a folder', line: 'databricks ls dbfs:/tmp --recursive --json | wc -l' },
  ],
  check({ flags, words: [path] }) {
    if (path === undefined) throw new UsageError('[databricks ls] expected a path of the workspace, got nothing')
    parseRemotePath(path)
    return { ...flags, path }
  },
  async run({ path, recursive, json, ...connection }) {
    const { listDirectory } = await import('../../databricks/client/files/files.js')
    const databricks = connectionOf(connection)
    await untilSignal(async (signal) => {
      const rows: DirectoryEntry[] = []
      for await (const entry of listDirectory(path, { databricks, signal, ...(recursive && { recursive }) })) {
        if (json) process.stdout.write(`${JSON.stringify(entry)}\n`)
        else rows.push(entry)
      }
      if (!json) process.stdout.write(tableOf(rows, recursive === true))
    })
  },
}

/** Size, time and name, in columns. */
function tableOf(entries: readonly DirectoryEntry[], isRecursive: boolean): string {
  const rows = entries.map(({ isDirectory, objectType, fileSize, lastModified, name, path }) => [
    fileSize === undefined ? (objectType ?? 'DIRECTORY').toLowerCase() : formatBytes(fileSize),
    lastModified ? new Date(lastModified).toISOString().slice(0, 16).replace('T', ' ') : '',
    harmless((isRecursive ? path : name) + (isDirectory ? '/' : '')),
  ])
  const widths = [0, 1].map((column) => Math.max(0, ...rows.map((row) => row[column]?.length ?? 0)))
  return rows
    .map(
      ([size = '', time = '', name = '']) =>
        `${size.padStart(widths[0] ?? 0)}  ${time.padEnd(widths[1] ?? 0)}  ${name}\n`,
    )
    .join('')
}
