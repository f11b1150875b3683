/**
 * @file `npm run test:emulator`: every suite of devices on every emulated GPU, and then whether each CUDA kernel, in each of its
 * variants, was launched by some test: one that was not is a failure. Arguments go to vitest.
 */

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from './phases.mjs'

/** Names of the `__global__` functions in the sources. */
function declaredKernels() {
  const names = new Set()
  for (const file of readdirSync(join(root, 'native/cuda'))) {
    const text = readFileSync(join(root, 'native/cuda', file), 'utf8')
    for (const [, name] of text.matchAll(/__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\(/g))
      names.add(name)
  }
  return names
}

/** What is wrong with the kernels that ran: [] where every variant did. */
function missing(launched) {
  const { kernelLaunches } = createRequire(import.meta.url)(join(root, 'build/Release/lowrank-emulator.node'))
  const variants = Object.keys(kernelLaunches())
  const ofProbes = (name) => !declared.has(name.replace(/<.*$/, ''))
  const declared = declaredKernels()
  const known = new Set(variants.map((name) => name.replace(/<.*$/, '')))
  return [
    ...[...declared].filter((name) => !known.has(name)).map((name) => `${name}: no launch of it is compiled`),
    ...variants.filter((name) => !ofProbes(name) && !launched.has(name)).map((name) => `${name}: no test launches it`),
  ]
}

const folder = mkdtempSync(join(tmpdir(), 'lowrank-emulator-'))
const coverage = join(folder, 'launched')
const { status } = spawnSync(
  process.execPath,
  [join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--project', 'emulator', ...process.argv.slice(2)],
  {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, LOWRANK_EMULATOR_TESTS: 'all', LOWRANK_EMULATOR_COVERAGE: coverage },
  },
)
let failed = status !== 0
let launched = new Set()
try {
  launched = new Set(readFileSync(coverage, 'utf8').trim().split('\n'))
} catch {
  // Nothing was launched.
}
rmSync(folder, { recursive: true })
if (process.argv.length === 2) {
  const problems = missing(launched)
  for (const problem of problems) process.stderr.write(`[test:emulator] ${problem}\n`)
  process.stderr.write(`Kernels: ${launched.size} variants launched, ${problems.length} not\n`)
  failed ||= problems.length > 0
}
process.exitCode = failed ? 1 : 0
