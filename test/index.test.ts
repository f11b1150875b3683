/**
 * @file The public API as programs are written against it: the same program in strict TypeScript and in plain
 * JavaScript on the built package.
 */

import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as api from '../src/index.js'
import { AdamW, LoraAdapter, loadModel } from '../src/index.js'

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
const MODEL = join(root, 'test/golden/cases/llama-plain')
const ADAPTER = join(MODEL, 'adapter')

/** In TypeScript and JavaScript alike; DIRECTORY is replaced. */
const PROGRAM = `
import { AdamW, LoraAdapter, loadModel } from 'lowrank'

const inputIds = [[5, 6, 7, 8], [9, 10, 11, 0]]
const attentionMask = [[1, 1, 1, 1], [1, 1, 1, 0]]
const labels = [[-100, 6, 7, 8], [-100, 10, 11, -100]]

const model = await loadModel(${JSON.stringify(MODEL)}, { device: 'cpu', dtype: 'float32' })
const adapter = await LoraAdapter.load(model, ${JSON.stringify(ADAPTER)})
const { loss, logits } = model.forward({ inputIds, attentionMask, labels }, { logits: true })
const [l] = await loss.read()
const values = await logits.read()
loss.backward()
let squares = 0
for (const [name, p] of adapter.parameters()) {
  if (!name.startsWith('base_model.model.')) throw new Error(name)
  for (const value of await p.grad.read()) squares += value * value
}
const optimizer = new AdamW(adapter.parameters(), { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01 })
optimizer.step(); optimizer.zeroGrad()
await adapter.save('DIRECTORY')
const ids = await model.generate([1, 2, 3], { maxNewTokens: 20, eosTokenId: [] })
const { loss: after } = model.forward({ inputIds, attentionMask, labels })
const [l2] = await after.read()
console.log(JSON.stringify({ l, l2, size: values.length, gradient: Math.sqrt(squares), ids }))
`

describe('the program of the documentation', () => {
  let directory: string
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'lowrank-index-'))
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))

  test('runs here, step by step, with the types that it should have', async () => {
    const inputIds = [[5, 6, 7, 8]]
    const model = await loadModel(MODEL, { device: 'cpu', dtype: 'float32' })
    const adapter = LoraAdapter.create(model, { r: 8, loraAlpha: 16, targetModules: ['q_proj'] })
    const { loss, logits } = model.forward({ inputIds, labels: inputIds }, { logits: true })
    const values: Float32Array = await loss.read()
    const [before] = values
    expect(logits.shape).toEqual([1, 4, 131])
    loss.backward()
    const gradients: [string, Float32Array][] = []
    for (const [name, p] of adapter.parameters()) gradients.push([name, await p.grad.read()])
    expect(gradients.map(([name]) => name)).toEqual([...adapter.parameters().keys()])
    // B is zero: only its own gradient is not.
    for (const [name, gradient] of gradients)
      expect(
        gradient.some((value) => value !== 0),
        name,
      ).toBe(name.includes('lora_B'))
    const optimizer = new AdamW(adapter.parameters(), { lr: 1e-2, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01 })
    optimizer.step()
    optimizer.zeroGrad()
    const [after] = await model.forward({ inputIds, labels: inputIds }).loss.read()
    expect(after).toBeLessThan(before as number)
    const ids: number[] = await model.generate([1, 2, 3], { maxNewTokens: 20, eosTokenId: [2] })
    expect(ids.length).toBeLessThanOrEqual(20)
    model.device.close()
  })

  test('runs as plain JavaScript on the built package, twice with the same result', async () => {
    const source = PROGRAM.replace('DIRECTORY', directory)
    // Imports by the package's own name resolve from its root only.
    const once = () => run(process.execPath, ['--input-type=module', '-e', source], { cwd: root })
    const { stdout, stderr } = await once()
    const weights = await readFile(join(directory, 'adapter_model.safetensors'))
    expect(stderr).toBe('')
    const { l, l2, size, gradient, ids } = JSON.parse(stdout)
    expect(l2).toBeLessThan(l)
    expect(size).toBe(2 * 4 * 131)
    expect(gradient).toBeGreaterThan(0)
    expect(ids).toHaveLength(20)
    expect((await once()).stdout).toBe(stdout)
    expect((await readFile(join(directory, 'adapter_model.safetensors'))).equals(weights)).toBe(true)
  })

  test('compiles against the published types with everything strict', async () => {
    const project = {
      compilerOptions: {
        target: 'es2023',
        lib: ['es2023', 'esnext.disposable'],
        module: 'nodenext',
        skipDefaultLibCheck: true,
        strict: true,
        noUncheckedIndexedAccess: true,
        exactOptionalPropertyTypes: true,
        noEmit: true,
        types: ['node'],
        typeRoots: [join(root, 'node_modules/@types')],
        paths: { lowrank: [join(root, 'dist/index.d.ts')] },
      },
      files: ['program.mts'],
    }
    await writeFile(join(directory, 'tsconfig.json'), JSON.stringify(project))
    await writeFile(join(directory, 'program.mts'), PROGRAM)
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    const { stdout } = await run(process.execPath, [tsc, '-p', directory]).catch((error: { stdout: string }) => error)
    expect(stdout).toBe('')
  }, 600_000) // a whole compiler run, which takes ten times as long on a busy machine
})

