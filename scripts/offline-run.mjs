/**
 * @file What `./run.sh` of the offline bundle does: builds, tests the kernels on the GPU and in the emulator, runs the golden models and the
 * benchmarks, and leaves JSON with a table in results/. A phase that fails is said so, and the others go on; the exit code is 1 then.
 *
 * --no-cuda       a machine without nvcc or GPU: the CPU and the emulator
 * --quick         a few tests and the smallest shapes
 * --results DIR   in place of results/
 */

import { spawnSync } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join, resolve } from 'node:path'
import { root } from './phases.mjs'

const OPTIONS = ['--no-cuda', '--quick', '--results', '--help']
const args = process.argv.slice(2)
const quick = args.includes('--quick')
const at = args.indexOf('--results')
const results = resolve(at < 0 ? join(root, 'results') : args[at + 1])
const unknown = args.filter((argument, i) => !OPTIONS.includes(argument) && (at < 0 || i !== at + 1))

const onPath = (name) =>
  (process.env.PATH ?? '').split(delimiter).some((folder) => folder !== '' && existsSync(join(folder, name)))
const cuda = !args.includes('--no-cuda') && onPath('nvcc')
const addon = (name) => join(root, 'build/Release', name)

/** The architecture of the first GPU, as the build names it: compiling for it alone takes a third of the time. */
function architectures() {
  const { stdout } = spawnSync('nvidia-smi', ['--query-gpu=compute_cap', '--format=csv,noheader'], { encoding: 'utf8' })
  const [, major, minor] = /^(\d+)\.(\d)/.exec(stdout ?? '') ?? []
  if (major === undefined) return {}
  return { LOWRANK_CUDA_ARCHITECTURES: `${major}${minor}${major === '9' ? 'a' : ''}-real` }
}

// PyTorch's packages keep libcublasLt where no loader looks: its path is read before others could load another.
const PROBE = `
import json, torch
library = next((line.split()[-1] for line in open("/proc/self/maps") if "libcublasLt.so" in line), None)
import transformers, peft
try:
    import bitsandbytes
    quantizes = True
except Exception:
    quantizes = False
print(json.dumps({"cublasLt": library, "quantizes": quantizes}))
`

/** The Pythons that run bench/peers, up to the first whose peers quantize too: importing PyTorch takes long. */
function findPythons() {
  const found = []
  for (const python of ['python3', 'python']) {
    const { status, stdout } = spawnSync(python, ['-c', PROBE], { encoding: 'utf8' })
    if (status !== 0) continue
    // Packages greet on standard output too.
    found.push({ python, ...JSON.parse(stdout.trim().split('\n').at(-1)) })
    if (found.at(-1).quantizes) break
  }
  return found
}

/** What measures bench/peers beside, where there is such a Python. */
function comparing({ python } = {}) {
  return python ? ['--peer', python, '--pairs', quick ? '1' : '3'] : []
}

const node = (...command) => [process.execPath, ...command]
const vitest = (name, project, ...files) =>
  node(
    join(root, 'node_modules/vitest/vitest.mjs'),
    ...['run', '--project', project, '--reporter=default', '--reporter=json'],
    `--outputFile=${join(results, `${name}.json`)}`,
    ...files,
  )
const bench = (...command) => node(join(root, 'bench/main.mjs'), ...command, '--results', results)

const OPS = quick ? ['test/ops/elementwise.test.ts', 'test/ops/norm.test.ts'] : ['test/ops']
const MODELS = quick
  ? ['test/train/device.test.ts']
  : [
      ...['models/golden', 'causal-lm/causal-lm', 'decoding/decoding', 'decoding/generate'].map(
        (name) => `test/${name}.test.ts`,
      ),
      ...['test/train/device.test.ts', 'test/train/batch-equivalence.test.ts', 'test/convergence'],
    ]

