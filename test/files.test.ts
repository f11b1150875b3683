/** @file Atomic writing: what a reader finds after success, failure, a full disk and a killed run. */

import { mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { recoverDirectory, writeDirectoryAtomic, writeError, writeFileAtomic, writeFilesAtomic } from '../src/files.js'

/** A disk that takes `left` more bytes, then reports `code`. */
const disk = vi.hoisted(() => ({
  left: Number.POSITIVE_INFINITY,
  code: 'ENOSPC',
  largestPiece: Number.POSITIVE_INFINITY,
}))

vi.mock('node:fs/promises', async (importOriginal) => {
  const real = await importOriginal<typeof import('node:fs/promises')>()
  const open = async (path: string, flags: string) => {
    const handle = await real.open(path, flags)
    const write = handle.write.bind(handle) as (bytes: Uint8Array, offset: number, length: number) => Promise<unknown>
    return Object.assign(handle, {
      write: async (bytes: Uint8Array, offset: number, length: number) => {
        const count = Math.min(length, disk.largestPiece, disk.left)
        if (count === 0) throw Object.assign(new Error(`${disk.code}: write`), { code: disk.code })
        disk.left -= count
        return await write(bytes, offset, count)
      },
    })
  }
  return { ...real, open }
})

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lowrank-files-'))
})

afterEach(async () => {
  Object.assign(disk, { left: Number.POSITIVE_INFINITY, code: 'ENOSPC', largestPiece: Number.POSITIVE_INFINITY })
  await rm(directory, { recursive: true, force: true })
})

const at = (...names: string[]) => join(directory, ...names)
const text = (...names: string[]) => readFile(at(...names), 'utf8')

describe('writeFileAtomic', () => {
  test('writes text, bytes and pieces, makes missing directories and leaves nothing else behind', async () => {
    await writeFileAtomic(at('a', 'b', 'text'), 'grüße')
    await writeFileAtomic(at('a', 'b', 'bytes'), new Uint8Array([1, 2, 3]).subarray(1))
    await writeFileAtomic(
      at('a', 'b', 'pieces'),
      (async function* () {
        yield Buffer.from('one ')
        yield new Uint8Array()
        yield Buffer.from('two')
      })(),
    )
    expect(await text('a', 'b', 'text')).toBe('grüße')
    expect([...(await readFile(at('a', 'b', 'bytes')))]).toEqual([2, 3])
    expect(await text('a', 'b', 'pieces')).toBe('one two')
    expect((await readdir(at('a', 'b'))).sort()).toEqual(['bytes', 'pieces', 'text'])
  })

  test('goes on where the system writes only a part of a piece', async () => {
    disk.largestPiece = 7
    const bytes = Uint8Array.from({ length: 101 }, (_, i) => i)
    await writeFileAtomic(at('file'), bytes)
    expect(new Uint8Array(await readFile(at('file')))).toEqual(bytes)
  })

  test('a full disk keeps the previous content, removes what was written and says what to do', async () => {
    await writeFileAtomic(at('file'), 'previous')
    disk.left = 5
    await expect(writeFileAtomic(at('file'), 'this is longer')).rejects.toThrow(
      `[save] cannot write ${at('file')}: no space is left; free some space or save to another disk (ENOSPC). ` +
        'What was there before is unchanged.',
    )
    expect(await text('file')).toBe('previous')
    expect(await readdir(directory)).toEqual(['file'])
  })

  test('a source that fails half way keeps the previous content and its own error', async () => {
    await writeFileAtomic(at('file'), 'previous')
    const pieces = (function* () {
      yield Buffer.from('half')
      throw new Error('the source broke')
    })()
    await expect(writeFileAtomic(at('file'), pieces)).rejects.toThrow('the source broke')
    expect(await text('file')).toBe('previous')
    expect(await readdir(directory)).toEqual(['file'])
  })

  test('a path below a file, a directory in place of the file, and a device are errors that change nothing', async () => {
    await writeFile(at('file'), 'content')
    await mkdir(at('folder'))
    await expect(writeFileAtomic(at('file', 'below'), 'x')).rejects.toThrow(
      `cannot write ${at('file', 'below')}: a part of the path is a file, not a directory`,
    )
    await expect(writeFileAtomic(at('folder'), 'x')).rejects.toThrow(
      `expected ${at('folder')} to be a file or not to exist, got a directory`,
    )
    await symlink('/dev/null', at('device'))
    await expect(writeFileAtomic(at('device'), 'x')).rejects.toThrow('got neither a file nor a directory')
    expect(await text('file')).toBe('content')
    expect((await readdir(directory)).sort()).toEqual(['device', 'file', 'folder'])
  })

  test.each([
    ['EACCES', 'no write permission; change the rights of the directory or save somewhere else (EACCES)'],
    ['EROFS', 'the file system is read-only; save somewhere else (EROFS)'],
    ['EDQUOT', 'no space is left; free some space or save to another disk (EDQUOT)'],
    ['EIO', 'the disk reported an error; check it, or save to another disk (EIO)'],
  ])('%s is explained', async (code, message) => {
    Object.assign(disk, { left: 0, code })
    await expect(writeFileAtomic(at('file'), 'x')).rejects.toThrow(`[save] cannot write ${at('file')}: ${message}`)
    expect(await readdir(directory)).toEqual([])
  })

  test('an error that is not of the file system passes unchanged', () => {
    const error = new Error('other')
    expect(writeError('path', error)).toBe(error)
    expect(writeError('path', 'text').message).toBe('text')
  })
})

