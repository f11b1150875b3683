/** @file Runs `npm run bench` in a process of its own, with a folder of its own for the rows. */

import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll } from 'vitest'

const MAIN = fileURLToPath(new URL('../../bench/main.mjs', import.meta.url))

export interface BenchResult {
  code: number | null
  /** The JSON lines. */
  lines: Record<string, unknown>[]
  stdout: string
  stderr: string
}

export async function runBench(...args: string[]): Promise<BenchResult> {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text
  })
  const code = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve))
  const lines = stdout.split('\n').filter((line) => line.startsWith('{'))
  return { code, lines: lines.map((line) => JSON.parse(line)), stdout, stderr }
}

/** A folder that is removed after the tests of the file. */
export function resultsFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'lowrank-bench-'))
  afterAll(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** The rows of NAME.csv as objects. No field here has a comma inside. */
export function readRows(folder: string, name: string): Record<string, string>[] {
  const [header = '', ...lines] = readFileSync(join(folder, `${name}.csv`), 'utf8')
    .trimEnd()
    .split('\n')
  const names = header.split(',')
  return lines.map((line) => {
    const cells = line.split(',')
    return Object.fromEntries(names.map((key, i) => [key, cells[i] ?? '']))
  })
}

/** {min, median, max} of positive numbers in order. */
export function isSummary(value: unknown): boolean {
  const { min, median, max } = value as { min: number; median: number; max: number }
  return 0 < min && min <= median && median <= max && Number.isFinite(max)
}
