// @ts-check
/**
 * @file A table of many rows read from a SQL warehouse: the loopback workspace gives it as Arrow in presigned chunks, in a process of its own.
 * Beside it plain `fetch` of the same chunks, one after the other, and apache-arrow on what it gives. Each case runs in a process of its own.
 */

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Float64, Int64, Table, tableFromIPC, tableToIPC, Utf8, vectorFromArray } from 'apache-arrow'
import { readTable } from '../dist/databricks.js'
import { startWorkspace } from '../dist/testing.js'
import { peakRssMib, runLines } from './support/process.mjs'
import { round, summary } from './support/report.mjs'

const MB = 1e6
const TABLE = 'uc://main.bench.rows'
/** Rows of a chunk: some 20 MiB, as the service cuts results. */
const CHUNK_ROWS = 80_000
/** Rows of a record batch in it. */
const BATCH_ROWS = 4096

/** @typedef {{ host: string, token: string }} Workspace */

/**
 * What each case gives is how many rows it has read. It calls `begin` once the statement has ended: until then the workspace works, not we.
 * @type {Record<string, (databricks: Workspace, begin: () => void) => Promise<number>>}
 */
const CASES = {
  batches: async (databricks, begin) => {
    const table = await readTable(TABLE, { databricks })
    begin()
    let rows = 0
    for await (const { numRows } of table.batches()) rows += numRows
    return rows
  },
  stream: async (databricks, begin) => {
    const table = await readTable(TABLE, { databricks })
    begin()
    for await (const _ of table.stream());
    return table.rowCount
  },
  rows: async (databricks, begin) => {
    const table = await readTable(TABLE, { databricks })
    begin()
    let rows = 0
    for await (const _ of table.rows()) rows++
    return rows
  },
  fetch: async (databricks, begin) => {
    let rows = 0
    for await (const chunk of plainChunks(databricks, begin)) rows += chunk.rows
    return rows
  },
  'fetch apache-arrow': async (databricks, begin) => {
    let rows = 0
    for await (const { bytes } of plainChunks(databricks, begin)) rows += tableFromIPC(bytes).numRows
    return rows
  },
}

/** What somebody would write who has no client. @param {Workspace} databricks @param {() => void} begin */
async function* plainChunks({ host, token }, begin) {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const statement = { statement: 'SELECT * FROM main.bench.rows', warehouse_id: 'any', wait_timeout: '30s' }
  const body = JSON.stringify({ ...statement, format: 'ARROW_STREAM', disposition: 'EXTERNAL_LINKS' })
  const warehouses = await (await fetch(`${host}/api/2.0/sql/warehouses`, { headers })).json()
  const started = await fetch(`${host}/api/2.0/sql/statements`, {
    method: 'POST',
    headers,
    body: body.replace('any', warehouses.warehouses[0].id),
  })
  const { statement_id: id, manifest } = await started.json()
  begin()
  for (let index = 0; index < manifest.total_chunk_count; index++) {
    const answer = await fetch(`${host}/api/2.0/sql/statements/${id}/result/chunks/${index}`, { headers })
    const [link] = (await answer.json()).external_links
    yield { rows: link.row_count, bytes: new Uint8Array(await (await fetch(link.external_link)).arrayBuffer()) }
  }
}

/** @type {import('./main.mjs').Bench} */
export const bench = {
  summary: 'A table read as Arrow from the loopback workspace, beside plain fetch and apache-arrow on the same chunks.',
  options: {
    rows: { type: 'count', default: 1_000_000, help: 'rows of the table' },
    rounds: { type: 'count', default: 5, help: 'how often each case runs, all in turn' },
    only: { help: 'measures one case; default: all' },
  },
  async run({ rows, rounds, only }, report) {
    const names = Object.keys(CASES).filter((name) => only === undefined || name === only)
    /** @type {Record<string, { rate: number[], perCpu: number[], memory: number[] }>} */
    const found = Object.fromEntries(names.map((name) => [name, { rate: [], perCpu: [], memory: [] }]))
    for (let turn = 0; turn < rounds; turn++) {
      for (const [name, { rate, perCpu, memory }] of Object.entries(found)) {
        report.progress(`round ${turn + 1} of ${rounds}: ${name}`)
        await runLines(process.execPath, [fileURLToPath(import.meta.url), name, String(rows)], (line) => {
          const measured = JSON.parse(line)
          rate.push(measured.rate)
          perCpu.push(measured.perCpu)
          memory.push(measured.mib)
        })
      }
    }
    for (const [name, { rate, perCpu, memory }] of Object.entries(found)) {
      const figures = {
        mb_per_s: summary(rate),
        mb_per_cpu_s: summary(perCpu),
        rss_mib_above_start: summary(memory),
      }
      report.add({ read: name, rows, ...figures })
    }
    report.finish({
      read: (line) => line.read,
      'MB/s': (line) => line.mb_per_s,
      'MB per CPU second': (line) => line.mb_per_cpu_s,
      'MiB above start': (line) => line.rss_mib_above_start,
    })
  },
}