describe('writeFilesAtomic', () => {
  test('a disk that fills during the last file changes none of them', async () => {
    const files = (value: string) =>
      ['first', 'second', 'third'].map((name) => ({ path: at(name), content: name + value }))
    await writeFilesAtomic(files(' old'))
    disk.left = 'first newsecond newth'.length
    await expect(writeFilesAtomic(files(' new'))).rejects.toThrow(`cannot write ${at('third')}: no space is left`)
    expect(await Promise.all(['first', 'second', 'third'].map((name) => text(name)))).toEqual([
      'first old',
      'second old',
      'third old',
    ])
    expect((await readdir(directory)).sort()).toEqual(['first', 'second', 'third'])
  })
})

describe('writeDirectoryAtomic', () => {
  const fill = (value: string) => async (temporary: string) => {
    await writeFileAtomic(join(temporary, 'inner', 'file'), value)
  }

  test('writes a new directory, then replaces it whole', async () => {
    await writeDirectoryAtomic(at('checkpoint'), fill('one'))
    await writeFile(at('checkpoint', 'stale'), 'of the first save')
    await writeDirectoryAtomic(at('checkpoint'), fill('two'))
    expect(await text('checkpoint', 'inner', 'file')).toBe('two')
    expect(await readdir(at('checkpoint'))).toEqual(['inner'])
    expect(await readdir(directory)).toEqual(['checkpoint'])
  })

  test('a full disk keeps the previous directory', async () => {
    await writeDirectoryAtomic(at('checkpoint'), fill('one'))
    disk.left = 2
    await expect(writeDirectoryAtomic(at('checkpoint'), fill('two'))).rejects.toThrow('no space is left')
    expect(await text('checkpoint', 'inner', 'file')).toBe('one')
    expect(await readdir(directory)).toEqual(['checkpoint'])
  })

  test('a link to a directory stays a link', async () => {
    await mkdir(at('elsewhere'))
    await symlink(at('elsewhere'), at('link'))
    await writeDirectoryAtomic(at('link'), fill('one'))
    expect(await text('elsewhere', 'inner', 'file')).toBe('one')
  })

  test('a file in its place is an error', async () => {
    await writeFile(at('checkpoint'), 'a file')
    await expect(writeDirectoryAtomic(at('checkpoint'), fill('one'))).rejects.toThrow(
      `expected ${at('checkpoint')} to be a directory or not to exist, got a file`,
    )
    expect(await text('checkpoint')).toBe('a file')
  })
})

describe('after a killed run', () => {
  // No process has this id: Linux and macOS stop below it.
  const DEAD = 2 ** 30

  test('temporaries of dead processes are removed, those of running ones are kept', async () => {
    const ended = `.a.lowrank-${DEAD}-0123456789ab`
    const earlierRun = `.b.lowrank-${process.pid}-0123456789ab`
    const thisRun = `.c.lowrank-${process.pid}-0123456789ab`
    const parent = `.d.lowrank-${process.ppid}-0123456789ab`
    await mkdir(at(ended))
    await writeFile(at(ended, 'file'), 'half')
    for (const name of [earlierRun, thisRun, parent, '.lowrank-1', 'a.lowrank-1-0123456789ab'])
      await writeFile(at(name), '')
    await utimes(at(earlierRun), 1, 1)
    await writeFileAtomic(at('file'), 'x')
    expect((await readdir(directory)).sort()).toEqual(
      [thisRun, parent, '.lowrank-1', 'a.lowrank-1-0123456789ab', 'file'].sort(),
    )
  })

  test('a replacement that was cut short between its two renames is undone', async () => {
    await mkdir(at('.checkpoint.lowrank-replaced'))
    await writeFile(at('.checkpoint.lowrank-replaced', 'file'), 'previous')
    await recoverDirectory(at('checkpoint'))
    expect(await text('checkpoint', 'file')).toBe('previous')
    expect(await readdir(directory)).toEqual(['checkpoint'])
  })

  test('a replacement that was cut short before its clean-up is finished', async () => {
    await mkdir(at('.checkpoint.lowrank-replaced'))
    await mkdir(at('checkpoint'))
    await writeFile(at('checkpoint', 'file'), 'new')
    await recoverDirectory(at('checkpoint'))
    expect(await text('checkpoint', 'file')).toBe('new')
    expect(await readdir(directory)).toEqual(['checkpoint'])
  })
})
