/** @file GGUF files as models: configs, names, layouts of rows, NF4 on load, split files, and what is refused. */

import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { RawConfig } from '../../src/architecture/config.js'
import { type LoadModelOptions, loadModel, readModelConfig } from '../../src/checkpoint/load-model.js'
import { saveModel } from '../../src/checkpoint/save-model.js'
import { endingIds } from '../../src/decoding/generate-options.js'
import { openGguf } from '../../src/gguf/open.js'
import { convertModel, type GgufParts, ggufBytes, type Packing, type TensorParts, Typed } from '../support/gguf.js'
import { deviceOfFile, directoryOfTest, livelyModel, logitsOf as logitsOfModel } from '../support/gguf-files.js'

const LLAMA: RawConfig = {
  model_type: 'llama',
  vocab_size: 53,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-5,
  rope_theta: 50000,
  tie_word_embeddings: false,
}
const CONFIGS: Record<string, RawConfig> = {
  llama: LLAMA,
  'llama with biases and a tied head': { ...LLAMA, attention_bias: true, mlp_bias: true, tie_word_embeddings: true },
  mistral: { ...LLAMA, model_type: 'mistral', sliding_window: 4, head_dim: 24 },
  qwen2: { ...LLAMA, model_type: 'qwen2' },
  qwen3: { ...LLAMA, model_type: 'qwen3', head_dim: 24 },
  gpt2: {
    model_type: 'gpt2',
    vocab_size: 53,
    n_embd: 64,
    n_layer: 2,
    n_head: 4,
    n_positions: 128,
    layer_norm_epsilon: 1e-5,
  },
}
const IDS = [3, 14, 15, 9, 26, 5, 35, 8, 9, 7]

const device = deviceOfFile()
let directory: string
let path: string
directoryOfTest((made) => {
  directory = made
  path = join(made, 'model.gguf')
})

/** Writes a model whose every value counts as a directory, and its conversion as `path`, changed by `change`. */
async function write(
  config: RawConfig,
  change: (parts: { keys: Record<string, unknown>; tensors: TensorParts[] }) => GgufParts = (parts) => parts,
  packing?: Packing,
): Promise<void> {
  const model = await livelyModel(config, device, 'float32')
  await saveModel(model, directory)
  model.dispose()
  const { keys, tensors } = await convertModel(directory, packing)
  await writeFile(path, ggufBytes(change({ keys: keys as Record<string, unknown>, tensors: [...tensors] })))
}

async function logitsOf(where: string, options: LoadModelOptions = {}): Promise<Float32Array> {
  const model = await loadModel(where, { device, dtype: 'float32', ...options })
  const values = await logitsOfModel(model, IDS)
  model.dispose()
  return values
}

/** d = the largest / 127, as ggml has it but for the rounding of d. */
const Q8_0: Packing = {
  type: 8,
  pack(values) {
    const bytes = Buffer.alloc((values.length / 32) * 34)
    for (let block = 0; block < values.length / 32; block++) {
      const part = values.subarray(32 * block, 32 * block + 32)
      // A power of two: a float16 whose bits are those of its exponent.
      const exponent = Math.ceil(Math.log2(Math.max(...part.map(Math.abs)) / 127))
      bytes.writeUInt16LE((exponent + 15) << 10, 34 * block)
      part.forEach((value, i) => {
        bytes.writeInt8(Math.round(value / 2 ** exponent), 34 * block + 2 + i)
      })
    }
    return bytes
  },
}

describe.each(Object.keys(CONFIGS))('%s', (name) => {
  const config = CONFIGS[name] as RawConfig

  test('gives the bits that the directory gives, and the same config where both say something', async () => {
    await write(config)
    expect(await logitsOf(path)).toEqual(await logitsOf(directory))
    const read = await readModelConfig(path)
    expect(
      Object.keys(config).filter((key) => JSON.stringify(read[key] ?? false) !== JSON.stringify(config[key])),
    ).toEqual([])
    expect(read).toMatchObject({ bos_token_id: 1, eos_token_id: 2 })
  })

  test('gives the NF4 that the directory gives', async () => {
    await write(config)
    const options = { quantization: 'nf4', dtype: 'bfloat16' } as const
    expect(await logitsOf(path, options)).toEqual(await logitsOf(directory, options))
  })

  test('saves as a directory that gives the same bits', async () => {
    await write(config)
    const model = await loadModel(path, { device, dtype: 'float32' })
    const saved = join(directory, 'saved')
    await saveModel(model, saved)
    model.dispose()
    expect(await logitsOf(saved)).toEqual(await logitsOf(path))
  })

  test('is what its blocks hold, in NF4 too', async () => {
    await write(config, undefined, Q8_0)
    const model = await loadModel(path, { device, dtype: 'float32' })
    const saved = join(directory, 'saved')
    await saveModel(model, saved)
    model.dispose()
    // Within half a step of what was packed.
    const packed = await logitsOf(path)
    const whole = await logitsOf(directory)
    expect(packed).not.toEqual(whole)
    expect(Math.max(...packed.map((value, i) => Math.abs(value - (whole[i] as number))))).toBeLessThan(0.5)
    const options = { quantization: 'nf4', dtype: 'bfloat16' } as const
    expect(await logitsOf(path, options)).toEqual(await logitsOf(saved, options))
  })
})

