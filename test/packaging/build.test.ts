/**
 * @file What a checkout builds and when. The scripts run in a small checkout of their own, with compilers on the path
 * that do nothing but leave the files that the real ones would.
 */

import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeEach, expect, it } from 'vitest'
import { temporaryDirectory } from '../support/tiny-model.js'

interface Outputs {
  ISA_LEVELS: readonly string[]
  levelsOf(cpuinfo: string): readonly string[]
}
interface Stream {
  isTTY: boolean
  write(text: string): unknown
}
interface CompileProgress {
  compileProgress(
    stream: Stream,
    now: () => number,
  ): { update(done: number, total: number): void; clear(): void; done(total: number): void }
}
const script = (name: string): string => new URL(`../../scripts/${name}`, import.meta.url).href
const { ISA_LEVELS, levelsOf }: Outputs = await import(script('outputs.mjs'))
const { compileProgress }: CompileProgress = await import(script('compile-progress.mjs'))

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = temporaryDirectory()
const checkout = join(folder, 'checkout')
const log = join(folder, 'log')

/** Files of the small checkout beside its scripts. */
const FILES = {
  'package.json': '{ "name": "lowrank", "version": "1.2.3", "bin": { "lowrank": "./dist/cli/main.js" } }',
  'package-lock.json': '{ "packages": { "": {}, "node_modules/typescript": { "version": "6.0.0" } } }',
  'node_modules/.package-lock.json': '{ "packages": { "node_modules/typescript": { "version": "6.0.0" } } }',
  'node_modules/typescript/package.json': '{ "name": "typescript", "version": "6.0.0" }',
  'native/CMakeLists.txt': 'project(lowrank)',
  'native/cpu/gemm.cpp': 'int one;',
  'native/cuda/gemm.cu': 'int two;',
  'src/index.ts': 'export {}',
  'tsconfig.json': '{}',
  'tsconfig.build.json': '{}',
  // tsc: leaves what a build of the JavaScript leaves.
  'node_modules/typescript/bin/tsc': `
const { appendFileSync, mkdirSync, writeFileSync } = require('node:fs')
appendFileSync(${JSON.stringify(log)}, 'tsc' + (process.argv.includes('--noCheck') ? ' --noCheck' : '') + '\\n')
for (const path of ['cli', 'train', 'integrations']) mkdirSync('dist/' + path, { recursive: true })
for (const path of ['index.js', 'cli/main.js']) writeFileSync('dist/' + path, '')
writeFileSync('dist/train/config-schema.js', 'exports.configSchema = () => ({})')
writeFileSync('dist/integrations/options.js', 'exports.TRAIN_OPTIONS = {}')`,
}

/** Programs on the path. Each writes what it was asked for. */
const PROGRAMS = {
  'g++': 'echo "g++ 12"',
  nvcc: 'exit 0',
  ninja: 'exit 0',
  cmake: `
if [ "$1" = --build ]; then
  shift 5
  echo "cmake $*" >> '${log}'
  for n in 1 2 3 4 5 6 7 8; do echo "[$n/8] Building CXX object"; done
  mkdir -p build/Release
  for target in "$@"; do case $target in lowrank*) touch "build/Release/$(echo "$target" | tr _ -).node" ;; esac; done
else
  for argument in "$@"; do case $argument in -DLOWRANK_ISA_LEVELS=*) echo "cmake $argument" >> '${log}' ;; esac; done
fi`,
}

beforeEach(() => {
  rmSync(checkout, { recursive: true, force: true })
  for (const name of ['scripts', ...Object.keys(FILES)]) mkdirSync(dirname(join(checkout, name)), { recursive: true })
  cpSync(join(root, 'scripts'), join(checkout, 'scripts'), { recursive: true })
  for (const [name, text] of Object.entries(FILES)) writeFileSync(join(checkout, name), text)
  mkdirSync(join(checkout, 'bin'))
  for (const [name, script] of Object.entries(PROGRAMS)) {
    writeFileSync(join(checkout, 'bin', name), `#!/bin/sh\n${script}\n`)
    chmodSync(join(checkout, 'bin', name), 0o755)
  }
})

/** Runs a script there. Gives what it printed and, in the order of their names, what it called. */
function run(name: string, args: readonly string[] = [], env: Record<string, string> = {}) {
  writeFileSync(log, '')
  const { LOWRANK_CUDA: _, ...rest } = process.env
  const { status, stderr, stdout } = spawnSync(process.execPath, [join(checkout, 'scripts', name), ...args], {
    cwd: checkout,
    encoding: 'utf8',
    env: { ...rest, PATH: `${join(checkout, 'bin')}:/usr/bin:/bin`, ...env },
  })
  expect(`${status} ${stdout}`, stderr).toBe('0 ')
  const called = readFileSync(log, 'utf8').trim().split('\n').filter(Boolean).sort()
  return { printed: stderr, called }
}

const built = (name: string) => existsSync(join(checkout, 'build/Release', name))
const levels = (...names: string[]) => `cmake -DLOWRANK_ISA_LEVELS=${names.join(';')}`

