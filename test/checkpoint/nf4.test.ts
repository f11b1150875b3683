/**
 * @file Models in NF4: quantised while they load, read from bitsandbytes' checkpoints, written as such, and all that is
 * wrong with such files.
 */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { createModel } from '../../src/causal-lm/create-model.js'
import { nf4Bytes } from '../../src/checkpoint/bnb-4bit.js'
import { type LoadModelOptions, loadModel } from '../../src/checkpoint/load-model.js'
import { saveModel } from '../../src/checkpoint/save-model.js'
import { openCheckpoint, writeCheckpoint } from '../../src/checkpoint/weights-on-disk.js'
import { dequantizeNf4, quantizeNf4 } from '../../src/ops/nf4.js'
import type { Device } from '../../src/tensor/device.js'
import { COMPUTE_DTYPES } from '../../src/tensor/dtype.js'
import type { Nf4Weight } from '../../src/tensor/nf4.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { readTensorBytes, type TensorToWrite } from '../../src/weights/safetensors.js'
import { testDevices } from '../support/devices.js'
import { goldenCases } from '../support/golden.js'
import { BATCH, CONFIG } from './build.js'

const UP = 'model.layers.1.mlp.up_proj.weight'
const Q = 'model.layers.0.self_attn.q_proj.weight'
const STATE = '.quant_state.bitsandbytes__nf4'

const goldenDirectory = (name: string): string =>
  goldenCases().find(({ info }) => info.name === name)?.directory as string

