/**
 * @file What npm pack makes, installed as a user installs it: no checkout, no compiler, no Python, no scripts. It
 * trains.
 */

import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DoctorReport } from '../../src/cli/doctor.js'
import { isThorough } from '../support/long.js'
import { tinyRows, writeTinyModel } from '../support/tiny-model.js'
import { installNode, npm, readJson, runAlone } from './npm.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'lowrank-install-'))
const model = join(folder, 'model')
const tarballs = join(folder, 'tarballs')
const cudaAddon = join(root, 'build/Release/lowrank-cuda.node')
const hasCuda = existsSync(cudaAddon)
/** Where there is no addon with CUDA, that of the CPU stands for it: the package is made and found in the same way. */
const cudaTarballs = hasCuda ? tarballs : join(folder, 'stand-in')

// A user's program. It answers in JSON so that the test reads values and not text.
const PROGRAM = `
import { trainLora } from 'lowrank'
const losses = []
const run = await trainLora({
  model: process.argv[2],
  dataset: 'rows.jsonl',
  lora: { r: 4, loraAlpha: 8 },
  training: { maxSteps: 12, perDeviceTrainBatchSize: 8, gradientAccumulationSteps: 1, learningRate: 1e-2 },
  onEvent: (event) => event.type === 'step' && losses.push(event.loss),
})
await run.adapter.save('adapter')
run.dispose()
console.log(JSON.stringify({ losses, node: process.versions.node }))
`

beforeAll(async () => {
  mkdirSync(tarballs)
  await writeTinyModel(model)
  await npm(['pack', '--pack-destination', tarballs], { cwd: root })
  if (hasCuda) return
  mkdirSync(cudaTarballs)
  const standIn = `--cuda-addon=${join(root, 'build/Release/lowrank.node')}`
  const env = { ...process.env, npm_config_pack_destination: cudaTarballs }
  await promisify(execFile)(process.execPath, [join(root, 'scripts/pack.mjs'), standIn], { env })
}, 900_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('npm pack', () => {
  it('gives the library, the engine of this platform, and where it was built the one with CUDA', () => {
    const { version } = readJson(join(root, 'package.json'))
    const cuda = `lowrank-linux-x64-gnu-cuda-${version}.tgz`
    const expected = [`lowrank-${version}.tgz`, `lowrank-linux-x64-gnu-${version}.tgz`, ...(hasCuda ? [cuda] : [])]
    expect(readdirSync(tarballs).sort()).toEqual(expected.sort())
    expect(readdirSync(cudaTarballs)).toContain(cuda)
  })
})

const tarballsOf = (directory: string): string[] => readdirSync(directory).map((name) => join(directory, name))

it('the engine with CUDA, installed beside, is loaded in place of the other and runs without a GPU', async () => {
  const project = join(folder, 'project-cuda')
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }\n')
  const files = [...new Set([...tarballsOf(tarballs), ...tarballsOf(cudaTarballs)])]
  await npm(['install', '--ignore-scripts', '--prefer-offline', ...files], { cwd: project })
  const cuda = join(project, 'node_modules/@lowrank/linux-x64-gnu-cuda')
  const { version } = readJson(join(root, 'package.json'))
  expect(readJson(join(cuda, 'package.json'))).toMatchObject({ version, main: 'lowrank-cuda.node', os: ['linux'] })
  for (const document of ['README.md', 'LICENSE', 'THIRD_PARTY_NOTICES'])
    expect(statSync(join(cuda, document)).size).toBeGreaterThan(0)
  const noticesOf = (name: string) => readFileSync(join(project, 'node_modules', name, 'THIRD_PARTY_NOTICES'), 'utf8')
  expect(noticesOf('@lowrank/linux-x64-gnu-cuda')).toContain('the CUDA Runtime (libcudart_static), linked statically')
  for (const name of ['lowrank', '@lowrank/linux-x64-gnu']) expect(noticesOf(name)).not.toContain('NVIDIA')
  const runtime = await installNode('20', join(folder, 'node-cuda'))
  const lowrank = join(project, 'node_modules/.bin/lowrank')
  const report = JSON.parse((await runAlone(runtime, lowrank, ['doctor', '--json'], project)).stdout) as DoctorReport
  expect(report.engine?.path).toBe(join(cuda, 'lowrank-cuda.node'))
  expect(report.engine?.devices).toContain('cpu')
  expect(report.gpu?.engine).toBe(hasCuda)
  const plan = await runAlone(runtime, lowrank, ['plan', '--model', model, '--device', 'auto', '--json'], project)
  expect(JSON.parse(plan.stdout)).toMatchObject({ fits: true })
}, 600_000)