/** @returns {{ name: string, command: string[], env?: Record<string, string>, json?: boolean }[]} in order. */
function phases() {
  const device = cuda ? 'cuda' : 'cpu'
  const env = { LOWRANK_TEST_DEVICES: device, LOWRANK_ADDON: addon(cuda ? 'lowrank-cuda.node' : 'lowrank.node') }
  const withoutIsa = ['--exclude', 'test/ops/isa.test.ts', '--exclude', 'test/emulator/**']
  const emulator = { LOWRANK_EMULATOR_TESTS: quick ? '' : 'all' }
  const shape = quick ? 'tiny' : cuda ? 'llama-3-8b' : 'smollm2-135m'
  const step = [
    'step',
    '--device',
    device,
    '--model-shape',
    shape,
    '--method',
    'qlora',
    ...(quick ? ['--seq', '33'] : []),
  ]
  const long = quick ? [] : cuda ? ['--seq', '2048'] : ['--seq', '512']
  const sizes = quick ? ['--m', '33', '--rounds', '1'] : cuda ? ['--m', '2048,8192'] : []
  const pythons = findPythons()
  const cublasLt = pythons[0]?.cublasLt
  const compareQlora = comparing(pythons.find(({ quantizes }) => quantizes))
  return [
    {
      name: 'build',
      command: node(join(root, 'scripts/build.mjs'), '--native-only', '--emulator'),
      env: { LOWRANK_CUDA: cuda ? 'ON' : 'OFF', ...(cuda ? architectures() : {}) },
    },
    { name: 'doctor', command: node(join(root, 'dist/cli/main.js'), 'doctor', '--json'), env, json: true },
    { name: `ops-${device}`, command: vitest(`ops-${device}`, 'cpu', ...OPS, ...withoutIsa), env },
    { name: 'ops-emulator', command: vitest('ops-emulator', 'emulator', ...OPS), env: emulator },
    { name: `models-${device}`, command: vitest(`models-${device}`, 'cpu', ...MODELS), env },
    {
      name: 'gemm',
      command: bench(
        'gemm',
        '--device',
        device,
        '--model-shape',
        shape,
        ...sizes,
        ...(cublasLt ? ['--cublaslt', cublasLt] : []),
        ...comparing(pythons[0]),
      ),
      env,
      json: true,
    },
    { name: 'step', command: bench(...step, ...long, ...compareQlora), env, json: true },
    {
      name: 'step-checkpointing',
      command: bench(...step, ...long, '--gradient-checkpointing', '--batch', quick ? '1' : '4', ...compareQlora),
      env,
      json: true,
    },
    ...(cuda && onPath('compute-sanitizer')
      ? [
          {
            name: 'compute-sanitizer',
            command: [
              ...['compute-sanitizer', '--target-processes', 'all', '--error-exitcode', '9'],
              ...vitest('compute-sanitizer', 'cpu', 'test/ops/norm.test.ts', 'test/ops/elementwise.test.ts'),
            ],
            env,
          },
        ]
      : []),
  ]
}

/** Runs one, its output in results/NAME.log, JSON lines of it in NAME.jsonl. */
function run({ name, command: [program, ...rest], env = {}, json }) {
  process.stderr.write(`${name.padEnd(20, '.')} `)
  const begin = performance.now()
  const stdout = openSync(join(results, json ? `${name}.jsonl` : `${name}.log`), 'w')
  const stderr = json ? openSync(join(results, `${name}.log`), 'w') : stdout
  const { status, error } = spawnSync(program, rest, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', stdout, stderr],
    timeout: 3_600_000,
  })
  for (const file of new Set([stdout, stderr])) closeSync(file)
  const seconds = Math.round((performance.now() - begin) / 100) / 10
  const passed = status === 0
  process.stderr.write(`${passed ? 'passed' : `FAILED (${error?.message ?? `exit ${status}`})`} after ${seconds} s\n`)
  return { name, passed, seconds, ...describeTests(name) }
}

/** How many tests of a phase passed and failed, where it has tests. */
function describeTests(name) {
  const path = join(results, `${name}.json`)
  if (!existsSync(path)) return {}
  const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(path, 'utf8'))
  return { testsPassed: numPassedTests, testsFailed: numFailedTests }
}

if (unknown.length > 0 || args.includes('--help')) {
  process.stderr.write(
    `usage: ./run.sh [--no-cuda] [--quick] [--results DIR]${unknown.length > 0 ? `; got ${unknown.join(' ')}` : ''}\n`,
  )
  process.exitCode = unknown.length > 0 ? 2 : 0
} else {
  mkdirSync(results, { recursive: true })
  const done = phases().map(run)
  const commit = existsSync(join(root, 'COMMIT')) ? readFileSync(join(root, 'COMMIT'), 'utf8').trim() : undefined
  writeFileSync(join(results, 'summary.json'), `${JSON.stringify({ commit, cuda, quick, phases: done }, null, 2)}\n`)
  const lines = done.map(({ name, passed, seconds, testsPassed, testsFailed }) => {
    const tests = testsPassed === undefined ? '' : `${testsPassed} passed, ${testsFailed} failed`
    return `${name.padEnd(20)}${(passed ? 'passed' : 'FAILED').padEnd(8)}${String(seconds).padStart(8)} s  ${tests}`.trimEnd()
  })
  const where = cuda ? 'with CUDA' : 'not run on a GPU'
  writeFileSync(join(results, 'summary.txt'), `${[where, ...lines].join('\n')}\n`)
  process.stderr.write(`\n${[where, ...lines].join('\n')}\n\nResults: ${results}\n`)
  if (done.some(({ passed }) => !passed)) process.exitCode = 1
}
