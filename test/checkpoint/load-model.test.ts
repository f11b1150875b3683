/**
 * @file loadModel: dtypes, shards, names, the Hub cache, memory while loading, and files that do not fit their config.
 */

import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, open as openFile, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import { createModel } from '../../src/causal-lm/create-model.js'
import { type LoadModelOptions, loadModel } from '../../src/checkpoint/load-model.js'
import { saveModel } from '../../src/checkpoint/save-model.js'
import { openCheckpoint, writeCheckpoint } from '../../src/checkpoint/weights-on-disk.js'
import { planGeneration } from '../../src/generation/plan-generation.js'
import type { Device } from '../../src/tensor/device.js'
import { readTensorBytes, type TensorToWrite } from '../../src/weights/safetensors.js'
import { GAP_BYTES } from '../native/raw.js'
import { testDevices } from '../support/devices.js'
import { rejection } from '../support/tiny-model.js'
import { BATCH, CONFIG, headerOf } from './build.js'

const MIB = 2 ** 20
const run = promisify(execFile)

describe.each(testDevices({ everyLevel: false }))('on $name', ({ open }) => {
  let device: Device
  let directory: string
  beforeAll(() => {
    device = open()
  })
  afterAll(() => device.close())
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'lowrank-load-'))
    const model = createModel(CONFIG, { device })
    await saveModel(model, directory)
    model.dispose()
  })
  afterEach(() => rm(directory, { recursive: true, force: true }))

  const weights = (): string => join(directory, 'model.safetensors')
  const configure = (changes: object): Promise<void> =>
    writeFile(join(directory, 'config.json'), JSON.stringify({ ...CONFIG, ...changes }))
  async function logitsOf(where = directory, options: LoadModelOptions = {}): Promise<Float32Array> {
    const model = await loadModel(where, { device, dtype: 'float32', ...options })
    const { logits } = model.forward(BATCH, { logits: true })
    const values = await logits.read()
    logits.dispose()
    model.dispose()
    return values
  }
  async function listTensors(): Promise<TensorToWrite[]> {
    const tensors: TensorToWrite[] = []
    for (const entry of (await openCheckpoint(directory)).tensors.values()) {
      const bytes = await readTensorBytes(entry)
      tensors.push({ name: entry.name, dtype: entry.dtype, shape: entry.shape, bytes: () => bytes })
    }
    return tensors
  }
  /** Writes the weights anew, their tensors changed. */
  async function rewrite(change: (tensors: TensorToWrite[]) => TensorToWrite[], maxShardSize = '5GB'): Promise<void> {
    await writeCheckpoint(directory, change(await listTensors()), { maxShardSize })
  }

  const extra = (name: string): TensorToWrite => ({ name, dtype: 'F32', shape: [1], bytes: () => new Uint8Array(4) })
  const wide = (tensor: TensorToWrite): TensorToWrite => {
    const bytes = 8 * tensor.shape.reduce((product, size) => product * size, 1)
    return { ...tensor, dtype: 'F64', bytes: () => new Uint8Array(bytes) }
  }

  test('shards, names without their prefix, and tensors that are no weights give the same bits', async () => {
    const logits = await logitsOf()
    await rewrite((tensors) => tensors, '10KB')
    await expect(readFile(weights())).rejects.toThrow('ENOENT')
    expect(await logitsOf()).toEqual(logits)
    await rewrite((tensors) => [
      ...tensors.map((tensor) => ({ ...tensor, name: tensor.name.replace(/^model\./, '') })),
      { name: 'layers.0.self_attn.rotary_emb.inv_freq', dtype: 'F32', shape: [1], bytes: () => new Uint8Array(4) },
    ])
    expect(await logitsOf()).toEqual(logits)
  })

  describe('a head that config.json ties to the embedding', () => {
    const EMBEDDING = 'model.embed_tokens.weight'
    const tie = () => configure({ tie_word_embeddings: true })
    const named = (tensors: readonly TensorToWrite[], name: string) =>
      tensors.find((tensor) => tensor.name === name) as TensorToWrite
    const asHead = (tensors: TensorToWrite[], change: Partial<TensorToWrite> = {}): TensorToWrite[] => [
      ...tensors.filter(({ name }) => name !== 'lm_head.weight'),
      { ...named(tensors, EMBEDDING), name: 'lm_head.weight', ...change },
    ]
    const error = () => loadModel(directory, { device }).then(String, ({ message }: Error) => message)

    test('a head that config.json ties to the embedding may be in the file a second time, or alone', async () => {
      await rewrite((tensors) => asHead(tensors).filter(({ name }) => name !== 'lm_head.weight'))
      await tie()
      const logits = await logitsOf()
      await rewrite((tensors) => asHead(tensors))
      expect(await logitsOf()).toEqual(logits)
      await rewrite((tensors) => asHead(tensors), '10KB')
      expect(await logitsOf()).toEqual(logits)
      await rewrite((tensors) => tensors.filter(({ name }) => name !== EMBEDDING))
      expect(await logitsOf()).toEqual(logits)
    })

    test('a head that config.json ties to the embedding may be of another width where the values are the same', async () => {
      const ones = (bytes: number[], count: number) => () =>
        new Uint8Array(count).map((_, i) => bytes[i % bytes.length]!)
      const size = CONFIG.vocab_size * CONFIG.hidden_size
      await rewrite((tensors) =>
        asHead(tensors, { dtype: 'BF16', bytes: ones([0x80, 0x3f], 2 * size) }).map((tensor) =>
          tensor.name === EMBEDDING ? { ...tensor, dtype: 'F32', bytes: ones([0, 0, 0x80, 0x3f], 4 * size) } : tensor,
        ),
      )
      await tie()
      const model = await loadModel(directory, { device })
      expect(model.hasOwnHead).toBe(false)
      model.dispose()
      await rewrite((tensors) => asHead(tensors, { dtype: 'F16', bytes: ones([0, 0x3c], 2 * size) }))
      expect((await loadModel(directory, { device })).hasOwnHead).toBe(false)
      await rewrite((tensors) => asHead(tensors, { dtype: 'F16', bytes: ones([1, 0x3c], 2 * size) }))
      const other = await loadModel(directory, { device })
      expect([other.hasOwnHead, other.warnings.length]).toEqual([true, 1])
      other.dispose()
    })

    test('a head that config.json ties to the embedding with other values, be it the last one, is loaded as a weight of its own, with a warning', async () => {
      await rewrite((tensors) => asHead(tensors))
      await tie()
      const bytes = await named(await listTensors(), 'lm_head.weight').bytes()
      for (const at of [0, bytes.length - 1]) {
        const changed = bytes.slice()
        changed[at] = (changed[at] as number) ^ 1
        await rewrite((tensors) => asHead(tensors, { bytes: () => changed }))
        await tie()
        const model = await loadModel(directory, { device, dtype: 'float32' })
        expect(model.warnings).toEqual([
          `${directory}: config.json says that lm_head.weight and ${EMBEDDING} are one weight (tie_word_embeddings), but the files hold other values for the ` +
            'two; each is loaded as it is, as transformers 5 does. Set tie_word_embeddings to false in config.json to say so, or remove lm_head.weight from ' +
            'the files to have the embedding for both',
        ])
        expect(Buffer.from((await model.head.weight.read()).buffer)).toEqual(Buffer.from(changed))
        const logits = await logitsOf()
        model.dispose()
        await configure({ tie_word_embeddings: false })
        const untied = await loadModel(directory, { device })
        expect(untied.warnings).toEqual([])
        untied.dispose()
        expect(await logitsOf()).toEqual(logits)
      }
      await tie()
      await rewrite((tensors) => asHead(tensors, { shape: [1, 30], bytes: () => bytes.slice(0, 120) }))
      expect(await error()).toContain('expected shape [53, 30] for lm_head.weight, as config.json says, got [1, 30]')
    })

    test('a head that config.json ties to the embedding with other values is saved, merged and planned as what it is', async () => {
      await rewrite((tensors) =>
        asHead(tensors, { bytes: async () => (await named(tensors, EMBEDDING).bytes()).slice().fill(63) }),
      )
      await tie()
      const model = await loadModel(directory, { device, dtype: 'float32' })
      const logits = await logitsOf()
      const plan = async (): Promise<number> =>
        (await planGeneration({ model: directory, promptTokens: 3, maxNewTokens: 2, dtype: 'float32' })).tensors.weights
      const planned = await plan()
      await saveModel(model, directory)
      expect(JSON.parse(await readFile(join(directory, 'config.json'), 'utf8')).tie_word_embeddings).toBe(false)
      expect(await logitsOf()).toEqual(logits)
      expect(await plan()).toBe(planned)
      const adapter = LoraAdapter.create(model, { targetModules: ['q_proj'] })
      const merged = join(directory, 'merged')
      expect((await adapter.merge(merged, { dtype: 'float32' })).untied).toBe(false)
      const again = await loadModel(merged, { device })
      expect([again.hasOwnHead, again.warnings]).toEqual([true, []])
      again.dispose()
      model.dispose()
    })
  })

  test('bfloat16 files load as float32 and float32 files as bfloat16, rounded once', async () => {
    const model = await loadModel(directory, { device, dtype: 'bfloat16' })
    const rounded = await model.parameters().get('model.norm.weight')?.read()
    const wanted = await model.parameters().get('model.layers.1.mlp.up_proj.weight')?.read()
    await saveModel(model, directory)
    expect((await openCheckpoint(directory)).tensors.get('model.norm.weight')?.dtype).toBe('BF16')
    const again = await loadModel(directory, { device, dtype: 'float32' })
    expect(await again.parameters().get('model.norm.weight')?.read()).toEqual(rounded)
    expect(await again.parameters().get('model.layers.1.mlp.up_proj.weight')?.read()).toEqual(wanted)
    model.dispose()
    again.dispose()
  })

  test('float16 files load exactly', async () => {
    const half = Uint8Array.of(0x00, 0x3c, 0x01, 0x00, 0xff, 0xfb) // 1, the smallest, the most negative
    await rewrite((tensors) =>
      tensors.map((tensor) =>
        tensor.name === 'model.norm.weight'
          ? { ...tensor, dtype: 'F16', bytes: () => Uint8Array.from({ length: 60 }, (_, i) => half[i % 6] as number) }
          : tensor,
      ),
    )
    const model = await loadModel(directory, { device, dtype: 'float32' })
    const values = await model.parameters().get('model.norm.weight')?.read()
    expect([...(values?.subarray(0, 4) ?? [])]).toEqual([1, 2 ** -24, -65504, 1])
    model.dispose()
  })

  test('a Hub id loads from the cache, its files being links', async () => {
    const logits = await logitsOf()
    const cache = join(directory, 'hub')
    const commit = '0123456789abcdef0123456789abcdef01234567'
    const repository = join(cache, 'models--org--tiny')
    await mkdir(join(repository, 'refs'), { recursive: true })
    await mkdir(join(repository, 'snapshots', commit), { recursive: true })
    await writeFile(join(repository, 'refs', 'main'), commit)
    for (const file of ['config.json', 'model.safetensors'])
      await symlink(join(directory, file), join(repository, 'snapshots', commit, file))
    vi.stubEnv('HF_HUB_CACHE', cache)
    try {
      expect(await logitsOf('org/tiny')).toEqual(logits)
      expect(await logitsOf('org/tiny', { revision: commit })).toEqual(logits)
      await expect(loadModel('org/absent', { device })).rejects.toThrow('or with "hf download org/absent"')
    } finally {
      vi.unstubAllEnvs()
    }
  })

  test('opens a device of its own, and closes it when loading fails', async () => {
    const model = await loadModel(directory, { dtype: 'float32' })
    expect(model.device).not.toBe(device)
    expect(model).toMatchObject({ dtype: 'float32', nameOrPath: directory, training: false })
    model.dispose()
    model.device.close()
    await configure({ intermediate_size: 45 })
    await expect(loadModel(directory)).rejects.toThrow('[loadModel] expected shape [45, 30]')
  })

  describe('refuses', () => {
    const Q = 'model.layers.1.self_attn.q_proj.weight'
    const expectRefusal = async (message: string, options: object = {}): Promise<void> => {
      await device.sync()
      const before = device.memory().live
      await expect(loadModel(directory, { device, dtype: 'float32', ...options })).rejects.toThrow(message)
      await device.sync()
      expect(device.memory().live).toBe(before)
    }

    test('missing tensors', async () => {
      await rewrite((tensors) => tensors.filter(({ name }) => name !== Q && name !== 'lm_head.weight'))
      await expectRefusal(
        `[loadModel] expected 21 tensors in ${directory}, as config.json says, but 2 are missing in model.safetensors: ${Q}, lm_head.weight; download the model again`,
      )
    })

    test('superfluous tensors', async () => {
      const name = 'model.layers.0.self_attn.q_norm.weight'
      await rewrite((tensors) => [...tensors, { name, dtype: 'F32', shape: [1], bytes: () => new Uint8Array(4) }])
      await expectRefusal(
        `[loadModel] ${directory} holds 1 tensors that a llama model of this config.json does not have: ${name}; the model would`,
      )
    })

    test('a config of fewer layers, whose rest would be left out', async () => {
      await configure({ num_hidden_layers: 1 })
      await expectRefusal('holds 9 tensors that a llama model of this config.json does not have: model.layers.1.')
    })

    test.each([
      [{ hidden_size: 36 }, 'expected shape [53, 36] for model.embed_tokens.weight, as config.json says, got [53, 30]'],
      [
        { num_key_value_heads: 3 },
        'expected shape [30, 30] for model.layers.0.self_attn.k_proj.weight, as config.json says, got [10, 30]',
      ],
    ])('weights that are not of the config %j', async (changes, message) => {
      await configure(changes)
      await expectRefusal(`[loadModel] ${message} in ${weights()}; config.json and weights are not of one model`)
    })

    test.each<[string, (tensors: TensorToWrite[]) => TensorToWrite[], string]>([
      [
        'tensors of a wrapped model',
        (tensors) => tensors.map((tensor) => ({ ...tensor, name: `module.${tensor.name}` })),
        '"module." stands before the names in the file, as where a wrapped model was saved: save the model inside of it with save_pretrained()',
      ],
      [
        'an adapter inside of the model',
        (tensors) => [...tensors, extra('model.layers.0.self_attn.q_proj.lora_A.weight')],
        'they are of an adapter: merge it into its model with merge_and_unload() of PEFT before saving',
      ],
      [
        'scales of a quantised checkpoint',
        (tensors) => [...tensors, extra('model.layers.0.mlp.up_proj.weight_scale_inv')],
        'they are of a quantised checkpoint, of which only NF4 of bitsandbytes is supported: use the 16-bit version of the model',
      ],
      [
        'a bias that the config does not have',
        (tensors) => [...tensors, extra('model.layers.0.mlp.up_proj.bias')],
        'get the config.json that belongs to these files, or report the model',
      ],
      [
        'float64',
        (tensors) => tensors.map((tensor) => (tensor.name === 'model.norm.weight' ? wide(tensor) : tensor)),
        'save the model in float32, which is the widest that it is computed in',
      ],
    ])('%s, with what to do', async (_, change, remedy) => {
      await rewrite(change)
      expect((await rejection(loadModel(directory, { device }))).endsWith(`; ${remedy}`)).toBe(true)
    })

    test('quantized tensors, whatever their shape', async () => {
      await rewrite((tensors) =>
        tensors.map((tensor) =>
          tensor.name === Q ? { ...tensor, dtype: 'U8', shape: [450, 1], bytes: () => new Uint8Array(450) } : tensor,
        ),
      )
      await expectRefusal(
        `[loadModel] expected F32, F16 or BF16 for ${Q}, got U8 in ${weights()}; of quantized checkpoints only NF4 of bitsandbytes is supported: use the 16-bit version of the model`,
      )
    })

    test('unknown options and values', async () => {
      await expectRefusal('[loadModel] unknown option "dType"; did you mean "dtype"?', { dType: 'float32' })
      await expectRefusal(`[loadModel] expected 'float32', 'bfloat16' or 'float16' for dtype, got "int8"`, {
        dtype: 'int8',
      })
      await expect(loadModel(directory, { device: 'gpu' as 'cpu' })).rejects.toThrow(
        "[loadModel] expected 'cpu', 'cuda', 'cuda:N', 'auto' or a Device for device, got \"gpu\"",
      )
    })

    test('a directory without config.json, and one that is none', async () => {
      await rm(join(directory, 'config.json'))
      await expectRefusal(
        `[loadModel] expected ${join(directory, 'config.json')}, which says what the model is, but there is no such file; get it too`,
      )
      await expect(loadModel(join(directory, 'nowhere'), { device })).rejects.toThrow(
        `there is no directory ${join(directory, 'nowhere')}`,
      )
    })

    test('a model above the memory budget, before anything is loaded, naming the remedies', async () => {
      const small = open({ memoryBudget: 32 * 1024 })
      try {
        await expect(loadModel(directory, { device: small, dtype: 'float32' })).rejects.toThrow(
          `[loadModel] the weights of ${directory} take 1 MiB in float32, but the memory budget is 0 MiB, 0 MiB of it in use; ` +
            "load it with dtype: 'bfloat16' (half the memory), quantization: 'nf4' (about a quarter of bfloat16), free memory, use a smaller model, or raise LOWRANK_MEMORY_BUDGET (bytes)",
        )
        await small.sync()
        expect(small.memory().peak).toBe(0)
      } finally {
        small.close()
      }
    })

    test('a file that ends early', async () => {
      const bytes = await readFile(weights())
      await writeFile(weights(), bytes.subarray(0, bytes.length - 100))
      await expectRefusal('bytes of data in the file; the file is damaged or incomplete: download it again')
    })
  })
})

