/**
 * @file What nvcc gave every kernel: registers, stack, spills and static shared memory, from the logs of the last build with CUDA.
 * Prints a table. --save also writes bench/results/cuda-resources.csv; --check fails where a kernel of a matrix product or of attention spills, and
 * where ptxas says that it waits for products of a warpgroup by itself, because it found no other way to use their registers.
 */

import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { root } from './phases.mjs'

const LOGS = join(root, 'build/cuda')
const TABLE = join(root, 'bench/results/cuda-resources.csv')
/** Sources whose kernels must keep everything in registers. */
const WITHOUT_SPILLS = /^(gemm|linear|attention|nf4)/

/** Readable names, where the compiler's tools are there. */
function demangle(names) {
  const result = spawnSync('c++filt', { input: names.join('\n'), encoding: 'utf8' })
  if (result.error || result.status !== 0) return names
  return result.stdout.split('\n').map((name) =>
    name
      .replace(/^void /, '')
      .replaceAll(/lowrank::cuda::|\(anonymous namespace\)::/g, '')
      .replace(/\(.*$/, '')
      .replaceAll('__nv_bfloat16', 'bf16')
      .replaceAll('__half', 'f16'),
  )
}

/** One entry per kernel variant and architecture. */
export function readResources() {
  if (!existsSync(LOGS)) return []
  const entries = []
  for (const file of readdirSync(LOGS).sort()) {
    if (!file.endsWith('.log')) continue
    let entry
    for (const line of readFileSync(join(LOGS, file), 'utf8').split('\n')) {
      const [, name, architecture] = line.match(/Compiling entry function '(\S+)' for '(\S+)'/) ?? []
      if (name) {
        entry = { source: file.replace('.log', ''), name, architecture }
        entries.push(entry)
      }
      const [, stack, stores, loads] =
        line.match(/(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/) ?? []
      if (entry && stack) Object.assign(entry, { stack: +stack, spills: +stores + +loads })
      const [, registers] = line.match(/Used (\d+) registers/) ?? []
      if (entry && registers)
        Object.assign(entry, { registers: +registers, shared: +(line.match(/(\d+) bytes smem/)?.[1] ?? 0) })
    }
  }
  const names = demangle(entries.map(({ name }) => name))
  return entries.map((entry, i) => ({ ...entry, name: names[i] }))
}

/** Sources and what ptxas says of products of warpgroups that it makes wait for each other. */
function readSerialised() {
  return readdirSync(LOGS)
    .filter((file) => file.endsWith('.log'))
    .flatMap((file) => {
      const notes =
        readFileSync(join(LOGS, file), 'utf8').match(
          /.*(wgmma\.mma_async instructions are serialized|warpgroup\.(wait|arrive) is injected).*/g,
        ) ?? []
      return notes.map((note) => ({ source: file.replace('.log', ''), note }))
    })
}

/** The table, one line per kernel variant: registers by architecture, and what was spilled. */
export function formatResources(entries) {
  const architectures = [...new Set(entries.map(({ architecture }) => architecture))]
  const variants = new Map()
  for (const entry of entries) {
    const key = `${entry.source}\0${entry.name}`
    variants.set(key, [...(variants.get(key) ?? []), entry])
  }
  const rows = [...variants].map(([key, all]) => {
    const [source, name] = key.split('\0')
    const of = (architecture) => all.find((entry) => entry.architecture === architecture)
    return [
      source,
      name,
      ...architectures.map((architecture) => String(of(architecture)?.registers ?? '')),
      String(Math.max(...all.map(({ stack }) => stack))),
      String(Math.max(...all.map(({ spills }) => spills))),
      String(Math.max(...all.map(({ shared }) => shared))),
    ]
  })
  const header = [
    'source',
    'kernel',
    ...architectures.map((architecture) => `registers_${architecture}`),
    'stack_bytes',
    'spilled_bytes',
    'static_shared_bytes',
  ]
  return { header, rows: rows.sort((a, b) => a.join().localeCompare(b.join())) }
}

function print({ header, rows }) {
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column].length)))
  for (const row of [header, ...rows]) {
    process.stdout.write(
      `${row.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ')}\n`,
    )
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const entries = readResources()
  if (entries.length === 0) {
    process.stderr.write(
      '[cuda-resources] expected logs of nvcc in build/cuda, found none; run LOWRANK_CUDA=ON npm run build\n',
    )
    process.exitCode = 1
  } else {
    const table = formatResources(entries)
    print(table)
    if (process.argv.includes('--save')) {
      const quote = (cell) => (cell.includes(',') ? `"${cell}"` : cell)
      writeFileSync(TABLE, `${[table.header, ...table.rows].map((row) => row.map(quote).join(',')).join('\n')}\n`)
    }
    const spilling = entries.filter(({ source, spills }) => spills > 0 && WITHOUT_SPILLS.test(source))
    for (const { source, name, architecture, spills } of spilling)
      process.stderr.write(`[cuda-resources] ${source}: ${name} spills ${spills} bytes on ${architecture}\n`)
    const serialised = readSerialised()
    for (const { source, note } of serialised) process.stderr.write(`[cuda-resources] ${source}: ${note}\n`)
    if (process.argv.includes('--check') && spilling.length + serialised.length > 0) process.exitCode = 1
  }
}