describe('the config', () => {
  const configWith = async (keys: Record<string, unknown>, tensors: TensorParts[] = []): Promise<RawConfig> => {
    await write(LLAMA, (parts) => ({ keys: { ...parts.keys, ...keys }, tensors: [...parts.tensors, ...tensors] }))
    return (await openGguf(path)).config
  }
  const factors = (values: number[]): TensorParts => ({
    name: 'rope_freqs.weight',
    shape: [values.length],
    type: 0,
    data: new Uint8Array(Float32Array.from(values).buffer),
  })
  /** As convert_hf_to_gguf.py has it for a head of 16, low and high factors 1 and 4, and 8192 positions. */
  const llama3 = (factor: number, theta = 50000): number[] =>
    Array.from({ length: 8 }, (_, i) => {
      const wavelength = 2 * Math.PI * theta ** (i / 8)
      if (wavelength < 8192 / 4) return 1
      if (wavelength > 8192) return factor
      const smooth = (8192 / wavelength - 1) / 3
      return 1 / ((1 - smooth) / factor + smooth)
    })

  test('has the scaling of rotary frequencies', async () => {
    expect(
      await configWith({ 'llama.rope.scaling.type': 'none', 'llama.rope.scaling.factor': new Typed('f32', 4) }),
    ).not.toHaveProperty('rope_scaling')
    expect(await configWith({ 'llama.rope.scaling.factor': new Typed('f32', 2.5) })).toMatchObject({
      rope_scaling: { rope_type: 'linear', factor: 2.5 },
    })
    const yarn = {
      'llama.rope.scaling.type': 'yarn',
      'llama.rope.scaling.factor': new Typed('f32', 4),
      'llama.rope.scaling.original_context_length': 32,
      'llama.rope.scaling.finetuned': true,
    }
    expect(await configWith(yarn)).toMatchObject({
      rope_scaling: { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 32 },
    })
    await expect(configWith({ 'llama.rope.scaling.type': 'longrope' })).rejects.toThrow(
      'expected one of none, linear, yarn for llama.rope.scaling.type, got "longrope"',
    )
  })

  test.each([8, 32])("has Llama 3.1's scaling by %d where the factors in the file are its own", async (factor) => {
    expect(llama3(factor).some((value) => value > 1 && value < factor)).toBe(true)
    expect(await configWith({}, [factors(llama3(factor))])).toMatchObject({
      rope_scaling: {
        rope_type: 'llama3',
        factor,
        low_freq_factor: 1,
        high_freq_factor: 4,
        original_max_position_embeddings: 8192,
      },
    })
    const scaled = await logitsOf(path)
    const { rope_scaling } = (await openGguf(path)).config
    await writeFile(join(directory, 'config.json'), JSON.stringify({ ...LLAMA, rope_scaling }))
    expect(scaled).toEqual(await logitsOf(directory))
  })

  test('is refused with other factors', async () => {
    const message = `[gguf] ${path}: expected rope_freqs.weight to hold the factors of Llama 3.1's rope scaling, got others (up to 8)`
    await expect(
      configWith({}, [factors(llama3(8).map((value, i) => (i === 1 ? value * 1.001 : value)))]),
    ).rejects.toThrow(message)
    await expect(configWith({}, [factors(llama3(8).slice(1))])).rejects.toThrow(
      'expected F32 [8] for rope_freqs.weight, got F32 [7]',
    )
    await expect(configWith({ 'llama.rope.scaling.type': 'linear' }, [factors(llama3(8))])).rejects.toThrow(
      'expected "none" beside rope_freqs.weight for llama.rope.scaling.type, got "linear"',
    )
  })

  test('names a window as Mistral does, and every id that ends an answer', async () => {
    expect(await configWith({ 'llama.attention.sliding_window': 32 })).toMatchObject({
      model_type: 'mistral',
      architectures: ['MistralForCausalLM'],
      sliding_window: 32,
    })
    expect(await configWith({ 'llama.attention.sliding_window': 128 })).toMatchObject({ model_type: 'llama' })
    const ids = { 'tokenizer.ggml.eot_token_id': 7, 'tokenizer.ggml.eom_token_id': 2 }
    expect(await configWith(ids)).toMatchObject({ eos_token_id: [2, 7] })
  })

  describe('ends an answer', () => {
    const endsOf = async (texts: readonly string[], keys: Record<string, unknown> = {}): Promise<string[]> => {
      const tokens = Array.from({ length: 53 }, (_, id) => texts[id] ?? `word${id}`)
      await write(LLAMA, (parts) => ({
        ...parts,
        keys: Object.fromEntries(
          Object.entries({
            ...{ ...parts.keys, 'tokenizer.ggml.model': 'gpt2', 'tokenizer.ggml.tokens': tokens, ...keys },
          }).filter(([, value]) => value !== undefined),
        ),
      }))
      const model = await loadModel(path, { device })
      const ids = endingIds(model.config, model.generationDefaults)
      model.dispose()
      return ids.map((id) => tokens[id] as string).sort()
    }
    const id = (name: string) => `tokenizer.ggml.${name}_token_id`

    test('an answer ends at the end of a turn that only its text tells, whatever id ends texts', async () => {
      for (const text of ['<|im_end|>', '<|eot_id|>', '<end_of_turn>', '<|end|>', '<EOT>', '[EOT]'])
        expect(await endsOf(['<s>', text, '<eos-of-texts>'])).toEqual(['<eos-of-texts>', text].sort())
      expect(await endsOf(['<|endoftext|>', '<|im_start|>', 'x', '<|im_end|>'])).toEqual(
        ['<|endoftext|>', '<|im_end|>', 'x'].sort(),
      )
      // As llama.cpp: a key for the end of a turn adds to these texts, and takes the place of DeepSeek's.
      const deepseek = '<｜end▁of▁sentence｜>'
      expect(await endsOf(['a', deepseek, 'x'])).toEqual(['x', deepseek].sort())
      expect(await endsOf(['a', deepseek, 'x', '<|im_end|>', 'turn'], { [id('eot')]: 4 })).toEqual(
        ['<|im_end|>', 'turn', 'x'].sort(),
      )
    })

    test('an answer ends at what llama.cpp knows of messages, calls and files', async () => {
      const texts = [
        '<|eom_id|>',
        '<|fim_pad|>',
        'x',
        '<|repo_name|>',
        '<|file_sep|>',
        '<|im_start|>',
        '<|fim_prefix|>',
      ]
      expect(await endsOf(texts)).toEqual(['<|eom_id|>', '<|file_sep|>', '<|fim_pad|>', '<|repo_name|>', 'x'])
      expect(await endsOf(['<|end|>', '<|return|>', 'x', '<|call|>'])).toEqual(['<|call|>', '<|return|>', 'x'])
      expect(await endsOf(['</s>', 'a', 'x', '<|tool_response>'])).toEqual(['<|tool_response>', 'x'])
    })

    test('an answer ends at SentencePiece`s third token where the file names none', async () => {
      const keys = { 'tokenizer.ggml.model': 'llama', [id('eos')]: undefined }
      expect(await endsOf(['<unk>', '<s>', 'end', 'word'], keys)).toEqual(['end'])
      expect(await endsOf(['<unk>', '<s>', 'end', 'word'], { [id('eos')]: undefined })).toEqual([])
    })
  })

  test('the config of qwen3 has the width of heads and names their norms', async () => {
    await write({ ...LLAMA, model_type: 'qwen2' }, ({ keys, tensors }) => ({
      keys: {
        ...Object.fromEntries(Object.entries(keys).map(([key, value]) => [key.replace('qwen2', 'qwen3'), value])),
        'general.architecture': 'qwen3',
        'qwen3.attention.key_length': 16,
        'qwen3.attention.value_length': 16,
      },
      tensors: [
        ...tensors.filter(({ name }) => !name.endsWith('bias')),
        { name: 'blk.0.attn_q_norm.weight', shape: [16], type: 0, data: new Uint8Array(64) },
      ],
    }))
    const { config, tensors } = await openGguf(path)
    expect(config).toMatchObject({ model_type: 'qwen3', head_dim: 16, architectures: ['Qwen3ForCausalLM'] })
    expect(tensors.get('model.layers.0.self_attn.q_norm.weight')?.shape).toEqual([16])
    // Rows are those of Hugging Face already.
    expect(tensors.get('model.layers.0.self_attn.q_proj.weight')).not.toHaveProperty('interleaved')
  })
})

