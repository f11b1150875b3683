/**
 * @file Files on their way into the cache: cut, killed, aborted, written by several, on a full disk; whole or not
 * there.
 */

import { execFileSync, spawn } from 'node:child_process'
import { mkdir, readdir, readFile, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { OWNER_PATTERN, ownedName } from '../../src/file-owner.js'
import { type FetchModelOptions, fetchModel } from '../../src/hub/fetch-model.js'
import { type SeenRequest, sha256 } from '../support/hub-answers.js'
import { cutAfter } from '../support/hub-server.js'
import { rejection } from '../support/tiny-model.js'
import { FILES, hubCase, ID, tree, WEIGHTS } from './hub-case.js'

/** Waits that were asked for, none of which is waited for. */
const waits = vi.hoisted(() => [] as number[])
vi.mock('node:timers/promises', () => ({
  setTimeout: async (milliseconds: number) => {
    waits.push(milliseconds)
  },
}))

/** A disk that takes so many more bytes of files that are fetched, and may refuse links. */
const disk = vi.hoisted(() => ({ left: Number.POSITIVE_INFINITY, hasLinks: true }))
vi.mock('node:fs/promises', async (importOriginal) => {
  const real = await importOriginal<typeof import('node:fs/promises')>()
  const open = async (path: string, flags: number) => {
    const handle = await real.open(path, flags)
    if (!path.endsWith('.incomplete')) return handle
    const write = handle.write.bind(handle) as (...args: unknown[]) => Promise<unknown>
    return Object.assign(handle, {
      write: async (bytes: Uint8Array, offset: number, length: number, position: number) => {
        const count = Math.min(length, disk.left)
        if (count === 0) throw Object.assign(new Error('ENOSPC: write'), { code: 'ENOSPC' })
        disk.left -= count
        return await write(bytes, offset, count, position)
      },
    })
  }
  const symlink = async (target: string, path: string) => {
    if (!disk.hasLinks) throw Object.assign(new Error('EPERM: symlink'), { code: 'EPERM' })
    await real.symlink(target, path)
  }
  return { ...real, open, symlink }
})

const place = hubCase()
const repository = (...path: string[]) => join(place.cache, 'models--org--name', ...path)
const fetch = (options: FetchModelOptions = {}) => fetchModel(ID, '/tried', options)
const ETAG = sha256(WEIGHTS)
const HALF = 50_001
const isWeights = ({ host }: SeenRequest) => host === 'lfs'
const ranges = () => place.hub.requests.splice(0).flatMap((request) => (isWeights(request) ? [request.range] : []))
const partials = async () => (await readdir(repository('blobs'))).filter((name) => name.endsWith('.incomplete'))
const checksum = async (directory: string) => sha256(await readFile(join(directory, 'model.safetensors')))

async function leave(name: string, bytes: Uint8Array): Promise<string> {
  await mkdir(repository('blobs'), { recursive: true })
  const path = repository('blobs', name)
  await writeFile(path, bytes)
  return path
}

afterEach(() => {
  waits.length = 0
  Object.assign(disk, { left: Number.POSITIVE_INFINITY, hasLinks: true })
})

describe('a connection that is cut', () => {
  test('goes on where it was, in the same run', async () => {
    place.hub.put(ID, { files: FILES })
    let cuts = 3
    place.hub.intercept = (request, response) => {
      if (!isWeights(request) || cuts-- === 0) return false
      cutAfter(response, request, WEIGHTS, 20_000)
      return true
    }
    const { directory } = await fetch()
    expect(ranges()).toEqual([undefined, 'bytes=20000-', 'bytes=40000-', 'bytes=60000-'])
    expect(waits).toEqual([500, 500, 500])
    expect(await checksum(directory)).toBe(ETAG)
    expect(await partials()).toEqual([])
  })

  test('a connection that is cut again and again without a new byte is an error, from which the next run goes on', async () => {
    place.hub.put(ID, { files: FILES })
    place.hub.intercept = (request, response) => {
      if (!isWeights(request)) return false
      cutAfter(response, request, WEIGHTS, request.range ? 0 : HALF)
      return true
    }
    expect(await rejection(fetch())).toMatch(
      /^\[hub\] cannot get model\.safetensors of "org\/name" from http:\S+: (terminated|other side closed|aborted); check the connection/,
    )
    expect(await partials()).toEqual([`${ETAG}.lowrank.incomplete`])
    expect(await tree(repository()).then(Object.keys)).not.toContain(`blobs/${ETAG}`)
    ranges()
    place.hub.intercept = undefined
    expect(await checksum((await fetch()).directory)).toBe(ETAG)
    expect(ranges()).toEqual([`bytes=${HALF}-`])
    expect(await partials()).toEqual([])
  })

  test('a connection that is cut before a byte came is tried four times in all', async () => {
    place.hub.put(ID, { files: FILES })
    place.hub.intercept = (request, response) => isWeights(request) && Boolean(response.destroy())
    expect(await rejection(fetch())).toContain('[hub] cannot get model.safetensors of "org/name" from')
    expect(ranges()).toEqual(new Array(4).fill(undefined))
    expect(waits).toEqual([500, 1000, 2000])
    expect(await partials()).toEqual([])
  })

  test('a connection that is cut and a server that falls silent are the same', async () => {
    place.hub.put(ID, { files: FILES })
    vi.stubEnv('HF_HUB_DOWNLOAD_TIMEOUT', '0.1')
    let isSilent = true
    place.hub.intercept = (request, response) => {
      if (!isWeights(request) || !isSilent) return false
      isSilent = false
      response.writeHead(200, { 'content-length': WEIGHTS.length })
      response.write(WEIGHTS.subarray(0, HALF))
      return true
    }
    expect(await checksum((await fetch()).directory)).toBe(ETAG)
    expect(ranges()).toEqual([undefined, `bytes=${HALF}-`])
  })

  test('a connection that is cut after one byte each time ends, though there is always something new', async () => {
    place.hub.put(ID, { files: FILES })
    place.hub.intercept = (request, response) => {
      if (!isWeights(request)) return false
      cutAfter(response, request, WEIGHTS, 1)
      return true
    }
    expect(await rejection(fetch())).toContain('[hub] cannot get model.safetensors of "org/name" from')
    expect(ranges()).toEqual([undefined, 'bytes=1-', 'bytes=2-', 'bytes=3-'])
    expect(waits).toEqual([500, 1000, 2000])
  })

  test('a connection that is cut and a server that sends a byte now and then for ever ends, and the next run goes on', async () => {
    place.hub.put(ID, { files: FILES })
    // A clock that runs ahead, so that nobody waits: each piece seems to take seconds.
    const now = performance.now.bind(performance)
    let ahead = 0
    vi.spyOn(performance, 'now').mockImplementation(() => {
      ahead += 5000
      return now() + ahead
    })
    const timers: NodeJS.Timeout[] = []
    place.hub.intercept = (request, response) => {
      if (!isWeights(request)) return false
      const start = Number(/\d+/.exec(request.range ?? '')?.[0] ?? 0)
      const headers = { 'content-range': `bytes ${start}-${WEIGHTS.length - 1}/${WEIGHTS.length}` }
      response.writeHead(start > 0 ? 206 : 200, { 'content-length': WEIGHTS.length - start, ...headers })
      let at = start
      timers.push(setInterval(() => response.write(WEIGHTS.subarray(at, ++at)), 5))
      return true
    }
    expect(await rejection(fetch())).toMatch(
      /^\[hub\] model\.safetensors of "org\/name" comes too slowly from http:\S+: \d+ bytes in \d+\.\d s; check the connection and the proxy or mirror in between\. What came so far of a file is kept/,
    )
    for (const timer of timers) clearInterval(timer)
    expect(ranges()).toHaveLength(4)
    vi.restoreAllMocks()
    place.hub.intercept = undefined
    expect(await checksum((await fetch()).directory)).toBe(ETAG)
    expect(ranges()[0]).toMatch(/^bytes=\d+-$/)
  })

  test('begins anew where the server gives all in place of the rest', async () => {
    place.hub.put(ID, { files: FILES })
    await leave(`${ETAG}.lowrank.incomplete`, WEIGHTS.subarray(0, HALF))
    place.hub.intercept = (request, response) => isWeights(request) && Boolean(response.end(WEIGHTS))
    const bytes: number[] = []
    const { directory } = await fetch({ onEvent: (event) => bytes.push(event.bytes - event.totalBytes) })
    expect(await checksum(directory)).toBe(ETAG)
    expect(bytes.at(-1)).toBe(0)
  })
})

describe('what an earlier attempt left', () => {
  test.each([`${ETAG}.incomplete`, `${ETAG}.0123abcd.incomplete`])(
    'what an earlier attempt left by huggingface_hub, %s, is used and left alone',
    async (name) => {
      place.hub.put(ID, { files: FILES })
      const path = await leave(name, WEIGHTS.subarray(0, HALF))
      expect(await checksum((await fetch()).directory)).toBe(ETAG)
      expect(ranges()).toEqual([`bytes=${HALF}-`])
      expect((await stat(path)).size).toBe(HALF)
    },
  )

  test('what an earlier attempt left with other content is thrown away', async () => {
    place.hub.put(ID, { files: FILES })
    await leave(`${ETAG}.lowrank.incomplete`, Buffer.alloc(HALF))
    expect(await checksum((await fetch()).directory)).toBe(ETAG)
    expect(ranges()).toEqual([`bytes=${HALF}-`, undefined])
    expect(await partials()).toEqual([])
  })

  test('what an earlier attempt left in whole needs no request', async () => {
    place.hub.put(ID, { files: FILES })
    await leave(`${ETAG}.lowrank.incomplete`, WEIGHTS)
    expect(await checksum((await fetch()).directory)).toBe(ETAG)
    expect(ranges()).toEqual([])
  })

  test('what an earlier attempt left with more bytes than there are is thrown away', async () => {
    place.hub.put(ID, { files: FILES })
    await leave(`${ETAG}.lowrank.incomplete`, Buffer.concat([WEIGHTS, WEIGHTS]))
    expect(await checksum((await fetch()).directory)).toBe(ETAG)
    expect(ranges()).toEqual([undefined])
    expect(await partials()).toEqual([])
  })

  const [, here, pid, ticks] = new RegExp(OWNER_PATTERN).exec(ownedName('')) ?? []
  const nameOf = (...writer: unknown[]) => `${ETAG}.lowrank-${writer.join('-')}-0123456789ab.incomplete`

  test('what an earlier attempt left by a process that lives on this machine is not touched, however old it is', async () => {
    place.hub.put(ID, { files: FILES })
    const path = await leave(nameOf(here, pid, ticks), WEIGHTS.subarray(0, HALF))
    await utimes(path, new Date(0), new Date(0))
    expect(await checksum((await fetch()).directory)).toBe(ETAG)
    expect(ranges()).toEqual([undefined])
    expect((await stat(path)).size).toBe(HALF)
  })

  test('what an earlier attempt left by a process that has ended is taken over, however young it is', async () => {
    place.hub.put(ID, { files: FILES })
    const path = await leave(nameOf(here, pid, 1), WEIGHTS.subarray(0, HALF))
    await utimes(path, new Date(4e12), new Date(4e12))
    expect(await checksum((await fetch()).directory)).toBe(ETAG)
    expect(ranges()).toEqual([`bytes=${HALF}-`])
    expect(await partials()).toEqual([])
  })

  test.each([nameOf('0123456789ab', 1, 1), nameOf('0123456789ab', pid, ticks), nameOf('0123abcd', 1)])(
    'what an earlier attempt left in another container or on another machine, %s, is used and left alone',
    async (name) => {
      place.hub.put(ID, { files: FILES })
      const path = await leave(name, WEIGHTS.subarray(0, HALF))
      await utimes(path, new Date(0), new Date(0))
      expect(await checksum((await fetch()).directory)).toBe(ETAG)
      expect(ranges()).toEqual([`bytes=${HALF}-`])
      expect((await stat(path)).size).toBe(HALF)
    },
  )

  test('what an earlier attempt left that is a link or a pipe is neither followed nor opened', async () => {
    place.hub.put(ID, { files: FILES })
    const precious = join(place.cache, 'precious')
    await mkdir(repository('blobs'), { recursive: true })
    await writeFile(precious, 'of someone else')
    await symlink(precious, repository('blobs', `${ETAG}.lowrank.incomplete`))
    await symlink(precious, repository('blobs', `${ETAG}.incomplete`))
    execFileSync('mkfifo', [repository('blobs', nameOf(here, pid, 1))])
    expect(await checksum((await fetch()).directory)).toBe(ETAG)
    expect(await readFile(precious, 'utf8')).toBe('of someone else')
  })
})

describe('an AbortSignal', () => {
  test('ends the transfer with its reason, and what came is kept', async () => {
    place.hub.put(ID, { files: FILES })
    const controller = new AbortController()
    place.hub.intercept = (request, response) => {
      if (!isWeights(request) || request.range) return false
      response.writeHead(200, { 'content-length': WEIGHTS.length })
      response.write(WEIGHTS.subarray(0, HALF))
      void vi.waitFor(async () => {
        const sizes = await Promise.all(
          (await partials()).map(async (name) => (await stat(repository('blobs', name))).size),
        )
        expect(sizes).toContain(HALF)
        controller.abort(new Error('enough'))
      })
      return true
    }
    expect(await rejection(fetch({ signal: controller.signal }))).toBe('enough')
    expect(await partials()).toContain(`${ETAG}.lowrank.incomplete`)
    ranges()
    expect(await checksum((await fetch()).directory)).toBe(ETAG)
    expect(ranges()).toEqual([`bytes=${HALF}-`])
  })

  test('an AbortSignal that is aborted already sends no request', async () => {
    expect(await rejection(fetch({ signal: AbortSignal.abort(new Error('before')) }))).toBe('before')
    expect(place.hub.requests).toEqual([])
  })
})

describe('a disk', () => {
  test('a disk that is full is an error with the remedy, and the next run goes on', async () => {
    place.hub.put(ID, { files: { 'config.json': '{}', 'model.safetensors': WEIGHTS } })
    disk.left = HALF
    expect(await rejection(fetch())).toMatch(
      new RegExp(
        `^\\[hub\\] no space is left for model\\.safetensors \\(97\\.7 KiB\\) in ${repository('blobs')} \\(ENOSPC\\); free some, or set HF_HOME to ` +
          'another disk\\. What came so far is kept, and the next attempt goes on from it$',
      ),
    )
    expect(Object.keys(await tree(repository())).filter((path) => path.endsWith('safetensors'))).toEqual([])
    disk.left = Number.POSITIVE_INFINITY
    ranges()
    expect(await checksum((await fetch()).directory)).toBe(ETAG)
    expect(ranges()[0]).toMatch(/^bytes=\d{4,}-$/)
  })

  test('a disk without links has the content itself in the snapshot', async () => {
    const commit = place.hub.put(ID, { files: FILES })
    disk.hasLinks = false
    await fetch()
    expect((await tree(repository('snapshots', commit)))['model.safetensors']).toBe('')
    expect(await checksum(repository('snapshots', commit))).toBe(ETAG)
  })
})

describe('several at the same time', () => {
  test('several downloads at the same time in one process, with something left to go on from, all have it whole', async () => {
    const commit = place.hub.put(ID, { files: FILES })
    await utimes(await leave(`${ETAG}.lowrank.incomplete`, WEIGHTS.subarray(0, HALF)), new Date(0), new Date(0))
    for (const { directory } of await Promise.all([fetch(), fetch(), fetch()])) {
      expect(directory).toBe(repository('snapshots', commit))
      expect(await checksum(directory)).toBe(ETAG)
    }
    expect(ranges().filter((range) => range === `bytes=${HALF}-`)).toHaveLength(1)
    expect(await partials()).toEqual([])
  })
})

describe('several processes', () => {
  /** Runs fetch-child.mjs; the promise has what it wrote. */
  function child() {
    const script = fileURLToPath(new URL('fetch-child.mjs', import.meta.url))
    const process_ = spawn(process.execPath, [script, ID], { env: process.env })
    let output = ''
    for (const stream of [process_.stdout, process_.stderr]) {
      stream.on('data', (text) => {
        output += text
      })
    }
    return { process: process_, output: new Promise<string>((resolve) => process_.on('close', () => resolve(output))) }
  }

  test('several processes that fetch the same at the same time all have it whole', async () => {
    const commit = place.hub.put(ID, { files: FILES })
    const children = [child(), child(), child()]
    for (const { output } of children) expect(await output).toBe(repository('snapshots', commit))
    expect(await checksum(repository('snapshots', commit))).toBe(ETAG)
    expect(await partials()).toEqual([])
    expect(Object.keys(await tree(repository())).filter((path) => path.endsWith('.lowrank'))).toEqual([])
  })

  test('one of which is killed leave what the next goes on from', async () => {
    place.hub.put(ID, { files: FILES })
    place.hub.intercept = (request, response) => {
      if (!isWeights(request) || request.range) return false
      response.writeHead(200, { 'content-length': WEIGHTS.length })
      response.write(WEIGHTS.subarray(0, HALF))
      return true
    }
    const killed = child()
    await vi.waitFor(
      async () => {
        const sizes = await Promise.all(
          (await partials()).map(async (name) => (await stat(repository('blobs', name))).size),
        )
        expect(sizes).toContain(HALF)
      },
      { timeout: 120_000 },
    )
    killed.process.kill('SIGKILL')
    await killed.output
    expect(await tree(repository()).then(Object.keys)).not.toContain(`blobs/${ETAG}`)
    ranges()
    expect(await checksum((await fetch()).directory)).toBe(ETAG)
    expect(ranges()).toEqual([`bytes=${HALF}-`])
    expect(await partials()).toEqual([])
  })
})
