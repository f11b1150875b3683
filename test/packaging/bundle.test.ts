/**
 * @file A program and lowrank in one ESM file, as bundlers make it: nothing is left outside but Node's own modules, and
 * it trains.
 */

import { execFile } from 'node:child_process'
import { copyFile, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { builtinModules } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { rolldown } from 'rolldown'
import { beforeAll, describe, expect, it } from 'vitest'
import { temporaryDirectory, writeTinyModel } from '../support/tiny-model.js'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = temporaryDirectory()
const model = join(folder, 'model')
const bundle = join(folder, 'bundle')

/**
 * Trains, saves with a card, and reads a header, so that what is loaded late runs too; on more rows than this thread
 * encodes alone where there is a program for others.
 */
const PROGRAM = `
import { trainLora } from 'lowrank'
const run = await trainLora({
  model: process.argv[2],
  dataset: Array.from({ length: 2100 }, () => ({ prompt: 'one', completion: ' two' })),
  lora: { r: 2 },
  training: { maxSteps: 1, maxLength: 64, datasetNumProc: 2 },
  outputDir: process.argv[3],
})
await run.save(process.argv[3] + '/adapter')
console.log(JSON.stringify({ step: run.step, loss: run.loss }))
run.dispose()
`

beforeAll(async () => {
  await writeTinyModel(model)
  await mkdir(join(folder, 'node_modules'))
  await symlink(root, join(folder, 'node_modules/lowrank'))
  await writeFile(join(folder, 'program.mjs'), PROGRAM)
})

describe('a bundle', () => {
  it('leaves nothing outside but modules of Node, and asks for those as ESM does', async () => {
    const made = await rolldown({ input: join(folder, 'program.mjs'), platform: 'node', logLevel: 'silent' })
    const { output } = await made.write({ file: join(bundle, 'program.mjs'), format: 'esm', codeSplitting: false })
    expect(await readdir(bundle)).toEqual(['program.mjs'])
    const imports = output.flatMap((part) => ('imports' in part ? part.imports : []))
    expect(imports.filter((name) => !builtinModules.includes(name.replace(/^node:/, '')))).toEqual([])
    const code = await readFile(join(bundle, 'program.mjs'), 'utf8')
    // Bundlers put CommonJS into a wrapper whose require() is refused in ESM by some of them.
    expect(code.match(/__(?:require|commonJS\w*)\(.*/g) ?? []).toEqual([])
  })

  it.each<[string, (place: string) => Promise<Record<string, string>>]>([
    [
      'the engine beside it',
      async (place) => {
        await copyFile(join(root, 'build/Release/lowrank.node'), join(place, 'lowrank.node'))
        return {}
      },
    ],
    [
      'the package of the platform',
      async (place) => {
        const installed = join(place, 'node_modules/@lowrank/linux-x64-gnu')
        await mkdir(installed, { recursive: true })
        await copyFile(join(root, 'build/Release/lowrank.node'), join(installed, 'lowrank.node'))
        return {}
      },
    ],
    ['the engine of LOWRANK_ADDON', async () => ({ LOWRANK_ADDON: join(root, 'build/Release/lowrank.node') })],
  ])('trains and saves, with %s', async (name, prepare) => {
    const place = join(folder, name.replaceAll(' ', '-'))
    await mkdir(place)
    await copyFile(join(bundle, 'program.mjs'), join(place, 'program.mjs'))
    const { LOWRANK_ADDON: _, ...env } = process.env
    const args = ['program.mjs', model, join(place, 'out')]
    const { stdout } = await run(process.execPath, args, { cwd: place, env: { ...env, ...(await prepare(place)) } })
    expect(JSON.parse(stdout)).toEqual({ step: 1, loss: expect.any(Number) })
    expect((await readdir(join(place, 'out'))).sort()).toContain('train.yaml')
    expect(await readdir(join(place, 'out/adapter'))).toContain('adapter_model.safetensors')
  })

  it('says where it looked where there is no engine', async () => {
    const { LOWRANK_ADDON: _, ...env } = process.env
    const failed = run(process.execPath, ['program.mjs', model, 'out'], { cwd: bundle, env })
    await expect(failed).rejects.toThrow(
      /found none that loads[\s\S]*bundle\/lowrank\.node[\s\S]*A bundle also takes lowrank\.node beside it/,
    )
  })
})
