/**
 * @file Merging adapters: the weights of PEFT's merge_and_unload(), the logits before and after, NF4, tied heads, and
 * what is refused.
 */

import { lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import type { LoraOptions } from '../../src/adapters/lora-config.js'
import type { MergeOptions } from '../../src/adapters/merge-options.js'
import type { RawConfig } from '../../src/architecture/config.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { createModel } from '../../src/causal-lm/create-model.js'
import { type LoadModelOptions, loadModel } from '../../src/checkpoint/load-model.js'
import { type FileDType, saveModel } from '../../src/checkpoint/save-model.js'
import { openCheckpoint, writeCheckpoint } from '../../src/checkpoint/weights-on-disk.js'
import { dequantizeNf4 } from '../../src/ops/nf4.js'
import { Device } from '../../src/tensor/device.js'
import type { ComputeDType } from '../../src/tensor/dtype.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { transpose } from '../../src/transpose.js'
import { readSafetensorsHeader, readTensorBytes, type TensorToWrite } from '../../src/weights/safetensors.js'
import { CONFIG } from '../checkpoint/build.js'
import { testDevices } from '../support/devices.js'
import { type GoldenCase, goldenCases, relativeDifference } from '../support/golden.js'
import { rejection } from '../support/tiny-model.js'
import { expectClose, seededRandom } from '../support/values.js'

const MERGED = fileURLToPath(new URL('../golden/merged', import.meta.url))
const GPT2: RawConfig = { model_type: 'gpt2', vocab_size: 53, n_positions: 16, n_embd: 30, n_layer: 2, n_head: 3 }
const TIED = { ...CONFIG, tie_word_embeddings: true }
const PROMPTS = [
  [3, 14, 15, 9, 26, 5, 35],
  [8, 9, 7, 9],
]

interface GoldenMerge {
  dtype: ComputeDType
  names: string[]
}

const goldenMerges = Object.entries(
  JSON.parse(await readFile(join(MERGED, 'merged.json'), 'utf8')) as Record<string, GoldenMerge>,
)
const golden = (name: string): GoldenCase => goldenCases().find(({ info }) => info.name === name) as GoldenCase

describe.each(testDevices({ everyLevel: false }))('on $name', ({ name: deviceName, open }) => {
  let device: Device
  let directory: string
  beforeAll(() => {
    device = open()
  })
  afterAll(() => device.close())
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'lowrank-merge-'))
  })
  afterEach(() => rm(directory, { recursive: true, force: true }))
  const out = (name = 'merged'): string => join(directory, name)

  const logitsOfAll = async (model: CausalLM): Promise<Float32Array> => {
    const { logits } = model.forward(
      { inputIds: Int32Array.from(PROMPTS.flat()), cuSeqlens: [0, 7, 11] },
      { logits: true },
    )
    const values = await logits.read()
    logits.dispose()
    return values
  }

  /** An adapter whose every value matters. */
  const filled = (model: CausalLM, options: LoraOptions = {}): LoraAdapter => {
    const adapter = LoraAdapter.create(model, { r: 3, loraAlpha: 5, ...options })
    const random = seededRandom(7)
    for (const parameter of adapter.parameters().values())
      parameter.set(Float32Array.from({ length: parameter.size }, () => 0.3 * random()))
    return adapter
  }

  const bytesOf = async (where: string): Promise<Record<string, string>> => {
    const bytes: Record<string, string> = {}
    for (const [name, entry] of (await openCheckpoint(where)).tensors)
      bytes[name] = `${entry.dtype} ${entry.shape} ${Buffer.from(await readTensorBytes(entry)).toString('base64')}`
    return bytes
  }

  const floatsOf = async (where: string, name: string): Promise<Float32Array> => {
    const entry = (await openCheckpoint(where)).tensors.get(name)
    if (!entry) throw new Error(`no ${name} in ${where}`)
    const tensor = Tensor.empty(device, entry.shape, 'float32')
    device.loadFile(tensor, entry.path, entry.fileOffset, entry.dtype === 'BF16' ? 'bfloat16' : 'float32')
    return await tensor.read()
  }

  describe('beside merge_and_unload() of PEFT', () => {
    test.each(goldenMerges)('%s: the same tensors under the same names', async (name, { dtype, names }) => {
      const { directory: base, adapterDirectory } = golden(name)
      const model = await loadModel(base, { device, dtype })
      const adapter = await LoraAdapter.load(model, adapterDirectory as string)
      await adapter.merge(out(), { dtype })
      const merged = await bytesOf(out())
      expect(Object.keys(merged).sort()).toEqual(names)
      const { tensors } = await readSafetensorsHeader(join(MERGED, `${name}.safetensors`))
      const unmerged = await bytesOf(base)
      for (const tensor of names) {
        if (!tensors.has(tensor)) {
          expect(merged[tensor], tensor).toBe(unmerged[tensor])
          continue
        }
        const expected = tensors.get(tensor) as NonNullable<ReturnType<typeof tensors.get>>
        const values = Tensor.empty(device, expected.shape, 'float32')
        device.loadFile(values, expected.path, expected.fileOffset, dtype)
        // float32: a sum in another order. bfloat16: PEFT rounds the update before it adds it, one rounding of 2^-9
        // more.
        const tolerance = dtype === 'float32' ? 5e-7 : 2 ** -8
        expect(relativeDifference(await floatsOf(out(), tensor), await values.read()), tensor).toBeLessThan(tolerance)
      }
      expect(tensors.size).toBeGreaterThan(0)
      model.dispose()
    })
  })

  test.skipIf(deviceName === 'cpu').each<[string, FileDType, LoadModelOptions['quantization']]>([
    ['llama-gqa-untied', 'float32', undefined],
    ['llama-gqa-untied', 'bfloat16', undefined],
    ['gpt2-plain', 'float32', undefined],
    ['llama-save-embeddings', 'bfloat16', undefined],
    ['llama-nf4', 'float32', 'nf4'],
    ['gpt2-nf4-file', 'bfloat16', undefined],
  ])('%s merged into %s has the weights that the CPU gives', async (name, dtype, quantization) => {
    const { directory: base, adapterDirectory } = golden(name)
    const cpu = Device.open('cpu')
    for (const on of [cpu, device]) {
      const model = await loadModel(base, { device: on, dtype: 'float32', quantization })
      const adapter = await LoraAdapter.load(model, adapterDirectory as string)
      await adapter.merge(out(on.type), { dtype })
      model.dispose()
    }
    cpu.close()
    const names = [...(await openCheckpoint(out('cpu'))).tensors.keys()]
    expect([...(await openCheckpoint(out(device.type))).tensors.keys()]).toEqual(names)
    let different = 0
    let all = 0
    for (const tensor of names) {
      const [got, wanted] = [await floatsOf(out(device.type), tensor), await floatsOf(out('cpu'), tensor)]
      // float32 sums of r products in another order; where bfloat16 rounds them, one may fall to the other side: a step
      // of up to 2^-7.
      const tolerance = { relative: dtype === 'float32' ? 0 : 2 ** -7, ofLargest: 5e-7 }
      const row = (values: Float32Array) => ({ rows: 1, cols: values.length, values: Float64Array.from(values) })
      expectClose(row(got), row(wanted), tolerance)
      different += got.filter((value, i) => value !== wanted[i]).length
      all += got.length
    }
    if (dtype === 'bfloat16') expect(different / all).toBeLessThan(1e-3)
  })

  describe('the reported difference', () => {
    test.each<[string, ComputeDType, FileDType, LoadModelOptions['quantization']]>([
      ['llama-gqa-untied', 'float32', 'float32', undefined],
      ['llama-gqa-untied', 'float32', 'bfloat16', undefined],
      ['llama-biases', 'bfloat16', 'bfloat16', undefined],
      ['llama-save-embeddings', 'float32', 'bfloat16', undefined],
      ['llama-save-head', 'bfloat16', 'float32', undefined],
      ['gpt2-plain', 'float32', 'float16', undefined],
      ['gpt2-padding', 'bfloat16', 'bfloat16', undefined],
      ['qwen2-window', 'bfloat16', 'float16', undefined],
      ['qwen3-plain', 'float16', 'float16', undefined],
      ['llama-plain', 'float16', 'float32', undefined],
      ['llama-nf4-file', 'bfloat16', 'bfloat16', undefined],
      ['llama-nf4', 'float32', 'float16', 'nf4'],
      ['gpt2-nf4-file', 'float32', 'bfloat16', undefined],
      ['gpt2-nf4', 'float32', 'float32', 'nf4'],
    ])(
      '%s in %s, merged into %s: is that of the model in the directory',
      async (name, computeDType, dtype, quantization) => {
        const { directory: base, adapterDirectory } = golden(name)
        const model = await loadModel(base, { device, dtype: computeDType, quantization })
        const adapter = await LoraAdapter.load(model, adapterDirectory as string)
        const before = await logitsOfAll(model)
        const report = await adapter.merge(out(), { dtype, prompts: PROMPTS })
        // Model and adapter are what they were.
        expect(await logitsOfAll(model)).toEqual(before)
        const merged = await loadModel(out(), { device, dtype: computeDType })
        expect(merged.quantization).toBeUndefined()
        const after = await logitsOfAll(merged)
        const difference = before.reduce((most, value, i) => Math.max(most, Math.abs(value - (after[i] as number))), 0)
        expect(report).toMatchObject({ dtype, logitDifference: difference, comparedTokens: 11, untied: false })
        expect(report.largestLogit).toBe(before.reduce((most, value) => Math.max(most, Math.abs(value)), 0))
        // A few roundings of the narrowest dtype on the way, against logits in which the adapter is half of what there
        // is.
        const narrow = [computeDType, dtype].includes('bfloat16')
          ? 0.06
          : [computeDType, dtype].includes('float16')
            ? 0.01
            : 2e-5
        expect(report.logitDifference / report.largestLogit).toBeLessThan(narrow)
        model.dispose()
        merged.dispose()
      },
    )

    test('has a draw of 64 ids where no prompts are given, within the positions and ids that the model has', async () => {
      const model = createModel({ ...CONFIG, max_position_embeddings: 20 }, { device })
      const report = await filled(model).merge(out(), { dtype: 'float32' })
      expect(report.comparedTokens).toBe(40)
      expect(report.logitDifference).toBeGreaterThan(0)
      expect(report.logitDifference / report.largestLogit).toBeLessThan(2e-5)
      model.dispose()
    })

    test('is measured with dropout off, and the model trains on afterwards', async () => {
      const model = createModel(CONFIG, { device }).train()
      const report = await filled(model, { loraDropout: 0.5 }).merge(out(), { dtype: 'float32' })
      expect(report.logitDifference / report.largestLogit).toBeLessThan(2e-5)
      expect(model.training).toBe(true)
      model.dispose()
    })
  })

  test.each(['llama-nf4-file', 'gpt2-nf4-file'])(
    '%s: merging onto NF4 is merging onto the decoded weights',
    async (name) => {
      const { directory: base, adapterDirectory } = golden(name)
      const model = await loadModel(base, { device, dtype: 'float32' })
      const adapter = await LoraAdapter.load(model, adapterDirectory as string)
      const report = await adapter.merge(out(), { dtype: 'bfloat16' })
      expect(report.dequantizedModules).toBe(model.quantizedWeights().size)

      await mkdir(out('dense'))
      await writeCheckpoint(out('dense'), await decodedTensors(model))
      await writeFile(join(out('dense'), 'config.json'), JSON.stringify(model.rawConfig))
      const dense = await loadModel(out('dense'), { device, dtype: 'float32' })
      await (await LoraAdapter.load(dense, adapterDirectory as string)).merge(out('again'), { dtype: 'bfloat16' })
      expect(await bytesOf(out('again'))).toEqual(await bytesOf(out()))
      expect(JSON.parse(await readFile(join(out(), 'config.json'), 'utf8'))).not.toHaveProperty('quantization_config')
      model.dispose()
      dense.dispose()
    },
  )

  describe('without a dtype that is asked for', () => {
    /** The dtypes of a merged model whose base has these: of its config, of its projections, of its other weights. */
    const dtypesOf = async (named: string | undefined, projections: string, others: string): Promise<string[]> => {
      const fresh = createModel(CONFIG, { device })
      await saveModel(fresh, out('base'))
      fresh.dispose()
      const tensors: TensorToWrite[] = []
      for (const entry of (await openCheckpoint(out('base'))).tensors.values()) {
        const dtype = (entry.name.includes('_proj') ? projections : others) as 'F32'
        const count = entry.shape.reduce((product, size) => product * size, 1)
        // 1 or 1 + 2^-3, which all types hold.
        const words = { F32: [0x3f800000, 0x3f900000], F16: [0x3c00, 0x3c80], BF16: [0x3f80, 0x3f90] }[
          dtype
        ] as number[]
        const values = Array.from({ length: count }, (_, i) => words[i % 3 === 0 ? 1 : 0] as number)
        const data = dtype === 'F32' ? Uint32Array.from(values) : Uint16Array.from(values)
        tensors.push({ name: entry.name, dtype, shape: entry.shape, bytes: () => new Uint8Array(data.buffer) })
      }
      await writeCheckpoint(out('base'), tensors)
      await writeFile(join(out('base'), 'config.json'), JSON.stringify({ ...CONFIG, torch_dtype: named }))
      const model = await loadModel(out('base'), { device, dtype: 'float32' })
      const { dtype } = await filled(model).merge(out('merged'))
      model.dispose()
      const types = [...(await openCheckpoint(out('merged'))).tensors.values()].map((entry) => entry.dtype)
      const config = JSON.parse(await readFile(join(out('merged'), 'config.json'), 'utf8')) as { dtype: string }
      expect(config.dtype).toBe(dtype)
      return [dtype, ...new Set(types)]
    }

    test.each<[string | undefined, string, string, string[]]>([
      [undefined, 'F16', 'F16', ['float16', 'F16']],
      [undefined, 'BF16', 'BF16', ['bfloat16', 'BF16']],
      [undefined, 'F32', 'F32', ['float32', 'F32']],
      [undefined, 'F16', 'F32', ['float16', 'F16']],
      [undefined, 'BF16', 'F32', ['bfloat16', 'BF16']],
      ['float16', 'F32', 'F32', ['float16', 'F16']],
      ['float32', 'F16', 'F16', ['bfloat16', 'BF16']],
      ['bfloat16', 'F16', 'F16', ['bfloat16', 'BF16']],
    ])('a config of %s, projections of %s and others of %s give %o', async (named, projections, others, expected) => {
      expect(await dtypesOf(named, projections, others)).toEqual(expected)
    })

    test('a model that was never in a file becomes bfloat16', async () => {
      const model = createModel(CONFIG, { device })
      expect((await filled(model).merge(out())).dtype).toBe('bfloat16')
      model.dispose()
    })
  })

  describe('a tied head', () => {
    test('stays tied under an adapter that leaves it alone', async () => {
      const model = createModel(TIED, { device })
      const report = await filled(model).merge(out())
      expect(report.untied).toBe(false)
      expect((await openCheckpoint(out())).tensors.has('lm_head.weight')).toBe(false)
      expect(JSON.parse(await readFile(join(out(), 'config.json'), 'utf8'))).toMatchObject({
        tie_word_embeddings: true,
        dtype: 'bfloat16',
      })
      model.dispose()
    })

    test.each<[string, LoraOptions]>([
      ['an update of the head', { targetModules: ['q_proj', 'lm_head'] }],
      ['a head trained in full', { targetModules: ['q_proj'], modulesToSave: ['lm_head'] }],
      ['an embedding trained in full', { targetModules: ['q_proj'], modulesToSave: ['embed_tokens'] }],
    ])('gets a weight of its own for %s', async (_, options) => {
      const model = createModel(TIED, { device })
      const adapter = filled(model, options)
      const before = await logitsOfAll(model)
      const report = await adapter.merge(out(), { dtype: 'float32' })
      expect(report.untied).toBe(true)
      const merged = await loadModel(out(), { device, dtype: 'float32' })
      expect(relativeDifference(await logitsOfAll(merged), before)).toBeLessThan(2e-5)
      expect(await rejection(adapter.mergeAndUnload())).toContain(
        '[merge] expected an adapter that leaves the tied weight of lm_head and the embedding alone for mergeAndUnload()',
      )
      model.dispose()
      merged.dispose()
    })

    test('gets one in gpt2 as well', async () => {
      const model = createModel(GPT2, { device })
      const adapter = filled(model, { targetModules: ['c_attn', 'lm_head'] })
      const before = await logitsOfAll(model)
      expect((await adapter.merge(out(), { dtype: 'float32' })).untied).toBe(true)
      const merged = await loadModel(out(), { device, dtype: 'float32' })
      expect(merged.hasOwnHead).toBe(true)
      expect(relativeDifference(await logitsOfAll(merged), before)).toBeLessThan(2e-5)
      model.dispose()
      merged.dispose()
    })
  })

  describe('the directory', () => {
    test('has shards of the size asked for, and loads', async () => {
      const model = createModel(CONFIG, { device })
      const report = await filled(model).merge(out(), { maxShardSize: '20KB' })
      expect(report.files).toContain('model.safetensors.index.json')
      expect(report.files.filter((name) => /^model-0000\d-of-0000\d\.safetensors$/.test(name)).length).toBeGreaterThan(
        1,
      )
      expect((await readdir(out())).sort()).toEqual(report.files)
      const merged = await loadModel(out(), { device })
      expect(merged.parameters().size).toBe(model.parameters().size)
      model.dispose()
      merged.dispose()
    })

    test('the directory may be an empty one behind a link, which stays a link', async () => {
      const real = out('on-another-disk')
      await mkdir(real)
      await symlink(real, out('link'))
      const model = createModel(CONFIG, { device })
      const { files } = await filled(model).merge(out('link'))
      expect((await readdir(real)).sort()).toEqual(files)
      expect((await lstat(out('link'))).isSymbolicLink()).toBe(true)
      model.dispose()
    })

    test('has the tokenizer, template and generation settings of the model, and nothing else of it', async () => {
      const base = out('base')
      await mkdir(base)
      const model = createModel({ ...CONFIG, torch_dtype: 'float16' }, { device })
      await saveModel(model, base)
      const copied = ['tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja', 'generation_config.json']
      for (const name of [...copied, 'README.md', 'pytorch_model.bin'])
        await writeFile(join(base, name), `{"name": "${name}"}`)
      const config = { ...model.rawConfig, torch_dtype: 'float16', eos_token_id: 2 }
      await writeFile(join(base, 'config.json'), JSON.stringify(config))
      const loaded = await loadModel(base, { device, dtype: 'float32' })
      const report = await filled(loaded).merge(out())
      expect(report.files).toEqual([...copied, 'config.json', 'model.safetensors'].sort())
      expect(await readFile(join(out(), 'chat_template.jinja'), 'utf8')).toBe('{"name": "chat_template.jinja"}')
      // float16 in, float16 out.
      const { torch_dtype: _, ...rest } = config
      expect(JSON.parse(await readFile(join(out(), 'config.json'), 'utf8'))).toEqual({ ...rest, dtype: 'float16' })
      const dtypes = [...(await openCheckpoint(out())).tensors.values()].map(({ dtype }) => dtype)
      expect(new Set(dtypes)).toEqual(new Set(['F16']))
      model.dispose()
      loaded.dispose()
    })

    test('is not written over another', async () => {
      const model = createModel(CONFIG, { device })
      await mkdir(out())
      await writeFile(join(out(), 'keep.txt'), '')
      expect(await rejection(filled(model).merge(out()))).toBe(
        `[merge] expected a new or empty directory to write the merged model to, got ${out()}, which holds keep.txt; choose another, or remove it`,
      )
      expect(await readdir(out())).toEqual(['keep.txt'])
      model.dispose()
    })

    test('is not there when merging is stopped half way, which progress tells of', async () => {
      const model = createModel(CONFIG, { device })
      const controller = new AbortController()
      const seen: [number, number][] = []
      const onProgress = (tensors: number, total: number) => {
        seen.push([tensors, total])
        if (tensors === 3) controller.abort(new Error('enough'))
      }
      const message = await rejection(filled(model).merge(out(), { signal: controller.signal, onProgress }))
      expect(message).toBe('enough')
      expect(seen).toEqual([1, 2, 3].map((tensors) => [tensors, model.parameters().size]))
      expect(await readdir(directory)).toEqual([])
      model.dispose()
    })

    test('is not there when writing fails half way', async () => {
      const model = createModel(CONFIG, { device })
      const rows = model.parameters().get('model.embed_tokens.weight')
      // In a row that no prompt asks for, so that only writing finds it.
      rows?.set((await rows.read()).fill(70000, 52 * 30))
      const message = await rejection(filled(model).merge(out(), { dtype: 'float16', prompts: PROMPTS }))
      expect(message).toBe(
        '[merge] expected model.embed_tokens.weight to fit float16, got elements above 65504 or no numbers; merge into bfloat16 or float32',
      )
      expect(await readdir(directory)).toEqual([])
      model.dispose()
    })
  })

  // A minute where a GPU is emulated, for what all devices share.
  test.skipIf(deviceName.includes('emulator'))(
    'takes the memory of the model and of one layer, NF4 or not',
    async () => {
      const sizes = { hidden_size: 64, intermediate_size: 32768, num_hidden_layers: 6, num_attention_heads: 4 }
      const model = createModel({ ...CONFIG, ...sizes }, { device, dtype: 'bfloat16', quantization: 'nf4' })
      const adapter = filled(model)
      await logitsOfAll(model)
      await device.sync()
      device.resetPeak()
      const { live } = device.memory()
      await adapter.merge(out(), { prompts: PROMPTS })
      await device.sync()
      const { peak, live: after } = device.memory()
      // Less where the collector found tensors of earlier tests.
      expect(after).toBeLessThanOrEqual(live)
      // Three projections of 2 Mi elements in a layer: 4 MiB each in bfloat16, one decoded to 8 MiB, two chunks of 4
      // MiB; 7 MiB of factors. All layers: 72 MiB.
      expect(peak - live).toBeGreaterThan(12 * 2 ** 20)
      expect(peak - live).toBeLessThan(42 * 2 ** 20)
      model.dispose()
    },
  )

  describe('mergeAndUnload()', () => {
    test.each<[ComputeDType, LoraOptions, number]>([
      ['float32', {}, 2e-5],
      ['float32', { useRslora: true, modulesToSave: ['lm_head', 'embed_tokens'] }, 2e-5],
      ['bfloat16', { targetModules: ['q_proj', 'up_proj'] }, 0.06],
      ['float16', { targetModules: ['q_proj', 'up_proj'] }, 0.01],
    ])(
      'mergeAndUnload() in %s with %j leaves a model that computes the same without the adapter',
      async (dtype, options, tolerance) => {
        const model = createModel(CONFIG, { device, dtype })
        const adapter = filled(model, options)
        const before = await logitsOfAll(model)
        const { live } = device.memory()
        expect(await adapter.mergeAndUnload()).toBe(model)
        expect(relativeDifference(await logitsOfAll(model), before)).toBeLessThan(tolerance)
        await device.sync()
        expect(device.memory().live).toBeLessThan(live)
        expect([...model.modules.linears.values()].every(({ pairs }) => pairs.length === 0)).toBe(true)
        await saveModel(model, out(), { dtype })
        const again = await loadModel(out(), { device, dtype })
        expect(await logitsOfAll(again)).toEqual(await logitsOfAll(model))
        model.dispose()
        again.dispose()
      },
    )

    test('gives the weights that merge() writes', async () => {
      const model = createModel(GPT2, { device, dtype: 'bfloat16' })
      const adapter = filled(model)
      await adapter.merge(out(), { dtype: 'bfloat16' })
      await saveModel(await adapter.mergeAndUnload(), out('saved'))
      expect(await bytesOf(out('saved'))).toEqual(await bytesOf(out()))
      model.dispose()
    })

    test('does not quantise NF4 again', async () => {
      const model = createModel(CONFIG, { device, quantization: 'nf4' })
      const adapter = filled(model)
      const before = await logitsOfAll(model)
      expect(await rejection(adapter.mergeAndUnload())).toBe(
        '[merge] expected dense weights for mergeAndUnload(), but 14 of 14 projections are in NF4, and quantising the sum again would change it; ' +
          'merge(directory) writes a dense model',
      )
      expect(await logitsOfAll(model)).toEqual(before)
      model.dispose()
    })
  })

  describe('is refused', () => {
    const refusal = async (prepare: (adapter: LoraAdapter) => void, options: MergeOptions = {}): Promise<string> => {
      const model = createModel(CONFIG, { device })
      const adapter = filled(model)
      prepare(adapter)
      const message = await rejection(adapter.merge(out(), options))
      expect(await readdir(directory)).toEqual([])
      model.dispose()
      return message
    }

    test('merging is refused for an adapter that is detached', async () => {
      expect(await refusal((adapter) => adapter.detach())).toBe(
        '[merge] expected an adapter that is active on its model, got one that is not; attach() or setAdapter() it',
      )
    })

    test('merging is refused for one of several active adapters', async () => {
      const add = (adapter: LoraAdapter) => LoraAdapter.create(adapter.model, {}, { adapterName: 'other' })
      expect(await refusal(add)).toBe(
        '[merge] expected one active adapter, got other beside default; setAdapter() one of them',
      )
    })

    test('merging is refused for weights that are no numbers', async () => {
      const damage = (adapter: LoraAdapter) => [...adapter.parameters().values()][0]?.fill(Number.NaN)
      expect(await refusal(damage)).toContain(
        '[merge] expected model and adapter to give numbers before they are merged, got infinite or undefined logits',
      )
    })

    test('merging is refused for options and dtypes that do not exist', async () => {
      expect(await refusal(() => {}, { dtyp: 'float32' } as object)).toContain(
        'unknown option "dtyp"; did you mean "dtype"?',
      )
      expect(await refusal(() => {}, { dtype: 'int8' as FileDType })).toBe(
        "[merge] expected 'bfloat16', 'float16' or 'float32' for dtype, got \"int8\"",
      )
      for (const prompts of [[[3, 530]], [[2 ** 32 + 5]]]) {
        expect(await refusal(() => {}, { prompts })).toContain(
          '[merge] expected lists of token ids in [0, 53) for prompts',
        )
      }
      for (const prompts of [[[]], [], [[3, -1]], [[1.5]], 'hi' as unknown as number[][]]) {
        expect(await refusal(() => {}, { prompts })).toContain(
          '[merge] expected lists of token ids, at least one in each, for prompts, got',
        )
      }
      expect(await refusal(() => {}, { signal: 7 } as object)).toBe('[merge] expected an AbortSignal for signal, got 7')
      expect(await refusal(() => {}, { onProgress: 8 } as object)).toBe(
        '[merge] expected a function for onProgress, got 8',
      )
      expect(await refusal(() => {}, { tokenizerFrom: 5 } as object)).toBe(
        '[merge] expected a path for tokenizerFrom, got 5',
      )
    })
  })

  /** The weights of a model, those in NF4 decoded, as a float32 checkpoint has them. */
  async function decodedTensors(model: CausalLM): Promise<TensorToWrite[]> {
    const quantized = model.quantizedWeights()
    const tensors: TensorToWrite[] = []
    for (const [name, parameter] of model.parameters()) {
      const { nf4, shape } = parameter
      const values = nf4 ? await dequantizeNf4(nf4, 'float32').read() : await parameter.read()
      const turn = quantized.get(parameter)?.kind === 'conv1d'
      const [rows, cols] = shape as [number, number]
      const stored = turn ? transpose(values, rows, cols) : values
      tensors.push({
        name,
        dtype: 'F32',
        shape: turn ? [cols, rows] : shape,
        bytes: () => new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength),
      })
    }
    return tensors
  }
})
