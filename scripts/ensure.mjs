/**
 * @file Brings a checkout to the state that the other commands need: dependencies as the lock file says, addon and JavaScript built from the
 * sources that are there. Quick and silent when nothing changed. Uses no dependency, because it runs before there is any.
 *
 * --quick      what a first run needs and no more: the CPU kernels of this processor, JavaScript whose types are not checked
 * --emulator   also the addon of the tests
 *
 * The addon with CUDA is left to `npm run build`, because nvcc takes minutes: it is built here with LOWRANK_CUDA=ON alone. One that is there
 * stays while its sources are those that are there.
 */

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { npm, phase, root } from './phases.mjs'

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

async function ensure(options) {
  if (!isInstalled() && !(await phase('Installing dependencies', npm('ci', '--include=dev')))) return false
  const cuda = process.env.LOWRANK_CUDA === 'ON' ? 'ON' : 'OFF'
  const { status } = spawnSync(process.execPath, ['scripts/build.mjs', ...options], {
    cwd: root,
    // stdout belongs to the command that comes after, as the tarballs' names of npm pack.
    stdio: ['ignore', process.stderr, process.stderr],
    env: { ...process.env, LOWRANK_CUDA: cuda },
  })
  return status === 0
}

const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(`lowrank needs Node 20.19 or newer, this is ${process.versions.node}\n`)
  process.exitCode = 1
} else if (!(await ensure(process.argv.slice(2)))) {
  process.exitCode = 1
}
