/**
 * @file What a build makes, and whether what is there was made of the sources that are there. Each output has a stamp in build/: the digest of its
 * sources and of all else that it depends on. scripts/build.mjs writes them, scripts/ensure.mjs asks. Uses no dependency when it is loaded.
 */

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, join } from 'node:path'
import { digestOf } from './digest.mjs'
import { root } from './phases.mjs'

const require = createRequire(import.meta.url)

/** The instruction sets that the CPU kernels are compiled for, each with everything of those before it. */
export const ISA_LEVELS = ['generic', 'avx2', 'avx512', 'avx512bf16', 'amx']

const FLAGS_OF_LEVELS = {
  avx2: ['avx2', 'fma', 'f16c'],
  avx512: ['avx512f', 'avx512bw', 'avx512vl', 'avx512dq'],
  avx512bf16: ['avx512_bf16'],
  amx: ['amx_tile', 'amx_bf16'],
}

/** The JSON Schema of configuration files, in dist/. */
export const SCHEMA = 'train.schema.json'

/** Given in any case: CMake remembers those of the build before. */
const USUAL_ARCHITECTURES = '80-real;90a-real;80-virtual'

export class BuildError extends Error {}

/** The folder of the path that has the program. */
export function onPath(name) {
  return (process.env.PATH ?? '').split(delimiter).find((folder) => folder !== '' && existsSync(join(folder, name)))
}

/**
 * The levels that the engine chooses from on a machine: its best, and where that is avx512bf16 also avx512, which is faster on some of
 * them; both also beside amx, which a system may keep to itself. All, where the processor cannot be told.
 */
export function levelsOf(cpuinfo) {
  const flags = cpuinfo.match(/^flags\s*:(.*)$/m)?.[1]?.split(' ')
  if (!flags) return ISA_LEVELS
  let best = 0
  for (const level of ISA_LEVELS.slice(1)) {
    if (!FLAGS_OF_LEVELS[level].every((flag) => flags.includes(flag))) break
    best++
  }
  return ISA_LEVELS.slice(Math.min(best, Math.max(best - 2, ISA_LEVELS.indexOf('avx512'))), best + 1)
}

/** levelsOf() this machine. */
export function levelsHere() {
  return existsSync('/proc/cpuinfo') ? levelsOf(readFileSync('/proc/cpuinfo', 'utf8')) : ISA_LEVELS
}

/** @throws BuildError where there is no compiler. */
export function compilerVersion() {
  const compiler = process.env.CXX || ['g++', 'clang++'].find(onPath)
  const result = compiler && spawnSync(compiler, ['--version'], { encoding: 'utf8' })
  if (!result || result.error || result.status !== 0) {
    throw new BuildError(
      `[build] expected a C++ compiler, found ${compiler ? `that ${compiler} does not run` : 'none'}. Install g++ 11 or newer ` +
        '(Debian, Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++) and run the same command again.',
    )
  }
  return result.stdout
}

/** Whether the addon with CUDA is to be built: as LOWRANK_CUDA says, else where nvcc is there. */
export function wantsCuda() {
  const choice = process.env.LOWRANK_CUDA || 'AUTO'
  if (!['ON', 'OFF', 'AUTO'].includes(choice))
    throw new BuildError(`[build] expected ON, OFF or AUTO for LOWRANK_CUDA, got ${choice}`)
  if (choice === 'OFF') return false
  const nvcc = process.env.CUDACXX ?? onPath('nvcc')
  if (choice === 'ON' && !nvcc) {
    throw new BuildError(
      '[build] expected nvcc on the path for LOWRANK_CUDA=ON, found none. Install the CUDA toolkit 12.4 or newer and put its bin folder ' +
        'on the path, name nvcc in CUDACXX, or build for the CPU alone with LOWRANK_CUDA=OFF.',
    )
  }
  return Boolean(nvcc)
}

export const cudaArchitectures = () => process.env.LOWRANK_CUDA_ARCHITECTURES || USUAL_ARCHITECTURES

function topOfNative() {
  return readdirSync(join(root, 'native'), { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)
}

/**
 * One addon: its CMake target, its file, its stamp, the stamp's text for a build of these levels, and whether such a build is there. One
 * with all levels serves where fewer are asked for.
 * @param {'lowrank' | 'lowrank_emulator' | 'lowrank_cuda'} target
 * @param {{ levels?: readonly string[], sanitize?: string }} options
 */
export function addonOf(target, { levels = ISA_LEVELS, sanitize = '' } = {}) {
  const out = join(root, sanitize ? `build/sanitize-${sanitize}` : 'build')
  const file = `${target.replace('_', '-')}.node`
  const extra = { lowrank: [], lowrank_emulator: ['cuda', 'emulator'], lowrank_cuda: ['cuda'] }[target]
  const parts = [...topOfNative(), 'bindings', 'core', 'cpu', 'gguf', 'platform', ...extra]
  const sources = ['scripts/build.mjs', 'scripts/outputs.mjs', ...parts.map((part) => join('native', part))]
  const words = [
    require('../package.json').version,
    sanitize,
    compilerVersion(),
    target === 'lowrank_cuda' ? cudaArchitectures() : '',
  ]
  const digest = digestOf(sources, ...words)
  const textOf = (some) => `${digest} ${some.join(' ')}\n`
  const stamp = join(out, `${file}.sha256`)
  const path = join(out, 'Release', file)
  return { target, path, ...state([path], stamp, textOf(levels), [textOf(ISA_LEVELS)]) }
}

/**
 * The JavaScript in dist/. One whose types were checked serves where that is not asked for.
 * @param {{ checked?: boolean }} options
 */
export function javaScript({ checked = true } = {}) {
  const digest = digestOf(
    ['scripts/build.mjs', 'scripts/outputs.mjs', 'src', 'tsconfig.json', 'tsconfig.build.json'],
    require('typescript/package.json').version,
  )
  const paths = ['index.js', 'cli/main.js', SCHEMA].map((name) => join(root, 'dist', name))
  const textOf = (types) => `${digest} types ${types ? 'checked' : 'not checked'}\n`
  return state(paths, join(root, 'build/dist.sha256'), textOf(checked), [textOf(true)])
}

/** What every output has: whether it is current, and how its stamp is taken away before a build and written after one. */
function state(paths, stamp, text, alsoGood) {
  const found = existsSync(stamp) ? readFileSync(stamp, 'utf8') : ''
  return {
    isCurrent: paths.every((path) => existsSync(path)) && [text, ...alsoGood].includes(found),
    begin: () => rmSync(stamp, { force: true }),
    finish: () => {
      mkdirSync(join(stamp, '..'), { recursive: true })
      writeFileSync(stamp, text)
    },
  }
}

/** The addon with CUDA is loaded before the others: one of other sources is removed. Returns whether there was one. */
export function removeStaleCuda() {
  const addon = addonOf('lowrank_cuda')
  if (!existsSync(addon.path) || addon.isCurrent) return false
  rmSync(addon.path)
  return true
}
