/** @file What all measurements share: usage, options, figures, the CSV file. */

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readRows, resultsFolder, runBench } from './run-bench.js'

interface ReportModule {
  appendRow(file: string, row: Record<string, string>): void
  summary(values: readonly number[]): { min: number; median: number; max: number }
}
const REPORT = new URL('../../bench/support/report.mjs', import.meta.url).href
const { appendRow, summary }: ReportModule = await import(REPORT)

const BENCHES = [
  'gemm',
  'ops',
  'step',
  'generate',
  'serve',
  'grammar',
  'evaluate',
  'e2e',
  'data-prepare',
  'data',
  'transfer',
  'read-table',
]

describe('usage', () => {
  test('--help names the measurements, and each has a help of its own', async () => {
    const { code, stdout } = await runBench('--help')
    expect(code).toBe(0)
    expect(stdout).toContain(BENCHES.join(' | '))
    for (const name of BENCHES) {
      const help = await runBench(name, '--help')
      expect(help.code, help.stderr).toBe(0)
      expect(help.stdout).toContain(`npm run bench -- ${name} [options]`)
      expect(help.stdout).toContain('--no-save')
    }
  })

  test.each([
    [['stp'], `expected ${BENCHES.join(', ')}, got stp`],
    [['step', '--modelshape', 'tiny'], 'unknown option --modelshape; did you mean --model-shape?'],
    [['step', 'tiny'], 'expected options only, got tiny'],
    [
      ['step', '--model-shape', 'huge'],
      'expected smollm2-135m, qwen2.5-0.5b, llama-3.2-1b, llama-3-8b, tiny for --model-shape, got huge',
    ],
    [['step', '--batch', '0'], 'expected a whole number >= 1 for --batch, got 0'],
    [['step', '--labelled', '1.5'], 'expected a share in (0, 1] for --labelled, got 1.5'],
    [['step', '--seq'], 'expected a value for --seq'],
    [['step', '--peer', 'python3', '--peer-env', 'X'], 'expected NAME=VALUE for --peer-env, got X'],
    [['ops', '--peer', 'python3'], 'unknown option --peer'],
    [['serve', '--peer', 'python3'], 'unknown option --peer; did you mean --peer-env?'],
    [
      ['generate', '--peer', 'python3', '--peer-llama-cpp', 'node_modules'],
      'expected one peer, got --peer and --peer-llama-cpp',
    ],
    [['generate', '--model', 'm', '--adapter'], 'expected no --adapter with a real model'],
    [['gemm', '--dtype', 'float32,int8'], 'expected float32, bfloat16, nf4 for --dtype, got int8'],
    [['step', '--quiet=1'], 'expected no value for --quiet'],
  ])('%j is wrong usage, with exit code 2', async (args, message) => {
    const { code, stderr, stdout } = await runBench(...args)
    expect(stderr).toContain(`bench: ${message}`)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  })
})

describe('a peer', () => {
  // A program in Python's place: it answers with what it was given, and twice as slow.
  const PEER = `#!/usr/bin/env node
const args = process.argv.slice(3)
const option = (name) => args[args.indexOf(name) + 1]
const speed = { min: 1, median: 2, max: 3 }
console.log('{not JSON}')
console.log(JSON.stringify({ bench: 'gemm', model_shape: 'tiny', product: 'o', direction: 'dx', m: 3, dtype: option('--dtype'),
  threads: Number(option('--threads')), gflops: speed, allocator: process.env.ALLOCATOR, versions: { peer: '1.2' } }))
`

  test('does the same work in turn, with its own threads and environment; both sides are rows, the ratio a line', async () => {
    const results = resultsFolder()
    const program = join(results, 'peer')
    writeFileSync(program, PEER, { mode: 0o755 })
    const work = ['--model-shape', 'tiny', '--product', 'o', '--direction', 'dx', '--m', '3', '--dtype', 'bfloat16']
    const quick = ['--rounds', '1', '--seconds', '0.001', '--threads', '1', '--results', results]
    const settings = ['--peer', program, '--pairs', '2', '--peer-threads', '5', '--peer-env', 'ALLOCATOR=fast']
    const { code, lines, stderr } = await runBench('gemm', ...work, ...quick, ...settings)
    expect(code, stderr).toBe(0)
    expect(lines.map((line) => line.pair)).toEqual([1, 2])
    for (const line of lines) {
      expect(line.peer).toMatchObject({ threads: 5, allocator: 'fast', dtype: 'bfloat16' })
      expect(line.lowrank).toMatchObject({ threads: 1, product: 'o', direction: 'dx', m: 3 })
      const ours = (line.lowrank as { gflops: { median: number } }).gflops.median
      // Both are rounded to five digits.
      expect(line.gflops_ratio).toBeCloseTo(ours / 2, 2)
    }
    const rows = readRows(results, 'gemm')
    expect(rows.map((row) => `${row.pair} ${row.who} ${row.threads} ${row.peer_env}`)).toEqual([
      '1 lowrank 1 ',
      '1 peer 5 ALLOCATOR=fast',
      '2 lowrank 1 ',
      '2 peer 5 ALLOCATOR=fast',
    ])
    expect(rows[1]?.versions).toBe('peer 1.2')
    expect(stderr).toMatch(/tiny o dx 3 bfloat16: gflops \d+\.\d\dx \(.+\) of the peer's, 2 pairs/)
  })

  test('a peer that fails ends the comparison with its status', async () => {
    const { code, stderr } = await runBench(
      'step',
      '--model-shape',
      'tiny',
      '--seq',
      '9',
      '--steps',
      '1',
      '--no-save',
      '--peer',
      '/bin/false',
    )
    expect(stderr).toContain('step.py')
    expect(stderr).toContain('ended with status 1')
    expect(code).toBe(1)
  })
})

describe('figures', () => {
  test('a summary is minimum, median and maximum, to five digits', () => {
    expect(summary([3, 1, 2.000004])).toEqual({ min: 1, median: 2, max: 3 })
    expect(summary([4, 1, 2, 3])).toEqual({ min: 1, median: 2.5, max: 4 })
    expect(summary([7])).toEqual({ min: 7, median: 7, max: 7 })
  })

  test('rows keep the columns of the file; a new one comes last and is empty in the rows before', () => {
    const file = join(resultsFolder(), 'deeper', 'x.csv')
    appendRow(file, { a: '1', b: 'one, "two"' })
    appendRow(file, { b: '3', c: '4' })
    appendRow(file, { c: '5' })
    expect(readFileSync(file, 'utf8')).toBe('a,b,c\n1,"one, ""two""",\n,3,4\n,,5\n')
    writeFileSync(file, 'a\n1')
    appendRow(file, { a: '2' })
    expect(readFileSync(file, 'utf8')).toBe('a\n1\n2\n')
  })
})