describe.each(testDevices({ everyLevel: false }))('on $name', ({ open }) => {
  let device: Device
  let directory: string
  beforeAll(() => {
    device = open()
  })
  afterAll(() => device.close())
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'lowrank-nf4-'))
  })
  afterEach(() => rm(directory, { recursive: true, force: true }))

  /** Three matrices of 2 MiB elements: 8 MiB each while they are float32, 1 MiB and some in NF4. */
  const saveWideModel = async (): Promise<void> => {
    const sizes = { hidden_size: 64, intermediate_size: 32768, num_hidden_layers: 1, num_attention_heads: 4 }
    const model = createModel({ ...CONFIG, ...sizes }, { device, dtype: 'bfloat16' })
    await saveModel(model, directory)
    model.dispose()
  }

  const load = (options: LoadModelOptions = {}): Promise<CausalLM> =>
    loadModel(directory, { device, dtype: 'float32', ...options })

  async function logitsOf(model: CausalLM): Promise<Float32Array> {
    const { logits } = model.forward(BATCH, { logits: true })
    const values = await logits.read()
    logits.dispose()
    return values
  }

  function nf4Of(model: CausalLM, name: string): Nf4Weight {
    const nf4 = model.parameters().get(name)?.nf4
    if (!nf4) throw new Error(`expected ${name} in NF4`)
    return nf4
  }

  /** Every part of a weight in NF4, as bytes. */
  async function partsOf({ shape, blockSize, nestedBlockSize, ...tensors }: Nf4Weight): Promise<object> {
    const bytes: Record<string, Uint8Array> = {}
    for (const [name, tensor] of Object.entries(tensors)) {
      bytes[name] = await device.readBytes(tensor as Tensor)
    }
    return { shape, blockSize, nestedBlockSize, ...bytes }
  }

  describe('quantization: nf4', () => {
    beforeEach(async () => {
      const model = createModel(CONFIG, { device })
      await saveModel(model, directory)
      model.dispose()
    })

    test('quantises the projections of the decoder: not the head, the embeddings or the norms', async () => {
      const model = await load({ quantization: 'nf4' })
      const quantized = [...model.parameters()].filter(([, { nf4 }]) => nf4).map(([name]) => name)
      expect(quantized).toEqual([...model.parameters().keys()].filter((name) => name.includes('_proj.')))
      expect(quantized.length).toBe(14)
      expect(model.quantization).toBe('nf4')
      model.dispose()
      const dense = await load()
      expect(dense.quantization).toBe(undefined)
      dense.dispose()
    })

    test('quantises what the weights are after rounding to the compute dtype, as transformers does', async () => {
      const dense = await load()
      const values = (await dense.parameters().get(UP)?.read()) as Float32Array
      dense.dispose()
      for (const dtype of COMPUTE_DTYPES) {
        const model = await load({ quantization: 'nf4', dtype })
        const x = Tensor.from(device, values, [44, 30], dtype)
        expect(await partsOf(nf4Of(model, UP))).toEqual(await partsOf(quantizeNf4(x)))
        model.dispose()
      }
    })

    test('computes in bfloat16 unless told otherwise, whatever the processor', async () => {
      const model = await load({ quantization: 'nf4', dtype: undefined })
      expect(model.dtype).toBe('bfloat16')
      model.dispose()
    })

    test('gives the same bits as createModel, which quantises what it draws', async () => {
      const created = createModel(CONFIG, { device, quantization: 'nf4' })
      const loaded = await load({ quantization: 'nf4' })
      expect(await logitsOf(loaded)).toEqual(await logitsOf(created))
      created.dispose()
      loaded.dispose()
    })

    test('needs the quantised weights and one temporary tensor, never more', async () => {
      await saveWideModel()
      const large = 64 * 32768
      for (const [dtype, temporary] of [
        ['float32', 2 * large], // the file's bfloat16 has all there is to quantise
        ['bfloat16', 2 * large],
      ] as const) {
        const fresh = open()
        const quantized = await loadModel(directory, { device: fresh, dtype, quantization: 'nf4' })
        const { live, peak } = fresh.memory()
        // The rest is small: embeddings, attention, tables.
        expect(live).toBeGreaterThan(3 * nf4Bytes(large))
        expect(live).toBeLessThan(3 * nf4Bytes(large) + 2 ** 17)
        // Beside the tensor stand its scales in float32, before they are quantised themselves.
        expect(peak).toBeLessThan(live + temporary + large / 16 + 2 ** 12)
        quantized.dispose()
        fresh.close()
      }
    })

    test('counts quantised bytes against the memory budget, and the temporary tensor', async () => {
      await saveWideModel()
      // 12 MiB in bfloat16; in NF4 3.1 MiB and 4 MiB while loading.
      const small = open({ memoryBudget: 10 * 2 ** 20 })
      await expect(loadModel(directory, { device: small, dtype: 'bfloat16' })).rejects.toThrow(
        `the weights of ${directory} take 13 MiB in bfloat16, but the memory budget is 10 MiB, 0 MiB of it in use; ` +
          "quantization: 'nf4' (about a quarter of bfloat16), free memory, use a smaller model, or raise LOWRANK_MEMORY_BUDGET (bytes)",
      )
      const quantized = await loadModel(directory, { device: small, quantization: 'nf4' })
      quantized.dispose()
      small.close()
      const smaller = open({ memoryBudget: 5 * 2 ** 20 })
      await expect(loadModel(directory, { device: smaller, quantization: 'nf4' })).rejects.toThrow(
        'take 8 MiB in nf4, but the memory budget is 5 MiB',
      )
      smaller.close()
    })

    test('refuses other kinds', async () => {
      const message = 'expected \'nf4\' for quantization, got "nf5"'
      await expect(load({ quantization: 'nf5' as 'nf4' })).rejects.toThrow(`[loadModel] ${message}`)
      expect(() => createModel(CONFIG, { quantization: 'nf5' as 'nf4' })).toThrow(`[createModel] ${message}`)
    })

    test('leaves weights that cannot be trained in full, which is said', async () => {
      const model = await load({ quantization: 'nf4' })
      expect(() => model.parameters().get(UP)?.unfreeze()).toThrow(
        `[parameter] expected a dense parameter to train, but ${UP} is NF4; train an adapter on it, or load the model without quantization`,
      )
      expect(() => LoraAdapter.create(model, { targetModules: ['q_proj'], modulesToSave: ['up_proj'] })).toThrow(
        '[lora] expected modulesToSave to name modules with dense weights, but model.layers.0.mlp.up_proj is in NF4, which has no gradient; ' +
          'name it in targetModules instead, or load the model without quantization',
      )
      const adapter = LoraAdapter.create(model, { targetModules: ['q_proj'], modulesToSave: ['lm_head'] })
      expect(adapter.parameters().size).toBe(5)
      adapter.dispose()
      model.dispose()
    })
  })

  describe('saveModel', () => {
    test.each(['llama-nf4-aligned', 'llama-nf4', 'gpt2-nf4'])(
      'writes %s so that it loads to the same bits',
      async (name) => {
        const model = await loadModel(goldenDirectory(name), { device, dtype: 'float32', quantization: 'nf4' })
        await saveModel(model, directory)
        const again = await load()
        expect(again.quantization).toBe('nf4')
        for (const [weight, parameter] of model.parameters()) {
          if (parameter.nf4) expect(await partsOf(nf4Of(again, weight)), weight).toEqual(await partsOf(parameter.nf4))
        }
        expect(await logitsOf(again)).toEqual(await logitsOf(model))
        model.dispose()
        again.dispose()
      },
    )

    test.each(['llama-nf4-file', 'llama-nf4-file-plain', 'gpt2-nf4-file'])(
      'writes %s back with the tensors of the file that bitsandbytes wrote',
      async (name) => {
        const original = goldenDirectory(name)
        const model = await loadModel(original, { device, dtype: 'float32' })
        await saveModel(model, directory)
        model.dispose()
        const { tensors } = await openCheckpoint(original)
        const written = await openCheckpoint(directory)
        expect([...written.tensors.keys()].sort()).toEqual([...tensors.keys()].sort())
        for (const [tensor, entry] of tensors) {
          const own = written.tensors.get(tensor)
          if (!own) throw new Error(`expected ${tensor}`)
          const [ours, theirs] = [await readTensorBytes(own), await readTensorBytes(entry)]
          if (!tensor.endsWith(STATE)) expect(ours, tensor).toEqual(theirs)
          // Python puts a space after each comma and colon.
          else expect(JSON.parse(Buffer.from(ours).toString())).toEqual(JSON.parse(Buffer.from(theirs).toString()))
        }
        const quantization = async (where: string) =>
          JSON.parse(await readFile(join(where, 'config.json'), 'utf8')).quantization_config
        const config = await quantization(directory)
        expect(await quantization(original)).toMatchObject({
          bnb_4bit_use_double_quant: config.bnb_4bit_use_double_quant,
          bnb_4bit_quant_type: config.bnb_4bit_quant_type,
          quant_method: config.quant_method,
        })
        expect(config.llm_int8_skip_modules).toContain('lm_head')
      },
    )
  })

  describe('a checkpoint of bitsandbytes', () => {
    const original = goldenDirectory('llama-nf4-file')
    let tensors: TensorToWrite[]
    let config: Record<string, unknown>
    beforeEach(async () => {
      tensors = []
      for (const entry of (await openCheckpoint(original)).tensors.values()) {
        const bytes = await readTensorBytes(entry)
        tensors.push({ name: entry.name, dtype: entry.dtype, shape: entry.shape, bytes: () => bytes })
      }
      config = JSON.parse(await readFile(join(original, 'config.json'), 'utf8'))
    })

    const weights = (): string => join(directory, 'model.safetensors')
    const write = async (changed: readonly TensorToWrite[], changes: object = {}): Promise<void> => {
      await writeCheckpoint(directory, changed)
      await writeFile(join(directory, 'config.json'), JSON.stringify({ ...config, ...changes }))
    }
    const change = (name: string, changes: Partial<TensorToWrite>): TensorToWrite[] =>
      tensors.map((tensor) => (tensor.name === name ? { ...tensor, ...changes } : tensor))
    const text = (value: string): Partial<TensorToWrite> => {
      const bytes = Buffer.from(value)
      return { shape: [bytes.length], bytes: () => bytes }
    }
    const stateOf = async (name: string): Promise<Record<string, unknown>> => {
      const bytes = await tensors.find((tensor) => tensor.name === name + STATE)?.bytes()
      return JSON.parse(Buffer.from(bytes as Uint8Array).toString())
    }
    const refusal = async (message: string): Promise<void> => {
      await device.sync()
      const before = device.memory().live
      await expect(load()).rejects.toThrow(message)
      await device.sync()
      expect(device.memory().live).toBe(before)
    }

    test('loads without its quantization_config too, without the prefix of its names, in shards, and with the option', async () => {
      await write(tensors)
      const model = await load()
      const logits = await logitsOf(model)
      model.dispose()
      const same = async (options: LoadModelOptions = {}): Promise<void> => {
        const other = await load(options)
        expect(await logitsOf(other)).toEqual(logits)
        other.dispose()
      }
      await same({ quantization: 'nf4' })
      await write(
        tensors.map((tensor) => ({ ...tensor, name: tensor.name.replace(/^model\./, '') })),
        { quantization_config: null },
      )
      await same()
      await rm(weights())
      await writeCheckpoint(directory, tensors, { maxShardSize: '9KB' })
      await same()
    })

    test('takes tables of another dtype, and keeps what it says of block sizes', async () => {
      const state = { ...(await stateOf(UP)), nested_blocksize: 512 }
      await write(change(UP + STATE, text(JSON.stringify(state))))
      const model = await load()
      expect(nf4Of(model, UP)).toMatchObject({ blockSize: 64, nestedBlockSize: 512 })
      const values = await dequantizeNf4(nf4Of(model, UP), 'float32').read()
      expect(values.some((value) => value !== 0) && values.every(Number.isFinite)).toBe(true)
      model.dispose()
    })

    test.each(['.absmax', '.quant_map', '.nested_absmax', '.nested_quant_map'])(
      'a checkpoint of bitsandbytes without %s is refused',
      async (part) => {
        await write(tensors.filter(({ name }) => name !== UP + part))
        await refusal(
          `[nf4] expected ${UP}${part}, a part of the NF4 weight ${UP}, beside it, but it is missing in ${weights()}; download the model again`,
        )
      },
    )

    test('a checkpoint of bitsandbytes without the weight, or without its state, is refused', async () => {
      await write(tensors.filter(({ name }) => name !== UP))
      await refusal(`but 1 are missing in model.safetensors: ${UP}`)
      await write(tensors.filter(({ name }) => name !== UP + STATE))
      await refusal(
        `[loadModel] expected F32, F16 or BF16 for ${UP}, got U8 in ${weights()}; of quantized checkpoints only NF4 of bitsandbytes is supported`,
      )
    })

    test('a checkpoint of bitsandbytes with parts of another size is refused', async () => {
      const shorter = (count: number, width: number): Partial<TensorToWrite> => ({
        shape: [count],
        bytes: () => new Uint8Array(count * width),
      })
      for (const [part, changes, message] of [
        ['', shorter(1367, 1), 'expected 1368 bytes for 57 x 48 elements of NF4, got U8 [1367]'],
        ['.absmax', shorter(42, 1), 'expected 43 values of U8, got U8 [42]'],
        ['.absmax', { ...shorter(43, 4), dtype: 'F32' }, 'expected 43 values of U8, got F32 [43]'],
        ['.quant_map', shorter(15, 4), 'expected 16 values of F32, F16 or BF16, got F32 [15]'],
        ['.nested_absmax', shorter(2, 4), 'expected 1 values of F32, F16 or BF16, got F32 [2]'],
        ['.nested_quant_map', shorter(255, 4), 'expected 256 values of F32, F16 or BF16, got F32 [255]'],
      ] as [string, Partial<TensorToWrite>, string][]) {
        await write(change(UP + part, changes))
        await refusal(`[nf4] ${UP}${part} in ${weights()}: ${message}; the file is damaged: download it again`)
      }
    })

    test('a checkpoint of bitsandbytes with a damaged state is refused', async () => {
      const state = await stateOf(UP)
      const at = `${UP}${STATE} in ${weights()}`
      const messages: [string, string][] = [
        ['{"quant_type": "nf4"', `[nf4] ${at} is not valid JSON`],
        ['[]', `[nf4] ${at} holds [] instead of a JSON object`],
        [
          JSON.stringify({ ...state, blocksize: 0 }),
          `${at}: expected one of 32, 64, 128, 256, 512, 1024, 2048, 4096 for blocksize, got 0`,
        ],
        [JSON.stringify({ ...state, nested_blocksize: 1e300 }), 'for nested_blocksize, got 1e+300'],
        [
          JSON.stringify({ ...state, shape: [2 ** 40, 2 ** 40] }),
          `expected shape [57, 48], as config.json says, in ${at}, got [1099511627776, 1099511627776]`,
        ],
        [JSON.stringify({ ...state, shape: [48, 57] }), 'config.json and weights are not of one model'],
        [JSON.stringify({ ...state, shape: 7 }), 'got 7; config.json'],
        [JSON.stringify({ ...state, quant_type: 'fp4' }), `${at}: expected 'nf4' for quant_type, got "fp4"`],
        [JSON.stringify({ ...state, nested_offset: '1' }), `${at}: expected a number for nested_offset, got "1"`],
        [JSON.stringify({ ...state, nested_offset: 1e39 }), 'expected a number for nested_offset, got 1e+39'],
        [
          JSON.stringify({ ...state, shift: 1 }),
          'expected only the fields quant_type, blocksize, dtype, shape, nested_blocksize, nested_dtype, nested_offset, got shift',
        ],
        [`{"a": "${'x'.repeat(20_000)}"}`, `${at}: expected a few bytes of JSON, got 20009 bytes`],
      ]
      for (const [json, message] of messages) {
        await write(change(UP + STATE, text(json)))
        await refusal(message)
      }
    })

    test('a checkpoint of bitsandbytes with tensors that nothing takes is refused', async () => {
      const extra = { dtype: 'U8' as const, shape: [1], bytes: () => new Uint8Array(1) }
      await write([...tensors, { name: `${UP}.SCB`, ...extra }])
      await refusal(`holds 1 tensors that a llama model of this config.json does not have: ${UP}.SCB`)
    })

    test('a checkpoint of bitsandbytes with a quantised head is refused', async () => {
      const head = tensors.filter(({ name }) => name.startsWith(Q))
      await write([
        ...tensors.filter(({ name }) => name !== 'lm_head.weight'),
        ...head.map((tensor) => ({ ...tensor, name: tensor.name.replace(Q, 'lm_head.weight') })),
      ])
      await refusal(
        `[loadModel] expected F32, F16 or BF16 for lm_head.weight, which is no projection of the decoder, got NF4 in ${weights()}; use the 16-bit version of the model`,
      )
    })

    test('a checkpoint of bitsandbytes of another kind of quantisation is refused by its name, with the remedy', async () => {
      const fp4 = tensors.map((tensor) => ({ ...tensor, name: tensor.name.replace('__nf4', '__fp4') }))
      await write(fp4)
      const remedy = "use the 16-bit version of the model, with quantization: 'nf4' to have it quantised while it loads"
      await refusal(`got 4-bit weights of type "fp4", which is not supported; ${remedy}`)
      const at = `[nf4] quantization_config in ${join(directory, 'config.json')}: expected`
      for (const [quantization, message] of [
        [{ quant_method: 'gptq', bits: 4 }, `${at} NF4 of bitsandbytes, got quant_method "gptq"`],
        [{ quant_method: 'awq' }, 'got quant_method "awq"'],
        [{ bits: 4 }, 'got no load_in_4bit'],
        [{ quant_method: 'bitsandbytes', load_in_8bit: true }, 'got load_in_8bit'],
        [
          { quant_method: 'bitsandbytes', load_in_4bit: true, bnb_4bit_quant_type: 'fp4' },
          'got bnb_4bit_quant_type "fp4"',
        ],
        [{ quant_method: 'bitsandbytes', load_in_4bit: true }, 'got bnb_4bit_quant_type "fp4"'],
        [{ load_in_4bit: true, bnb_4bit_quant_type: 'nf4', bnb_5bit: 1 }, 'got bnb_5bit'],
        ['nf4', `${at} an object, got "nf4"`],
      ] as [unknown, string][]) {
        await write(tensors, { quantization_config: quantization })
        await refusal(message)
      }
    })
  })
})
