/** @file Atomic writing: what a reader finds after success, failure, a full disk and a killed run. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  fillDirectory,
  fillFilesAtomic,
  recoverDirectory,
  writeDirectoryAtomic,
  writeError,
  writeFileAtomic,
  writeFilesAtomic,
} from '../src/atomic-write.js'
import { OWNER_PATTERN, ownedName } from '../src/file-owner.js'

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
    await expect(writeFileAtomic(at('device'), 'x')).rejects.toThrow(
      'got a device; remove it, or save under another name',
    )
    expect(await text('file')).toBe('content')
    expect((await readdir(directory)).sort()).toEqual(['device', 'file', 'folder'])
  })

  test.each([
    ['EACCES', 'no write permission; change the rights of the directory or save somewhere else (EACCES)'],
    ['EROFS', 'the file system is read-only; save somewhere else (EROFS)'],
    ['EDQUOT', 'no space is left; free some space or save to another disk (EDQUOT)'],
    ['EIO', 'the disk reported an error; check it, or save to another disk (EIO)'],
    [
      'ENOTEMPTY',
      'another program made a directory of that name meanwhile; end that program, or save under another name',
    ],
    ['ELOOP', 'its links lead round in a circle, or there are too many; remove the link, or save under another name'],
    ['EAGAIN', 'another program holds it; end that program, or save under another name (EAGAIN)'],
    ['ENODATA', 'the system says "no data available"; look at the path and its disk, then try again (ENODATA)'],
    ['Unknown system error -122', 'no space is left; free some space or save to another disk (EDQUOT)'],
    ['Unknown system error -116', 'its directory was replaced on the file server; save again (ESTALE)'],
    ['Unknown system error -77', 'the system reports an error without a name; look at the path and its disk'],
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

const makeDirectory = (path: string): Promise<void> => fillDirectory(path, async () => {})

describe('fillDirectory', () => {
  test('ends where a file system takes no directories although the one above is there', async () => {
    for (const path of ['/proc/lowrank-test', '/proc/lowrank-test/below']) {
      await expect(makeDirectory(path)).rejects.toThrow(`[save] cannot write ${path}`)
    }
  })

  test('names a link that leads nowhere, on any part of the path', async () => {
    const link = join(directory, 'link')
    await symlink(join(directory, 'gone'), link)
    const said = `[save] expected ${link} to be a directory or not to exist, got a link that leads nowhere; remove it, or make what it leads to`
    await expect(makeDirectory(link)).rejects.toThrow(said)
    await expect(makeDirectory(join(link, 'deep', 'er'))).rejects.toThrow(said)
    await expect(writeFileAtomic(join(link, 'file'), 'x')).rejects.toThrow(said)
    expect(await readdir(directory)).toEqual(['link'])
  })

  test('leaves no empty directory behind where nothing could be written, and what was there before', async () => {
    const fails = () => Promise.reject(new Error('disposed'))
    await expect(fillDirectory(at('a', 'b', 'c'), fails)).rejects.toThrow('disposed')
    expect(await readdir(directory)).toEqual([])
    await makeDirectory(at('a'))
    await expect(fillDirectory(at('a'), fails)).rejects.toThrow('disposed')
    await expect(fillDirectory(at('a', 'b', 'c'), fails)).rejects.toThrow('disposed')
    expect([await readdir(directory), await readdir(at('a'))]).toEqual([['a'], []])
    const half = async () => {
      await writeFile(at('a', 'b', 'kept'), '')
      await fails()
    }
    await expect(fillDirectory(at('a', 'b'), half)).rejects.toThrow('disposed')
    expect(await readdir(at('a', 'b'))).toEqual(['kept'])
  })

  test('makes a directory and those above it, and says what stands in the way', async () => {
    await makeDirectory(at('a', 'b'))
    await makeDirectory(at('a', 'b'))
    expect(await readdir(at('a'))).toEqual(['b'])
    await writeFile(at('file'), 'content')
    await symlink(at('circle'), at('circle'))
    await expect(makeDirectory(at('file', 'below'))).rejects.toThrow(
      `[save] cannot write ${at('file', 'below')}: a part of the path is a file, not a directory; save under another name (ENOTDIR)`,
    )
    await expect(makeDirectory(at('circle', 'below'))).rejects.toThrow(/: its links lead round in a circle.* \(ELOOP\)/)
  })
})

describe('fillFilesAtomic', () => {
  test('files that could not be filled leave no directory that was made for them', async () => {
    const fails = () => Promise.reject(new Error('stopped'))
    await expect(fillFilesAtomic([at('a', 'b', 'x'), at('a', 'y')], fails)).rejects.toThrow('stopped')
    expect(await readdir(directory)).toEqual([])
    await makeDirectory(at('a'))
    await expect(fillFilesAtomic([at('a', 'b', 'x')], fails)).rejects.toThrow('stopped')
    expect([await readdir(directory), await readdir(at('a'))]).toEqual([['a'], []])
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

  test('a link in its place is refused, and what it leads to is not touched', async () => {
    await mkdir(at('elsewhere'))
    await writeFile(at('elsewhere', 'precious'), 'of someone else')
    await symlink(at('elsewhere'), at('link'))
    await symlink(at('elsewhere'), at('.other.lowrank-replaced'))
    await expect(writeDirectoryAtomic(at('link'), fill('one'))).rejects.toThrow(
      `[save] expected ${at('link')} to be a directory or not to exist, got a link; remove it, or save under another name`,
    )
    await writeDirectoryAtomic(at('other'), fill('one'))
    expect(await readdir(at('elsewhere'))).toEqual(['precious'])
    expect(await text('other', 'inner', 'file')).toBe('one')
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
  test('only temporaries whose maker has certainly ended are removed, whatever their age', async () => {
    const [, place = '', pid = '', ticks = ''] = new RegExp(OWNER_PATTERN).exec(ownedName('')) ?? []
    const startTicks = (process: number | string) =>
      readFileSync(`/proc/${process}/stat`, 'latin1').split(') ')[1]?.split(' ')[19]
    expect([place.length, Number(pid), ticks]).toEqual([12, process.pid, startTicks('self')])
    // No process has this id: the largest is 2^22.
    const dead = 2 ** 22 + 1
    const otherPlace = place.replace(/^./, (letter) => (letter === '0' ? '1' : '0'))
    const parent = startTicks(process.ppid)
    const name = (...owner: unknown[]) => `.a.lowrank-${owner.join('-')}-0123456789ab`
    const removed = [name(place, dead, 5), name(place, pid, 1), name(place, process.ppid, Number(parent) + 1)]
    const kept = [
      name(place, pid, ticks),
      name(place, process.ppid, parent),
      // Other containers and machines, where every process may have the id 1 or none.
      name(otherPlace, dead, 5),
      name(otherPlace, pid, ticks),
      name(otherPlace, 1, 1),
      // Other programs' files, and names of before.
      `.a.lowrank-${dead}-0123456789ab`,
      `a.lowrank-${place}-${dead}-5-0123456789ab`,
      `.a.lowrank-${place}-${dead}-5`,
    ]
    await mkdir(at(removed[0] as string))
    await writeFile(at(removed[0] as string, 'file'), 'half')
    for (const file of [...removed.slice(1), ...kept]) await writeFile(at(file), '')
    // Neither files of long ago nor of the future, by the clock of a file server, say anything.
    for (const file of kept) await utimes(at(file), 1, 1)
    for (const file of removed) await utimes(at(file), 4e9, 4e9)
    await writeFileAtomic(at('file'), 'x')
    expect((await readdir(directory)).sort()).toEqual([...kept, 'file'].sort())
  })

  test('what a killed process was writing is removed by the next writer, and not while it lives', async () => {
    const program = `
      const { writeFileAtomic } = await import(process.argv[1])
      await writeFileAtomic(process.argv[2], (async function* () {
        yield Buffer.from('half')
        process.stdout.write('begun')
        await new Promise((resolve) => setTimeout(resolve, 1e6))
      })())`
    const module = new URL('../dist/atomic-write.js', import.meta.url).href
    const child = spawn(process.execPath, ['--input-type=module', '-e', program, module, at('theirs')])
    await once(child.stdout, 'data')
    await writeFileAtomic(at('ours'), 'x')
    const during = await readdir(directory)
    expect(during).toHaveLength(2)
    expect(during.find((name) => name !== 'ours')).toMatch(/^\.theirs\.lowrank-[0-9a-f]{12}-\d+-\d+-[0-9a-f]{12}$/)
    child.kill('SIGKILL')
    await once(child, 'close')
    await writeFileAtomic(at('ours'), 'y')
    expect(await readdir(directory)).toEqual(['ours'])
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