describe.each(isThorough ? ['20', 'newest'] : ['20'])('installed on Node %s', (version) => {
  const project = join(folder, `project-${version}`)

  it('trains and saves without compiler, Python and install scripts', async () => {
    const wanted = version === 'newest' ? (await npm(['view', 'node', 'version'], { cwd: folder })).trim() : version
    const runtime = await installNode(wanted, join(folder, `node-${version}`))
    expect(readdirSync(runtime.path)).toEqual(['node'])

    mkdirSync(project)
    writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }\n')
    const files = tarballsOf(tarballs).filter((path) => !path.includes('-cuda-'))
    await npm(['install', '--ignore-scripts', '--prefer-offline', ...files], { cwd: project, ...runtime })
    writeFileSync(
      join(project, 'rows.jsonl'),
      tinyRows(40)
        .map((row) => `${JSON.stringify(row)}\n`)
        .join(''),
    )
    writeFileSync(join(project, 'train.mjs'), PROGRAM)

    const { stdout } = await runAlone(runtime, runtime.node, ['train.mjs', model], project)
    const result = JSON.parse(stdout) as { losses: number[]; node: string }
    expect(result.node.startsWith(wanted)).toBe(true)
    expect(result.losses).toHaveLength(12)
    expect(result.losses.every(Number.isFinite)).toBe(true)
    // Twelve steps at this rate take a random model well below where it began; half is far from what noise does.
    expect(result.losses.at(-1)).toBeLessThan(0.9 * (result.losses[0] as number))
    expect(statSync(join(project, 'adapter/adapter_model.safetensors')).size).toBeGreaterThan(0)

    const lowrank = join(project, 'node_modules/.bin/lowrank')
    const report = JSON.parse((await runAlone(runtime, lowrank, ['doctor', '--json'], project)).stdout) as DoctorReport
    expect(report.ok).toBe(true)
    expect(report.engine?.path).toBe(join(project, 'node_modules/@lowrank/linux-x64-gnu/lowrank.node'))
    expect(report.buildTools).toEqual({ compiler: null, cmake: null, nvcc: null })
  }, 600_000)

  it('brings no package with an install script, and only what is needed to run', () => {
    const { packages } = readJson(join(project, 'node_modules/.package-lock.json')) as {
      packages: Record<string, { hasInstallScript?: boolean }>
    }
    expect(Object.values(packages).filter(({ hasInstallScript }) => hasInstallScript)).toEqual([])
    const manifest = readJson(join(project, 'node_modules/lowrank/package.json'))
    expect(manifest).not.toHaveProperty('scripts')
    expect(manifest).not.toHaveProperty('devDependencies')
    expect(manifest.optionalDependencies).toEqual({ '@lowrank/linux-x64-gnu': manifest.version })
    for (const absent of ['binding.gyp', 'native', 'src', 'dist/index.js.map']) {
      expect(existsSync(join(project, 'node_modules/lowrank', absent))).toBe(false)
    }
    for (const present of ['LICENSE', 'README.md', 'CHANGELOG.md', 'THIRD_PARTY_NOTICES', 'dist/index.d.ts']) {
      expect(existsSync(join(project, 'node_modules/lowrank', present))).toBe(true)
    }
    expect(existsSync(join(project, 'node_modules/@lowrank/linux-x64-gnu/THIRD_PARTY_NOTICES'))).toBe(true)
  })
})
