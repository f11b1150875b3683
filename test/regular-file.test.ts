/** @file What is opened to be read: regular files, and everything that may lie in their place. */

import { execFileSync } from 'node:child_process'
import { closeSync } from 'node:fs'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readPeftConfig } from '../src/adapters/peft-config.js'
import { readGenerationConfig } from '../src/checkpoint/generation-config.js'
import { readModelConfig } from '../src/checkpoint/load-model.js'
import { openCheckpoint } from '../src/checkpoint/weights-on-disk.js'
import { readConfig } from '../src/cli/config.js'
import { readGguf } from '../src/gguf/reader.js'
import {
  errorCode,
  isMissing,
  openRegularFile,
  openRegularFileSync,
  readDirectory,
  readError,
  readRegularFile,
  readRegularFileIfThere,
} from '../src/regular-file.js'
import { loadTokenizer } from '../src/tokenizer/tokenizer.js'
import { readSafetensorsHeader } from '../src/weights/safetensors.js'

let directory: string
const at = (...names: string[]) => join(directory, ...names)
const server = createServer()

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lowrank-read-'))
  await writeFile(at('file'), 'content')
  await mkdir(at('folder'))
  execFileSync('mkfifo', [at('pipe')])
  await symlink(at('pipe'), at('link to pipe'))
  await symlink('/dev/zero', at('link to device'))
  await symlink(at('file'), at('link'))
  await symlink(at('circle b'), at('circle a'))
  await symlink(at('circle a'), at('circle b'))
  await new Promise<void>((resolve) => server.listen(at('socket'), resolve))
})

afterAll(async () => {
  await new Promise((resolve) => server.close(resolve))
  await rm(directory, { recursive: true, force: true })
})

const message = (action: () => Promise<unknown>) =>
  action().then(
    () => 'nothing was thrown',
    (error: Error) => error.message,
  )

