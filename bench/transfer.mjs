// @ts-check
/**
 * @file One large file to a volume and back, beside plain `fetch` against the same bare Node server: bytes per second of the clock, processor
 * time, and memory above that at the start. Each case runs in a process of its own, all of them in turn.
 */

import {
  createReadStream,
  createWriteStream,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { connectDatabricks, downloadFile, uploadFile } from '../dist/databricks.js'
import { peakRssMib, runLines } from './support/process.mjs'
import { round, summary } from './support/report.mjs'

const MIB = 2 ** 20
const VOLUME_FILE = '/Volumes/main/bench/files/large.bin'
const PIECE = Buffer.alloc(MIB, 7)

/** @type {Record<string, (server: string, folder: string, size: number) => Promise<void>>} */
const CASES = {
  'up lowrank': async (server, folder) => {
    await uploadFile(join(folder, 'large.bin'), VOLUME_FILE, { databricks: await connect(server) })
  },
  'up fetch': async (server, folder, size) => {
    const body = Readable.toWeb(createReadStream(join(folder, 'large.bin'), { highWaterMark: 512 * 1024 }))
    const headers = { 'content-length': String(size) }
    const init = /** @type {RequestInit} */ ({ method: 'PUT', body, headers, duplex: 'half' })
    const answer = await fetch(`${server}/bare`, init)
    if (!answer.ok) throw new Error(`expected the server to take the file, got HTTP ${answer.status}`)
  },
  'down lowrank': async (server, folder) => {
    await downloadFile(VOLUME_FILE, join(folder, 'fetched.bin'), { databricks: await connect(server), resume: false })
  },
  'down fetch': async (server, folder) => {
    const { body } = await fetch(`${server}/bare`)
    if (body === null) throw new Error('expected a body')
    // What is fetched is on the disk at the end, as ours is.
    const file = createWriteStream(join(folder, 'fetched.bin'), { flush: true })
    await pipeline(Readable.fromWeb(/** @type {any} */ (body)), file)
  },
}

/** @param {string} server */
function connect(server) {
  return connectDatabricks({ host: server, token: 'dapi-of-the-bench' })
}

/** @type {import('./main.mjs').Bench} */
export const bench = {
  summary: 'A large file to a volume and back on loopback, beside plain fetch against the same bare server.',
  options: {
    mib: { type: 'count', default: 1024, help: 'MiB of the file' },
    rounds: { type: 'count', default: 5, help: 'how often each case runs, all in turn' },
    only: { help: 'measures one direction, up or down; default: both' },
  },
  async run({ mib, rounds, only = '' }, report) {
    const folder = mkdtempSync(join(tmpdir(), 'lowrank-bench-transfer-'))
    const file = openSync(join(folder, 'large.bin'), 'w')
    for (let index = 0; index < mib; index++) writeSync(file, PIECE)
    /** @type {Record<string, { rate: number[], cpu: number[], memory: number[] }>} */
    const found = Object.fromEntries(
      Object.keys(CASES)
        .filter((name) => name.startsWith(only))
        .map((name) => [name, { rate: [], cpu: [], memory: [] }]),
    )
    const self = fileURLToPath(import.meta.url)
    try {
      for (let turn = 0; turn < rounds; turn++) {
        for (const [name, { rate, cpu, memory }] of Object.entries(found)) {
          report.progress(`round ${turn + 1} of ${rounds}: ${name}`)
          await runLines(process.execPath, [self, name, folder], (line) => {
            const measured = JSON.parse(line)
            rate.push(measured.mibPerSecond)
            cpu.push(measured.cpu)
            memory.push(measured.mib)
          })
        }
      }
    } finally {
      rmSync(folder, { recursive: true })
    }
    for (const [name, { rate, cpu, memory }] of Object.entries(found)) {
      const [direction = '', library = ''] = name.split(' ')
      const plain = summary(found[`${direction} fetch`]?.rate ?? []).median
      const share = round(summary(rate).median / plain)
      const figures = {
        mib_per_s: summary(rate),
        of_fetch: share,
        cpu_s: summary(cpu),
        rss_mib_above_start: summary(memory),
      }
      report.add({ direction, library, mib, ...figures })
    }
    report.finish({
      direction: (line) => line.direction,
      with: (line) => line.library,
      'MiB/s': (line) => line.mib_per_s,
      'of fetch': (line) => line.of_fetch,
      'CPU seconds': (line) => line.cpu_s,
      'MiB above start': (line) => line.rss_mib_above_start,
    })
  },
}

/** A server that keeps nothing: what a workspace and its storage answer for one file of this size. @param {number} size */
async function serve(size) {
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://server')
    let body = ''
    request.on('data', (piece) => {
      // Only small bodies are looked at.
      if (pathname.startsWith('/api/')) body += piece
      received += piece.length
    })
    request.on('end', () => {
      const json = (/** @type {unknown} */ value) => response.end(JSON.stringify(value))
      const origin = `http://${request.headers.host}`
      if (pathname.endsWith('create-upload-part-urls')) {
        const { start_part_number: start, count } = JSON.parse(body)
        const lent = Array.from({ length: count }, (_, index) => ({
          url: `${origin}/part`,
          part_number: start + index,
          headers: [],
        }))
        json({ upload_part_urls: lent })
      } else if (pathname.endsWith('create-download-url')) json({ url: `${origin}/bare`, headers: [] })
      else if (searchParams.get('action') === 'initiate-upload') {
        received = 0
        json({ multipart_upload: { session_token: 'session' } })
      } else if (searchParams.has('action')) json({})
      else if (request.method === 'HEAD') {
        const isThere = received >= size || isFull
        response.writeHead(isThere ? 200 : 404, isThere ? { 'content-length': size } : {}).end()
      } else if (request.method === 'PUT') response.writeHead(200, { etag: '"part"' }).end()
      else send(request, response, size)
    })
  })
  let received = 0
  const isFull = process.argv[3]?.startsWith('down')
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)))
  console.log(JSON.stringify(server.address()))
}

