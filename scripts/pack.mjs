/**
 * @file Makes the tarballs that are published: `lowrank` and the package with the engine of this platform. `npm pack` runs it
 * as its last step (see "postpack" in package.json), so that both lie where npm put the first.
 *
 * The published package.json differs from the checkout's: it names the platform packages as optional dependencies, which a
 * checkout cannot have while they are not published (npm ci would look for them), and it has no scripts at all.
 */

import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { NOTICES_FILE, notices } from './notices.mjs'
import { capture, npm, root } from './phases.mjs'

/** Platforms that have a package, by the name that src/tensor/addon.ts gives them. */
const PLATFORMS = ['linux-x64-gnu']
const DOCUMENTS = ['README.md', 'CHANGELOG.md', 'LICENSE']
const BUILT_PLATFORM = 'linux-x64-gnu'
const MAIN_FIELDS = [
  'name',
  'version',
  'description',
  'license',
  'keywords',
  'type',
  'engines',
  'exports',
  'types',
  'bin',
  'files',
  'dependencies',
]

const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'))
const writeJson = (path, value) => writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`)
const manifest = readJson(join(root, 'package.json'))

function stageMain(directory) {
  const published = Object.fromEntries(MAIN_FIELDS.map((field) => [field, manifest[field]]))
  published.optionalDependencies = Object.fromEntries(
    PLATFORMS.map((platform) => [`@lowrank/${platform}`, manifest.version]),
  )
  writeJson(join(directory, 'package.json'), published)
  for (const path of ['dist', ...DOCUMENTS]) cpSync(join(root, path), join(directory, path), { recursive: true })
  writeFileSync(join(directory, NOTICES_FILE), notices())
  chmodSync(join(directory, 'dist/cli/main.js'), 0o755)
}

function stagePlatform(directory) {
  const source = join(root, 'npm', BUILT_PLATFORM)
  writeJson(join(directory, 'package.json'), { ...readJson(join(source, 'package.json')), version: manifest.version })
  for (const name of ['README.md', 'LICENSE']) {
    const own = join(source, name)
    copyFileSync(existsSync(own) ? own : join(root, name), join(directory, name))
  }
  writeFileSync(join(directory, NOTICES_FILE), notices())
  const addon = join(directory, 'lowrank.node')
  copyFileSync(join(root, 'build/Release/lowrank.node'), addon)
  // Debug sections and local symbols; what the dynamic loader needs stays.
  const strip = spawnSync('strip', ['--strip-unneeded', addon], { encoding: 'utf8' })
  if (strip.error || strip.status !== 0) throw new Error(`strip failed: ${strip.error?.message ?? strip.stderr}`)
}

async function pack(stage, destination) {
  const directory = mkdtempSync(join(tmpdir(), 'lowrank-pack-'))
  try {
    stage(directory)
    const { code, output } = await capture(npm('pack', '--ignore-scripts', '--pack-destination', destination), {
      cwd: directory,
    })
    if (code !== 0) throw new Error(`npm pack failed:\n${output}`)
    return output.trim().split('\n').at(-1)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

if (process.argv.includes('--refuse-publish')) {
  process.stderr.write('Publish the tarballs that `npm pack` makes, the platform package first: npm publish FILE.tgz\n')
  process.exitCode = 1
} else if (process.env.npm_config_dry_run !== 'true') {
  const destination = resolve(process.env.npm_config_pack_destination || process.cwd())
  try {
    for (const stage of [stageMain, stagePlatform]) process.stderr.write(`${await pack(stage, destination)}\n`)
  } catch (error) {
    process.stderr.write(`[pack] ${error.message}\n`)
    process.exitCode = 1
  }
}
