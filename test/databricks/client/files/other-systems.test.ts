/** @file DBFS and the workspace's own folders, and paths of all three systems. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  createDirectory,
  deleteDirectory,
  deleteFile,
  downloadFile,
  getMetadata,
  listDirectory,
  uploadFile,
} from '../../../../src/databricks/client/files/files.js'
import { isRemotePath, parseRemotePath } from '../../../../src/databricks/client/files/remote-path.js'
import { FAULTS } from '../../../../src/testing/faults.js'
import { filesWorkspace, randomContent, VOLUME } from './files-workspace.js'

async function namesIn(path: string, options: object): Promise<string[]> {
  const names: string[] = []
  for await (const { path: each, isDirectory, fileSize } of listDirectory(path, options))
    names.push(isDirectory ? `${each}/` : `${each} ${fileSize}`)
  return names
}

describe('files of DBFS', () => {
  it.each([0, 999_999, 1_000_000, 1_000_001, 2_500_003])('come back as they went, %s bytes of them', async (size) => {
    const files = await filesWorkspace()
    const bytes = randomContent(size)
    const options = { databricks: files.client }
    await uploadFile(bytes, 'dbfs:/tmp/x.bin', options)
    await uploadFile(bytes, 'dbfs:/tmp/x.bin', options)
    await downloadFile('/dbfs/tmp/x.bin', join(files.folder, 'x'), options)
    expect(readFileSync(join(files.folder, 'x')).equals(bytes)).toBe(true)
    const verbs = files.workspace.requests.map(({ path }) => path.split('/').at(-1))
    expect(verbs.filter((verb) => verb === 'add-block').length).toBe(
      size <= 1_000_000 ? 0 : 2 * Math.ceil(size / 1_000_000),
    )
    expect(await namesIn('dbfs:/tmp', options)).toEqual([`/tmp/x.bin ${size}`])
  })

  it('have no block twice where the answer to one is lost, and none where the file cannot be written', async () => {
    const files = await filesWorkspace()
    const options = { databricks: files.client }
    const bytes = randomContent(2_500_003)
    files.workspace.fail({ path: /add-block/, skip: 1, with: 'lost-answer' })
    files.workspace.fail({ path: /add-block/, with: FAULTS.rateLimited(0) })
    await uploadFile(bytes, 'dbfs:/tmp/y', options)
    expect(await namesIn('dbfs:/tmp', options)).toEqual(['/tmp/y 2500003'])
    await downloadFile('dbfs:/tmp/y', join(files.folder, 'y'), options)
    expect(readFileSync(join(files.folder, 'y')).equals(bytes)).toBe(true)
    files.workspace.fail({
      path: /add-block/,
      times: 9,
      with: { status: 500, body: { error_code: 'INTERNAL_ERROR', message: 'no' } },
    })
    await expect(uploadFile(bytes, 'dbfs:/tmp/z', options)).rejects.toMatchObject({ status: 500 })
    expect(await namesIn('dbfs:/tmp', options)).toEqual(['/tmp/y 2500003'])
    await expect(uploadFile(bytes, 'dbfs:/tmp/y', { ...options, overwrite: false })).rejects.toMatchObject({
      errorCode: 'RESOURCE_ALREADY_EXISTS',
    })
  })

  it('are listed, made and removed', async () => {
    const files = await filesWorkspace()
    const options = { databricks: files.client }
    await createDirectory('dbfs:/a/b', options)
    await uploadFile(new Uint8Array(3), 'dbfs:/a/c', options)
    expect(await namesIn('dbfs:/a', options)).toEqual(['/a/b/', '/a/c 3'])
    await expect(deleteDirectory('dbfs:/a', options)).rejects.toMatchObject({ status: 400 })
    expect(await deleteDirectory('dbfs:/a', { ...options, recursive: true })).toBe(true)
    expect(await deleteDirectory('dbfs:/a', { ...options, recursive: true })).toBe(false)
    expect(await getMetadata('dbfs:/a/c', options)).toBeUndefined()
  })
})

describe('files of the workspace', () => {
  it('come back as they went, a notebook as its source', async () => {
    const files = await filesWorkspace()
    const options = { databricks: files.client }
    await createDirectory('workspace:/Users/me', options)
    const bytes = randomContent(7001)
    await uploadFile(bytes, '/Workspace/Users/me/data.bin', options)
    const source = Buffer.from('# Databricks notebook source\nprint(1)\n')
    await uploadFile(source, 'workspace:/Users/me/job.py', options)
    await uploadFile(Buffer.from('select 1'), 'workspace:/Users/me/query', {
      ...options,
      format: 'SOURCE',
      language: 'SQL',
    })
    const types: unknown[] = []
    for await (const { name, objectType } of listDirectory('workspace:/Users/me', options))
      types.push([name, objectType])
    expect(types).toEqual([
      ['data.bin', 'FILE'],
      ['job', 'NOTEBOOK'],
      ['query', 'NOTEBOOK'],
    ])
    await downloadFile('workspace:/Users/me/data.bin', join(files.folder, 'd'), options)
    await downloadFile('workspace:/Users/me/job', join(files.folder, 'j'), { ...options, format: 'SOURCE' })
    expect(readFileSync(join(files.folder, 'd')).equals(bytes)).toBe(true)
    expect(readFileSync(join(files.folder, 'j')).equals(source)).toBe(true)
    expect(await deleteFile('workspace:/Users/me/job', options)).toBe(true)
    expect(await deleteFile('workspace:/Users/me/job', options)).toBe(false)
  })

  it('are at most 10 MiB, which is said before anything is sent', async () => {
    const files = await filesWorkspace()
    const upload = uploadFile(new Uint8Array(10 * 2 ** 20 + 1), 'workspace:/big', { databricks: files.client })
    await expect(upload).rejects.toThrow(/expected at most 10.0 MiB .* put it into a volume/)
    expect(files.workspace.requests).toEqual([])
  })
})

describe('volumes', () => {
  it('are listed page after page, empty pages among them, and removed from below', async () => {
    const files = await filesWorkspace()
    const options = { databricks: files.client }
    for (const name of ['a/b/c', 'a/d', 'e']) await uploadFile(new Uint8Array(2), `${VOLUME}/${name}`, options)
    files.workspace.fail({ method: 'GET', path: /fs\/directories/, with: { emptyPages: 2 } })
    expect(await namesIn(VOLUME, { ...options, recursive: true })).toEqual([
      `${VOLUME}/a/`,
      `${VOLUME}/a/b/`,
      `${VOLUME}/a/b/c 2`,
      `${VOLUME}/a/d 2`,
      `${VOLUME}/e 2`,
    ])
    expect(await getMetadata(`${VOLUME}/e`, options)).toMatchObject({ name: 'e', isDirectory: false, fileSize: 2 })
    expect(await getMetadata(`${VOLUME}/a`, options)).toMatchObject({ isDirectory: true })
    await expect(deleteDirectory(`${VOLUME}/a`, options)).rejects.toMatchObject({ status: 400 })
    expect(await deleteDirectory(`${VOLUME}/a`, { ...options, recursive: true })).toBe(true)
    expect(await namesIn(VOLUME, options)).toEqual([`${VOLUME}/e 2`])
  })

  it('have paths in all forms that people write', () => {
    const forms = [
      '/Volumes/c/s/v/f',
      'dbfs:/Volumes/c/s/v/f',
      'dbfs:///Volumes/c/s/v/f/',
      'uc-volume://c.s.v/f',
      'uc-volume:/c/s/v/f',
      '/dbfs/Volumes/c/s/v/f',
    ]
    for (const form of forms) {
      expect(parseRemotePath(form)).toEqual({ kind: 'volume', path: '/Volumes/c/s/v/f' })
      expect(isRemotePath(form)).toBe(true)
    }
    expect(parseRemotePath('/dbfs/x')).toEqual({ kind: 'dbfs', path: '/x' })
    expect(parseRemotePath('/Workspace/Users/me')).toEqual({ kind: 'workspace', path: '/Users/me' })
    for (const local of ['data/x', './Volumes/x', '/volumes/x', 'C:\\x']) expect(isRemotePath(local)).toBe(false)
  })
})
