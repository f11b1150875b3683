/** @file Uploads and downloads through presigned addresses of SeaweedFS (S3 signatures) and Azurite (shared access). */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { downloadFile, streamFile, uploadFile } from '../../src/databricks/client/files/files.js'
import type { ObjectStorage } from '../../src/testing/object-storage.js'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'
import { startAzurite, startSeaweed } from './object-servers.js'
import { describeWithPython } from './python.js'

const MIB = 2 ** 20
const TARGET = '/Volumes/main/chat/files/a b/ü+#.bin'
const CONTENT = Buffer.from(
  Uint8Array.from({ length: 17 * MIB + 17 }, (_, index) => (index * 31 + (index >> 13)) & 255),
)

describeWithPython('storage of others behind presigned addresses', () => {
  describe.each([
    ['SeaweedFS', startSeaweed],
    ['Azurite', startAzurite],
  ] as const)('%s', (name, start) => {
    let store: ObjectStorage
    let folder: string
    let workspace: LoopbackWorkspace
    /** Addresses that are given out with a time that is over. */
    let expired: number
    beforeAll(async () => {
      store = await start()
      folder = await mkdtemp(join(tmpdir(), 'lowrank-stores-'))
    })
    afterAll(async () => {
      await store.close()
      await rm(folder, { recursive: true, force: true })
    })
    beforeEach(async () => {
      expired = 0
      const storage: ObjectStorage = {
        ...store,
        presign: (access) => store.presign(expired-- > 0 ? { ...access, expires: Date.now() - 60_000 } : access),
        close: () => Promise.resolve(),
      }
      workspace = await startWorkspace({ storage })
    })
    afterEach(() => workspace.close())
    const databricks = (): { host: string; token: string } => ({ host: workspace.url, token: workspace.token })

    test('takes a file in parts with its own signatures, and gives it back whole and in ranges', async () => {
      await writeFile(join(folder, 'in.bin'), CONTENT)
      await uploadFile(join(folder, 'in.bin'), TARGET, { databricks: databricks(), partSize: 5 * MIB })
      expect(await store.openParts()).toBe(0)
      expect((await store.stat(TARGET.slice(1)))?.size).toBe(CONTENT.length)
      await downloadFile(TARGET, join(folder, 'out.bin'), { databricks: databricks() })
      expect((await readFile(join(folder, 'out.bin'))).equals(CONTENT)).toBe(true)
      const pieces: Uint8Array[] = []
      for await (const piece of streamFile(TARGET, { databricks: databricks() })) pieces.push(piece)
      expect(Buffer.concat(pieces).equals(CONTENT)).toBe(true)
      const { url } = await store.presign({ method: 'GET', key: TARGET.slice(1), expires: Date.now() + 60_000 })
      const part = await fetch(url, { headers: { range: `bytes=${5 * MIB - 3}-${5 * MIB + 2}` } })
      const bytes = Buffer.from(await part.arrayBuffer())
      expect([part.status, bytes.equals(CONTENT.subarray(5 * MIB - 3, 5 * MIB + 3))]).toEqual([206, true])
      // Nothing went through the workspace itself but what asked for addresses.
      expect(workspace.requests.every(({ contentLength = 0 }) => contentLength < 100_000)).toBe(true)
    })

    test('refuses an address that is signed for another object, another method or with a changed end', async () => {
      await store.put(
        'Volumes/a',
        (async function* () {
          yield Buffer.from('abc')
        })(),
      )
      const { url, headers } = await store.presign({ method: 'GET', key: 'Volumes/a', expires: Date.now() + 60_000 })
      expect(headers).toEqual([])
      const changed = url.replace(name === 'Azurite' ? /se=[^&]*/ : /X-Amz-Expires=[^&]*/, (text) => `${text}1`)
      for (const each of [changed, url.replace('/a?', '/b?')]) {
        const { status } = await fetch(each)
        expect([400, 403, 404]).toContain(status)
      }
      const blob = await store.presign({ method: 'PUT', key: 'Volumes/blob', expires: Date.now() + 60_000 })
      expect(blob.headers.map(({ name: header }) => header)).toEqual(name === 'Azurite' ? ['x-ms-blob-type'] : [])
      const without = await fetch(blob.url, { method: 'PUT', body: 'x' })
      expect(without.ok).toBe(name !== 'Azurite')
    })

    if (name === 'SeaweedFS')
      test('expired addresses of parts and downloads are renewed', async () => {
        await writeFile(join(folder, 'in.bin'), CONTENT)
        expired = 2
        await uploadFile(join(folder, 'in.bin'), TARGET, { databricks: databricks(), partSize: 5 * MIB })
        expect(expired).toBeLessThan(0)
        expired = 1
        await downloadFile(TARGET, join(folder, 'again.bin'), { databricks: databricks() })
        expect(expired).toBeLessThan(0)
        expect((await readFile(join(folder, 'again.bin'))).equals(CONTENT)).toBe(true)
        expect(await store.openParts()).toBe(0)
      })
  })
})
