/** @file Data files by their address: fetched once, asked for each time, gone on with where they were cut. */

import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { DatasetEntry } from '../../../src/data/sources/dataset-entry.js'
import { type DataSource, openSource } from '../../../src/data/sources/open-source.js'
import { writeRows } from '../../../src/data/writers/write-rows.js'
import { sha256 } from '../../support/hub-answers.js'
import { readContext } from '../../support/read-rows.js'
import { rejection } from '../../support/tiny-model.js'
import { type FileServer, sendFile, startFileServer } from '../../support/web-server.js'

vi.mock('node:timers/promises', () => ({ setTimeout: async () => {} }))

let server: FileServer
let root: string
const warnings: string[] = []
vi.spyOn(process, 'emitWarning').mockImplementation((warning) => {
  warnings.push(String(warning))
})

beforeEach(async () => {
  server = await startFileServer()
  root = await mkdtemp(join(tmpdir(), 'lowrank-web-'))
  for (const name of ['HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE', 'HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN'])
    vi.stubEnv(name, '')
  vi.stubEnv('LOWRANK_CACHE', join(root, 'cache'))
  vi.stubEnv('HF_HOME', join(root, 'home'))
  vi.stubEnv('HF_ENDPOINT', 'http://127.0.0.1:9')
})

afterEach(async () => {
  vi.unstubAllEnvs()
  warnings.length = 0
  await server.close()
  await rm(root, { recursive: true, force: true })
})

const ROWS = Array.from({ length: 5000 }, (_, row) => ({ text: `row ${row} ${'x'.repeat(row % 37)}` }))
const LINES = Buffer.from(ROWS.map((row) => `${JSON.stringify(row)}\n`).join(''))

/** The rows of a source as they are, and their lineage. */
async function read(source: DataSource | DatasetEntry) {
  const context = readContext()
  const values: unknown[] = []
  for await (const { value } of openSource(source).rows(context))
    values.push(value instanceof Map ? Object.fromEntries(value) : value)
  return { values, lineage: context.lineage }
}

const failure = (source: DataSource | DatasetEntry) => rejection(read(source))
const plain = (values: readonly unknown[]): unknown => JSON.parse(JSON.stringify(values))

