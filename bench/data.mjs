// @ts-check
/**
 * @file Reading and writing files of rows: rows per second of processor time and the most memory, beside the bare libraries and DuckDB.
 * Each case runs in a process of its own, all of them in turn.
 */

import { createReadStream, mkdtempSync, rmSync, statSync } from 'node:fs'
import { open, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { DuckDBInstance } from '@duckdb/node-api'
import { parquetMetadataAsync, parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { ByteWriter, parquetWriteRows } from 'hyparquet-writer'
import { openSource } from '../dist/data/sources/open-source.js'
import { batchesOf } from '../dist/data/sources/row-batches.js'
import { writeRows } from '../dist/index.js'
import { Turns } from '../dist/turns.js'
import { peakRssMib, runLines } from './support/process.mjs'
import { round, summary } from './support/report.mjs'

const GROUP = 5000
const WORDS = Array.from({ length: 4000 }, (_, index) => (index * 2654435761).toString(36).slice(0, 2 + (index % 7)))

/** @param {number} seed @param {number} count */
const words = (seed, count) =>
  Array.from(
    { length: count },
    (_, index) => WORDS[(seed * 7919 + index * 104729 + ((seed * index) % 613)) % 4000],
  ).join(' ')

/** Rows that are made once, so that to make them is no part of what is measured. */
const DIFFERENT_ROWS = 20_000

/** @param {number} count */
function* rows(count) {
  const made = Array.from({ length: Math.min(count, DIFFERENT_ROWS) }, (_, id) => {
    const prompt = words(id, 8)
    const messages = [
      { role: 'user', content: prompt },
      { role: 'assistant', content: words(id + 7, 10) },
    ]
    return { source: `s${id % 3}`, prompt, messages, score: (id % 1000) / 999.5 }
  })
  for (let id = 0; id < count; id++) yield { id, .../** @type {typeof made[0]} */ (made[id % DIFFERENT_ROWS]) }
}

/** Rows without lists, as CSV has them. @param {number} count */
async function* flatRows(count) {
  let row = 0
  for (const { messages, ...value } of rows(count))
    yield { value: { ...value, answer: messages[1]?.content }, origin: { row: ++row } }
}

/**
 * Reads as writing and transformations do; training also makes the hash of the file.
 * @param {import('../dist/index.js').DataSource} source @param {boolean} [needsHash]
 */
async function read(source, needsHash = false) {
  let count = 0
  const context = { signal: undefined, turns: new Turns(), onFraction() {}, onLineage() {}, needsHash }
  for await (const { values } of batchesOf(openSource(source), context)) count += values.length
  return count
}

/** The cases by name: what is measured with what, on a file of so many rows. @type {Record<string, (folder: string, count: number, papaparse: string) => Promise<number>>} */
const CASES = {
  'read parquet lowrank': (folder) => read(join(folder, 'rows.parquet')),
  'read parquet lowrank with hash': (folder) => read(join(folder, 'rows.parquet'), true),
  'read parquet hyparquet': async (folder) => {
    const path = join(folder, 'rows.parquet')
    const handle = await open(path)
    const slice = async (/** @type {number} */ start, /** @type {number} */ end = byteLength) => {
      const buffer = new ArrayBuffer(end - start)
      await handle.read(new Uint8Array(buffer), 0, end - start, start)
      return buffer
    }
    const byteLength = statSync(path).size
    const file = { byteLength, slice }
    const metadata = await parquetMetadataAsync(file)
    let rowStart = 0
    for (const { num_rows: size } of metadata.row_groups) {
      const rowEnd = rowStart + Number(size)
      const group = await parquetReadObjects({ file, metadata, compressors, rowStart, rowEnd })
      rowStart += group.length
    }
    await handle.close()
    return rowStart
  },
  'read parquet duckdb': (folder) => read({ sql: `select * from '${join(folder, 'rows.parquet')}'` }),
  'read jsonl lowrank': (folder) => read(join(folder, 'rows.jsonl')),
  'read jsonl lowrank with hash': (folder) => read(join(folder, 'rows.jsonl'), true),
  'read jsonl JSON.parse': async (folder) => {
    const bytes = await readFile(join(folder, 'rows.jsonl'))
    let count = 0
    for (let start = 0, end = bytes.indexOf(10); end >= 0; start = end + 1, end = bytes.indexOf(10, start), count++)
      JSON.parse(bytes.toString('utf8', start, end))
    return count
  },
  'read jsonl duckdb': (folder) => read({ sql: `select * from '${join(folder, 'rows.jsonl')}'` }),
  'read csv lowrank': (folder) => read(join(folder, 'rows.csv')),
  'read csv papaparse': async (folder, _, papaparse) => {
    const { default: Papa } = await import(pathToFileURL(join(papaparse, 'node_modules/papaparse/papaparse.js')).href)
    let count = 0
    await new Promise((resolve, reject) =>
      Papa.parse(createReadStream(join(folder, 'rows.csv'), { encoding: 'utf8', highWaterMark: 1 << 18 }), {
        header: true,
        skipEmptyLines: true,
        chunk: (/** @type {{ data: unknown[] }} */ { data }) => {
          count += data.length
        },
        complete: resolve,
        error: reject,
      }),
    )
    return count
  },
  'read csv duckdb': (folder) => read({ sql: `select * from '${join(folder, 'rows.csv')}'` }),
  'write parquet lowrank': async (folder, count) =>
    (await writeRows({ name: 'rows', rows: () => sourceRows(count) }, join(folder, 'ours.parquet'))).rows,
  'write parquet hyparquet-writer': async (folder, count) => {
    const writer = new ByteWriter()
    const leaf = { repetition_type: /** @type {const} */ ('OPTIONAL') }
    const text = { ...leaf, type: /** @type {const} */ ('BYTE_ARRAY'), converted_type: /** @type {const} */ ('UTF8') }
    await parquetWriteRows({
      writer,
      rows: wideRows(count),
      columns: ['id', 'source', 'prompt', 'messages', 'score'].map((name) => ({ name })),
      rowGroupSize: GROUP,
      schema: [
        { name: 'root', num_children: 5 },
        { ...leaf, name: 'id', type: 'INT64' },
        { ...text, name: 'source' },
        { ...text, name: 'prompt' },
        { ...leaf, name: 'messages', converted_type: 'LIST', num_children: 1 },
        { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
        { ...leaf, name: 'element', num_children: 2 },
        { ...text, name: 'role' },
        { ...text, name: 'content' },
        { ...leaf, name: 'score', type: 'DOUBLE' },
      ],
    })
    await writeFile(join(folder, 'bare.parquet'), writer.getBytes())
    return count
  },
  'write parquet duckdb': async (folder, count) => {
    const instance = await DuckDBInstance.create(':memory:')
    const connection = await instance.connect()
    await connection.run(
      `copy (select * from '${join(folder, 'rows.parquet')}') to '${join(folder, 'duck.parquet')}' (format parquet, row_group_size ${GROUP})`,
    )
    return count
  },
}

/** @param {number} count */
async function* sourceRows(count) {
  let row = 0
  for (const value of rows(count)) yield { value, origin: { row: ++row } }
}

/** @param {number} count */
async function* wideRows(count) {
  for (const row of rows(count)) yield { ...row, id: BigInt(row.id) }
}

/** @type {import('./main.mjs').Bench} */
export const bench = {
  summary: 'Rows per second of processor time in files: Parquet, JSON Lines and CSV, beside bare libraries and DuckDB.',
  options: {
    rows: { type: 'count', default: 1_000_000, help: 'rows of the files' },
    rounds: { type: 'count', default: 3, help: 'how often each case runs, all in turn' },
    only: { help: 'measures the cases whose name has this text; default: all' },
    papaparse: {
      help: 'folder of the peer of CSV, made by npm install --prefix FOLDER papaparse@5.7.1; default: none',
    },
  },
  async run({ rows: count, rounds, only = '', papaparse = '' }, report) {
    const folder = mkdtempSync(join(tmpdir(), 'lowrank-bench-data-'))
    try {
      const made = { name: 'rows', rows: () => sourceRows(count) }
      await writeRows(made, join(folder, 'rows.parquet'))
      await writeRows(made, join(folder, 'rows.jsonl'))
      await writeRows({ name: 'rows', rows: () => flatRows(count) }, join(folder, 'rows.csv'))
      /** @type {Map<string, { rate: number[], memory: number[] }>} */
      const found = new Map(
        Object.keys(CASES)
          .filter((name) => name.includes(only) && (papaparse !== '' || !name.endsWith('papaparse')))
          .map((name) => [name, { rate: [], memory: [] }]),
      )
      for (let round = 0; round < rounds; round++) {
        for (const [name, { rate, memory }] of found) {
          report.progress(`round ${round + 1} of ${rounds}: ${name}`)
          const args = [fileURLToPath(import.meta.url), name, folder, String(count), papaparse]
          await runLines(process.execPath, args, (line) => {
            const { perSecond, mib } = JSON.parse(line)
            rate.push(perSecond)
            memory.push(mib)
          })
        }
      }
      for (const [name, { rate, memory }] of found) {
        const [verb = '', format = '', ...library] = name.split(' ')
        report.add({
          case: `${verb} ${format}`,
          library: library.join(' '),
          rows: count,
          rows_per_cpu_s: summary(rate),
          peak_rss_mib: summary(memory),
        })
      }
      report.finish({
        case: (line) => line.case,
        with: (line) => line.library,
        'rows per CPU second': (line) => line.rows_per_cpu_s,
        'MiB at most': (line) => line.peak_rss_mib,
      })
    } finally {
      rmSync(folder, { recursive: true })
    }
  },
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [name = '', folder = '', count = '0', papaparse = ''] = process.argv.slice(2)
  const before = process.cpuUsage()
  const done = await CASES[name]?.(folder, Number(count), papaparse)
  const { user, system } = process.cpuUsage(before)
  if (done !== Number(count)) throw new Error(`expected ${count} rows of ${name}, got ${done}`)
  console.log(JSON.stringify({ perSecond: round(Number(count) / ((user + system) / 1e6)), mib: peakRssMib() }))
}
