/** @file saveModel: what it writes loads to the same bits, in each dtype, with the tokenizer beside it. */

import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { createModel } from '../../src/causal-lm/create-model.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { saveModel } from '../../src/checkpoint/save-model.js'
import { openCheckpoint } from '../../src/checkpoint/weights-on-disk.js'
import type { Device } from '../../src/tensor/device.js'
import { testDevices } from '../support/devices.js'
import { goldenCases } from '../support/golden.js'

const CONFIG = { model_type: 'gpt2', vocab_size: 53, n_positions: 16, n_embd: 30, n_layer: 2, n_head: 3 }

describe.each(testDevices({ everyLevel: false }))('on $name', ({ open }) => {
  let device: Device
  let directory: string
  beforeAll(() => {
    device = open()
  })
  afterAll(() => device.close())
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'lowrank-save-'))
  })
  afterEach(() => rm(directory, { recursive: true, force: true }))

  const valuesOf = async (model: CausalLM): Promise<Map<string, Float32Array>> => {
    const values = new Map<string, Float32Array>()
    for (const [name, parameter] of model.parameters()) values.set(name, await parameter.read())
    return values
  }

  test.each(['llama-plain', 'llama-gqa-untied', 'llama-sharded', 'gpt2-plain'])(
    '%s, loaded and saved, has the tensors, shapes and bytes of the original',
    async (name) => {
      const golden = goldenCases().find(({ info }) => info.name === name)
      const model = await loadModel(golden?.directory as string, { device, dtype: 'float32' })
      await saveModel(model, directory)
      const again = await loadModel(directory, { device, dtype: 'float32' })
      expect(await valuesOf(again)).toEqual(await valuesOf(model))
      const shapes = async (where: string) =>
        [...(await openCheckpoint(where)).tensors].map(([tensor, { dtype, shape }]) => [tensor, dtype, shape]).sort()
      expect(await shapes(directory)).toEqual(await shapes(golden?.directory as string))
      model.dispose()
      again.dispose()
    },
  )

  test('config.json keeps every field and says the dtype of the file', async () => {
    const model = createModel({ ...CONFIG, torch_dtype: 'float16', _name_or_path: 'x' }, { device })
    await saveModel(model, directory, { dtype: 'bfloat16' })
    expect(JSON.parse(await readFile(join(directory, 'config.json'), 'utf8'))).toEqual({
      ...CONFIG,
      _name_or_path: 'x',
      dtype: 'bfloat16',
    })
    const { tensors } = await openCheckpoint(directory)
    expect(new Set([...tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(['BF16']))
    model.dispose()
  })

  test('float32 keeps the masters of trained bfloat16 parameters', async () => {
    const model = createModel(CONFIG, { device, dtype: 'bfloat16' })
    const name = 'transformer.ln_f.weight'
    const parameter = model.parameters().get(name)
    parameter?.unfreeze()
    const values = Float32Array.from({ length: 30 }, (_, i) => 1 + i / 1000)
    parameter?.set(values)
    await saveModel(model, directory, { dtype: 'float32' })
    const again = await loadModel(directory, { device, dtype: 'float32' })
    expect(await again.parameters().get(name)?.read()).toEqual(values)
    model.dispose()
    again.dispose()
  })

  test('float16 models come back to the same bits, and what float16 cannot hold is not written in it', async () => {
    const model = createModel(CONFIG, { device, dtype: 'float16' })
    await saveModel(model, directory)
    expect((await openCheckpoint(directory)).tensors.get('transformer.wte.weight')?.dtype).toBe('F16')
    const again = await loadModel(directory, { device, dtype: 'float16' })
    expect(await valuesOf(again)).toEqual(await valuesOf(model))
    again.dispose()
    model.dispose()
    const large = createModel(CONFIG, { device })
    large.parameters().get('transformer.ln_f.weight')?.set(new Float32Array(30).fill(65_520))
    await expect(saveModel(large, directory, { dtype: 'float16' })).rejects.toThrow(
      '[saveModel] expected transformer.ln_f.weight to fit float16, got elements above 65504 or no numbers; save in bfloat16 or float32',
    )
    large.dispose()
  })

  test('adapters are not merged in, nor the modules that they train in full', async () => {
    const model = createModel(CONFIG, { device })
    const values = await valuesOf(model)
    const adapter = LoraAdapter.create(model, { r: 2, targetModules: ['c_attn'], modulesToSave: ['wte'] })
    for (const parameter of adapter.parameters().values()) parameter.set(new Float32Array(parameter.size).fill(0.5))
    await saveModel(model, directory)
    const again = await loadModel(directory, { device, dtype: 'float32' })
    expect(await valuesOf(again)).toEqual(values)
    model.dispose()
    again.dispose()
  })

  test('copies the tokenizer, and nothing else', async () => {
    const source = await mkdtemp(join(tmpdir(), 'lowrank-tokenizer-'))
    const files = ['tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja', 'vocab.json', 'merges.txt']
    for (const file of [...files, 'README.md', 'config.json', 'pytorch_model.bin'])
      await writeFile(join(source, file), file)
    await mkdir(join(source, 'additional_chat_templates'))
    await writeFile(join(source, 'additional_chat_templates', 'tool_use.jinja'), 'tools')
    const model = createModel(CONFIG, { device })
    await saveModel(model, directory, { tokenizerFrom: source })
    const written = [...files, 'additional_chat_templates', 'config.json', 'model.safetensors']
    expect((await readdir(directory)).sort()).toEqual(written.sort())
    expect(await readFile(join(directory, 'additional_chat_templates', 'tool_use.jinja'), 'utf8')).toBe('tools')
    expect(await readFile(join(directory, 'merges.txt'), 'utf8')).toBe('merges.txt')
    model.dispose()
    await rm(source, { recursive: true })
  })

  test('refuses what it cannot write', async () => {
    const model = createModel(CONFIG, { device })
    await expect(saveModel(model, directory, { dtype: 'int32' as 'float32' })).rejects.toThrow(
      "[saveModel] expected 'float32', 'bfloat16' or 'float16' for dtype, got \"int32\"",
    )
    await expect(saveModel(model, directory, { tokeniserFrom: 'x' } as object)).rejects.toThrow(
      '[saveModel] unknown option "tokeniserFrom"; did you mean "tokenizerFrom"?',
    )
    expect(await readdir(directory)).toEqual([])
    model.dispose()
  })
})