/** @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response @param {number} size */
function send(request, response, size) {
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? []
  const [start, end] = [Number(from ?? 0), to === undefined ? size : Number(to) + 1]
  const range = from === undefined ? {} : { 'content-range': `bytes ${start}-${end - 1}/${size}` }
  response.writeHead(from === undefined ? 200 : 206, { 'content-length': end - start, ...range })
  let left = end - start
  const more = () => {
    while (left > 0) {
      const piece = left < MIB ? PIECE.subarray(0, left) : PIECE
      left -= piece.length
      if (!response.write(piece)) return response.once('drain', more)
    }
    response.end()
  }
  more()
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [name = '', folder = ''] = process.argv.slice(2)
  if (name === 'serve') await serve(Number(process.argv[4]))
  else {
    const { spawn } = await import('node:child_process')
    const size = statSync(join(folder, 'large.bin')).size
    const arguments_ = [fileURLToPath(import.meta.url), 'serve', name, String(size)]
    const child = spawn(process.execPath, arguments_, { stdio: ['ignore', 'pipe', 'inherit'] })
    const { port } = await new Promise((resolve) =>
      child.stdout.once('data', (text) => resolve(JSON.parse(String(text)))),
    )
    const server = `http://127.0.0.1:${port}`
    process.env.LOWRANK_CACHE = join(folder, 'cache')
    try {
      // What is loaded and compiled once is there before.
      await fetch(server, { method: 'HEAD' })
      await connect(server)
      const start = residentMib()
      const [cpu, clock] = [process.cpuUsage(), performance.now()]
      await CASES[name]?.(server, folder, size)
      const seconds = (performance.now() - clock) / 1000
      const { user, system } = process.cpuUsage(cpu)
      const mib = Math.max(1, peakRssMib() - start)
      console.log(JSON.stringify({ mibPerSecond: round(size / MIB / seconds), cpu: round((user + system) / 1e6), mib }))
    } finally {
      child.kill()
      await rm(join(folder, 'fetched.bin'), { force: true })
    }
  }
}

/** Memory that is resident now. */
function residentMib() {
  const match = /VmRSS:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))
  return Math.round(Number(match?.[1]) / 1024)
}
