/**
 * @file Brings a checkout to the state that the other commands need: dependencies as the lock file says, addon and
 * JavaScript built from the sources that are there, with --emulator also the addon of the tests. Quick and silent when nothing changed. Uses no
 * dependency, because it runs before there is any.
 */

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { digestOf } from './digest.mjs'
import { npm, phase, root } from './phases.mjs'

const emulator = process.argv.includes('--emulator')
const OUTPUTS = [
  'dist/index.js',
  'dist/cli/main.js',
  'build/Release/lowrank.node',
  ...(emulator ? ['build/Release/lowrank-emulator.node'] : []),
]
const INPUTS = ['native', 'src', 'scripts/build.mjs', 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json']
const STAMP = join(root, `build/inputs${emulator ? '-emulator' : ''}.sha256`)

/** Whether node_modules holds what package-lock.json asks for. Contents are compared, since git sets file times freely. */
function isInstalled() {
  const installedPath = join(root, 'node_modules/.package-lock.json')
  if (!existsSync(installedPath)) return false
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages
  const installed = JSON.parse(readFileSync(installedPath, 'utf8')).packages
  return Object.entries(wanted).every(
    ([path, entry]) => path === '' || entry.optional || installed[path]?.version === entry.version,
  )
}

function isBuilt(inputs) {
  if (!OUTPUTS.every((path) => existsSync(join(root, path)))) return false
  return existsSync(STAMP) && readFileSync(STAMP, 'utf8') === inputs
}

async function ensure() {
  if (!isInstalled() && !(await phase('Installing dependencies', npm('ci', '--include=dev')))) return false
  // The addon with CUDA is built or not as the variable says.
  const inputs = digestOf(INPUTS, process.env.LOWRANK_CUDA ?? '')
  if (isBuilt(inputs)) return true
  rmSync(STAMP, { force: true })
  if (!(await phase('Building', [process.execPath, 'scripts/build.mjs', ...(emulator ? ['--emulator'] : [])])))
    return false
  mkdirSync(join(root, 'build'), { recursive: true })
  writeFileSync(STAMP, inputs)
  return true
}

const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(`lowrank needs Node 20.19 or newer, this is ${process.versions.node}\n`)
  process.exitCode = 1
} else if (!(await ensure())) {
  process.exitCode = 1
}