test('loading takes the weights in the requested dtype and at most 256 MiB beside them', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'lowrank-peak-'))
  try {
    const config = {
      ...CONFIG,
      vocab_size: 8192,
      hidden_size: 1024,
      intermediate_size: 4096,
      num_attention_heads: 8,
      num_key_value_heads: 8,
    }
    const parameters = await writeZeros(directory, config)
    expect(4 * parameters).toBeGreaterThan(190 * MIB)
    const script = (options: LoadModelOptions): string => `
      import { readFileSync } from 'node:fs'
      import { loadModel } from ${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)}
      const peak = () => Number(/VmHWM:\\s+(\\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024
      const before = peak()
      const model = await loadModel(${JSON.stringify(directory)}, ${JSON.stringify(options)})
      console.log(JSON.stringify({ growth: peak() - before, live: model.device.memory().live }))
    `
    const measure = async (options: LoadModelOptions): Promise<{ growth: number; live: number }> =>
      JSON.parse((await run(process.execPath, ['--input-type=module', '-e', script(options)])).stdout)
    const { growth, live } = await measure({ dtype: 'bfloat16' })
    expect(live).toBeGreaterThanOrEqual(2 * parameters)
    expect(live).toBeLessThan(2 * parameters + MIB)
    expect(growth).toBeLessThan(2 * parameters + 256 * MIB)
    // In fact a few buffers of the reader: a float32 copy of the weights, or of the largest tensor, would show.
    expect(growth).toBeLessThan(2 * parameters + 32 * MIB + shadowOf(2 * parameters))
    // In NF4 embedding and head stay dense, the rest takes half a byte and some. No larger copy shows, nor one of all
    // that is quantised.
    const dense = 2 * 8192 * 1024
    const quantized = await measure({ quantization: 'nf4' })
    expect(quantized.live).toBeLessThan(2 * dense + 0.52 * (parameters - dense) + MIB)
    expect(quantized.growth).toBeLessThan(quantized.live + 32 * MIB + shadowOf(quantized.live))
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})

