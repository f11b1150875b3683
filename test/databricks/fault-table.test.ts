/**
 * @file Every fault of the loopback workspace at every request of every verb: what the verb gives back is right, or it
 * says clearly what failed; nothing is there twice, nothing half. It prints a table of the counts.
 */

import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  createDirectory,
  deleteFile,
  downloadFile,
  listDirectory,
  streamFile,
  uploadFile,
} from '../../src/databricks/client/files/files.js'
import { syncDirectory } from '../../src/databricks/client/files/sync.js'
import { FAULT_RULES, type FaultCase, type FaultVerb, tryFaults, withCase } from '../support/fault-cells.js'

const MIB = 2 ** 20
const VOLUME = '/Volumes/main/chat/files'
const SMALL = Buffer.from('a small file\n'.repeat(17))
const LARGE = Buffer.from(Uint8Array.from({ length: 10 * MIB + 3 }, (_, index) => (index * 13 + (index >> 11)) & 255))
const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

const kept = async ({ workspace }: FaultCase, path: string): Promise<Buffer | undefined> => {
  const { storage } = workspace.state
  if ((await storage.stat(path.slice(1))) === undefined) return undefined
  const pieces: Uint8Array[] = []
  for await (const piece of await storage.get(path.slice(1))) pieces.push(piece)
  return Buffer.concat(pieces)
}
const lay = async ({ workspace }: FaultCase, path: string, bytes: Uint8Array): Promise<void> => {
  await workspace.state.storage.put(
    path.slice(1),
    (async function* () {
      yield bytes
    })(),
  )
}

/** Whether an object is there as it should be, or, where that is enough, not at all. */
async function differs(one: FaultCase, path: string, wanted: Buffer, mayLack: boolean): Promise<string | undefined> {
  const found = await kept(one, path)
  const parts = await one.workspace.state.storage.openParts()
  if (parts > 0) return `${parts} parts are left`
  if (found === undefined) return mayLack ? undefined : `${path} is not there`
  return digest(found) === digest(wanted) ? undefined : `${path} has ${found.length} bytes, or others`
}