describe('refuses, naming the file,', () => {
  const KEYS: [what: string, keys: Record<string, unknown>, message: string][] = [
    [
      'an architecture that is not known',
      { 'general.architecture': 'mamba' },
      'expected one of llama, qwen2, qwen3, gpt2 for general.architecture, got "mamba"',
    ],
    ['adapters', { 'general.type': 'adapter' }, 'is an adapter of llama.cpp, not a model'],
    ['parts of other models', { 'general.type': 'mmproj' }, 'expected "model" for general.type, got "mmproj"'],
    [
      'experts',
      { 'llama.expert_count': 8 },
      'expected 0 (anything else is not supported) for llama.expert_count, got 8',
    ],
    [
      'clamped attention',
      { 'llama.attention.clamp_kqv': 8.5 },
      "expected keys that are known to architecture 'llama', got llama.attention.clamp_kqv = 8.5; a key that is not understood may change",
    ],
    ['capped logits', { 'llama.final_logit_softcapping': 30 }, 'got llama.final_logit_softcapping = 30'],
    ['a scale of logits', { 'llama.logit_scale': 0.5 }, 'got llama.logit_scale = 0.5'],
    [
      'a part of the head rotated',
      { 'llama.rope.dimension_count': 8 },
      'expected 16 (anything else is not supported) for llama.rope.dimension_count, got 8',
    ],
    [
      'heads that differ by layer',
      { 'llama.attention.head_count': [4, 2] },
      'expected a whole number for llama.attention.head_count, got [4, 2]',
    ],
    ['a width of 0', { 'llama.embedding_length': 0 }, 'expected a whole number > 0 for llama.embedding_length, got 0'],
    [
      'a vocabulary of another size',
      { 'llama.vocab_size': 54 },
      'expected 53 (anything else is not supported) for llama.vocab_size, got 54',
    ],
    [
      'more tokens than rows',
      { 'tokenizer.ggml.tokens': Array.from({ length: 54 }, (_, id) => `t${id}`) },
      'expected at most 53 tokens, the rows of token_embd.weight for tokenizer.ggml.tokens, got 54',
    ],
    ['blocks of 2023', { 'general.quantization_version': 1 }, 'expected 2 for general.quantization_version, got 1'],
  ]
  test.each(KEYS)('%s', async (_, keys, message) => {
    await write(LLAMA, (parts) => ({ ...parts, keys: { ...parts.keys, ...keys } }), Q8_0)
    await expect(loadModel(path, { device })).rejects.toThrow(message)
    await expect(loadModel(path, { device })).rejects.toThrow(path)
  })

  test('keys that are missing', async () => {
    await write(LLAMA, ({ keys: { 'llama.block_count': _, ...keys }, tensors }) => ({ keys, tensors }))
    await expect(loadModel(path, { device })).rejects.toThrow(
      `[gguf] ${path}: expected a whole number for llama.block_count, got nothing`,
    )
  })

  test('tensors that are missing, superfluous, misshapen or unknown', async () => {
    const tamper = async (change: (tensors: TensorParts[]) => TensorParts[]): Promise<string> => {
      await write(LLAMA, ({ keys, tensors }) => ({ keys, tensors: change(tensors) }))
      return await loadModel(path, { device }).then(
        () => 'nothing was thrown',
        (error: Error) => error.message,
      )
    }
    const vector = (name: string): TensorParts => ({ name, shape: [64], type: 0, data: new Uint8Array(256) })
    expect(
      await tamper((tensors) =>
        tensors.filter(({ name }) => name !== 'blk.1.attn_q.weight' && name !== 'output_norm.weight'),
      ),
    ).toBe(
      `[loadModel] expected 21 tensors in ${path}, as its metadata says, but 2 are missing in model.gguf: model.layers.1.self_attn.q_proj.weight, model.norm.weight; download the model again`,
    )
    expect(await tamper((tensors) => tensors.filter(({ name }) => name !== 'token_embd.weight'))).toBe(
      `[gguf] ${path}: expected tensor "token_embd.weight", got none; the file holds no whole model`,
    )
    expect(await tamper((tensors) => [...tensors, vector('blk.2.attn_norm.weight')])).toContain(
      `[loadModel] ${path} holds 1 tensors that a llama model of its metadata does not have: model.layers.2.input_layernorm.weight; `,
    )
    expect(await tamper((tensors) => [...tensors, vector('blk.0.attn_sinks.weight')])).toBe(
      `[gguf] ${path} holds tensor "blk.0.attn_sinks.weight", which architecture 'llama' does not have; the model would compute something else without it`,
    )
    expect(
      await tamper((tensors) =>
        tensors.map((tensor) => (tensor.name === 'blk.0.ffn_up.weight' ? { ...tensor, shape: [48, 128] } : tensor)),
      ),
    ).toBe(
      `[loadModel] expected shape [96, 64] for model.layers.0.mlp.up_proj.weight, as the metadata says, got [48, 128] in ${path}; the metadata and weights are not of one model`,
    )
  })
})

