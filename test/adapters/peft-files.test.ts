/**
 * @file Adapters as PEFT saves them in ways that are not the plain one: what it loads gives its logits here, or is
 * refused by name.
 */

import { readFileSync } from 'node:fs'
import { cp, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import type { RawConfig } from '../../src/architecture/config.js'
import { writeFilesAtomic } from '../../src/atomic-write.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { createModel } from '../../src/causal-lm/create-model.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import type { Device } from '../../src/tensor/device.js'
import { readSafetensorsHeader, readTensorBytes, safetensorsContent } from '../../src/weights/safetensors.js'
import { testDevices } from '../support/devices.js'
import { relativeDifference } from '../support/golden.js'
import { rejection } from '../support/tiny-model.js'

const ROOT = join(import.meta.dirname, '../golden/peft-files')
interface Expected {
  base: 'tied' | 'untied'
  /** PEFT's logits of all tokens. */
  logits?: number[]
  /** A weight in the file that is not the base's. */
  differs?: string
}
const { ids, adapters } = JSON.parse(readFileSync(join(ROOT, 'expected.json'), 'utf8')) as {
  ids: number[][]
  adapters: Record<string, Expected>
}

describe.each(testDevices({ everyLevel: false }))('on $name', ({ open }) => {
  let device: Device
  const models = new Map<string, CausalLM>()
  beforeAll(async () => {
    device = open()
    for (const base of ['tied', 'untied'])
      models.set(base, await loadModel(join(ROOT, base), { device, dtype: 'float32' }))
  })
  afterAll(() => device.close())

  const logitsOf = async (model: CausalLM): Promise<Float32Array> => {
    const { logits } = model.forward({ inputIds: ids }, { logits: true })
    const values = await logits.read()
    logits.dispose()
    return values
  }

  test.each(Object.entries(adapters).filter(([, { logits }]) => logits))(
    '%s gives the logits of PEFT',
    async (name, { base, logits }) => {
      const model = models.get(base) as CausalLM
      const before = await logitsOf(model)
      const adapter = await LoraAdapter.load(model, join(ROOT, name))
      const loaded = await logitsOf(model)
      adapter.dispose()
      // Both are float32; sums are of at most 12 products.
      expect(relativeDifference(loaded, Float32Array.from(logits ?? []))).toBeLessThan(1e-6)
      expect(relativeDifference(loaded, before)).toBeGreaterThan(0.01)
      expect(await logitsOf(model)).toEqual(before)
    },
  )

  test.each(Object.entries(adapters).filter(([, { differs }]) => differs))(
    '%s is refused, naming the weight that differs',
    async (name, { base, differs }) => {
      const model = models.get(base) as CausalLM
      const before = await logitsOf(model)
      const message = await rejection(LoraAdapter.load(model, join(ROOT, name)))
      expect(message).toMatch(
        /^\[lora\] expected "base_model\.model\.[a-z_.]*weight" in .*adapter_model\.safetensors to equal /,
      )
      expect(message).toContain(
        ` to equal ${base === 'tied' && differs?.startsWith('lm_head') ? 'lm_head.weight' : differs} of `,
      )
      expect(message).toContain('load the base model that the adapter was trained on')
      expect(await logitsOf(model)).toEqual(before)
    },
  )

  test('a name in modules_to_save that also means a module with an update is refused by name', async () => {
    const model = models.get('untied') as CausalLM
    const before = await logitsOf(model)
    const directory = await mkdtemp(join(tmpdir(), 'lowrank-saved-'))
    onTestFinished(() => rm(directory, { recursive: true, force: true }))
    await cp(join(ROOT, 'saved-and-missing-untied'), directory, { recursive: true })
    const path = join(directory, 'adapter_config.json')
    const config = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>
    await writeFile(path, JSON.stringify({ ...config, modules_to_save: ['lm_head', 'proj'] }))
    expect(await rejection(LoraAdapter.load(model, directory))).toContain(
      '[lora] expected modulesToSave to name other modules than targetModules, but "proj" also means model.layers.0.self_attn.q_proj',
    )
    expect(await logitsOf(model)).toEqual(before)
  })

  test("biases of bias 'lora_only' that PEFT did not save are those of the base, with a warning", async () => {
    const config = JSON.parse(await readFile(join(ROOT, 'untied', 'config.json'), 'utf8')) as RawConfig
    const model = createModel({ ...config, attention_bias: true }, { device })
    const directory = await mkdtemp(join(tmpdir(), 'lowrank-biases-'))
    onTestFinished(() => rm(directory, { recursive: true, force: true }))
    const trained = LoraAdapter.create(model, {
      r: 2,
      bias: 'lora_only',
      targetModules: ['q_proj'],
      initLoraWeights: false,
    })
    const before = await logitsOf(model)
    await trained.save(directory)
    trained.dispose()
    const path = join(directory, 'adapter_model.safetensors')
    const kept = [...(await readSafetensorsHeader(path)).tensors.values()].filter(({ name }) => !name.endsWith('bias'))
    const tensors = await Promise.all(kept.map(async (tensor) => ({ ...tensor, bytes: await readTensorBytes(tensor) })))
    await writeFilesAtomic([
      {
        path,
        content: safetensorsContent(
          path,
          tensors.map((tensor) => ({ ...tensor, bytes: () => tensor.bytes })),
          {},
        ),
      },
    ])
    // Whoever writes such files writes no checksums.
    await rm(join(directory, 'SHA256SUMS'))
    const adapter = await LoraAdapter.load(model, directory)
    expect(adapter.warnings).toEqual([
      `${path} holds none of the 2 biases that bias 'lora_only' trains, which several versions of PEFT did not save; those of the base model are used, as PEFT does`,
    ])
    expect(await logitsOf(model)).toEqual(before)
    model.dispose()
  })

  test('names that the model does not have are told, and change nothing', async () => {
    const model = models.get('untied') as CausalLM
    const load = async (name: string): Promise<readonly string[]> => {
      const adapter = await LoraAdapter.load(model, join(ROOT, name))
      const { warnings } = adapter
      adapter.dispose()
      return warnings
    }
    const config = (name: string) => join(ROOT, name, 'adapter_config.json')
    expect(await load('unknown-targets-untied')).toEqual([
      `${config('unknown-targets-untied')}: target_modules names what the model does not have: dense, query_key_value`,
    ])
    expect(await load('saved-and-missing-untied')).toEqual([
      `${config('saved-and-missing-untied')}: modules_to_save names what the model does not have: score`,
    ])
    expect(await load('head-untied')).toEqual([])
    const adapter = LoraAdapter.create(model, { r: 1 })
    expect(adapter.warnings).toEqual([])
    adapter.dispose()
    expect(() => LoraAdapter.create(model, { r: 1, targetModules: ['q_proj', 'dense'] })).toThrow(
      '[targetModules] "dense" matches no module of this model',
    )
    expect(() => LoraAdapter.create(model, { r: 1, modulesToSave: ['lm_head', 'score'] })).toThrow(
      'nothing is called "score"',
    )
  })

  test('a copy is compared as the model has the weight, in half the width too', async () => {
    const model = await loadModel(join(ROOT, 'untied'), { device, dtype: 'bfloat16' })
    const adapter = await LoraAdapter.load(model, join(ROOT, 'head-untied'))
    adapter.dispose()
    expect(await rejection(LoraAdapter.load(model, join(ROOT, 'head-of-another-base-untied')))).toContain(
      'got other values in rows 0 to 22',
    )
    model.dispose()
  })

  describe('files that are not weights of PEFT', () => {
    let directory: string
    beforeEach(async () => {
      directory = await mkdtemp(join(tmpdir(), 'lowrank-peft-'))
      await cp(join(ROOT, 'old-keys-untied'), directory, { recursive: true })
    })
    afterEach(() => rm(directory, { recursive: true, force: true }))

    test('Python pickle is refused with the way out of it', async () => {
      const model = models.get('untied') as CausalLM
      await rename(join(directory, 'adapter_model.safetensors'), join(directory, 'adapter_model.bin'))
      expect(await rejection(LoraAdapter.load(model, directory))).toBe(
        `[lora] ${directory} holds adapter_model.bin, which is Python pickle: it can run code, and is not read; load it in PEFT 0.7 or later and save it ` +
          'anew with save_pretrained(), which writes adapter_model.safetensors',
      )
    })

    test('a target list of 5 MB takes no longer than it is long', async () => {
      const model = models.get('untied') as CausalLM
      const path = join(directory, 'adapter_config.json')
      const config = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>
      const names = Array.from({ length: 400_000 }, (_, i) => `module${i}`)
      const some = names.slice(0, 30_000)
      const many = { target_modules: [...names, 'q_proj', 'down_proj'], exclude_modules: some, modules_to_save: some }
      await writeFile(path, JSON.stringify({ ...config, ...many }))
      const before = process.cpuUsage().user
      const adapter = await LoraAdapter.load(model, directory)
      // About a second, most of it for the 6 MB of JSON; comparing every name with every module took minutes.
      expect(process.cpuUsage().user - before).toBeLessThan(15e6)
      expect(adapter.targetPaths).toHaveLength(4)
      expect(adapter.warnings[0]?.length).toBeLessThan(400)
      adapter.dispose()
    })
  })
})
