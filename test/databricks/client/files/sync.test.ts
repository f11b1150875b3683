/**
 * @file Directories made like another: what is copied, removed and passed over, and how many requests are under way.
 */

import { mkdirSync, readdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { pathTest } from '../../../../src/databricks/client/files/patterns.js'
import { syncDirectory } from '../../../../src/databricks/client/files/sync.js'
import type { SyncEvent } from '../../../../src/databricks/client/files/sync-events.js'
import { FAULTS } from '../../../../src/testing/faults.js'
import { cases } from '../../../support/long.js'
import { contentOf, filesWorkspace, VOLUME } from './files-workspace.js'

/** Long enough ago that no clock doubts it. */
const OLD = new Date(Date.now() - 100_000)

function write(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(folder, path, '..'), { recursive: true })
    writeFileSync(join(folder, path), content)
    utimesSync(join(folder, path), OLD, OLD)
  }
}

function recording(): { readonly seen: string[]; readonly onProgress: (event: SyncEvent) => void } {
  const seen: string[] = []
  return { seen, onProgress: ({ action, path }) => void seen.push(`${action} ${path}`) }
}

describe('syncDirectory', () => {
  it.each(['AWS', 'GCP'] as const)(
    'copies up what differs, removes what is gone, and does nothing the second time (%s)',
    async (cloud) => {
      const files = await filesWorkspace({ cloud })
      const from = join(files.folder, 'from')
      write(from, { 'a.txt': 'one', 'deep/er/b.txt': 'two', 'deep/c.tmp': 'three', 'é ü.txt': 'four' })
      symlinkSync(from, join(from, 'round'))
      symlinkSync(join(from, 'a.txt'), join(from, 'link.txt'))
      const options = { databricks: files.client, exclude: ['*.tmp'] }
      const first = recording()
      expect(await syncDirectory(from, VOLUME, { ...options, onProgress: first.onProgress })).toMatchObject({
        copied: 4,
        deleted: 0,
        skipped: 0,
      })
      expect(first.seen.sort()).toEqual([
        'copy a.txt',
        'copy deep/er/b.txt',
        'copy link.txt',
        'copy é ü.txt',
        'link round',
      ])
      expect(await syncDirectory(from, VOLUME, options)).toMatchObject({ copied: 0, copiedBytes: 0, skipped: 4 })
      write(from, { 'a.txt': 'one more' })
      expect(
        await syncDirectory(from, VOLUME, { ...options, delete: true, exclude: ['*.tmp', 'deep/'] }),
      ).toMatchObject({ copied: 2, deleted: 0 })
      expect((await contentOf(files, `${VOLUME}/a.txt`)).toString()).toBe('one more')
      expect((await contentOf(files, `${VOLUME}/deep/er/b.txt`)).toString()).toBe('two')
    },
  )

  it('removes only with delete, tells the same in a dry run, and keeps what is excluded', async () => {
    const files = await filesWorkspace()
    const [from, there] = [join(files.folder, 'from'), join(files.folder, 'there')]
    write(there, { 'old/x/1': 'a', 'old/2': 'b', 'keep/3.log': 'c', same: 'd' })
    write(from, { same: 'd', fresh: 'e' })
    await syncDirectory(there, VOLUME, { databricks: files.client })
    expect(await syncDirectory(from, VOLUME, { databricks: files.client })).toMatchObject({
      copied: 1,
      deleted: 0,
      skipped: 1,
    })
    write(from, { fresh: 'longer' })
    const options = { databricks: files.client, delete: true, exclude: ['*.log'] }
    const [dry, real] = [recording(), recording()]
    const before = files.workspace.requests.length
    const foretold = await syncDirectory(from, VOLUME, { ...options, dryRun: true, onProgress: dry.onProgress })
    const asked = files.workspace.requests.slice(before).map(({ method }) => method)
    expect(new Set(asked)).toEqual(new Set(['HEAD', 'GET']))
    expect(await syncDirectory(from, VOLUME, { ...options, onProgress: real.onProgress })).toEqual(foretold)
    expect(real.seen.sort()).toEqual(dry.seen.sort())
    expect(real.seen).toEqual(['copy fresh', 'delete old/2', 'delete old/x/1', 'skip same'])
    const keys = (await files.workspace.state.storage.list('Volumes/')).map(({ key }) => key.slice(VOLUME.length))
    expect(keys).toEqual(['fresh', 'keep/3.log', 'same'])
    expect((await files.client.send({ path: `/api/2.0/fs/directories${VOLUME}`, what: 'x' })).status).toBe(200)
    await expect(files.client.send({ path: `/api/2.0/fs/directories${VOLUME}/old`, what: 'x' })).rejects.toMatchObject({
      status: 404,
    })
  })

  it('copies down, with the times of the service, so that neither way finds a difference afterwards', async () => {
    const files = await filesWorkspace({ clockOffset: 7_200_000 })
    const [from, to] = [join(files.folder, 'from'), join(files.folder, 'to')]
    write(from, { 'a/1': 'one', b: 'two' })
    write(to, { stale: 'x', b: 'TWO' })
    await syncDirectory(from, VOLUME, { databricks: files.client })
    expect(await syncDirectory(VOLUME, to, { databricks: files.client, delete: true })).toMatchObject({
      copied: 2,
      deleted: 1,
    })
    expect(readdirSync(to).sort()).toEqual(['a', 'b'])
    expect(readFileSync(join(to, 'b'), 'utf8')).toBe('two')
    expect(await syncDirectory(VOLUME, to, { databricks: files.client })).toMatchObject({ copied: 0, skipped: 2 })
    expect(await syncDirectory(to, VOLUME, { databricks: files.client })).toMatchObject({ copied: 0, skipped: 2 })
  })

  it.each([-86_400_000, 0, 86_400_000])(
    'sees a change of the same size whatever the clock of the service says (%s ms)',
    async (clockOffset) => {
      const files = await filesWorkspace({ clockOffset })
      const from = join(files.folder, 'from')
      write(from, { a: 'one', b: 'one' })
      await syncDirectory(from, VOLUME, { databricks: files.client })
      expect(await syncDirectory(from, VOLUME, { databricks: files.client })).toMatchObject({ copied: 0, skipped: 2 })
      writeFileSync(join(from, 'a'), 'two')
      expect(await syncDirectory(from, VOLUME, { databricks: files.client })).toMatchObject({ copied: 1, skipped: 1 })
      expect((await contentOf(files, `${VOLUME}/a`)).toString()).toBe('two')
    },
  )

  it('compares by size, by content or not at all where that is asked for', async () => {
    const files = await filesWorkspace()
    const from = join(files.folder, 'from')
    write(from, { a: 'one', b: 'one' })
    await syncDirectory(from, VOLUME, { databricks: files.client })
    write(from, { a: 'two' })
    const sync = (compare: 'size' | 'mtime' | 'content' | 'always') =>
      syncDirectory(from, VOLUME, { databricks: files.client, compare })
    expect(await sync('size')).toMatchObject({ copied: 0, skipped: 2 })
    expect(await sync('mtime')).toMatchObject({ copied: 0, skipped: 2 })
    expect(await sync('content')).toMatchObject({ copied: 1, skipped: 1 })
    expect(await sync('content')).toMatchObject({ copied: 0, skipped: 2 })
    expect(await sync('always')).toMatchObject({ copied: 2, skipped: 0 })
  })

  it.each(['dbfs:/data', 'workspace:/Users/me/data'])('makes %s like a local directory and back', async (path) => {
    const files = await filesWorkspace()
    const [from, to] = [join(files.folder, 'from'), join(files.folder, 'to')]
    write(from, { 'a/1.txt': 'one', 'job.py': '# Databricks notebook source\n' })
    await syncDirectory(from, path, { databricks: files.client })
    expect(await syncDirectory(from, path, { databricks: files.client })).toMatchObject({ copied: 0, skipped: 2 })
    await syncDirectory(path, to, { databricks: files.client })
    expect(readFileSync(join(to, 'job.py'), 'utf8')).toBe('# Databricks notebook source\n')
    expect(await syncDirectory(path, to, { databricks: files.client })).toMatchObject({ copied: 0, skipped: 2 })
  })

  it('has many requests under way for small files, and not more than the limit', async () => {
    const files = await filesWorkspace()
    const [from, to] = [join(files.folder, 'from'), join(files.folder, 'to')]
    const count = cases(200, 10_000)
    mkdirSync(from)
    for (let index = 0; index < count; index++) {
      const folder = join(from, `d${index % 10}`)
      mkdirSync(folder, { recursive: true })
      writeFileSync(join(folder, `f${index}`), `content ${index}`)
    }
    let underWay = 0
    let most = 0
    const counting = (method: 'put' | 'get') => {
      const { storage } = files.workspace.state
      const original = storage[method].bind(storage) as (...given: never[]) => Promise<unknown>
      Object.assign(storage, {
        [method]: async (...given: never[]) => {
          most = Math.max(most, ++underWay)
          // A turn of the event loop lets requests that are sent at once be seen at once.
          await new Promise((resolve) => setImmediate(resolve))
          return await original(...given).finally(() => underWay--)
        },
      })
    }
    counting('put')
    counting('get')
    expect(await syncDirectory(from, VOLUME, { databricks: files.client, concurrency: 12 })).toMatchObject({
      copied: count,
    })
    const upwards = most
    most = 0
    expect(await syncDirectory(VOLUME, to, { databricks: files.client, concurrency: 12 })).toMatchObject({
      copied: count,
    })
    for (const each of [upwards, most]) {
      expect(each).toBeGreaterThan(4)
      expect(each).toBeLessThanOrEqual(12)
    }
    const puts = files.workspace.requests.filter(({ method, path }) => method === 'PUT' && path.includes('/fs/files/'))
    expect(puts.length).toBe(count)
    expect(readFileSync(join(to, 'd7', 'f17'), 'utf8')).toBe('content 17')
    expect(readdirSync(join(to, 'd7')).length).toBe(count / 10)
  })

  it('ends with the first failure, begins nothing new, and goes on the next time', async () => {
    const files = await filesWorkspace()
    const from = join(files.folder, 'from')
    write(from, Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`f${index}`, 'x'])))
    files.workspace.fail({ method: 'PUT', path: /fs\/files/, skip: 5, with: FAULTS.html(500) })
    const options = { databricks: files.client, concurrency: 3 }
    await expect(syncDirectory(from, VOLUME, options)).rejects.toMatchObject({ code: 'SERVICE', status: 500 })
    const puts = files.workspace.requests.filter(({ method, path }) => method === 'PUT' && path.includes('/fs/files/'))
    expect(puts.length).toBeLessThanOrEqual(9)
    // What was under way when the first one failed may have arrived, though nobody heard the answer.
    const { skipped, copied } = await syncDirectory(from, VOLUME, options)
    expect(skipped).toBeGreaterThanOrEqual(puts.filter(({ status }) => status === 204).length)
    expect(skipped).toBeLessThanOrEqual(puts.length)
    expect(skipped + copied).toBe(40)
  })

  it('refuses two directories of one side, a missing source, and a file where a directory is', async () => {
    const files = await filesWorkspace()
    const options = { databricks: files.client }
    await expect(syncDirectory('a', 'b', options)).rejects.toThrow(/got two of this machine/)
    await expect(syncDirectory(VOLUME, 'dbfs:/x', options)).rejects.toThrow(/got two of a workspace/)
    await expect(syncDirectory(join(files.folder, 'none'), VOLUME, options)).rejects.toMatchObject({ code: 'FILE' })
    await expect(syncDirectory(`${VOLUME}/none`, files.folder, options)).rejects.toMatchObject({ status: 404 })
    write(join(files.folder, 'one'), { x: 'file' })
    write(join(files.folder, 'two'), { 'x/y': 'directory' })
    await syncDirectory(join(files.folder, 'one'), VOLUME, options)
    await expect(syncDirectory(join(files.folder, 'two'), VOLUME, options)).rejects.toThrow(
      /expected a directory at x of the target, got a file/,
    )
  })
})

describe('patterns', () => {
  it('mean what they mean in .gitignore', () => {
    const meant = (pattern: string, paths: readonly string[]): string[] => paths.filter(pathTest([pattern]))
    const paths = ['a.tmp', 'x/a.tmp', 'logs/1', 'x/logs/1', 'data/raw', 'data/x/y/raw', 'x/data/raw', 'logs']
    expect(meant('*.tmp', paths)).toEqual(['a.tmp', 'x/a.tmp'])
    expect(meant('/a.tmp', paths)).toEqual(['a.tmp'])
    expect(meant('logs/', paths)).toEqual(['logs/1', 'x/logs/1'])
    expect(meant('data/**/raw', paths)).toEqual(['data/raw', 'data/x/y/raw'])
    expect(meant('**/data', paths)).toEqual(['data/raw', 'data/x/y/raw', 'x/data/raw'])
    expect(meant('x/**', paths)).toEqual(['x/a.tmp', 'x/logs/1', 'x/data/raw'])
    expect(meant('?.tmp', paths)).toEqual(['a.tmp', 'x/a.tmp'])
    expect(() => pathTest(['!a'])).toThrow(/expected a pattern such as/)
  })
})
