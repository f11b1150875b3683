/** @file Downloads from volumes: small ones, ranges, cuts, and what stays at the target meanwhile. */

import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { downloadFile, streamFile } from '../../../../src/databricks/client/files/files.js'
import { FAULTS } from '../../../../src/testing/faults.js'
import type { Route } from '../../../../src/testing/route.js'
import { type FilesWorkspace, filesWorkspace, MIB, randomContent, VOLUME } from './files-workspace.js'

const large = randomContent(17 * MIB + 12_345)

async function put(files: FilesWorkspace, path: string, bytes: Uint8Array): Promise<void> {
  await files.workspace.state.storage.put(
    path.slice(1),
    (async function* () {
      yield bytes
    })(),
  )
}

describe('downloads from a volume', () => {
  it('gives the file its content and the time that the service has for it', async () => {
    const files = await filesWorkspace({ clockOffset: -3_600_000 })
    const bytes = randomContent(70_001)
    await put(files, `${VOLUME}/a b`, bytes)
    const target = join(files.folder, 'deep', 'a b')
    expect(await downloadFile(`${VOLUME}/a b`, target, { databricks: files.client })).toMatchObject({ bytes: 70_001 })
    expect(readFileSync(target).equals(bytes)).toBe(true)
    const { modified } = (await files.workspace.state.storage.stat(`${VOLUME}/a b`.slice(1))) ?? { modified: 0 }
    expect(Math.abs(statSync(target).mtimeMs - modified)).toBeLessThan(1000)
    expect(readdirSync(join(files.folder, 'deep'))).toEqual(['a b'])
  })

  it('fetches a large file in ranges from the storage, without authorization', async () => {
    const files = await filesWorkspace()
    await put(files, `${VOLUME}/l`, large)
    const target = join(files.folder, 'l')
    await downloadFile(`${VOLUME}/l`, target, { databricks: files.client })
    expect(readFileSync(target).equals(large)).toBe(true)
    const ranges = files.workspace.requests
      .filter(({ host }) => host === 'storage')
      .map(({ headers }) => [headers.range, headers.authorization])
    expect(ranges).toHaveLength(3)
    expect(ranges).toEqual(
      expect.arrayContaining([
        ['bytes=0-8388607', undefined],
        ['bytes=8388608-16777215', undefined],
        [`bytes=16777216-${large.length - 1}`, undefined],
      ]),
    )
    expect(readdirSync(files.folder)).toEqual(['l'])
  })

  it.each([
    ['an expired address', { host: 'storage', path: /./, times: 3, with: FAULTS.expired('Azure') }],
    [
      'a connection that is cut within the body',
      { host: 'storage', path: /./, times: 2, with: { cutAfter: 1_000_001 } },
    ],
    ['a storage that lets nobody in', { host: 'storage', path: /./, times: 99, with: FAULTS.partRefused() }],
    [
      'a workspace that lends no addresses',
      {
        path: /create-download-url/,
        times: 9,
        with: { status: 403, body: { error_code: 'PERMISSION_DENIED', message: 'Presigned URLs API is not enabled' } },
      },
    ],
    ['a storage that was busy', { host: 'storage', path: /./, with: { status: 503 } }],
  ] as const)('has all bytes of a large file after %s', async (_fault, rule) => {
    const files = await filesWorkspace()
    await put(files, `${VOLUME}/l`, large)
    files.workspace.fail(rule)
    const target = join(files.folder, 'l')
    await downloadFile(`${VOLUME}/l`, target, { databricks: files.client })
    expect(readFileSync(target).equals(large)).toBe(true)
    expect(readdirSync(files.folder)).toEqual(['l'])
  })

  it('goes on behind the last byte of a small file that was cut, and takes 200 for no range', async () => {
    const files = await filesWorkspace()
    const bytes = randomContent(400_000)
    await put(files, `${VOLUME}/s`, bytes)
    files.workspace.fail({ method: 'GET', path: /fs\/files/, times: 2, with: { cutAfter: 100_000 } })
    const target = join(files.folder, 's')
    await downloadFile(`${VOLUME}/s`, target, { databricks: files.client })
    expect(readFileSync(target).equals(bytes)).toBe(true)
    const asked = files.workspace.requests.filter(({ method }) => method === 'GET').map(({ headers }) => headers.range)
    expect(asked[0]).toBeUndefined()
    expect(asked.slice(1).every((range) => /^bytes=[1-9]\d*-399999$/.test(range ?? ''))).toBe(true)

    const whole: Route = {
      method: 'GET',
      path: '/api/2.0/fs/files/{path*}',
      handle: () => ({ headers: { 'content-length': bytes.length }, body: bytes }),
    }
    const ignoring = await filesWorkspace({ routes: [whole] })
    await put(ignoring, `${VOLUME}/s`, bytes)
    ignoring.workspace.fail({ method: 'GET', path: /fs\/files/, with: { cutAfter: 150_000 } })
    const pieces: Uint8Array[] = []
    for await (const piece of streamFile(`${VOLUME}/s`, { databricks: ignoring.client })) pieces.push(piece)
    expect(Buffer.concat(pieces).equals(bytes)).toBe(true)
  })

  it('never writes a whole file where a range was asked for', async () => {
    const whole: Route = {
      method: 'GET',
      path: '/api/2.0/fs/files/{path*}',
      handle: () => ({ headers: { 'content-length': large.length }, body: large }),
    }
    const files = await filesWorkspace({ routes: [whole] })
    await put(files, `${VOLUME}/l`, large)
    files.workspace.fail({
      path: /create-download-url/,
      times: 9,
      with: { status: 404, body: { error_code: 'ENDPOINT_NOT_FOUND', message: 'no' } },
    })
    const target = join(files.folder, 'l')
    await downloadFile(`${VOLUME}/l`, target, { databricks: files.client })
    expect(readFileSync(target).equals(large)).toBe(true)
  })

  it('keeps what is there where a download fails, and says that a file was written meanwhile', async () => {
    const files = await filesWorkspace()
    const target = join(files.folder, 'kept')
    writeFileSync(target, 'before')
    await expect(downloadFile(`${VOLUME}/none`, target, { databricks: files.client })).rejects.toMatchObject({
      status: 404,
    })
    await put(files, `${VOLUME}/c`, randomContent(1000))
    files.workspace.fail({
      method: 'GET',
      path: /fs\/files/,
      with: { status: 412, body: { error_code: 'PRECONDITION_FAILED', message: 'modified' } },
    })
    await expect(downloadFile(`${VOLUME}/c`, target, { databricks: files.client })).rejects.toThrow(
      /stay as it is while it is read/,
    )
    await expect(downloadFile(`${VOLUME}/c`, target, { databricks: files.client, overwrite: false })).rejects.toThrow(
      /expected nothing at/,
    )
    expect(readFileSync(target, 'utf8')).toBe('before')
    expect(readdirSync(files.folder)).toEqual(['kept'])
  })

  it('refuses content whose MD5 is not the one that the service names', async () => {
    const bytes = randomContent(1000)
    const route: Route = {
      method: 'GET',
      path: '/api/2.0/fs/files/{path*}',
      handle: () => ({ headers: { 'content-md5': Buffer.alloc(16, 7).toString('base64') }, body: bytes }),
    }
    const files = await filesWorkspace({ routes: [route] })
    await put(files, `${VOLUME}/h`, bytes)
    const target = join(files.folder, 'h')
    await expect(downloadFile(`${VOLUME}/h`, target, { databricks: files.client })).rejects.toThrow(
      /content with another MD5/,
    )
    expect(existsSync(target)).toBe(false)
  })

  it('goes on from the ranges of a download that was ended, once their content is proven', async () => {
    const files = await filesWorkspace()
    await put(files, `${VOLUME}/l`, large)
    const target = join(files.folder, 'l')
    const stop = new AbortController()
    const onProgress = ({ bytes }: { bytes: number }): void => {
      if (bytes > 12 * MIB) stop.abort(new Error('enough'))
    }
    const options = { databricks: files.client, parallelism: 1 }
    await expect(downloadFile(`${VOLUME}/l`, target, { ...options, signal: stop.signal, onProgress })).rejects.toThrow(
      'enough',
    )
    expect(existsSync(target)).toBe(false)
    const { resumedBytes } = await downloadFile(`${VOLUME}/l`, target, options)
    expect(resumedBytes).toBe(8 * MIB)
    expect(readFileSync(target).equals(large)).toBe(true)
    // One request for all that is missing, whose ranges are proven one by one.
    const asked = files.workspace.requests.filter(({ host }) => host === 'storage').map(({ headers }) => headers.range)
    expect(asked).toEqual([`bytes=0-${large.length - 1}`, `bytes=${8 * MIB}-${large.length - 1}`])
    expect(readdirSync(files.folder)).toEqual(['l'])
  })
})
