/**
 * @file How well the tests see mistakes in CUDA kernels: leaves out each barrier and each wait for asynchronous copies, one at a time (the emulated
 * GPU can skip those of a source line), runs the tests of its source file on every emulated GPU, and notes whether any failed.
 * Prints a table and writes bench/results/planted-bugs.csv, whose rows name a mistake as barriers.mjs does. Arguments limit it to some sources; the
 * rows of the others stay: node scripts/plant-bugs.mjs gemm_tensor.cu attention.cu
 * A line whose comment says `survives: why` may stay unseen, and the why goes into the report.
 */

import { spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { barriersOf, rowKey } from './barriers.mjs'
import { root } from './phases.mjs'

const REPORT = join(root, 'bench/results/planted-bugs.csv')
/** The share of planted mistakes that tests must catch. */
const WANTED = 0.95
/** Far longer than any suite takes; without a barrier a kernel may wait forever. */
const HANGS_AFTER_MS = 300_000

/** The suites that launch the kernels of a source. */
const SUITES = [
  [/^(gemm|linear\.)/, ['linear', 'linear-cross-entropy', 'nf4']],
  [/^linear_cross_entropy/, ['linear-cross-entropy', 'linear-cross-entropy-weights', 'linear-log-probs']],
  [/^nf4/, ['nf4', 'linear']],
  [/^(attention|sequence_tasks)/, ['attention']],
  [/^(rms|layer)_norm/, ['norm']],
  [/^(swiglu|gelu)/, ['activation']],
  [/^sample/, ['sample', 'sample-rows', 'top-log-probs']],
  [/^philox/, ['dropout', 'linear', 'sample']],
  [/^kernels\.h/, ['norm', 'argmax', 'sample', 'linear-cross-entropy']],
]

function suitesOf(source) {
  const [, suites] = SUITES.find(([pattern]) => pattern.test(source)) ?? [undefined, [source.replace(/\.\w+$/, '')]]
  return suites.map((suite) => `test/ops/${suite}.test.ts`)
}

/** Whether the tests pass. One that hangs does not. */
function passes({ file, line }) {
  const child = spawn(
    process.execPath,
    [
      join(root, 'node_modules/vitest/vitest.mjs'),
      'run',
      ...['--project', 'emulator', '--bail', '1', '--maxWorkers', '1'],
      ...suitesOf(file),
    ],
    {
      cwd: root,
      stdio: 'ignore',
      timeout: HANGS_AFTER_MS,
      killSignal: 'SIGKILL',
      env: { ...process.env, LOWRANK_EMULATOR_TESTS: 'all', LOWRANK_EMULATOR_SKIP: line ? `${file}:${line}` : '' },
    },
  )
  return new Promise((resolve) => child.on('close', (code) => resolve(code === 0)))
}

/** `task` for every item, as many at a time as there are cores. */
async function forAll(items, task) {
  const waiting = [...items]
  const worker = async () => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await task(item)
  }
  await Promise.all(Array.from({ length: availableParallelism() }, worker))
}

const wanted = process.argv.slice(2)
const all = barriersOf(wanted)
const bySuites = new Map(all.map(({ file }) => [suitesOf(file).join(), file]))
await forAll(bySuites.values(), async (file) => {
  if (!(await passes({ file })))
    throw new Error(`[plant-bugs] expected the tests of ${file} to pass with nothing left out`)
})
const results = []
await forAll(all, async (site) => {
  const started = performance.now()
  const caught = !(await passes(site))
  results.push({ ...site, caught })
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  process.stdout.write(
    `${`${site.file}:${site.line}`.padEnd(36)} ${`${site.kernel} ${site.call} ${site.occurrence}`.padEnd(56)} ${caught ? 'caught' : `survives${site.why ? `: ${site.why}` : ''}`} (${seconds} s)\n`,
  )
})
const caught = results.filter((result) => result.caught).length
const unexplained = results.filter((result) => !result.caught && !result.why)
process.stdout.write(
  `${caught} of ${results.length} caught (${((100 * caught) / results.length).toFixed(1)} %), ${unexplained.length} without an explanation\n`,
)
/** The rows of the present report, by what they name. */
const kept = new Map()
if (existsSync(REPORT)) {
  for (const row of readFileSync(REPORT, 'utf8').trim().split('\n').slice(1)) {
    kept.set(row.split(',').slice(0, 4).join(), row)
  }
}
for (const result of results)
  kept.set(rowKey(result), `${rowKey(result)},${result.caught ? 'caught' : 'survives'},"${result.why}"`)
const rows = barriersOf().flatMap((site) => kept.get(rowKey(site)) ?? [])
writeFileSync(REPORT, `source,kernel,left_out,occurrence,outcome,why\n${rows.join('\n')}\n`)
process.exitCode = caught >= WANTED * results.length && unexplained.length === 0 ? 0 : 1