/**
 * What a build with AddressSanitizer has resident beside so many bytes: their shadow, and memory that it keeps from
 * being used again.
 */
function shadowOf(bytes: number): number {
  return GAP_BYTES > 0 ? bytes / 8 + 24 * MIB : 0
}

/** A float32 checkpoint of zeros: a sparse file, so that it takes no space on disk. Its number of parameters. */
async function writeZeros(directory: string, config: typeof CONFIG): Promise<number> {
  const { vocab_size: v, hidden_size: d, intermediate_size: f, num_hidden_layers: layers } = config
  const shapes: [string, number[]][] = [
    ['model.embed_tokens.weight', [v, d]],
    ['model.norm.weight', [d]],
    ['lm_head.weight', [v, d]],
  ]
  for (let layer = 0; layer < layers; layer++) {
    const at = `model.layers.${layer}`
    for (const name of ['q_proj', 'k_proj', 'v_proj', 'o_proj']) shapes.push([`${at}.self_attn.${name}.weight`, [d, d]])
    for (const name of ['gate_proj', 'up_proj']) shapes.push([`${at}.mlp.${name}.weight`, [f, d]])
    shapes.push([`${at}.mlp.down_proj.weight`, [d, f]])
    for (const name of ['input_layernorm', 'post_attention_layernorm']) shapes.push([`${at}.${name}.weight`, [d]])
  }
  const sizes = shapes.map(([, shape]) => shape.reduce((product, size) => product * size, 1))
  const header = Buffer.from(
    headerOf(
      ...shapes.map(([name, shape], i): [string, string, number[], number] => [
        name,
        'F32',
        shape,
        4 * (sizes[i] as number),
      ]),
    ),
  )
  const start = Buffer.alloc(8)
  start.writeBigUInt64LE(BigInt(header.length))
  const total = sizes.reduce((sum, size) => sum + size, 0)
  const file = await openFile(join(directory, 'model.safetensors'), 'w')
  await file.write(Buffer.concat([start, header]))
  await file.truncate(8 + header.length + 4 * total)
  await file.close()
  await writeFile(join(directory, 'config.json'), JSON.stringify(config))
  return total
}