describe('readRegularFile', () => {
  test('reads a file, an empty one, one behind a link, one larger than its first buffer, and one whose size is said to be 0', async () => {
    const large = Buffer.alloc(200_003, 'abc')
    await writeFile(at('large'), large)
    await writeFile(at('empty'), '')
    expect((await readRegularFile(at('file'), { where: 'test' })).toString()).toBe('content')
    expect((await readRegularFile(at('link'), { where: 'test' })).toString()).toBe('content')
    expect(await readRegularFile(at('empty'), { where: 'test' })).toHaveLength(0)
    expect((await readRegularFile(at('large'), { where: 'test' })).equals(large)).toBe(true)
    expect((await readRegularFile('/proc/self/status', { where: 'test' })).toString()).toContain('Pid:')
  })

  test('takes as many bytes as its limit and refuses one more, also where the size is not known before', async () => {
    expect(await readRegularFile(at('file'), { where: 'test', limit: 7 })).toHaveLength(7)
    expect(await message(() => readRegularFile(at('file'), { where: 'test', limit: 6 }))).toBe(
      `[test] expected at most 6 bytes in ${at('file')}, got 7; is it the right file?`,
    )
    expect(await message(() => readRegularFile('/proc/self/status', { where: 'test', limit: 5 }))).toMatch(
      /^\[test\] expected at most 5 bytes in \/proc\/self\/status, got \d+; is it the right file\?$/,
    )
  })

  test.each([
    ['pipe', 'a pipe'],
    ['link to pipe', 'a pipe'],
    ['link to device', 'a device'],
    ['socket', 'a socket'],
    ['folder', 'a directory'],
  ])('refuses a %s before it reads, however it is opened', async (name, kind) => {
    const text = `[test] expected ${at(name)} to be a file, got ${kind}; give the path of a regular file`
    expect(await message(() => readRegularFile(at(name), { where: 'test' }))).toBe(text)
    expect(await message(() => readRegularFileIfThere(at(name), { where: 'test' }))).toBe(text)
    expect(await message(() => openRegularFile('test', at(name)))).toBe(text)
    expect(() => openRegularFileSync('test', at(name))).toThrow(text)
  })

  test('says in words what the system refuses, and what to do', async () => {
    const cases = [
      [at('none'), 'there is no such file; check the path (ENOENT)'],
      [at('file', 'below'), 'a part of the path is a file, not a directory; check the path (ENOTDIR)'],
      [
        at('circle a'),
        'its links lead round in a circle, or there are too many; remove the link, and put the file itself there (ELOOP)',
      ],
      [at('n'.repeat(300)), 'the path is too long for the file system; check it (ENAMETOOLONG)'],
      ['a\0b', 'a path cannot hold a null character; check it (ERR_INVALID_ARG_VALUE)'],
    ] as const
    for (const [path, reason] of cases) {
      const text = `[test] cannot read ${path}: ${reason}`
      expect(await message(() => readRegularFile(path, { where: 'test' }))).toBe(text)
      expect(() => closeSync(openRegularFileSync('test', path))).toThrow(text)
    }
    // A regular file by its kind, whose first page is not there.
    expect(await message(() => readRegularFile('/proc/self/mem', { where: 'test' }))).toBe(
      '[test] cannot read /proc/self/mem: the system shows what is no file of a disk there, and gives none of it; give the path of a regular file (EIO)',
    )
    const denied = Object.assign(new Error('EAGAIN: resource temporarily unavailable, read'), { code: 'EAGAIN' })
    expect(readError('test', 'path', denied).message).toMatch(/^\[test\] cannot read path: another program holds it/)
    const forbidden = Object.assign(new Error('EACCES: permission denied, open'), { code: 'EACCES' })
    expect(readError('test', 'path', forbidden).message).toMatch(/^\[test\] cannot read path: no permission to read; /)
    const rare = Object.assign(new Error('EMLINK: too many links'), { code: 'EMLINK' })
    expect(readError('test', 'path', rare).message).toMatch(/the system says ".+"; look at the path and its disk/)
    expect(readError('test', 'path', new Error('other')).message).toBe('other')
  })

  test('shows a path of 300 KB short', async () => {
    const text = await message(() => readRegularFile(`/${'x'.repeat(300_000)}`, { where: 'test' }))
    expect(text.length).toBeLessThan(800)
    expect(text).toContain('(300001 characters)')
  })

  test('tells a missing file from one that is there and cannot be read', async () => {
    expect(await readRegularFileIfThere(at('none'), { where: 'test' })).toBeUndefined()
    expect(await readRegularFileIfThere(at('file', 'below'), { where: 'test' })).toBeUndefined()
    const error = await readRegularFile(at('none'), { where: 'test' }).catch((thrown: unknown) => thrown)
    expect(errorCode(error)).toBe('ENOENT')
    expect(isMissing(error)).toBe(true)
    expect(isMissing(await openRegularFile('test', at('circle a')).catch((thrown: unknown) => thrown))).toBe(false)
    expect(errorCode('text')).toBeUndefined()
  })

  test('has words for directories too', async () => {
    expect((await readDirectory('test', at('folder'))).length).toBe(0)
    expect(await message(() => readDirectory('test', at('none')))).toBe(
      `[test] cannot read the directory ${at('none')}: there is none; check the path (ENOENT)`,
    )
    expect(await message(() => readDirectory('test', at('file')))).toBe(
      `[test] cannot read the directory ${at('file')}: a part of the path is a file, not a directory; check the path (ENOTDIR)`,
    )
    expect(await message(() => readDirectory('test', at('circle a')))).toContain('its links lead round in a circle')
  })

  test('stops when it is aborted', async () => {
    const signal = AbortSignal.abort(new Error('no longer wanted'))
    expect(await message(() => readRegularFile(at('file'), { where: 'test', signal }))).toBe('no longer wanted')
  })
})

describe('a pipe or a device in place of a file', () => {
  const readers: [string, string, (path: string) => Promise<unknown>][] = [
    ['config.json', 'config.json', () => readModelConfig(at('model'))],
    ['the weights', 'model.safetensors', () => openCheckpoint(at('model'))],
    ['the index of the weights', 'model.safetensors.index.json', () => openCheckpoint(at('model'))],
    ['generation_config.json', 'generation_config.json', () => readGenerationConfig(at('model'))],
    ['tokenizer.json', 'tokenizer.json', () => loadTokenizer(at('model'))],
    ['adapter_config.json', 'adapter_config.json', () => readPeftConfig(at('model'))],
    ['the weights of an adapter', 'adapter_model.safetensors', (path) => readSafetensorsHeader(path)],
    ['a GGUF file', 'model.gguf', async (path) => readGguf(path)],
    ['the tokenizer of a GGUF file', 'model.gguf', (path) => loadTokenizer(path)],
    ['the options of a run', 'train.yaml', (path) => readConfig(path)],
  ]
  test.each(readers)('is refused by name: %s', async (_, name, read) => {
    for (const [other, kind] of [
      ['pipe', 'a pipe'],
      ['link to device', 'a device'],
    ] as const) {
      await rm(at('model'), { recursive: true, force: true })
      await mkdir(at('model'))
      await symlink(at(other), at('model', name))
      expect(await message(() => read(at('model', name)))).toMatch(
        new RegExp(
          `expected .*${name.replaceAll('.', '\\.')} to be a file, got ${kind}; give the path of a regular file$`,
        ),
      )
    }
  })
})