describe("GPT-2's head", () => {
  const GPT2 = CONFIGS.gpt2 as RawConfig
  const withHead = (change: (embedding: TensorParts) => TensorParts) =>
    write(GPT2, ({ keys, tensors }) => {
      const embedding = tensors.find(({ name }) => name === 'token_embd.weight') as TensorParts
      return { keys, tensors: [...tensors, { ...change(embedding), name: 'output.weight' }] }
    })

  test("GPT-2's head may be a second copy of the embedding, as converters of 2023 wrote it", async () => {
    await withHead((embedding) => embedding)
    expect(await logitsOf(path)).toEqual(await logitsOf(directory))
  })

  test('is a weight of its own where it is another matrix, as one quantised to another type', async () => {
    // The sign of every weight.
    await withHead((embedding) => ({
      ...embedding,
      data: embedding.data.map((byte, i) => (i % 4 === 3 ? byte ^ 0x80 : byte)),
    }))
    expect((await readModelConfig(path)).tie_word_embeddings).toBe(false)
    expect(await logitsOf(path)).toEqual((await logitsOf(directory)).map((value) => -value))
  })
})

describe('a split model', () => {
  const partPath = (part: number): string => join(directory, `m-0000${part}-of-00003.gguf`)
  const split = (
    change: (part: number, keys: Record<string, unknown>) => Record<string, unknown> = (_, keys) => keys,
  ) =>
    write(LLAMA, ({ keys, tensors }) => {
      for (let part = 0; part < 3; part++) {
        const own = {
          ...(part === 0 ? keys : {}),
          'split.no': new Typed('u16', part),
          'split.count': new Typed('u16', 3),
          'split.tensors.count': new Typed('i32', tensors.length),
        }
        pending.push(
          writeFile(
            partPath(part + 1),
            ggufBytes({ keys: change(part, own), tensors: tensors.filter((_, i) => i % 3 === part) }),
          ),
        )
      }
      return { keys, tensors }
    })
  const pending: Promise<void>[] = []
  const written = async (change?: Parameters<typeof split>[0]): Promise<void> => {
    await split(change)
    await Promise.all(pending.splice(0))
  }

  test('loads by its first file', async () => {
    await written()
    expect(await logitsOf(partPath(1))).toEqual(await logitsOf(directory))
  })

  test('is refused by another file, incomplete, renamed or mixed', async () => {
    await written()
    await expect(loadModel(partPath(2), { device })).rejects.toThrow(
      'is one of 3 files of a model; give the first, whose name ends in -00001-of-00003.gguf',
    )
    await rm(partPath(3))
    await expect(loadModel(partPath(1), { device })).rejects.toThrow(`[gguf] cannot read ${partPath(3)}`)
    await written((part, keys) => (part === 2 ? { ...keys, 'split.no': 1 } : keys))
    await expect(loadModel(partPath(1), { device })).rejects.toThrow(
      `[gguf] ${partPath(3)}: expected 2 for split.no, got 1`,
    )
    await written((_, keys) => ({ ...keys, 'split.tensors.count': 22 }))
    await expect(loadModel(partPath(1), { device })).rejects.toThrow('expected 21 for split.tensors.count, got 22')
  })
})

test('16-bit tensors load exactly, in order and interleaved', async () => {
  const bf16: Packing = {
    type: 30,
    pack: (values) => new Uint8Array(Uint16Array.from(new Uint32Array(values.buffer), (bits) => bits >>> 16).buffer),
  }
  await write(LLAMA, undefined, bf16)
  const model = await loadModel(path, { device, dtype: 'float32' })
  const whole = await loadModel(directory, { device, dtype: 'float32' })
  for (const [name, parameter] of model.parameters()) {
    const values = await whole.parameters().get(name)!.read()
    const cut =
      parameter.shape.length === 2
        ? new Float32Array(new Uint32Array(values.slice().buffer).map((bits) => bits & 0xffff0000).buffer)
        : values
    expect(await parameter.read(), name).toEqual(cut)
  }
  model.dispose()
  whole.dispose()
})
