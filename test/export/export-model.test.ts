/** @file exportModel: what each format writes, how it is compared with its source, and what is refused. */

import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import type { LoraOptions } from '../../src/adapters/lora-config.js'
import type { RawConfig } from '../../src/architecture/config.js'
import type { ExportEvent } from '../../src/export/events.js'
import { exportModel } from '../../src/export/export-model.js'
import { FORMAT_NAMES } from '../../src/export/format-names.js'
import { FORMATS } from '../../src/export/formats.js'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { readSafetensorsHeader } from '../../src/weights/safetensors.js'
import {
  rejection,
  TINY_CONFIG,
  TINY_GPT2_CONFIG,
  TINY_QWEN3_CONFIG,
  temporaryDirectory,
  tinyAdapter,
  tinyModel,
  writeTinyModel,
} from '../support/tiny-model.js'

const folder = temporaryDirectory()
const base = join(folder, 'base')
const adapter = join(folder, 'adapter')
const uneven = join(folder, 'uneven')

async function writeAdapter(
  directory: string,
  of: string,
  config: RawConfig,
  options: LoraOptions = {},
): Promise<void> {
  const model = await tinyModel({ config })
  const trained = tinyAdapter(model, options)
  trained.baseModelName = of
  await trained.save(directory)
  model.dispose()
  model.device.close()
}

/** Ranks, scales and layers that no single setting says. */
const UNEVEN: LoraOptions = {
  targetModules: ['q_proj', 'down_proj', 'model.layers.1.mlp.up_proj'],
  rankPattern: { down_proj: 3 },
  alphaPattern: { q_proj: 5 },
  useRslora: true,
}

beforeAll(async () => {
  await writeTinyModel(base)
  await writeAdapter(adapter, base, TINY_CONFIG)
  await writeAdapter(uneven, base, TINY_CONFIG, UNEVEN)
})

const json = async (...path: string[]): Promise<Record<string, unknown>> =>
  JSON.parse(await readFile(join(...path), 'utf8')) as Record<string, unknown>