describe('a file by its address', () => {
  it('is read as a local one, of any format and packing, with the hash of its bytes in the lineage', async () => {
    const path = join(root, 'rows.parquet')
    await writeRows(ROWS.slice(0, 70), path)
    server.files.set('/a.parquet', await readFile(path))
    server.files.set('/a.jsonl.gz', gzipSync(LINES))
    server.files.set('/a.csv', Buffer.from('text,n\nhello,1\n'))
    for (const [name, rows] of [
      ['a.parquet', ROWS.slice(0, 70)],
      ['a.jsonl.gz', ROWS],
      ['a.csv', [{ text: 'hello', n: '1' }]],
    ] as const) {
      const content = server.files.get(`/${name}`) as Uint8Array
      const { values, lineage } = await read(`${server.address}/${name}?signature=s3cret`)
      expect(plain(values)).toEqual(rows)
      const location = `${server.address}/${name}`
      expect(lineage).toEqual([{ location, rows: rows.length, size: content.length, sha256: sha256(content) }])
      const streamed = await read({ path: `${server.address}/${name}`, streaming: true })
      expect(plain(streamed.values)).toEqual(rows)
    }
  })

  it('is fetched once while its ETag stays, and anew when it changes', async () => {
    server.files.set('/rows.jsonl', LINES)
    const address = `${server.address}/rows.jsonl`
    await read(address)
    await read(address)
    const [first, second, ...others] = server.requests.splice(0)
    expect([first?.headers['if-none-match'], others]).toEqual([undefined, []])
    expect(second?.headers['if-none-match']).toBe(`"${sha256(LINES).slice(0, 16)}"`)
    server.files.set('/rows.jsonl', Buffer.from('{"text":"new"}\n'))
    expect((await read(address)).values).toEqual([{ text: 'new' }])
  })

  it('is of one content for all readings of a source', async () => {
    server.files.set('/rows.jsonl', LINES)
    const { values } = await read({ path: `${server.address}/rows.jsonl`, split: 'train[50%:]' })
    expect([values.length, server.requests.length]).toEqual([2500, 1])
  })

  it('goes on from what came where it is cut, whatever is stored', async () => {
    for (const streaming of [false, true]) {
      let cuts = 2
      server.requests.length = 0
      server.files.set(`/rows-${streaming}.jsonl`, LINES)
      server.intercept = (request, response) => {
        if (cuts-- <= 0) return false
        sendFile(response, request, LINES, 66_000)
        return true
      }
      const { values } = await read({ path: `${server.address}/rows-${streaming}.jsonl`, streaming })
      expect(values).toEqual(ROWS)
      const part = expect.stringMatching(/^bytes=[1-9]\d*-$/)
      expect(server.requests.map(({ headers }) => headers.range)).toEqual([undefined, part, part])
    }
  })

  it('goes on in the next run from what an earlier one left', async () => {
    server.files.set('/rows.jsonl', LINES)
    server.intercept = (request, response) => {
      if (request.headers.range !== undefined) response.writeHead(500).end()
      else sendFile(response, request, LINES, 66_000)
      return true
    }
    expect(await failure(`${server.address}/rows.jsonl`)).toContain('failed (HTTP 500); try again later')
    server.intercept = undefined
    server.requests.length = 0
    expect((await read(`${server.address}/rows.jsonl`)).values).toHaveLength(ROWS.length)
    expect(server.requests.at(-1)?.headers.range).toMatch(/^bytes=[1-9]\d*-$/)
  })

  it('never joins parts of two contents', async () => {
    const others = Buffer.from(LINES.toString().toUpperCase())
    for (const streaming of [false, true]) {
      let isFirst = true
      server.intercept = (request, response) => {
        sendFile(response, request, isFirst ? LINES : others, isFirst ? 66_000 : undefined)
        isFirst = false
        return true
      }
      expect(await failure({ path: `${server.address}/${streaming}.jsonl`, streaming })).toMatch(
        /, but it was replaced; /,
      )
    }
  })

  it('comes from the cache without a network, and where the server fails', async () => {
    server.files.set('/rows.jsonl', LINES)
    const address = `${server.address}/rows.jsonl`
    await read(address)
    server.intercept = (_, response) => {
      response.writeHead(503).end()
      return true
    }
    expect((await read(address)).values).toHaveLength(ROWS.length)
    expect(warnings).toEqual([
      expect.stringContaining(`the server of ${address} failed (HTTP 503); try again later. Using what the cache has`),
    ])
    vi.stubEnv('HF_HUB_OFFLINE', '1')
    server.requests.length = 0
    expect((await read(address)).values).toHaveLength(ROWS.length)
    expect(server.requests).toEqual([])
    expect(await failure(`${server.address}/other.jsonl`)).toMatch(
      /other\.jsonl is not in the cache \(.*\), and HF_HUB_OFFLINE=1 forbids to fetch it; fetch it without HF_HUB_OFFLINE=1$/,
    )
    expect(await failure({ path: address, streaming: true })).toContain('expected streaming of')
  })

  it('is fetched anew where the cache has lost a part of it', async () => {
    server.files.set('/rows.jsonl', LINES)
    await read(`${server.address}/rows.jsonl`)
    const downloads = join(root, 'cache', 'downloads')
    for (const entry of await readdir(downloads, { recursive: true, withFileTypes: true }))
      if (/^[0-9a-f]{64}$/.test(entry.name)) await writeFile(join(entry.parentPath, entry.name), 'cut')
    expect((await read(`${server.address}/rows.jsonl`)).values).toHaveLength(ROWS.length)
  })

  it('is not kept where the server packs little into much', async () => {
    const bomb = gzipSync(Buffer.alloc(80 * 2 ** 20, '{}\n'))
    server.intercept = (_, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': bomb.length }).end(bomb)
      return true
    }
    expect(await failure(`${server.address}/rows.jsonl`)).toContain('unpacks to more than 400 times the')
  })
})

