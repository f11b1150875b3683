/**
 * @file Makes the tarballs that are published: `lowrank`, the package with the engine of this platform and, where it was built, the one with the
 * engine with CUDA, which nobody gets who does not ask for it. `npm pack` runs this as its last step (see "postpack" in package.json), so that
 * all lie where npm put the first. `--cuda-addon=FILE` packs the last one alone, of that file.
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
const CUDA_FILE = 'lowrank-cuda.node'
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
  'typesVersions',
  'sideEffects',
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

/** The package `npm/NAME` around an addon. */
function stagePlatform(name, file, built, directory) {
  const source = join(root, 'npm', name)
  writeJson(join(directory, 'package.json'), { ...readJson(join(source, 'package.json')), version: manifest.version })
  for (const document of ['README.md', 'LICENSE']) {
    const own = join(source, document)
    copyFileSync(existsSync(own) ? own : join(root, document), join(directory, document))
  }
  writeFileSync(join(directory, NOTICES_FILE), notices(root, { cuda: file === CUDA_FILE }))
  const addon = join(directory, file)
  copyFileSync(built, addon)
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

/** What there is to pack. */
function stages() {
  const release = join(root, 'build/Release')
  const cuda = (built) => (directory) => stagePlatform(`${BUILT_PLATFORM}-cuda`, CUDA_FILE, built, directory)
  const given = process.argv.find((argument) => argument.startsWith('--cuda-addon='))
  if (given) return [cuda(resolve(given.slice('--cuda-addon='.length)))]
  const cpu = (directory) => stagePlatform(BUILT_PLATFORM, 'lowrank.node', join(release, 'lowrank.node'), directory)
  const built = join(release, CUDA_FILE)
  return [stageMain, cpu, ...(existsSync(built) ? [cuda(built)] : [])]
}

if (process.argv.includes('--refuse-publish')) {
  process.stderr.write('Publish the tarballs that `npm pack` makes, the platform package first: npm publish FILE.tgz\n')
  process.exitCode = 1
} else if (process.env.npm_config_dry_run !== 'true') {
  const destination = resolve(process.env.npm_config_pack_destination || process.cwd())
  try {
    for (const stage of stages()) process.stderr.write(`${await pack(stage, destination)}\n`)
  } catch (error) {
    process.stderr.write(`[pack] ${error.message}\n`)
    process.exitCode = 1
  }
}
