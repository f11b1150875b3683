/** @file What npm pack makes, installed as a user installs it: no checkout, no compiler, no Python, no scripts. It trains. */

import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DoctorReport } from '../../src/cli/doctor.js'
import { tinyRows, writeTinyModel } from '../support/tiny-model.js'
import { installNode, npm, readJson, runAlone } from './npm.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'lowrank-install-'))
const model = join(folder, 'model')
const tarballs = join(folder, 'tarballs')

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
}, 300_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('npm pack', () => {
  it('gives the library and the engine of this platform', () => {
    const { version } = readJson(join(root, 'package.json'))
    expect(readdirSync(tarballs).sort()).toEqual([`lowrank-${version}.tgz`, `lowrank-linux-x64-gnu-${version}.tgz`])
  })
})

describe.each(['20', 'newest'])('installed on Node %s', (version) => {
  const project = join(folder, `project-${version}`)

  it('trains and saves without compiler, Python and install scripts', async () => {
    const wanted = version === 'newest' ? (await npm(['view', 'node', 'version'], { cwd: folder })).trim() : version
    const runtime = await installNode(wanted, join(folder, `node-${version}`))
    expect(readdirSync(runtime.path)).toEqual(['node'])

    mkdirSync(project)
    writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }\n')
    const files = readdirSync(tarballs).map((name) => join(tarballs, name))
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
  }, 240_000)

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
