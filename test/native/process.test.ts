/** @file Locks of files and guards of signals in the addon: what they do, and what they refuse. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { tryLoadAddon } from '../../src/tensor/addon.js'
import { temporaryDirectory } from '../support/tiny-model.js'

const folder = temporaryDirectory()
const loaded = tryLoadAddon()
if ('error' in loaded) throw loaded.error
const { addon, path } = loaded
type Untyped = (...args: unknown[]) => unknown
const lock = addon.lockFile as Untyped
const guard = addon.guardSignals as Untyped

describe('a lock of a file', () => {
  test('is exclusive or shared, and ends with the file that it was taken on', async () => {
    const file = join(folder, 'locked')
    await writeFile(file, '')
    const [first, second, third] = await Promise.all([open(file, 'r+'), open(file, 'r'), open(file, 'r')])
    expect(await lock(first.fd, true)).toBe(true)
    expect(await lock(first.fd, true)).toBe(true)
    expect(await lock(second.fd, false)).toBe(false)
    expect(await lock(second.fd, true)).toBe(false)
    await first.close()
    expect(await lock(second.fd, false)).toBe(true)
    expect(await lock(third.fd, false)).toBe(true)
    expect(await lock(third.fd, true)).toBe(false)
    await second.close()
    expect(await lock(third.fd, true)).toBe(true)
    await third.close()
  })

  test('is neither had nor held where there is no file', async () => {
    expect(await lock(-1, true)).toBeNull()
    expect(await lock(2 ** 31 - 1, false)).toBeNull()
  })

  test.each([[[]], [[1]], [['1', true]], [[1, 1]]])('refuses what is no descriptor and kind: %j', (args) => {
    expect(() => lock(...args)).toThrow('[lock] expected a file descriptor and whether the lock is exclusive')
  })
})

describe('a guard of signals', () => {
  test.each([
    [[], 'two lists of numbers and a text'],
    [[[2], [1]], 'two lists of numbers and a text'],
    [[[2], [1, 1], ''], 'two lists of one length'],
    [[Array(65).fill(2), Array(65).fill(1), ''], 'two lists of one length'],
    [[['SIGINT'], [1], ''], 'numbers'],
  ])('refuses what is none: %j', (args, message) => {
    expect(() => guard(...args)).toThrow(`[signals] expected ${message}`)
  })

  /** What a process prints, and how it ends. */
  async function script(body: string): Promise<{ stdout: string; code: number | null; signal: string | null }> {
    const prelude = `const addon = require(${JSON.stringify(path)}); const print = (value) => require('node:fs').writeSync(1, value + '\\n')`
    const child = spawn(process.execPath, ['-e', `${prelude}\n${body}`], { stdio: ['ignore', 'pipe', 'inherit'] })
    let stdout = ''
    child.stdout.setEncoding('utf8').on('data', (text) => {
      stdout += text
    })
    const [code, signal] = await once(child, 'close')
    return { stdout, code, signal }
  }

  test('stands in front of a listener alone, knows no signals that there are not, and gives them back', async () => {
    const result = await script(`
      print(addon.guardSignals([12], [2], ''))
      print(addon.guardSignals([0], [1], ''))
      print(addon.guardSignals([1000], [1], ''))
      print(addon.guardSignals([9], [1], ''))
      let seen = 0
      process.on('SIGTERM', () => {
        print(++seen)
        if (seen === 2) process.exit(7)
        process.kill(process.pid, 'SIGTERM')
      })
      print(addon.guardSignals([15], [2], ''))
      print(addon.guardSignals([15, 15], [2, 2], ''))
      addon.guardSignals([], [], '')
      process.kill(process.pid, 'SIGTERM')
      setInterval(() => {}, 1e6)`)
    expect(result).toEqual({
      stdout: 'false\nfalse\nfalse\nfalse\ntrue\nfalse\n1\n2\n',
      code: 7,
      signal: null,
    })
  })

  test('is out of the way once its listener has gone: the system ends the process', async () => {
    const result = await script(`
      const listener = () => print('heard')
      process.on('SIGTERM', listener)
      addon.guardSignals([15], [2], '')
      process.off('SIGTERM', listener)
      process.kill(process.pid, 'SIGTERM')
      for (;;);`)
    expect(result).toEqual({ stdout: '', code: null, signal: 'SIGTERM' })
  })

  test('ends a process by the first signal also while threads compute', async () => {
    const result = await script(`
      const stream = new addon.Stream({ device: 'cpu', threads: 2 })
      const tensor = [stream.allocate(4000 * 4000 * 4), 0, 0, 4000, 4000, 4000]
      for (let i = 0; i < 200; i++) {
        const words = [...tensor, i]
        stream.enqueue(addon.ops.fill.id, Float64Array.from(words), words.length)
      }
      addon.guardSignals([2], [1], '')
      process.kill(process.pid, 'SIGINT')
      for (;;);`)
    expect(result).toEqual({ stdout: '', code: null, signal: 'SIGINT' })
  })
})