it('quickstart and tests leave CUDA alone where nvcc is on the path, and a second call does and says nothing', () => {
  const { called, printed } = run('ensure.mjs', ['--emulator'])
  expect(called).toEqual([levels(...ISA_LEVELS), 'cmake lowrank lowrank_emulator', 'tsc'])
  expect(printed.replace(/\d+\.\d s/, 'N s')).toBe(
    'Compiling 3/9\nCompiling 5/9\nCompiling 7/9\nCompiling 9/9\nCompiling .................. N s, 9 files\n',
  )
  expect(run('ensure.mjs', ['--emulator'])).toEqual({ called: [], printed: '' })
  expect(run('ensure.mjs')).toEqual({ called: [], printed: '' })
  expect(built('lowrank-cuda.node')).toBe(false)
})

it('a first run compiles the kernels of this processor alone, and a whole build makes up for what it left out', () => {
  const machine = levelsOf(readFileSync('/proc/cpuinfo', 'utf8'))
  const first = run('ensure.mjs', ['--quick'])
  expect(first.called).toEqual([levels(...machine), 'cmake lowrank', 'tsc --noCheck'])
  expect(run('ensure.mjs', ['--quick'])).toEqual({ called: [], printed: '' })
  expect(run('ensure.mjs').called).toEqual([levels(...ISA_LEVELS), 'cmake lowrank', 'tsc'])
  expect(run('ensure.mjs', ['--quick'])).toEqual({ called: [], printed: '' })
})

it('npm run build makes the addon with CUDA where nvcc is, after the others, and nothing is built again for tests, packing or quickstart', () => {
  const build = spawnSync(process.execPath, [join(checkout, 'scripts/build.mjs'), '--emulator'], {
    cwd: checkout,
    encoding: 'utf8',
    env: { ...process.env, LOWRANK_CUDA: '', PATH: `${join(checkout, 'bin')}:/usr/bin:/bin` },
  })
  expect(build.status, build.stderr).toBe(0)
  const calls = readFileSync(log, 'utf8')
  expect(calls.indexOf('cmake lowrank_cuda\n')).toBeGreaterThan(calls.indexOf('cmake lowrank lowrank_emulator\n'))
  for (const options of [['--quick'], ['--emulator'], []])
    expect(run('ensure.mjs', options)).toEqual({ called: [], printed: '' })
  expect(built('lowrank-cuda.node')).toBe(true)
})

it('an addon with CUDA that was made of other sources is taken away, since it would be loaded before the new one', () => {
  run('ensure.mjs', [], { LOWRANK_CUDA: 'ON' })
  expect(built('lowrank-cuda.node')).toBe(true)
  writeFileSync(join(checkout, 'native/cpu/gemm.cpp'), 'int three;')
  expect(run('ensure.mjs').printed).toContain('The addon with CUDA was of other sources and is gone')
  expect(built('lowrank-cuda.node')).toBe(false)
  expect(built('lowrank.node')).toBe(true)
})

it('what the compiler complains of is shown, the next call compiles again, and the bar is gone before', () => {
  writeFileSync(
    join(checkout, 'bin/cmake'),
    '#!/bin/sh\n[ "$1" = --build ] && echo "gemm.cpp:3: error" && exit 1\nexit 0\n',
  )
  const failed = spawnSync(process.execPath, [join(checkout, 'scripts/ensure.mjs')], {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${join(checkout, 'bin')}:/usr/bin:/bin` },
  })
  expect(failed.status).toBe(1)
  expect(failed.stderr).toMatch(/gemm\.cpp:3: error\n\[build\] the native sources do not compile, see above\n$/)
  writeFileSync(join(checkout, 'bin/cmake'), `#!/bin/sh\n${PROGRAMS.cmake}\n`)
  expect(run('ensure.mjs').called).toContain('cmake lowrank')
})

it('a processor gets its best level, one with bfloat16 also the level below, one that cannot be told all', () => {
  const flags = (...names: string[]) => levelsOf(`processor : 0\nflags\t\t: fpu sse2 ${names.join(' ')}\n`)
  const avx2 = ['avx2', 'fma', 'f16c']
  const avx512 = [...avx2, 'avx512f', 'avx512bw', 'avx512vl', 'avx512dq']
  expect(flags()).toEqual(['generic'])
  expect(flags('avx2', 'fma')).toEqual(['generic'])
  expect(flags(...avx2)).toEqual(['avx2'])
  expect(flags(...avx2, 'avx512f', 'avx512_bf16')).toEqual(['avx2'])
  expect(flags(...avx512)).toEqual(['avx512'])
  expect(flags(...avx512, 'avx512_bf16')).toEqual(['avx512', 'avx512bf16'])
  expect(flags(...avx512, 'avx512_bf16', 'amx_tile', 'amx_bf16')).toEqual(['avx512', 'avx512bf16', 'amx'])
  expect(levelsOf('Features : asimd\n')).toEqual(ISA_LEVELS)
})

it('a terminal has one bar that is drawn in place, taken away for messages and at last a line with the time', () => {
  let text = ''
  let time = 1000
  const stream = {
    isTTY: true,
    write: (part: string) => {
      text += part
    },
  }
  const progress = compileProgress(stream, () => time)
  progress.update(0, 48)
  progress.update(12, 48)
  const first = `Compiling [${'.'.repeat(24)}] 0/48`
  const second = `Compiling [${'#'.repeat(6)}${'.'.repeat(18)}] 12/48`
  expect(text).toBe(`${first}\r${' '.repeat(first.length)}\r${second}`)
  text = ''
  progress.clear()
  progress.clear()
  expect(text).toBe(`\r${' '.repeat(second.length)}\r`)
  time = 23_140
  text = ''
  progress.done(48)
  expect(text).toBe('Compiling .................. 22.1 s, 48 files\n')
})