describe('exportModel', () => {
  it('has every format under the name that it bears', () => {
    expect(Object.entries(FORMATS).map(([name, format]) => [name, format.name])).toEqual(
      FORMAT_NAMES.map((name) => [name, name]),
    )
  })

  it('writes a merged model in float32 that gives the same logits and ids, and says how far it is', async () => {
    const events: ExportEvent[] = []
    const output = join(folder, 'merged')
    const report = await exportModel({
      adapter,
      format: 'merged',
      output,
      dtype: 'float32',
      computeDtype: 'float32',
      maxShardSize: '60KB',
      compareTokens: 100,
      onEvent: (event) => events.push(event),
    })
    expect(report).toMatchObject({
      ...{ format: 'merged', output, dtype: 'float32', passed: true, notCompared: null, warnings: [] },
      ...{ encodedLines: 200, differentLines: 0, comparedTokens: 100, sameTokens: 100, firstDifferentToken: null },
    })
    // W + B A rounds once where the two products are rounded each.
    expect(report.logitDifference).toBeLessThan(1e-4 * report.largestLogit)
    expect(report.files).toEqual((await readdir(output)).sort())
    expect(report.files).toContain('model.safetensors.index.json')
    expect(report.files).toContain('tokenizer.json')
    expect(events.filter(({ type }) => type === 'write').at(-1)).toEqual({ type: 'write', tensors: 21, total: 21 })
    expect(events.at(-1)).toEqual({ type: 'compare', tokens: 200, total: 200 })
  })

  it('fails to pass where rounding to bfloat16 moves a logit by more than is allowed, and keeps the files', async () => {
    const output = join(folder, 'rounded')
    const options = { adapter, format: 'merged', output, dtype: 'bfloat16', computeDtype: 'float32' } as const
    const report = await exportModel({ ...options, compareTokens: 64, maxLogitDifference: 1e-5 })
    expect(report.passed).toBe(false)
    expect(report.maxLogitDifference).toBe(1e-5)
    expect(report.logitDifference).toBeGreaterThan(1e-5)
    expect(report.logitDifference).toBeLessThan(0.08 * report.largestLogit)
    expect(report.files).toContain('model.safetensors')
  })

  it('writes float32 weights as they are, whatever this processor would compute in, and refuses to round them', async () => {
    const output = join(folder, 'exact')
    const { passed } = await exportModel({ model: base, format: 'merged', output, dtype: 'float32', compareTokens: 4 })
    expect(passed).toBe(true)
    const read = (directory: string) => readFile(join(directory, 'model.safetensors'))
    expect((await read(output)).equals(await read(base))).toBe(true)
    const rounded = exportModel({
      ...{ model: base, format: 'merged', output: join(folder, 'no'), dtype: 'float32', computeDtype: 'bfloat16' },
    })
    expect(await rejection(rounded)).toBe(
      `[export] expected 'float32' for computeDtype, to hold the weights of ${base} exactly, got 'bfloat16'; leave it out`,
    )
  })

  it.each(['peft', 'vllm', 'mlx-adapter', 'gguf-adapter'] as const)(
    'writes an adapter with ranks and scales of several kinds as %s, and reads the same back',
    async (format) => {
      const output = join(folder, format)
      const report = await exportModel({ adapter: uneven, format, output, computeDtype: 'float32', compareTokens: 64 })
      expect(report.passed).toBe(true)
      expect(report.comparedTokens).toBe(64)
      // Scales folded into B are rounded once more.
      expect(report.logitDifference).toBeLessThan(2e-5 * report.largestLogit)
      expect(report.largestLogit).toBeGreaterThan(1)
    },
  )

  it.each(['F32', 'Q8_0', 'Q4_K_M'] as const)('writes a GGUF file of type %s, near its source', async (type) => {
    const output = join(folder, `gguf-${type}`)
    const options = { adapter, format: 'gguf', output, type, computeDtype: 'float32', compareTokens: 64 } as const
    const report = await exportModel(options)
    expect(report).toMatchObject({ files: ['model.gguf'], passed: true, differentLines: 0, comparedTokens: 64 })
    expect(report.logitDifference).toBeLessThan(type === 'F32' ? 1e-4 * report.largestLogit : report.maxLogitDifference)
  })

  it('says how far it is with texts that calibrate a GGUF file', async () => {
    const events: ExportEvent[] = []
    const output = join(folder, 'calibrated')
    const calibration = ['one two three '.repeat(60), 'hello']
    const options = { model: base, format: 'gguf', output, type: 'Q4_K_M', compareTokens: 4, calibration } as const
    await exportModel({ ...options, onEvent: (event) => events.push(event) })
    const tokenizer = await loadTokenizer(base)
    const total = calibration.reduce((sum, text) => sum + tokenizer.encode(text).length, 0)
    const told = events.flatMap((event) => (event.type === 'calibrate' ? [[event.tokens, event.total]] : []))
    expect(told[0]).toEqual([128, total])
    expect(told.at(-1)).toEqual([total, total])
    // Before the first tensor is written.
    expect(events.slice(0, told.length).every(({ type }) => type === 'calibrate')).toBe(true)
  })

  it('gives vLLM one rank and no patterns, filled up with zeros', async () => {
    const config = await json(folder, 'vllm', 'adapter_config.json')
    expect(config).toMatchObject({ r: 4, rank_pattern: {}, alpha_pattern: {}, use_rslora: false })
    const { tensors } = await readSafetensorsHeader(join(folder, 'vllm', 'adapter_model.safetensors'))
    expect(tensors.get('base_model.model.model.layers.0.mlp.down_proj.lora_A.weight')?.shape).toEqual([4, 88])
    expect(tensors.size).toBe(10)
  })

  it('names whole paths to mlx-lm where layers differ, and what is within a layer where they do not', async () => {
    const config = await json(folder, 'mlx-adapter', 'adapter_config.json')
    expect(config).toMatchObject({
      fine_tune_type: 'lora',
      model: base,
      num_layers: 2,
      lora_parameters: {
        rank: 4,
        scale: 2.5,
        dropout: 0,
        keys: [
          'model.layers.0.mlp.down_proj',
          'model.layers.0.self_attn.q_proj',
          'model.layers.1.mlp.down_proj',
          'model.layers.1.mlp.up_proj',
          'model.layers.1.self_attn.q_proj',
        ],
      },
    })
    const output = join(folder, 'mlx-even')
    await exportModel({ adapter, format: 'mlx-adapter', output, compareTokens: 8 })
    const even = await json(output, 'adapter_config.json')
    expect(even).toMatchObject({ num_layers: 2, lora_parameters: { rank: 4, scale: 2 } })
    expect((even.lora_parameters as { keys: string[] }).keys).toEqual([
      ...['mlp.down_proj', 'mlp.gate_proj', 'mlp.up_proj'],
      ...['self_attn.k_proj', 'self_attn.o_proj', 'self_attn.q_proj', 'self_attn.v_proj'],
    ])
    const { tensors } = await readSafetensorsHeader(join(output, 'adapters.safetensors'))
    expect(tensors.get('model.layers.1.mlp.down_proj.lora_a')?.shape).toEqual([88, 4])
    expect(tensors.get('model.layers.1.mlp.down_proj.lora_b')?.shape).toEqual([4, 48])
  })

  it('writes for mlx-lm what it would otherwise assume, and the names of GPT-2 that it turns round', async () => {
    const output = join(folder, 'mlx-model')
    const options = { format: 'mlx', output, dtype: 'float32', computeDtype: 'float32', compareTokens: 40 } as const
    expect(await exportModel({ model: base, ...options })).toMatchObject({ passed: true, logitDifference: 0 })
    expect(await json(output, 'config.json')).toMatchObject({
      ...{ tie_word_embeddings: false, rope_theta: 10000, rope_scaling: null, head_dim: 12, num_key_value_heads: 2 },
    })
    const gpt2 = await writeTinyModel(join(folder, 'gpt2'), { config: TINY_GPT2_CONFIG })
    const gpt2Adapter = join(folder, 'gpt2-adapter')
    await writeAdapter(gpt2Adapter, gpt2, TINY_GPT2_CONFIG)
    const written = join(folder, 'mlx-gpt2')
    expect(await exportModel({ adapter: gpt2Adapter, ...options, output: written })).toMatchObject({ passed: true })
    expect((await json(written, 'config.json')).n_ctx).toBe(512)
    const { tensors } = await readSafetensorsHeader(join(written, 'model.safetensors'))
    expect(tensors.get('h.0.attn.c_attn.weight')?.shape).toEqual([48, 144])
    const other = join(folder, 'mlx-gpt2-adapter')
    await exportModel({ adapter: gpt2Adapter, format: 'mlx-adapter', output: other, compareTokens: 40 })
    const { tensors: factors } = await readSafetensorsHeader(join(other, 'adapters.safetensors'))
    expect(factors.get('model.h.1.attn.c_attn.lora_b')?.shape).toEqual([4, 144])
  })

  it('refuses by name what a format cannot hold, and leaves nothing', async () => {
    const saved = join(folder, 'saved')
    await writeAdapter(saved, base, TINY_CONFIG, { targetModules: ['q_proj'], modulesToSave: ['.norm'] })
    const output = join(folder, 'refused')
    for (const format of ['vllm', 'mlx-adapter'] as const) {
      expect(await rejection(exportModel({ adapter: saved, format, output }))).toBe(
        `[export] expected an adapter of LoRA pairs alone for format '${format}', got one that also holds base_model.model.model.norm.weight (modulesToSave); ` +
          'export the merged model, or train without it',
      )
    }
    const qwen3 = await writeTinyModel(join(folder, 'qwen3'), { config: TINY_QWEN3_CONFIG })
    expect(await rejection(exportModel({ model: qwen3, format: 'mlx', output }))).toBe(
      '[export] expected false for attention_bias of a model for mlx-lm, got true, which mlx-lm 0.32.2 does not compute; ' +
        "export it with format 'merged'",
    )
    expect(await readdir(folder)).not.toContain('refused')
  })

  it('refuses options that do not fit, and a directory that is in use', async () => {
    const output = join(folder, 'never')
    await mkdir(join(folder, 'used', 'inner'), { recursive: true })
    expect(await rejection(exportModel({ model: base, format: 'peft', output }))).toBe(
      "[export] expected an adapter for format 'peft', which holds one, got none; give the directory of one",
    )
    expect(await rejection(exportModel({ adapter, format: 'vllm', output, dtype: 'float16' }))).toBe(
      "[export] expected no dtype for format 'vllm', got one; leave it out",
    )
    expect(await rejection(exportModel({ format: 'merged', output }))).toBe(
      '[export] expected a directory, a GGUF file or a Hub id for model, got none, and no adapter that names it',
    )
    expect(await rejection(exportModel({ adapter, format: 'merged', output: join(folder, 'used') }))).toContain(
      'holds inner; choose another, or remove it',
    )
    const signal = AbortSignal.abort(new Error('not now'))
    expect(await rejection(exportModel({ adapter, format: 'merged', output, signal }))).toBe('not now')
  })
})
