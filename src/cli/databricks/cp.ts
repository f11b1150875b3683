/** @file `lowrank databricks cp`: one file to or from a workspace, or within it; a directory with --recursive. */

import { existsSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { formatBytes } from '../../bytes.js'
import type { TransferEvent } from '../../databricks/client/files/entries.js'
import { baseNameOf, isRemotePath, joinRemote, parseRemotePath } from '../../databricks/client/files/remote-path.js'
import { boolean } from '../../options/rules.js'
import { createBar } from '../../progress/progress.js'
import type { Command } from '../command.js'
import { JSON_OBJECT } from '../flags.js'
import { untilSignal } from '../until-signal.js'
import { UsageError } from '../usage-error.js'
import { CONNECTION_FLAGS, type ConnectionFlags, connectionOf } from './connection-flags.js'
import { showSync } from './show-sync.js'

interface CpFlags extends ConnectionFlags {
  readonly recursive?: boolean
  readonly overwrite?: boolean
  readonly json?: boolean
}

interface Cp extends CpFlags {
  readonly from: string
  readonly to: string
}

const PATH_HELP = 'a path of this machine, or /Volumes/..., dbfs:/... or workspace:/...'

export const command: Command<CpFlags, Cp> = {
  summary: 'copy a file to or from a volume, DBFS or the workspace',
  details:
    'From 50 MiB on a file goes to a volume in parts. A copy that was killed goes on the next time; one that fails leaves ' +
    'nothing behind. A target that ends in a slash, or a local directory, gets the file under its own name.',
  arguments: [
    { name: 'from', help: PATH_HELP, otherwise: 'needed' },
    { name: 'to', help: PATH_HELP, otherwise: 'needed' },
  ],
  flags: {
    recursive: {
      rule: boolean,
      help: 'copy a directory with all that lies below, whatever the target has',
      flag: { name: '--recursive', group: 'Copy' },
    },
    overwrite: {
      rule: boolean,
      help: 'replace a file that is there; else it is an error',
      flag: { name: '--overwrite' },
    },
    json: JSON_OBJECT,
    ...CONNECTION_FLAGS,
  },
  examples: [
    { text: 'Bring rows into a volume', line: 'databricks cp rows.parquet /Volumes/main/risk/files/' },
    { text: 'Fetch a folder', line: 'databricks cp dbfs:/exports exports --recursive' },
  ],
  check({ flags, words: [from, to] }) {
    if (from === undefined || to === undefined)
      throw new UsageError('[databricks cp] expected two paths, got fewer; write: databricks cp FROM TO')
    if (!isRemotePath(from) && !isRemotePath(to)) {
      throw new UsageError(
        '[databricks cp] expected a path of a workspace (/Volumes/..., dbfs:/..., workspace:/...) on one side, got two of this machine; change one',
      )
    }
    for (const path of [from, to]) if (isRemotePath(path)) parseRemotePath(path)
    if (flags.recursive && isRemotePath(from) && isRemotePath(to))
      throw new UsageError(
        '[databricks cp] expected --recursive with one local directory, got two of a workspace; copy over a local one',
      )
    if (!isRemotePath(from) && !existsSync(from))
      throw new UsageError(`[databricks cp] expected a file at ${from}, got nothing there; check the path`)
    if (!flags.recursive && !isRemotePath(from) && statSync(from).isDirectory())
      throw new UsageError(`[databricks cp] expected a file at ${from}, got a directory; add --recursive`)
    return { ...flags, from, to }
  },
  async run({ from, to, recursive, overwrite = false, json, ...connection }) {
    const databricks = connectionOf(connection)
    if (recursive) {
      await showSync(from, to, { databricks, compare: 'always' }, { json: json === true, verb: 'Copied' })
      return
    }
    const { downloadFile, streamFile, uploadFile } = await import('../../databricks/client/files/files.js')
    const target = targetOf(from, to)
    const bar = createBar()
    const onProgress = ({ type, bytes, totalBytes }: TransferEvent): void => {
      const text = totalBytes === undefined ? formatBytes(bytes) : `${formatBytes(bytes)} of ${formatBytes(totalBytes)}`
      const label = { text: type === 'upload' ? 'Uploading' : 'Fetching', importance: 1 }
      bar.show({ label, fraction: totalBytes && bytes / totalBytes, parts: [{ text, importance: 2 }] })
    }
    const { bytes, resumedBytes } = await untilSignal(async (signal) => {
      const options = { databricks, signal, overwrite, onProgress }
      if (!isRemotePath(target)) return await downloadFile(from, target, options)
      return await uploadFile(isRemotePath(from) ? streamFile(from, { databricks, signal }) : from, target, options)
    }).finally(() => bar.close())
    const resumed = resumedBytes > 0 ? `, ${formatBytes(resumedBytes)} of them from before` : ''
    if (json) process.stdout.write(`${JSON.stringify({ from, to: target, bytes, resumedBytes })}\n`)
    else process.stdout.write(`Copied ${formatBytes(bytes)} to ${target}${resumed}\n`)
  },
}

/** The file that is written: within a directory, one of the same name. */
function targetOf(from: string, to: string): string {
  const name = isRemotePath(from) ? baseNameOf(from.replace(/\/+$/, '')) : basename(from)
  if (isRemotePath(to)) return to.endsWith('/') ? joinRemote(to.replace(/\/+$/, ''), name) : to
  const isDirectory = to.endsWith('/') || (existsSync(to) && statSync(to).isDirectory())
  return isDirectory ? join(to, name) : to
}
