/** @file Uploads to volumes: one request or parts, faults at each call, and that nothing is left behind. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { uploadFile } from '../../../../src/databricks/client/files/files.js'
import { planParts } from '../../../../src/databricks/client/files/part-plan.js'
import { FAULTS } from '../../../../src/testing/faults.js'
import { contentOf, filesWorkspace, leftOf, MIB, NOTHING_LEFT, randomContent, VOLUME } from './files-workspace.js'

const PART = 5 * MIB
const large = randomContent(2 * PART + 1_000_003)

describe('uploads to a volume', () => {
  it('sends a small file in one request with its length, and makes its directories where the service asks for them', async () => {
    const files = await filesWorkspace()
    files.workspace.fail({
      method: 'PUT',
      path: /fs\/files/,
      with: { status: 404, body: { error_code: 'NOT_FOUND', message: 'no directory' } },
    })
    const bytes = randomContent(70_001)
    const result = await uploadFile(bytes, `dbfs:${VOLUME}/new folder/a#1%.bin`, { databricks: files.client })
    expect(result).toEqual({ path: `${VOLUME}/new folder/a#1%.bin`, bytes: 70_001, parts: 1, resumedBytes: 0 })
    expect((await contentOf(files, `${VOLUME}/new folder/a#1%.bin`)).equals(bytes)).toBe(true)
    const seen = files.workspace.requests.map(({ method, path, headers }) => [method, path, headers['content-length']])
    const path = `${VOLUME}/new%20folder/a%231%25.bin`
    expect(seen).toEqual([
      ['PUT', `/api/2.0/fs/files${path}`, '70001'],
      ['PUT', `/api/2.0/fs/directories${VOLUME}/new%20folder`, '0'],
      ['PUT', `/api/2.0/fs/files${path}`, '70001'],
    ])
  })

  it('sends an empty file with a length of 0', async () => {
    const files = await filesWorkspace()
    await uploadFile(new Uint8Array(), `${VOLUME}/empty`, { databricks: files.client })
    expect(files.workspace.requests[0]?.headers['content-length']).toBe('0')
    expect((await contentOf(files, `${VOLUME}/empty`)).length).toBe(0)
  })

  it('refuses a file that is there where overwriting is not wanted, whatever its size', async () => {
    const files = await filesWorkspace()
    const options = { databricks: files.client, overwrite: false, partSize: PART }
    for (const bytes of [large.subarray(0, 11), large]) {
      const path = `${VOLUME}/once-${bytes.length}`
      await uploadFile(bytes, path, options)
      await expect(uploadFile(bytes, path, options)).rejects.toMatchObject({
        code: 'SERVICE',
        errorCode: 'ALREADY_EXISTS',
      })
    }
    expect(await leftOf(files)).toEqual(NOTHING_LEFT)
  })

  it.each(['AWS', 'Azure'] as const)('sends parts to the storage of %s without authorization', async (cloud) => {
    const files = await filesWorkspace({ cloud })
    const file = join(files.folder, 'large.bin')
    writeFileSync(file, large)
    const seen: number[] = []
    const onProgress = ({ bytes }: { bytes: number }): void => void seen.push(bytes)
    const result = await uploadFile(file, `${VOLUME}/large.bin`, {
      databricks: files.client,
      partSize: PART,
      onProgress,
    })
    expect(result).toMatchObject({ bytes: large.length, parts: 3, resumedBytes: 0 })
    expect((await contentOf(files, `${VOLUME}/large.bin`)).equals(large)).toBe(true)
    expect(seen.at(-1)).toBe(large.length)
    const storage = files.workspace.requests.filter(({ host }) => host === 'storage')
    expect(storage.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined, undefined])
    expect(storage.map(({ headers }) => headers['content-length']).sort()).toEqual([
      '1000003',
      String(PART),
      String(PART),
    ])
    expect(await leftOf(files)).toEqual(NOTHING_LEFT)
  })

  it('sends one request where the service offers only the resumable upload of Google Cloud', async () => {
    const files = await filesWorkspace({ cloud: 'GCP' })
    expect(await uploadFile(large, `${VOLUME}/g`, { databricks: files.client, partSize: PART })).toMatchObject({
      parts: 1,
    })
    expect((await contentOf(files, `${VOLUME}/g`)).equals(large)).toBe(true)
    expect(await leftOf(files)).toEqual(NOTHING_LEFT)
  })

  it('sends one request, and leaves no parts, where the storage refuses the first part', async () => {
    const files = await filesWorkspace()
    files.workspace.fail({ host: 'storage', method: 'PUT', path: /./, with: FAULTS.partRefused() })
    expect(await uploadFile(large, `${VOLUME}/r`, { databricks: files.client, partSize: PART })).toMatchObject({
      parts: 1,
    })
    expect((await contentOf(files, `${VOLUME}/r`)).equals(large)).toBe(true)
    expect(await leftOf(files)).toEqual(NOTHING_LEFT)
  })

  it.each(['AWS', 'Azure', 'GCP'] as const)(
    'asks for new addresses where those have expired in the words of %s',
    async (cloud) => {
      const files = await filesWorkspace()
      files.workspace.fail({ host: 'storage', path: /./, times: 3, with: FAULTS.expired(cloud) })
      await uploadFile(large, `${VOLUME}/e`, { databricks: files.client, partSize: PART })
      expect((await contentOf(files, `${VOLUME}/e`)).equals(large)).toBe(true)
      expect(await leftOf(files)).toEqual(NOTHING_LEFT)
    },
  )

  it('ends where every address has expired, and leaves nothing behind', async () => {
    const files = await filesWorkspace()
    files.workspace.fail({ host: 'storage', path: /./, skip: 1, times: 100, with: FAULTS.expired() })
    const upload = uploadFile(large, `${VOLUME}/e`, { databricks: files.client, partSize: PART })
    await expect(upload).rejects.toMatchObject({ code: 'SERVICE', errorCode: 'AccessDenied' })
    expect(await leftOf(files)).toEqual(NOTHING_LEFT)
  })

  it('uploads a stream of unknown length, in one request while it is short and in parts beyond', async () => {
    const files = await filesWorkspace()
    for (const bytes of [large.subarray(0, 999), large]) {
      const pieces = async function* (): AsyncGenerator<Uint8Array> {
        for (let at = 0; at < bytes.length; at += 777_777) yield bytes.subarray(at, at + 777_777)
      }
      const result = await uploadFile(pieces(), `${VOLUME}/s`, { databricks: files.client, partSize: PART })
      expect(result).toMatchObject({ bytes: bytes.length, parts: bytes.length === 999 ? 1 : 3 })
      expect((await contentOf(files, `${VOLUME}/s`)).equals(bytes)).toBe(true)
    }
    expect(await leftOf(files)).toEqual(NOTHING_LEFT)
  })

  it('sends all of a stream in one request where the storage refuses its first part', async () => {
    const files = await filesWorkspace()
    files.workspace.fail({ host: 'storage', method: 'PUT', path: /./, with: FAULTS.partRefused() })
    const stream = new Blob([large]).stream()
    await uploadFile(stream, `${VOLUME}/s`, { databricks: files.client, partSize: PART })
    expect((await contentOf(files, `${VOLUME}/s`)).equals(large)).toBe(true)
    expect(await leftOf(files)).toEqual(NOTHING_LEFT)
  })

  it('leaves nothing behind where a stream fails or the caller ends the work', async () => {
    const files = await filesWorkspace()
    const failing = async function* (): AsyncGenerator<Uint8Array> {
      yield large
      throw new Error('the source ended')
    }
    const options = { databricks: files.client, partSize: PART }
    await expect(uploadFile(failing(), `${VOLUME}/f`, options)).rejects.toThrow('the source ended')
    const stop = new AbortController()
    const onProgress = ({ bytes }: { bytes: number }): void => {
      if (bytes > PART) stop.abort(new Error('enough'))
    }
    const upload = uploadFile(large, `${VOLUME}/f`, { ...options, signal: stop.signal, onProgress })
    await expect(upload).rejects.toThrow('enough')
    expect(await leftOf(files)).toEqual(NOTHING_LEFT)
    expect(await files.workspace.state.storage.stat(`${VOLUME}/f`.slice(1))).toBeUndefined()
  })

  it('takes the file that is there for its own where the answer to the last call was lost', async () => {
    const files = await filesWorkspace()
    files.workspace.fail({ path: /complete-upload/, with: 'lost-answer' })
    await uploadFile(large, `${VOLUME}/l`, { databricks: files.client, partSize: PART })
    expect((await contentOf(files, `${VOLUME}/l`)).equals(large)).toBe(true)
    expect(await leftOf(files)).toEqual(NOTHING_LEFT)
  })

  it('refuses paths that lead elsewhere, with the remedy', async () => {
    for (const path of ['/Volumes/a/../b/c', 'dbfs:x', 'file.bin', 'uc-volume://a.b/f', '/Volumes/a//b'])
      await expect(uploadFile(large, path)).rejects.toThrow(
        /^\[databricks\] expected a path|^\[databricks\] expected uc-volume/,
      )
  })
})

describe('the plan of parts', () => {
  it('takes the smallest size that makes at most 100 parts, and asks for the root of their number at once', () => {
    const plans = [50 * MIB, 1000 * MIB, 1000 * MIB + 1, 2 ** 30, 400 * 2 ** 30, 4 * 2 ** 40].map((size) =>
      planParts(size, undefined),
    )
    expect(plans.map(({ partSize, parts, batch }) => [partSize / MIB, parts, batch])).toEqual([
      [10, 5, 3],
      [10, 100, 10],
      [20, 51, 8],
      [20, 52, 8],
      [4096, 100, 10],
      [4096, 1024, 32],
    ])
  })

  it('refuses parts that are too small for a file, naming the size that fits', () => {
    expect(() => planParts(2 ** 40, 10 * MIB)).toThrow(/expected at most 10000 parts .* set partSize to 105 MiB/)
  })
})
