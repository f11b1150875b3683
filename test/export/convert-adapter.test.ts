/** @file convertAdapter: between PEFT, MLX and GGUF in all directions, and folders of Ollama and LM Studio. */

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { adapterKind } from '../../src/export/adapter-kinds.js'
import { type ConvertAdapterOptions, convertAdapter } from '../../src/export/convert-adapter.js'
import { exportModel } from '../../src/export/export-model.js'
import { readSafetensorsHeader, readTensorBytes } from '../../src/weights/safetensors.js'
import { lowrank } from '../cli/run-cli.js'
import { rejection, temporaryDirectory, tinyAdapter, tinyModel, writeTinyModel } from '../support/tiny-model.js'

const folder = temporaryDirectory()
const base = join(folder, 'base')
const peft = join(folder, 'peft')

beforeAll(async () => {
  await writeTinyModel(base)
  const model = await tinyModel()
  const trained = tinyAdapter(model, { r: 5, loraAlpha: 15, targetModules: ['q_proj', 'k_proj', 'up_proj'] })
  trained.baseModelName = base
  await trained.save(peft)
  model.dispose()
  model.device.close()
})

const convert = (adapter: string, to: ConvertAdapterOptions['to'], name: string) =>
  convertAdapter({ adapter, to, model: base, output: join(folder, name), computeDtype: 'float32', compareTokens: 48 })

/** All bytes of an adapter's tensors by name. */
async function tensorsOf(directory: string): Promise<Map<string, string>> {
  const { tensors } = await readSafetensorsHeader(join(directory, 'adapter_model.safetensors'))
  const all = new Map<string, string>()
  for (const [name, entry] of tensors) all.set(name, Buffer.from(await readTensorBytes(entry)).toString('hex'))
  return all
}

describe('convertAdapter', () => {
  it('goes from PEFT to MLX to GGUF to PEFT, and ends with the bytes that it began with', async () => {
    expect(await convert(peft, 'mlx', 'mlx')).toMatchObject({ passed: true, logitDifference: 0, format: 'mlx-adapter' })
    expect(await convert(join(folder, 'mlx'), 'gguf', 'gguf')).toMatchObject({ passed: true, logitDifference: 0 })
    const file = join(folder, 'gguf', 'adapter.gguf')
    expect([await adapterKind(file), await adapterKind(join(folder, 'mlx')), await adapterKind(peft)]).toEqual([
      ...['gguf', 'mlx', 'peft'],
    ])
    expect(await convert(file, 'peft', 'back')).toMatchObject({ passed: true, logitDifference: 0 })
    expect(await tensorsOf(join(folder, 'back'))).toEqual(await tensorsOf(peft))
    const config = JSON.parse(await readFile(join(folder, 'back', 'adapter_config.json'), 'utf8')) as object
    expect(config).toMatchObject({ r: 5, lora_alpha: 15, target_modules: ['k_proj', 'q_proj', 'up_proj'] })
  })

  it('goes from GGUF to MLX, and from MLX to PEFT', async () => {
    expect(await convert(join(folder, 'gguf', 'adapter.gguf'), 'mlx', 'mlx-again')).toMatchObject({ passed: true })
    expect(await convert(join(folder, 'mlx-again'), 'peft', 'peft-again')).toMatchObject({ passed: true })
    expect(await tensorsOf(join(folder, 'peft-again'))).toEqual(await tensorsOf(peft))
  })

  it('refuses what the adapter is already, and files of another model by the module that does not fit', async () => {
    expect(await rejection(convert(peft, 'peft', 'same'))).toBe(
      `[convert] expected another format than that of the adapter, got 'peft', which ${peft} has`,
    )
    const other = await writeTinyModel(join(folder, 'other'), {
      config: { ...(JSON.parse(await readFile(join(base, 'config.json'), 'utf8')) as object), intermediate_size: 72 },
    })
    const wrong = convertAdapter({ adapter: join(folder, 'mlx'), to: 'peft', model: other, output: join(folder, 'no') })
    expect(await rejection(wrong)).toContain('is the adapter of this model?')
  })

  it('is a command, too', async () => {
    const output = join(folder, 'by-command')
    const { code, stdout, stderr } = await lowrank(['convert', peft, '--to', 'mlx', '--output', output])
    expect(stderr).toBe('')
    expect(code).toBe(0)
    expect(stdout).toContain(`Exported 2 files to ${output} (mlx-adapter, float32)\n`)
    const wrong = await lowrank(['convert', peft, '--output', output])
    expect(wrong.stderr).toContain('[convert] expected ADAPTER, --to peft|gguf|mlx and --output DIR, got no --to')
    expect(wrong.code).toBe(2)
  })
})

describe('exportModel', () => {
  it('writes a folder for Ollama with model and adapter beside each other, which compute the same together', async () => {
    const output = join(folder, 'ollama')
    const options = { adapter: peft, format: 'ollama', output, type: 'F32', computeDtype: 'float32' } as const
    const report = await exportModel({ ...options, compareTokens: 48 })
    expect(report).toMatchObject({
      passed: true,
      files: ['Modelfile', 'adapter.gguf', 'model.gguf'],
      differentLines: 0,
    })
    expect(report.logitDifference).toBeLessThan(1e-5 * report.largestLogit)
    const text = await readFile(join(output, 'Modelfile'), 'utf8')
    expect(text).toContain('FROM ./model.gguf\nADAPTER ./adapter.gguf\n')
  })

  it('writes a folder for LM Studio whose file has its name and type', async () => {
    const output = join(folder, 'mine')
    const options = { adapter: peft, format: 'lm-studio', output, type: 'Q8_0', compareTokens: 48 } as const
    expect(await exportModel(options)).toMatchObject({ passed: true, files: ['mine-Q8_0.gguf'], differentLines: 0 })
    expect(await readdir(output)).toEqual(['mine-Q8_0.gguf'])
  })
})
