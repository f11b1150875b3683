/** @file A loopback workspace with a cache of its own, for tests of files. */

import { randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach } from 'vitest'
import { connectDatabricks, type DatabricksClient } from '../../../../src/databricks/client/connect.js'
import { openUploads } from '../../../../src/testing/routes/files.js'
import { type LoopbackWorkspace, startWorkspace, type WorkspaceOptions } from '../../../../src/testing/workspace.js'
import { temporaryDirectory } from '../../../support/tiny-model.js'

export const MIB = 2 ** 20
export const VOLUME = '/Volumes/main/risk/files'

export interface FilesWorkspace {
  readonly workspace: LoopbackWorkspace
  readonly client: DatabricksClient
  /** A folder of this test. */
  readonly folder: string
}

const started: LoopbackWorkspace[] = []
const { LOWRANK_CACHE } = process.env

beforeEach(() => {
  process.env.LOWRANK_CACHE = join(temporaryDirectory(), 'cache')
})
afterEach(async () => {
  for (const workspace of started.splice(0)) await workspace.close()
})
afterAll(() => {
  if (LOWRANK_CACHE === undefined) delete process.env.LOWRANK_CACHE
  else process.env.LOWRANK_CACHE = LOWRANK_CACHE
})

export async function filesWorkspace(options: WorkspaceOptions = {}): Promise<FilesWorkspace> {
  const workspace = await startWorkspace(options)
  started.push(workspace)
  const client = await connectDatabricks({ host: workspace.url, token: workspace.token })
  return { workspace, client, folder: temporaryDirectory() }
}

/** What is left of uploads: sessions and parts in the workspace, records on this machine. */
export async function leftOf({ workspace }: FilesWorkspace): Promise<object> {
  const records = await readdir(join(process.env.LOWRANK_CACHE as string, 'databricks', 'uploads')).catch(() => [])
  return {
    sessions: openUploads(workspace.state),
    parts: await workspace.state.storage.openParts(),
    records: records.length,
  }
}

export const NOTHING_LEFT = { sessions: 0, parts: 0, records: 0 }

/** Bytes that no part shares with another. */
export function randomContent(bytes: number): Buffer {
  return randomBytes(bytes)
}

/** The bytes that the workspace has at a path. */
export async function contentOf({ workspace }: FilesWorkspace, path: string): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of await workspace.state.storage.get(path.slice(1))) pieces.push(piece)
  return Buffer.concat(pieces)
}