test('exports the names that programs are written against', () => {
  const names = [
    'AdamW',
    'Device',
    'LoraAdapter',
    'Tensor',
    'activeAdapters',
    'addAdapter',
    'createModel',
    'deleteAdapter',
    'disableAdapters',
    'enableAdapters',
    'evaluateLoss',
    'loadAdapter',
    'loadModel',
    'loadTokenizer',
    'setAdapter',
  ]
  expect(Object.keys(api)).toEqual(expect.arrayContaining([...names, 'noGrad', 'saveModel', 'scope', 'trainLora']))
})

test('what is no model, tokenizer, text or path is refused by name wherever one is expected', async () => {
  const anything = api as unknown as Record<string, (...given: unknown[]) => unknown>
  const model = await loadModel(MODEL, { dtype: 'float32' })
  const tokenizer = await api.loadTokenizer(join(root, 'models/lowrank-base-5m'))
  const calls: [string, RegExp, () => unknown][] = []
  for (const wrong of [undefined, null, 0, '', {}, [], Symbol('x'), Promise.resolve()]) {
    const noModel = /^\[\w+\] expected what loadModel\(\) or createModel\(\) gives for model, got /
    calls.push(['LoraAdapter.create', noModel, () => LoraAdapter.create(wrong as never)])
    for (const name of [
      'addAdapter',
      'setAdapter',
      'activeAdapters',
      'disableAdapters',
      'enableAdapters',
      'deleteAdapter',
    ])
      calls.push([name, noModel, () => anything[name]?.(wrong, 'a', {})])
    for (const name of ['evaluateLoss', 'generateText', 'saveModel'])
      calls.push([name, noModel, () => anything[name]?.(wrong, 'a', 'a')])
    calls.push(['loadAdapter', noModel, () => anything.loadAdapter?.(wrong, ADAPTER)])
    if (wrong !== '') calls.push(['encode', /^\[tokenizer\] expected a string/, () => tokenizer.encode(wrong as never)])
    calls.push(['loadTokenizer', /^\[loadTokenizer\] expected a path/, () => anything.loadTokenizer?.(wrong)])
    calls.push(['loadModel', /^\[model\] expected a directory or a Hub id/, () => anything.loadModel?.(wrong)])
    calls.push(['prepareDataset', /expected what loadTokenizer\(\) gives/, () => anything.prepareDataset?.([], wrong)])
    calls.push([
      'evaluateLoss',
      /for examples, got /,
      () => anything.evaluateLoss?.(model, wrong === '' || Array.isArray(wrong) ? 1 : wrong),
    ])
    for (const name of ['planTraining', 'planGeneration'])
      calls.push([
        name,
        /^\[\w+\] expected /,
        () => anything[name]?.(wrong === '' ? null : { model: typeof wrong === 'object' ? null : wrong }),
      ])
  }
  for (const [name, message, call] of calls) {
    const error = await Promise.resolve()
      .then(call)
      .then(
        () => undefined,
        (reason: unknown) => reason,
      )
    expect(error, name).toBeInstanceOf(Error)
    expect((error as Error).message, name).toMatch(message)
  }
  expect(() => anything.activeAdapters?.(Promise.resolve(model))).toThrow(/; await it$/)
  model.dispose()
})