/** A workspace with the table, which is made of one chunk over and over. @param {number} total */
async function serve(total) {
  const sizes = Array.from({ length: Math.ceil(total / CHUNK_ROWS) }, (_, index) =>
    Math.min(CHUNK_ROWS, total - index * CHUNK_ROWS),
  )
  const made = new Map([...new Set(sizes)].map((size) => [size, chunkOf(size)]))
  /** @type {{ bytes: Uint8Array, rowCount: number }[]} */
  const arrow = sizes.map((rowCount) => ({ bytes: /** @type {Uint8Array} */ (made.get(rowCount)), rowCount }))
  const columns = [
    { name: 'id', typeText: 'BIGINT' },
    { name: 'prompt', typeText: 'STRING' },
    { name: 'completion', typeText: 'STRING' },
    { name: 'score', typeText: 'DOUBLE' },
  ]
  const place = { catalog: 'main', schema: 'bench', name: 'rows' }
  const table = { ...place, columns: columns.map((column) => ({ ...column, comment: undefined })), version: 0 }
  const workspace = await startWorkspace({
    execute: {
      async execute({ statement, format }) {
        if (!/^SELECT/i.test(statement)) return { columns: [{ name: 'version', typeText: 'BIGINT' }], rows: [['0']] }
        return { columns, rows: [], ...(format === 'ARROW_STREAM' && { arrow }) }
      },
      tables: async () => [{ ...table, comment: undefined, properties: {}, tags: {} }],
    },
  })
  // Its storage is on the disk until then.
  process.stdin.resume().on('end', () => workspace.close())
  const bytes = arrow.reduce((sum, chunk) => sum + chunk.bytes.length, 0)
  console.log(JSON.stringify({ host: workspace.url, token: workspace.token, bytes }))
}

/** @param {number} rows @returns {Uint8Array} */
function chunkOf(rows) {
  const numbers = Array.from({ length: rows }, (_, row) => row)
  const prompts = numbers.map(
    (row) => `What does entry ${row} of the ledger say about ${row % 97} and ${'its terms '.repeat(12)}?`,
  )
  const columns = {
    id: vectorFromArray(numbers.map(BigInt), new Int64()),
    prompt: vectorFromArray(prompts, new Utf8()),
    completion: vectorFromArray(
      numbers.map((row) => `It says ${row * 31} ${'in words '.repeat(6)}.`),
      new Utf8(),
    ),
    score: vectorFromArray(
      numbers.map((row) => row / 7),
      new Float64(),
    ),
  }
  const whole = new Table(columns)
  const starts = Array.from({ length: Math.ceil(rows / BATCH_ROWS) }, (_, index) => index * BATCH_ROWS)
  return tableToIPC(new Table(starts.flatMap((start) => whole.slice(start, start + BATCH_ROWS).batches)), 'stream')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [name = '', rows = ''] = process.argv.slice(2)
  if (name === 'serve') await serve(Number(rows))
  else {
    const { spawn } = await import('node:child_process')
    const child = spawn(process.execPath, [fileURLToPath(import.meta.url), 'serve', rows], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const ended = new Promise((resolve) => child.on('close', resolve))
    const { bytes, ...databricks } = await new Promise((resolve) =>
      child.stdout.once('data', (text) => resolve(JSON.parse(String(text)))),
    )
    try {
      // What is loaded and compiled once is there before.
      await fetch(databricks.host).catch(() => {})
      const start = residentMib()
      let [cpu, clock] = [process.cpuUsage(), performance.now()]
      const read = await CASES[name]?.(databricks, () => {
        cpu = process.cpuUsage()
        clock = performance.now()
      })
      const seconds = (performance.now() - clock) / 1000
      const { user, system } = process.cpuUsage(cpu)
      if (read !== Number(rows)) throw new Error(`expected ${rows} rows, got ${read}`)
      const [rate, perCpu] = [bytes / MB / seconds, bytes / MB / ((user + system) / 1e6)]
      const mib = Math.max(1, peakRssMib() - start)
      console.log(JSON.stringify({ rate: round(rate), perCpu: round(perCpu), mib }))
    } finally {
      child.stdin.end()
      await ended
    }
  }
}

/** Memory that is resident now. */
function residentMib() {
  const match = /VmRSS:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))
  return Math.round(Number(match?.[1]) / 1024)
}