describe('an address that gives no rows', () => {
  it.each([
    [401, 'asks for access (HTTP 401); download the file with a program that logs in and give its path'],
    [403, 'asks for access (HTTP 403); '],
    [404, 'got HTTP 404; check the address'],
    [429, 'had too many requests (HTTP 429); try again in 60 s'],
    [500, 'failed (HTTP 500); try again later'],
    [418, 'got HTTP 418; check the address'],
  ])('says of the status %i what to do, and never what its query holds', async (status, message) => {
    server.intercept = (_, response) => {
      response.writeHead(status, { 'retry-after': '60' }).end()
      return true
    }
    const text = await failure(`${server.address}/rows.jsonl?X-Amz-Signature=s3cret`)
    expect(text).toContain(message)
    expect(text).not.toContain('s3cret')
  })

  it('is refused over http but on this machine, also behind a redirect', async () => {
    expect(() => openSource('http://example.com/rows.jsonl')).toThrow(
      '[data] expected an https address, got "http://example.com/rows.jsonl"; without https anybody in between can change the rows',
    )
    expect(() => openSource('https://me:pass@example.com/rows.jsonl')).toThrow(
      '[data] expected an address without name and password, got one of example.com',
    )
    server.intercept = ({ path }, response) => {
      const location = path === '/loop' ? '/loop' : 'http://example.com/rows.jsonl'
      response.writeHead(302, { location }).end()
      return true
    }
    expect(await failure(`${server.address}/rows.jsonl`)).toContain(
      'rows.jsonl leads to "http://example.com/rows.jsonl"',
    )
    expect(await failure(`${server.address}/loop`)).toContain('/loop redirects without end; check the address')
  })

  it('follows redirects on the same terms', async () => {
    server.files.set('/rows.jsonl', LINES)
    server.intercept = ({ path }, response) => {
      if (path !== '/latest.jsonl') return false
      response.writeHead(302, { location: '/rows.jsonl' }).end()
      return true
    }
    expect((await read(`${server.address}/latest.jsonl`)).values).toHaveLength(ROWS.length)
  })

  it('is a web page', async () => {
    server.files.set('/rows.jsonl', Buffer.from('<!doctype html><title>Log in</title>'))
    expect(await failure(`${server.address}/rows.jsonl`)).toContain('got a web page, as a login or a wrong address')
  })

  it('does not answer in time', async () => {
    vi.stubEnv('HF_HUB_ETAG_TIMEOUT', '0.05')
    server.intercept = () => true
    expect(await failure(`${server.address}/rows.jsonl`)).toMatch(
      /cannot get .*rows\.jsonl from .*: nothing came for 0\.05 s;/,
    )
  })

  it('gives no parts of a file that is streamed by columns', async () => {
    const path = join(root, 'rows.parquet')
    await writeRows(ROWS.slice(0, 7), path)
    const content = await readFile(path)
    server.intercept = (_, response) => {
      response.writeHead(200, { 'content-length': content.length }).end(content)
      return true
    }
    expect(await failure({ path: `${server.address}/rows.parquet`, streaming: true })).toContain(
      'gives files as a whole only; read it without streaming',
    )
  })
})

describe('the beginning of a file', () => {
  it('is all that a check fetches', async () => {
    server.files.set('/rows.jsonl', LINES)
    await openSource(`${server.address}/rows.jsonl`).check?.()
    server.files.set('/rows.jsonl', Buffer.from('%PDF-1.7'))
    expect(await rejection(Promise.resolve(openSource(`${server.address}/rows.jsonl`).check?.()))).toContain(
      'got a PDF document',
    )
    expect(await readdir(root)).toEqual([])
  })
})