const VERBS: readonly FaultVerb[] = [
  {
    name: 'upload',
    run: ({ client }) => uploadFile(SMALL, `${VOLUME}/small`, { databricks: client }),
    mistake: (one) => differs(one, `${VOLUME}/small`, SMALL, false),
    half: (one) => differs(one, `${VOLUME}/small`, SMALL, true),
  },
  {
    name: 'upload in parts',
    run: ({ client }) => uploadFile(LARGE, `${VOLUME}/large`, { databricks: client, partSize: 5 * MIB }),
    mistake: (one) => differs(one, `${VOLUME}/large`, LARGE, false),
    half: (one) => differs(one, `${VOLUME}/large`, LARGE, true),
  },
  {
    name: 'download',
    prepare: (one) => lay(one, `${VOLUME}/file`, LARGE),
    run: ({ client, folder }) => downloadFile(`${VOLUME}/file`, join(folder, 'file'), { databricks: client }),
    mistake: ({ folder }) => Promise.resolve(fileDiffers(join(folder, 'file'), false)),
    half: ({ folder }) => Promise.resolve(fileDiffers(join(folder, 'file'), true)),
  },
  {
    name: 'stream',
    prepare: (one) => lay(one, `${VOLUME}/file`, LARGE),
    run: async ({ client }) => {
      const hash = createHash('sha256')
      for await (const piece of streamFile(`${VOLUME}/file`, { databricks: client })) hash.update(piece)
      return hash.digest('hex')
    },
    mistake: (_one, hash) => Promise.resolve(hash === digest(LARGE) ? undefined : 'other bytes came'),
  },
  {
    name: 'sync up',
    prepare: ({ folder }) => {
      mkdirSync(join(folder, 'tree/sub'), { recursive: true })
      for (const name of ['a', 'b', 'sub/c']) writeFileSync(join(folder, 'tree', name), SMALL)
      return Promise.resolve()
    },
    run: ({ client, folder }) => syncDirectory(join(folder, 'tree'), `dbfs:${VOLUME}/tree`, { databricks: client }),
    mistake: (one) => treeDiffers(one, false),
    half: (one) => treeDiffers(one, true),
  },
  {
    name: 'list',
    prepare: async (one) => {
      for (let index = 0; index < 5; index++) await lay(one, `${VOLUME}/list/${index}`, SMALL)
    },
    run: async ({ client }) => {
      const names: string[] = []
      for await (const { path } of listDirectory(`${VOLUME}/list`, { databricks: client })) names.push(path)
      return names.sort().join(' ')
    },
    mistake: (_one, names) => {
      const wanted = [0, 1, 2, 3, 4].map((index) => `${VOLUME}/list/${index}`).join(' ')
      return Promise.resolve(names === wanted ? undefined : `it listed ${String(names)}`)
    },
  },
  {
    name: 'make directory',
    run: ({ client }) => createDirectory(`${VOLUME}/new/one`, { databricks: client }),
    mistake: async ({ client }) => {
      const entries = []
      for await (const entry of listDirectory(`${VOLUME}/new`, { databricks: client })) entries.push(entry)
      return entries.length === 1 ? undefined : `${entries.length} directories are there`
    },
  },
  {
    name: 'delete',
    prepare: (one) => lay(one, `${VOLUME}/old`, SMALL),
    run: ({ client }) => deleteFile(`${VOLUME}/old`, { databricks: client }),
    mistake: async (one) => ((await kept(one, `${VOLUME}/old`)) === undefined ? undefined : 'the file is still there'),
  },
  {
    name: 'DBFS upload',
    run: ({ client }) => uploadFile(LARGE.subarray(0, 2 * MIB + 1), 'dbfs:/faults/file', { databricks: client }),
    mistake: async ({ client }) => {
      const hash = createHash('sha256')
      for await (const piece of streamFile('dbfs:/faults/file', { databricks: client })) hash.update(piece)
      return hash.digest('hex') === digest(LARGE.subarray(0, 2 * MIB + 1)) ? undefined : 'other bytes are there'
    },
  },
  {
    name: 'workspace import',
    prepare: ({ client }) => createDirectory('workspace:/Users/someone@example.com', { databricks: client }),
    run: ({ client }) => uploadFile(SMALL, 'workspace:/Users/someone@example.com/n.txt', { databricks: client }),
    mistake: async ({ client }) => {
      const pieces: Uint8Array[] = []
      for await (const piece of streamFile('workspace:/Users/someone@example.com/n.txt', { databricks: client }))
        pieces.push(piece)
      return Buffer.concat(pieces).equals(SMALL) ? undefined : 'other bytes are there'
    },
  },
]

function fileDiffers(path: string, mayLack: boolean): string | undefined {
  if (!existsSync(path)) return mayLack ? undefined : 'the file is not there'
  return digest(readFileSync(path)) === digest(LARGE) ? undefined : 'the file has other bytes'
}

async function treeDiffers(one: FaultCase, mayLack: boolean): Promise<string | undefined> {
  for (const name of ['a', 'b', 'sub/c']) {
    const mistake = await differs(one, `${VOLUME}/tree/${name}`, SMALL, mayLack)
    if (mistake !== undefined) return mistake
  }
  const found = await one.workspace.state.storage.list(`${VOLUME.slice(1)}/tree/`)
  return found.length > 3 ? `${found.length} files are there` : undefined
}

test('every fault at every request of every verb leaves what is right, or a clear error and nothing half', async () => {
  // In short, each pair of verb and fault has one place, another one from pair to pair, and every third pair runs.
  const { counts, cells, wrong } = await tryFaults(VERBS, FAULT_RULES, 3)
  console.table(counts)
  expect(wrong).toEqual([])
  expect(Object.values(counts).reduce((sum, { right }) => sum + right, 0)).toBeGreaterThan(cells / 2)
})

test.each([-7_200_000, 7_200_000])('a clock that is %s ms off changes nothing for files', async (clockOffset) => {
  for (const verb of VERBS.filter(({ name }) => /upload in parts|download|stream/.test(name)))
    await withCase(verb, async (one) => {
      one.workspace.state.clockOffset = clockOffset
      expect([verb.name, await verb.mistake(one, await verb.run(one))]).toEqual([verb.name, undefined])
    })
})
