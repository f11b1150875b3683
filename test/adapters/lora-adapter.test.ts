/** @file Adapters on models: made, attached, stacked, saved and loaded as PEFT has them, and what does not fit. */

import { copyFile, cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import type { LoraOptions } from '../../src/adapters/lora-config.js'
import type { RawConfig } from '../../src/architecture/config.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { createModel } from '../../src/causal-lm/create-model.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { saveModel } from '../../src/checkpoint/save-model.js'
import type { Device } from '../../src/tensor/device.js'
import {
  readSafetensorsHeader,
  readTensorBytes,
  safetensorsContent,
  type TensorToWrite,
} from '../../src/weights/safetensors.js'
import { testDevices } from '../support/devices.js'
import { goldenCases, relativeDifference } from '../support/golden.js'
import { seededRandom } from '../support/values.js'

const UNTIED: RawConfig = {
  model_type: 'llama',
  vocab_size: 53,
  hidden_size: 30,
  intermediate_size: 44,
  num_hidden_layers: 2,
  num_attention_heads: 3,
  num_key_value_heads: 1,
}
const TIED = { ...UNTIED, tie_word_embeddings: true }
const BIASED: RawConfig = { ...UNTIED, attention_bias: true, mlp_bias: true }
const GPT2: RawConfig = { model_type: 'gpt2', vocab_size: 53, n_embd: 12, n_layer: 2, n_head: 2 }
const BATCH = { inputIds: [[3, 14, 15, 9, 26, 5, 35]] }
const FILE = 'adapter_model.safetensors'
const CONFIG = 'adapter_config.json'

describe.each(testDevices({ everyLevel: false }))('on $name', ({ open }) => {
  let device: Device
  let model: CausalLM
  let directory: string
  beforeAll(() => {
    device = open()
  })
  afterAll(() => device.close())
  beforeEach(async () => {
    model = createModel(UNTIED, { device })
    directory = await mkdtemp(join(tmpdir(), 'lowrank-adapter-'))
  })
  afterEach(async () => {
    model.dispose()
    await rm(directory, { recursive: true, force: true })
  })

  const logitsOf = async (of = model): Promise<Float32Array> => {
    const { logits } = of.forward(BATCH, { logits: true })
    const values = await logits.read()
    logits.dispose()
    return values
  }
  const fill = (adapter: LoraAdapter, seed = 8): LoraAdapter => {
    const random = seededRandom(seed)
    for (const parameter of adapter.parameters().values())
      parameter.set(Float32Array.from({ length: parameter.size }, () => 0.3 * random()))
    return adapter
  }
  const filled = (options: LoraOptions = {}, of = model): LoraAdapter =>
    fill(LoraAdapter.create(of, { r: 3, ...options }))
  const path = (name: string): string => join(directory, name)

  describe('create', () => {
    test('changes no bit of what the model computes, until B is not zero', async () => {
      const before = await logitsOf()
      const adapter = LoraAdapter.create(model, { r: 5 })
      expect(await logitsOf()).toEqual(before)
      fill(adapter)
      expect(relativeDifference(await logitsOf(), before)).toBeGreaterThan(0.01)
    })

    test('targets by name, by expression, and all linear layers but the head', () => {
      const paths = (targetModules: LoraOptions['targetModules'], of = model) => {
        const adapter = LoraAdapter.create(of, { r: 2, targetModules })
        const found = adapter.targetPaths
        adapter.dispose()
        return found
      }
      expect(paths(['q_proj', 'layers.1.mlp.down_proj'])).toEqual([
        'model.layers.0.self_attn.q_proj',
        'model.layers.1.self_attn.q_proj',
        'model.layers.1.mlp.down_proj',
      ])
      expect(paths(String.raw`.*\.1\.self_attn\.[qv]_proj`)).toEqual([
        'model.layers.1.self_attn.q_proj',
        'model.layers.1.self_attn.v_proj',
      ])
      expect(paths('all-linear')).toHaveLength(14)
      expect(paths(['lm_head'])).toEqual(['lm_head'])
      const gpt2 = createModel({ model_type: 'gpt2', vocab_size: 53, n_embd: 12, n_layer: 1, n_head: 2 }, { device })
      expect(paths('all-linear', gpt2)).toEqual(
        ['attn.c_attn', 'attn.c_proj', 'mlp.c_fc', 'mlp.c_proj'].map((name) => `transformer.h.0.${name}`),
      )
      gpt2.dispose()
      expect(() => paths(['q_prj'])).toThrow(
        '[targetModules] "q_prj" matches no module of this model; did you mean "q_proj"?',
      )
    })

    test('names, shapes and number of the parameters are PEFT`s', () => {
      const adapter = LoraAdapter.create(model, { r: 3, targetModules: ['k_proj', 'down_proj'] })
      const shapes = Object.fromEntries([...adapter.parameters()].map(([name, { shape }]) => [name, shape]))
      const prefix = 'base_model.model.model.layers'
      expect(shapes).toEqual(
        Object.fromEntries(
          [0, 1].flatMap((layer) => [
            [`${prefix}.${layer}.self_attn.k_proj.lora_A.weight`, [3, 30]],
            [`${prefix}.${layer}.self_attn.k_proj.lora_B.weight`, [10, 3]],
            [`${prefix}.${layer}.mlp.down_proj.lora_A.weight`, [3, 44]],
            [`${prefix}.${layer}.mlp.down_proj.lora_B.weight`, [30, 3]],
          ]),
        ),
      )
      expect(adapter.numParameters).toBe(2 * (3 * 30 + 10 * 3 + 3 * 44 + 30 * 3))
    })

    test('A is uniform within 1 / sqrt(in), B zero', async () => {
      const wide = createModel({ ...UNTIED, hidden_size: 300, vocab_size: 11 }, { device })
      const adapter = LoraAdapter.create(wide, { r: 64, targetModules: ['q_proj'] })
      const [a, b] = [...adapter.parameters().values()]
      const values = (await a?.read()) as Float32Array // 19200 draws
      const bound = 1 / Math.sqrt(300)
      const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
      expect(largest).toBeLessThanOrEqual(Math.fround(bound))
      expect(largest).toBeGreaterThan(0.999 * bound)
      // Six deviations of the estimates: mean bound / sqrt(3 n), second moment bound^2 sqrt(4 / 45 n).
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length
      const square = values.reduce((sum, value) => sum + value * value, 0) / values.length
      expect(Math.abs(mean)).toBeLessThan((6 * bound) / Math.sqrt(3 * values.length))
      expect(Math.abs(square - bound ** 2 / 3)).toBeLessThan(6 * bound ** 2 * Math.sqrt(4 / (45 * values.length)))
      expect((await b?.read())?.every((value) => value === 0)).toBe(true)
      wide.dispose()
    })

    test('draws the same A for a seed, others for another seed and for another module', async () => {
      const draw = async (seed?: number): Promise<Float32Array[]> => {
        const adapter = LoraAdapter.create(model, { targetModules: ['q_proj'] }, { seed })
        const values = await Promise.all([...adapter.parameters().values()].map((parameter) => parameter.read()))
        adapter.dispose()
        return values
      }
      const first = await draw(7)
      expect(await draw(7)).toEqual(first)
      expect((await draw(8))[0]).not.toEqual(first[0])
      expect(first[2]).not.toEqual(first[0])
      expect(await draw()).toEqual(await draw(42))
    })

    test('rsLoRA scales by alpha / sqrt(r)', async () => {
      const run = async (options: LoraOptions): Promise<Float32Array> => {
        const adapter = filled({ r: 4, targetModules: ['o_proj'], ...options })
        const logits = await logitsOf()
        adapter.dispose()
        return logits
      }
      // 6 / sqrt(4) = 12 / 4 = 3.
      expect(await run({ loraAlpha: 6, useRslora: true })).toEqual(await run({ loraAlpha: 12 }))
      expect(await run({ loraAlpha: 6, useRslora: true })).not.toEqual(await run({ loraAlpha: 6 }))
    })

    test('ranks and alphas by pattern: of the keys that match a module the first counts', async () => {
      const adapter = LoraAdapter.create(model, {
        r: 4,
        targetModules: ['q_proj', 'down_proj'],
        rankPattern: { 'layers\\.1\\..*': 2, q_proj: 7 },
      })
      const ranks = [...adapter.parameters()].flatMap(([name, { shape }]) =>
        name.includes('lora_A') ? [[name.split('.').slice(4, -2).join('.'), shape[0]]] : [],
      )
      expect(Object.fromEntries(ranks)).toEqual({
        '0.self_attn.q_proj': 7,
        '0.mlp.down_proj': 4,
        '1.self_attn.q_proj': 2,
        '1.mlp.down_proj': 2,
      })
      adapter.dispose()
      const run = async (options: LoraOptions): Promise<Float32Array> => {
        const other = filled({ targetModules: ['q_proj', 'o_proj'], ...options })
        const logits = await logitsOf()
        other.dispose()
        return logits
      }
      const patterned = await run({ loraAlpha: 6, alphaPattern: { q_proj: 12, o_proj: 12 } })
      expect(patterned).toEqual(await run({ loraAlpha: 12 }))
      expect(patterned).not.toEqual(await run({ loraAlpha: 6, alphaPattern: { q_proj: 12 } }))
    })

    test('excluded modules and layers limit the targets', () => {
      const paths = (options: LoraOptions) => {
        const adapter = LoraAdapter.create(model, { r: 2, ...options })
        const found = adapter.targetPaths.map((path) => path.slice('model.layers.'.length))
        adapter.dispose()
        return found
      }
      expect(paths({ excludeModules: String.raw`.*(mlp|\.0\.).*|.*[qk]_proj` })).toEqual([
        '1.self_attn.v_proj',
        '1.self_attn.o_proj',
      ])
      expect(paths({ targetModules: ['q_proj'], layersToTransform: 1 })).toEqual(['1.self_attn.q_proj'])
      expect(() => paths({ targetModules: ['q_proj'], layersToTransform: [1, 2] })).toThrow(
        '[layersToTransform] expected layers of the model, got 2; these modules are in layers 0 to 1',
      )
      expect(() => paths({ excludeModules: ['self_attn'] })).toThrow(
        '[excludeModules] "self_attn" matches no module of this model',
      )
      expect(() => paths({ targetModules: ['q_proj'], rankPattern: { k_proj: 2 } })).toThrow(
        '[rankPattern] "k_proj" matches no module that the adapter changes; did you mean "q_proj"?',
      )
      expect(() => paths({ targetModules: ['q_proj'], alphaPattern: { 'layers.3': 2 } })).toThrow(
        '[alphaPattern] "layers.3" matches no module',
      )
    })

    test('gaussian: A is normal with standard deviation 1 / r, of each module its own; B zero', async () => {
      const wide = createModel({ ...UNTIED, hidden_size: 300, vocab_size: 11 }, { device })
      const adapter = LoraAdapter.create(wide, {
        r: 64,
        targetModules: ['q_proj', 'v_proj'],
        rankPattern: { v_proj: 16 },
        initLoraWeights: 'gaussian',
      })
      for (const [name, parameter] of adapter.parameters()) {
        const values = await parameter.read()
        if (name.includes('lora_B')) {
          expect(values.every((value) => value === 0)).toBe(true)
          continue
        }
        const std = 1 / (parameter.shape[0] as number)
        // Six deviations of the estimates: mean std / sqrt(n), variance std^2 sqrt(2 / n), fourth moment std^4 sqrt(96
        // / n).
        const moment = (power: number) => values.reduce((sum, value) => sum + (value / std) ** power, 0) / values.length
        expect(Math.abs(moment(1))).toBeLessThan(6 / Math.sqrt(values.length))
        expect(Math.abs(moment(2) - 1)).toBeLessThan(6 * Math.sqrt(2 / values.length))
        expect(Math.abs(moment(4) - 3)).toBeLessThan(6 * Math.sqrt(96 / values.length))
      }
      wide.dispose()
    })

    test('initLoraWeights false: A as ever, B uniform within 1 / sqrt(r), so that the model changes at once', async () => {
      const before = await logitsOf()
      const usual = LoraAdapter.create(model, { r: 4, targetModules: ['down_proj'] })
      const [a] = [...usual.parameters().values()]
      const values = await a?.read()
      usual.dispose()
      const adapter = LoraAdapter.create(model, { r: 4, targetModules: ['down_proj'], initLoraWeights: false })
      const [same, b] = [...adapter.parameters().values()]
      expect(await same?.read()).toEqual(values)
      const largest = (await b?.read())?.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
      expect(largest).toBeLessThanOrEqual(0.5)
      expect(largest).toBeGreaterThan(0.9 * 0.5) // of 120 draws
      expect(relativeDifference(await logitsOf(), before)).toBeGreaterThan(1e-3)
    })

    test('refuses unknown options', () => {
      expect(() => LoraAdapter.create(model, { lora_alfa: 3 } as object)).toThrow(
        '[lora] unknown option "lora_alfa"; did you mean "loraAlpha"?',
      )
      expect(() => LoraAdapter.create(model, {}, { sead: 3 } as object)).toThrow(
        '[lora] unknown option "sead"; did you mean "seed"?',
      )
      expect(() => LoraAdapter.create(model, { modulesToSave: ['heads'] })).toThrow(
        '[lora] expected modulesToSave to name modules of the model, but nothing is called "heads"',
      )
    })
  })

  describe('modulesToSave', () => {
    test.each([
      ['untied head', UNTIED, 'lm_head', 'base_model.model.lm_head.weight'],
      ['tied head', TIED, 'lm_head', 'base_model.model.lm_head.weight'],
      ['untied embedding', UNTIED, 'embed_tokens', 'base_model.model.model.embed_tokens.weight'],
      ['tied embedding', TIED, 'embed_tokens', 'base_model.model.model.embed_tokens.weight'],
    ])('%s: trains a copy; the base keeps its weights, and detach() its results', async (_, config, module, name) => {
      const of = createModel(config, { device })
      const before = await logitsOf(of)
      const weights = await Promise.all([...of.parameters().values()].map((parameter) => parameter.read()))
      const adapter = LoraAdapter.create(of, { r: 2, targetModules: ['q_proj'], modulesToSave: [module] })
      expect(await logitsOf(of)).toEqual(before)
      const parameter = adapter.parameters().get(name)
      expect(parameter?.shape).toEqual([53, 30])
      parameter?.set((await parameter.read()).map((value) => -3 * value))
      const changed = await logitsOf(of)
      expect(relativeDifference(changed, before)).toBeGreaterThan(0.1)
      expect(await Promise.all([...of.parameters().values()].map((p) => p.read()))).toEqual(weights)
      adapter.detach()
      expect(await logitsOf(of)).toEqual(before)
      adapter.attach()
      expect(await logitsOf(of)).toEqual(changed)
      // Saved and loaded on a fresh copy of the model.
      await adapter.save(directory)
      adapter.dispose()
      expect(await logitsOf(of)).toEqual(before)
      await LoraAdapter.load(of, directory)
      expect(await logitsOf(of)).toEqual(changed)
      of.dispose()
    })

    test('what was disposed is not saved, and leaves no directory behind', async () => {
      const into = join(directory, 'none', 'adapter')
      const of = createModel(UNTIED, { device, dtype: 'float32' })
      const gone = LoraAdapter.create(of, { r: 2 })
      gone.dispose()
      await expect(gone.save(into)).rejects.toThrow(
        '[lora] expected an adapter with its weights, got one that was disposed',
      )
      const adapter = LoraAdapter.create(of, { r: 2 })
      of.dispose()
      const said = 'expected a live model, got'
      await expect(adapter.save(into)).rejects.toThrow(`[lora] ${said}`)
      await expect(saveModel(of, into)).rejects.toThrow(`[saveModel] ${said}`)
      expect(await readdir(join(directory, 'none')).catch(() => 'none')).toBe('none')
    })

    test('one module cannot be trained by two adapters at once', async () => {
      const options = { r: 2, targetModules: ['q_proj'], modulesToSave: ['lm_head'] }
      const message =
        '[lora] expected lm_head of the base model, but another adapter has it in its modulesToSave; detach() that one first'
      const first = LoraAdapter.create(model, options)
      expect(() => LoraAdapter.create(model, options)).toThrow(message)
      first.detach()
      const second = LoraAdapter.create(model, options)
      expect(() => first.attach()).toThrow(message)
      first.detach()
      expect(model.head.weight).toBe(second.parameters().get('base_model.model.lm_head.weight'))
    })
  })

  describe('bias', () => {
    const biasNames = (adapter: LoraAdapter): string[] =>
      [...adapter.parameters().keys()]
        .filter((name) => name.endsWith('bias'))
        .map((name) => name.replace('base_model.model.', ''))

    test.each<[string, RawConfig, LoraOptions, string[]]>([
      ['no biases in the model', UNTIED, { targetModules: ['q_proj'], bias: 'all' }, []],
      [
        'lora_only, one module of one layer',
        BIASED,
        { targetModules: ['q_proj'], layersToTransform: 1, bias: 'lora_only' },
        ['model.layers.1.self_attn.q_proj.base_layer.bias'],
      ],
      [
        'all, without those of a module that is saved in full',
        GPT2,
        { targetModules: ['c_fc'], excludeModules: ['h.0.mlp.c_fc'], modulesToSave: ['h.0.attn.c_attn'], bias: 'all' },
        [
          'transformer.h.0.attn.c_attn.bias',
          'transformer.h.0.attn.c_proj.bias',
          'transformer.h.0.mlp.c_fc.bias',
          'transformer.h.0.mlp.c_proj.bias',
          'transformer.h.1.attn.c_attn.bias',
          'transformer.h.1.attn.c_proj.bias',
          'transformer.h.1.mlp.c_fc.base_layer.bias',
          'transformer.h.1.mlp.c_proj.bias',
          ...['h.0.ln_1', 'h.0.ln_2', 'h.1.ln_1', 'h.1.ln_2', 'ln_f'].map((name) => `transformer.${name}.bias`),
        ],
      ],
    ])('%s: the names are PEFT`s', (_, config, options, names) => {
      const of = createModel(config, { device })
      const adapter = LoraAdapter.create(of, { r: 2, ...options })
      expect(biasNames(adapter).sort()).toEqual([...names].sort())
      const sizes = [...adapter.parameters()].map(([name, { size }]) =>
        name.endsWith('bias') && !name.includes('h.0.attn.c_attn') ? size : 0,
      )
      expect(adapter.numParameters - adapter.numAddedParameters).toBe(
        sizes.reduce((sum, size) => sum + size, options.modulesToSave ? 36 : 0),
      )
      of.dispose()
    })

    test.each([
      ['llama', BIASED, 'all'],
      ['gpt2', GPT2, 'all'],
      ['gpt2', GPT2, 'lora_only'],
    ] as const)(
      '%s, %s: copies are trained and saved; the base keeps its own, and detach() its results',
      async (_, config, bias) => {
        const of = createModel(config, { device })
        for (const [name, parameter] of of.parameters())
          if (name.endsWith('bias'))
            parameter.set(Float32Array.from({ length: parameter.size }, (__, i) => Math.sin(i)))
        const weights = async () =>
          await Promise.all([...of.parameters().values()].map((parameter) => parameter.read()))
        const [before, base] = [await logitsOf(of), await weights()]
        const adapter = LoraAdapter.create(of, { r: 2, bias })
        expect(await logitsOf(of)).toEqual(before)
        of.forward({ ...BATCH, labels: BATCH.inputIds }).loss.backward()
        for (const [name, parameter] of adapter.parameters()) {
          if (!name.endsWith('bias')) continue
          expect(
            (await parameter.grad.read()).some((value) => value !== 0),
            name,
          ).toBe(true)
          parameter.set((await parameter.read()).map((value) => value + 0.5))
        }
        const changed = await logitsOf(of)
        expect(relativeDifference(changed, before)).toBeGreaterThan(0.01)
        expect(await weights()).toEqual(base)
        adapter.detach()
        expect(await logitsOf(of)).toEqual(before)
        adapter.attach()
        expect(await logitsOf(of)).toEqual(changed)
        await adapter.save(directory)
        adapter.dispose()
        expect(await logitsOf(of)).toEqual(before)
        const loaded = await LoraAdapter.load(of, directory)
        expect(loaded.config.bias).toBe(bias)
        expect(await logitsOf(of)).toEqual(changed)
        of.dispose()
      },
    )

    test('a file of an older PEFT, whose biases have no base_layer in their names, loads', async () => {
      const of = createModel(BIASED, { device })
      const adapter = fill(LoraAdapter.create(of, { r: 2, targetModules: ['q_proj'], bias: 'all' }))
      const logits = await logitsOf(of)
      await adapter.save(directory)
      adapter.dispose()
      await rewrite((tensors) => tensors.map((tensor) => ({ ...tensor, name: tensor.name.replace('.base_layer', '') })))
      await LoraAdapter.load(of, directory)
      expect(await logitsOf(of)).toEqual(logits)
      of.dispose()
    })

    test('biases that PEFT repeats beside a module saved in full are passed over', async () => {
      const of = createModel(BIASED, { device })
      const options: LoraOptions = { r: 2, targetModules: ['q_proj'], modulesToSave: ['0.mlp.up_proj'], bias: 'all' }
      const adapter = fill(LoraAdapter.create(of, options))
      const logits = await logitsOf(of)
      await adapter.save(directory)
      adapter.dispose()
      const module = 'base_model.model.model.layers.0.mlp.up_proj'
      await rewrite((tensors) => {
        const bias = tensors.find(({ name }) => name === `${module}.bias`) as TensorToWrite
        const repeated = ['modules_to_save', 'original_module'].map((part) => ({
          ...bias,
          name: `${module}.${part}.bias`,
        }))
        return [...tensors, ...repeated]
      })
      await LoraAdapter.load(of, directory)
      expect(await logitsOf(of)).toEqual(logits)
      of.dispose()
    })

    test('biases of a quantised model are trained all the same', async () => {
      const of = createModel(BIASED, { device, quantization: 'nf4' })
      const adapter = LoraAdapter.create(of, { r: 2, targetModules: ['q_proj'], bias: 'all' })
      of.forward({ ...BATCH, labels: BATCH.inputIds }).loss.backward()
      const name = 'base_model.model.model.layers.0.mlp.down_proj.bias'
      expect((await adapter.parameters().get(name)?.grad.read())?.some((value) => value !== 0)).toBe(true)
      of.dispose()
    })
  })

  describe('attach and detach', () => {
    test('take effect at once, as often as one likes', async () => {
      const base = await logitsOf()
      const adapter = filled()
      const adapted = await logitsOf()
      adapter.detach()
      adapter.detach()
      expect(await logitsOf()).toEqual(base)
      adapter.attach()
      adapter.attach()
      expect(await logitsOf()).toEqual(adapted)
    })

    test('stacked adapters add up, and come off one by one', async () => {
      const base = await logitsOf()
      const first = filled({ targetModules: ['q_proj', 'v_proj'] })
      const one = await logitsOf()
      const second = fill(LoraAdapter.create(model, { r: 2, loraAlpha: 5, targetModules: ['v_proj'] }), 9)
      const both = await logitsOf()
      expect(relativeDifference(both, one)).toBeGreaterThan(1e-3)
      first.detach()
      const other = await logitsOf()
      first.attach()
      // The order of the sum changed.
      expect(relativeDifference(await logitsOf(), both)).toBeLessThan(2e-6)
      second.dispose()
      expect(await logitsOf()).toEqual(one)
      expect(relativeDifference(other, base)).toBeGreaterThan(1e-3)
    })

    test('dispose frees all that the adapter took; it cannot come back', async () => {
      await logitsOf()
      await device.sync()
      const before = device.memory().live
      const adapter = filled({ modulesToSave: ['lm_head', 'embed_tokens'] })
      await logitsOf()
      await device.sync()
      expect(device.memory().live).toBeGreaterThan(before)
      adapter.dispose()
      adapter.dispose()
      await device.sync()
      expect(device.memory().live).toBe(before)
      expect(() => adapter.attach()).toThrow('[lora] expected an adapter with its weights, got one that was disposed')
    })
  })

  describe('files', () => {
    test.each([
      ['all-linear', {}],
      [
        'rsLoRA, an expression, dropout',
        { useRslora: true, loraDropout: 0.25, loraAlpha: 5, targetModules: String.raw`.*\.[qk]_proj` },
      ],
      [
        'patterns, layers, excluded modules, a Gaussian start',
        {
          targetModules: ['q_proj', 'up_proj', 'down_proj'],
          excludeModules: ['layers.0.mlp.up_proj'],
          layersToTransform: [0, 1],
          layersPattern: 'layers',
          rankPattern: { q_proj: 5, '.*0.*': 2 },
          alphaPattern: { '.*': 3 },
          initLoraWeights: 'gaussian' as const,
        },
      ],
      [
        'all-linear but some, in a file that any loader reads',
        { excludeModules: String.raw`.*\.0\.mlp\..*`, bias: 'all' as const },
      ],
    ])('%s: what is saved loads to the same logits and saves to the same bytes', async (_, options) => {
      const adapter = filled(options)
      const logits = await logitsOf()
      await adapter.save(directory)
      adapter.dispose()
      const loaded = await LoraAdapter.load(model, directory)
      expect(await logitsOf()).toEqual(logits)
      const { targetModules, ...settings } = loaded.config
      expect(settings).toEqual((({ targetModules: _targets, ...rest }) => rest)(adapter.config))
      expect(loaded.targetPaths).toEqual(adapter.targetPaths)
      const [weights, config] = [await readFile(path(FILE)), await readFile(path(CONFIG))]
      await loaded.save(directory)
      expect((await readFile(path(FILE))).equals(weights)).toBe(true)
      expect((await readFile(path(CONFIG))).equals(config)).toBe(true)
      expect(targetModules).toEqual(JSON.parse(config.toString()).target_modules)
    })

    test.each(
      goldenCases().flatMap((golden) => (golden.adapterDirectory ? [[golden.info.name, golden] as const] : [])),
    )(
      '%s: PEFT`s file, loaded and saved, has PEFT`s bytes',
      async (_, { directory: modelDirectory, adapterDirectory }) => {
        const of = await loadModel(modelDirectory, { device, dtype: 'float32' })
        const adapter = await LoraAdapter.load(of, adapterDirectory as string)
        await adapter.save(directory)
        const wanted = await readFile(join(adapterDirectory as string, FILE))
        expect((await readFile(path(FILE))).equals(wanted)).toBe(true)
        const settings = async (file: string) => {
          const {
            base_model_name_or_path: _name,
            peft_version: _version,
            ...rest
          } = JSON.parse(await readFile(file, 'utf8'))
          return rest
        }
        expect(await settings(join(adapterDirectory as string, CONFIG))).toMatchObject(await settings(path(CONFIG)))
        adapter.dispose()
        of.dispose()
      },
    )

    test('a bfloat16 model keeps float32 masters: the file round-trips bit for bit', async () => {
      const adapter = filled()
      await adapter.save(directory)
      const half = createModel(UNTIED, { device, dtype: 'bfloat16' })
      const loaded = await LoraAdapter.load(half, directory)
      const weights = await readFile(path(FILE))
      await loaded.save(directory)
      expect((await readFile(path(FILE))).equals(weights)).toBe(true)
      half.dispose()
    })

    test('float16 and bfloat16 files load', async () => {
      const adapter = LoraAdapter.create(model, { r: 2, targetModules: ['q_proj'] })
      // Exact in every float type.
      for (const parameter of adapter.parameters().values())
        parameter.set(Float32Array.from({ length: parameter.size }, (_, i) => ((i % 7) - 3) / 4))
      const logits = await logitsOf()
      await adapter.save(directory)
      adapter.dispose()
      for (const [dtype, encode] of [
        ['F16', toHalf],
        ['BF16', toBrain],
      ] as const) {
        await rewrite((tensors) =>
          tensors.map((tensor) => ({
            ...tensor,
            dtype,
            bytes: async () => encode(new Float32Array((await tensor.bytes()).slice().buffer)),
          })),
        )
        const loaded = await LoraAdapter.load(model, directory)
        expect(await logitsOf()).toEqual(logits)
        await loaded.save(directory)
        loaded.dispose()
      }
    })
  })

  describe('a file that does not fit', () => {
    const NAME = 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight'
    beforeEach(async () => {
      const adapter = filled({ targetModules: ['q_proj', 'v_proj'] })
      await adapter.save(directory)
      adapter.dispose()
    })
    const expectRefusal = async (message: string): Promise<void> => {
      const base = await logitsOf()
      await device.sync()
      const before = device.memory().live
      await expect(LoraAdapter.load(model, directory)).rejects.toThrow(message)
      // The model is as it was, and nothing is left behind.
      expect(await logitsOf()).toEqual(base)
      await device.sync()
      // Handles of earlier tests may be collected meanwhile.
      expect(device.memory().live).toBeLessThanOrEqual(before)
    }

    test('a missing tensor', async () => {
      await rewrite((tensors) => tensors.filter(({ name }) => name !== NAME))
      await expectRefusal(
        `[lora] expected 8 tensors in ${path(FILE)}, but 1 are missing: ${NAME}; is the adapter of this model?`,
      )
    })

    test('a tensor that nothing takes', async () => {
      await rewrite((tensors) => [
        ...tensors,
        { ...(tensors[0] as TensorToWrite), name: NAME.replace('q_proj', 'k_proj') },
      ])
      await expectRefusal(
        `[lora] applied 8 tensors of ${path(FILE)}, but nothing in the model takes 1 others: ${NAME.replace('q_proj', 'k_proj')}; the adapter would`,
      )
    })

    test('a tensor under two spellings of its name', async () => {
      const spelled = NAME.replace('.weight', '.default.weight')
      const again = (tensors: TensorToWrite[]) => tensors.find(({ name }) => name === NAME) as TensorToWrite
      await rewrite((tensors) => [...tensors, { ...again(tensors), name: spelled }])
      const adapter = await LoraAdapter.load(model, directory)
      adapter.dispose()
      await rewrite((tensors) => [
        ...tensors.filter(({ name }) => name !== spelled),
        { ...again(tensors), name: spelled, bytes: async () => (await again(tensors).bytes()).map((byte) => byte ^ 1) },
      ])
      await expectRefusal(`[lora] ${path(FILE)} holds ${NAME} twice`)
    })

    test('a part of another method', async () => {
      const name = NAME.replace('lora_A.weight', 'lora_magnitude_vector')
      await rewrite((tensors) => [...tensors, { ...(tensors[0] as TensorToWrite), name }])
      await expectRefusal(`[lora] ${path(FILE)} holds ${name}, which belongs to use_dora; that is not supported yet`)
    })

    test('settings that fit neither model nor weights, naming their file', async () => {
      const text = await readFile(path(CONFIG), 'utf8')
      await writeFile(path(CONFIG), text.replace('"v_proj"', '"w_proj"'))
      await expectRefusal(`but nothing in the model takes 4 others: `)
      await expectRefusal(`${path(CONFIG)}: target_modules names what the model does not have: w_proj`)
      await expectRefusal(` (settings: ${path(CONFIG)})`)
      await writeFile(path(CONFIG), text.replace('"r": 3', '"r": 9'))
      await expectRefusal(
        `got [3, 30] in ${path(FILE)}; the adapter is of another model than createModel (settings: ${path(CONFIG)})`,
      )
    })

    test('an adapter for another model', async () => {
      const other = createModel({ ...UNTIED, hidden_size: 36 }, { device })
      await expect(LoraAdapter.load(other, directory)).rejects.toThrow(
        `[load] expected shape [3, 36] for ${NAME}, got [3, 30] in ${path(FILE)}; the adapter is of another model than createModel`,
      )
      other.dispose()
      const gpt2 = createModel({ model_type: 'gpt2', vocab_size: 53, n_embd: 12, n_layer: 1, n_head: 2 }, { device })
      await expect(LoraAdapter.load(gpt2, directory)).rejects.toThrow(
        '[targetModules] "q_proj" matches no module of this model',
      )
      gpt2.dispose()
    })

    test('whole numbers instead of floats', async () => {
      await rewrite((tensors) => tensors.map((tensor) => ({ ...tensor, dtype: 'I32' as const })))
      await expectRefusal('[load] expected F32, F16 or BF16 for base_model')
    })

    test('no weights, no settings', async () => {
      await copyFile(path(CONFIG), path('kept.json'))
      await rm(path(CONFIG))
      await expect(LoraAdapter.load(model, directory)).rejects.toThrow(`${directory}, which has no ${CONFIG}`)
      await copyFile(path('kept.json'), path(CONFIG))
      await rm(path(FILE))
      await expectRefusal(`[safetensors] cannot read ${path(FILE)}`)
    })

    test('saving over a place that cannot be written keeps what was there', async () => {
      await writeFile(path('file'), '')
      const adapter = filled()
      await expect(adapter.save(path('file'))).rejects.toThrow(/EEXIST|ENOTDIR/)
      await cp(path(FILE), path('before'))
      adapter.parameters().get(NAME)?.dispose()
      adapter.dispose()
      expect((await readFile(path(FILE))).equals(await readFile(path('before')))).toBe(true)
    })
  })

  /** Writes the weights file anew, its tensors changed. */
  async function rewrite(change: (tensors: TensorToWrite[]) => TensorToWrite[]): Promise<void> {
    const { tensors } = await readSafetensorsHeader(path(FILE))
    const read: TensorToWrite[] = []
    for (const entry of tensors.values()) {
      const bytes = await readTensorBytes(entry)
      read.push({ name: entry.name, dtype: entry.dtype, shape: entry.shape, bytes: () => bytes })
    }
    const chunks: Uint8Array[] = []
    for await (const chunk of safetensorsContent(path(FILE), change(read), {
      format: 'pt',
    }) as AsyncIterable<Uint8Array>)
      chunks.push(chunk)
    await writeFile(path(FILE), Buffer.concat(chunks))
    // Whoever writes such files writes no checksums.
    await rm(path('SHA256SUMS'), { force: true })
  }
})

/** float16 of numbers that it holds exactly. */
function toHalf(values: Float32Array): Uint8Array {
  const words = Uint16Array.from(values, (value) => {
    if (value === 0) return 0
    const exponent = Math.floor(Math.log2(Math.abs(value)))
    return (value < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | ((Math.abs(value) / 2 ** exponent - 1) * 1024)
  })
  return new Uint8Array(words.buffer)
}

/** bfloat16 of numbers that it holds exactly. */
function toBrain(values: Float32Array): Uint8Array {
  const words = Uint16Array.from(new Uint32Array(values.buffer), (word) => word >>> 16)
  return new Uint8Array(words.buffer)
}
