/** @file The storage behind the presigned addresses of the loopback workspace: signatures, ends, parts, ranges. */

import { afterEach, describe, expect, test } from 'vitest'
import type { ObjectStorage, PresignedAccess } from '../../src/testing/object-storage.js'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'

const KEY = 'Volumes/c/s/v/a b/ü.bin'
let workspace: LoopbackWorkspace
afterEach(() => workspace.close())

async function start(cloud: ObjectStorage['cloud']): Promise<ObjectStorage> {
  workspace = await startWorkspace({ cloud })
  return workspace.state.storage
}

async function send(
  storage: ObjectStorage,
  access: Partial<PresignedAccess> & Pick<PresignedAccess, 'method'>,
  init: RequestInit = {},
): Promise<Response> {
  const { url, headers } = await storage.presign({ key: KEY, expires: workspace.state.now() + 60_000, ...access })
  const sent = Object.fromEntries(headers.map(({ name, value }) => [name, value]))
  return fetch(url, { method: access.method, ...init, headers: { ...sent, ...init.headers } })
}

describe.each(['AWS', 'Azure', 'GCP'] as const)('the storage of %s', (cloud) => {
  test('a presigned address takes and gives an object, whole and in ranges', async () => {
    const storage = await start(cloud)
    expect((await send(storage, { method: 'PUT' }, { body: 'abcdefgh' })).ok).toBe(true)
    expect(await (await send(storage, { method: 'GET' })).text()).toBe('abcdefgh')
    const part = await send(storage, { method: 'GET' }, { headers: { range: 'bytes=2-4' } })
    expect([part.status, part.headers.get('content-range'), await part.text()]).toEqual([206, 'bytes 2-4/8', 'cde'])
    expect((await send(storage, { method: 'GET' }, { headers: { range: 'bytes=8-' } })).status).toBe(416)
  })

  test('an address is refused with an authorization, for another method, and when its time is over', async () => {
    const storage = await start(cloud)
    await storage.put(KEY, asyncOf('abc'))
    const withToken = await send(storage, { method: 'GET' }, { headers: { authorization: 'Bearer x' } })
    expect(withToken.status).toBe(400)
    const { url } = await storage.presign({ method: 'GET', key: KEY, expires: workspace.state.now() + 60_000 })
    expect((await fetch(url, { method: 'PUT', body: 'x', headers: { 'x-ms-blob-type': 'BlockBlob' } })).status).toBe(
      403,
    )
    workspace.state.clockOffset = 61_000
    const late = await fetch(url)
    const said = {
      AWS: 'Request has expired',
      Azure: 'Signature not valid in the specified time frame',
      GCP: 'ExpiredToken',
    }
    expect([late.status, await late.text()]).toEqual([
      cloud === 'GCP' ? 400 : 403,
      expect.stringContaining(said[cloud]),
    ])
    expect(JSON.stringify(workspace.requests)).not.toContain(new URL(url).search.split('=').at(-1))
  })

  test('parts become an object when the upload is complete, and are gone when it is aborted', async () => {
    const storage = await start(cloud)
    const uploadId = await storage.startUpload(KEY)
    const parts = []
    for (const number of [2, 1]) {
      const answer = await send(storage, { method: 'PUT', part: { uploadId, number } }, { body: `part ${number};` })
      parts.unshift({ part_number: number, etag: answer.headers.get('etag') ?? '' })
    }
    expect(parts[0]?.etag === '').toBe(cloud === 'Azure')
    expect([await storage.openParts(), await storage.stat(KEY)]).toEqual([2, undefined])
    await storage.completeUpload(KEY, uploadId, parts)
    expect(await (await send(storage, { method: 'GET' }, { headers: { range: 'bytes=4-10' } })).text()).toBe(' 1;part')
    const second = await storage.startUpload(KEY)
    await send(storage, { method: 'PUT', part: { uploadId: second, number: 1 } }, { body: 'x' })
    await storage.abortUpload(KEY, second)
    expect([await storage.openParts(), (await storage.stat(KEY))?.size]).toEqual([0, 14])
  })
})

test('a part that was not uploaded, or not with that ETag, completes nothing', async () => {
  const storage = await start('AWS')
  const uploadId = await storage.startUpload(KEY)
  await expect(storage.completeUpload(KEY, uploadId, [{ part_number: 1, etag: '"x"' }])).rejects.toThrow(
    'Part 1 was not uploaded, or not with this ETag.',
  )
  expect(await storage.stat(KEY)).toBeUndefined()
})

test('a body that is cut off leaves the object as it was', async () => {
  const storage = await start('AWS')
  await storage.put(KEY, asyncOf('before'))
  workspace.fail({ host: 'storage', path: /Volumes/, with: { cutRequestAfter: 1000 } })
  await expect(send(storage, { method: 'PUT' }, { body: new Uint8Array(2_000_001) })).rejects.toThrow('fetch failed')
  const failing = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from('half')
    throw new Error('gone')
  }
  await expect(storage.put(KEY, failing())).rejects.toThrow('gone')
  expect(await (await send(storage, { method: 'GET' })).text()).toBe('before')
  expect((await storage.list('Volumes/')).map(({ key, size }) => [key, size])).toEqual([[KEY, 6]])
})

async function* asyncOf(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text)
}
