/** @file Reading config.json: both spellings, defaults, and an error for everything that is not understood. */

import { describe, expect, test } from 'vitest'
import type { RawConfig } from '../../src/architecture/config.js'
import type { Gpt2Config } from '../../src/models/gpt2.js'
import type { LlamaConfig } from '../../src/models/llama.js'
import { findArchitecture } from '../../src/models/registry.js'
import { ModelBuilder } from '../../src/nn/module.js'
import type { Device } from '../../src/tensor/device.js'

const LLAMA: RawConfig = {
  model_type: 'llama',
  vocab_size: 97,
  hidden_size: 48,
  intermediate_size: 100,
  num_hidden_layers: 2,
  num_attention_heads: 4,
}
const GPT2: RawConfig = { model_type: 'gpt2', vocab_size: 101, n_positions: 40, n_embd: 36, n_layer: 2, n_head: 3 }

/** Weights are allocated when they are first used, so that reading a config needs no device. */
function read<T>(config: RawConfig): T {
  const builder = new ModelBuilder(undefined as unknown as Device, 'float32')
  return findArchitecture(config, 'dir/config.json').create(config, builder, 'dir/config.json').config as T
}
const llama = (changes: RawConfig = {}): LlamaConfig => read<LlamaConfig>({ ...LLAMA, ...changes })
const mistral = (changes: RawConfig = {}): LlamaConfig =>
  read<LlamaConfig>({ ...LLAMA, model_type: 'mistral', num_key_value_heads: 2, ...changes })
const qwen2 = (changes: RawConfig = {}): LlamaConfig =>
  read<LlamaConfig>({ ...LLAMA, model_type: 'qwen2', num_key_value_heads: null, ...changes })
const qwen3 = (changes: RawConfig = {}): LlamaConfig => qwen2({ model_type: 'qwen3', ...changes })
const gpt2 = (changes: RawConfig = {}): Gpt2Config => read<Gpt2Config>({ ...GPT2, ...changes })

describe('model_type', () => {
  test.each([
    ['mamba', '"mamba"'],
    [undefined, 'nothing'],
    [3, '3'],
    ['x'.repeat(9999), `"${'x'.repeat(80)}..."`],
  ])('%j is an error that lists the known ones', (modelType, shown) => {
    expect(() => read({ ...LLAMA, model_type: modelType })).toThrow(
      `[config] dir/config.json: expected model_type to be one of 'llama', 'mistral', 'qwen2', 'qwen3', 'gpt2', got ${shown}`,
    )
  })
})

describe('llama', () => {
  test('has the defaults of transformers', () => {
    expect(llama()).toMatchObject({
      numKeyValueHeads: 4,
      headDim: 12,
      maxPositionEmbeddings: 2048,
      rmsNormEps: 1e-6,
      rope: { theta: 10000, scaling: { type: 'default' } },
      qkvBias: false,
      oBias: false,
      windows: [0, 0],
      mlpBias: false,
      qkNorm: false,
      tieWordEmbeddings: false,
      eosTokenId: [],
    })
  })

  test('takes null for what is absent, and ids as one or several', () => {
    const config = llama({
      head_dim: null,
      rope_scaling: null,
      bos_token_id: 1,
      eos_token_id: [2, 7],
      pad_token_id: null,
    })
    expect(config).toMatchObject({ headDim: 12, bosTokenId: 1, eosTokenId: [2, 7] })
    expect(llama({ eos_token_id: 2 }).eosTokenId).toEqual([2])
  })

  test.each<[string, RawConfig, string]>([
    [
      'an unsupported rope type',
      { rope_scaling: { rope_type: 'longrope', factor: 4 } },
      `dir/config.json, rope_scaling: expected one of 'default', 'linear', 'dynamic', 'llama3', 'yarn' for rope_type, got "longrope"`,
    ],
    ['an unsupported rope type, old spelling', { rope_scaling: { type: 'su' } }, `for type, got "su"`],
    [
      'rope scaling without its factor',
      { rope_parameters: { rope_type: 'linear' } },
      'rope_parameters: expected a number above 0 for factor, got nothing',
    ],
    [
      'an unknown field of rope scaling',
      { rope_scaling: { type: 'linear', factor: 2, beta_fast: 32 } },
      'got beta_fast = 32',
    ],
    [
      'a part of the head rotated',
      { rope_parameters: { rope_type: 'default', partial_rotary_factor: 0.5 } },
      'expected 1 for partial_rotary_factor, got 0.5',
    ],
    [
      'spellings that differ',
      { rope_parameters: { rope_type: 'default' }, rope_scaling: { type: 'linear', factor: 2 } },
      'expected what rope_parameters says, or nothing, for rope_scaling, got {"type":"linear","factor":2}',
    ],
    [
      'angles that differ',
      { rope_parameters: { rope_theta: 10000 }, rope_theta: 5e5 },
      'expected 10000, as rope_parameters says, or nothing, for rope_theta, got 500000',
    ],
    [
      'an unknown field',
      { qk_norm: true },
      'dir/config.json: expected fields that are known to this model type, got qk_norm = true; a field that is not understood may change what the model computes',
    ],
    ['several unknown fields', { a_new: 1, b_new: [2] }, 'got a_new = 1, b_new = [2];'],
    [
      'a window',
      { sliding_window: 4096 },
      'expected null (anything else is not supported) for sliding_window, got 4096',
    ],
    [
      'quantized weights',
      { quantization_config: { bits: 4 } },
      'expected null (anything else is not supported) for quantization_config, got {"bits":4}',
    ],
    ['another activation', { hidden_act: 'gelu' }, `expected one of 'silu' for hidden_act, got "gelu"`],
    ['an odd head_dim', { head_dim: 13 }, 'expected an even number for head_dim, got 13'],
    [
      'heads that do not divide the width',
      { num_attention_heads: 5 },
      'expected a divisor of hidden_size = 48 for num_attention_heads, got 5',
    ],
    [
      'key heads that do not divide the heads',
      { num_key_value_heads: 3 },
      'expected a divisor of num_attention_heads = 4 for num_key_value_heads, got 3',
    ],
    ['a missing size', { hidden_size: undefined }, 'expected a whole number > 0 for hidden_size, got nothing'],
    ['a size of zero', { num_hidden_layers: 0 }, 'expected a whole number > 0 for num_hidden_layers, got 0'],
    ['a size as text', { vocab_size: '97' }, 'expected a whole number > 0 for vocab_size, got "97"'],
    [
      'a million layers',
      { num_hidden_layers: 1e6 },
      'expected a whole number of at most 4096 for num_hidden_layers, got 1000000',
    ],
    [
      'a size beyond what can be numbered',
      { vocab_size: 2 ** 31 },
      'expected a whole number of at most 2147483647 for vocab_size, got 2147483648',
    ],
    [
      'heads as wide as memory',
      { hidden_size: 4e6, num_attention_heads: 2 },
      'expected a whole number of at most 65536 for head_dim, got 2000000',
    ],
    ['a value without an end', { hidden_act: 'x'.repeat(9999) }, `for hidden_act, got "${'x'.repeat(159)}...`],
    ['a field that every object has', { constructor: 1, toString: 2 }, 'got constructor = 1, toString = 2;'],
    ...[0, -1, Number.NaN, 1e-50, 1e39, '10000'].map((theta): [string, RawConfig, string] => [
      `an angle of ${theta}`,
      { rope_theta: theta },
      `expected a number above 0 for rope_theta, got ${JSON.stringify(theta)}`,
    ]),
    [
      'an angle of zero in its new place',
      { rope_parameters: { rope_theta: 0 } },
      'dir/config.json, rope_parameters: expected a number above 0 for rope_theta, got 0',
    ],
    [
      'a factor of zero',
      { rope_scaling: { type: 'linear', factor: 0 } },
      'rope_scaling: expected a number above 0 for factor, got 0',
    ],
    [
      'one frequency for both ends of a ramp',
      {
        rope_scaling: {
          rope_type: 'llama3',
          factor: 8,
          low_freq_factor: 4,
          high_freq_factor: 4,
          original_max_position_embeddings: 64,
        },
      },
      'expected a number above low_freq_factor = 4 for high_freq_factor, got 4',
    ],
    [
      'yarn with a theta of one',
      { rope_theta: 1, rope_scaling: { type: 'yarn', factor: 2 } },
      'expected a number above 1 for yarn for rope_theta, got 1',
    ],
    [
      'yarn with rotations below zero',
      { rope_scaling: { type: 'yarn', factor: 2, beta_fast: -32 } },
      'expected a number of at least 0 for beta_fast, got -32',
    ],
    [
      'dynamic with the narrowest head',
      { head_dim: 2, rope_scaling: { type: 'dynamic', factor: 2 } },
      'expected a number above 2 for rope scaling dynamic for head_dim, got 2',
    ],
    ['a negative epsilon', { rms_norm_eps: -1e-5 }, 'expected a number from 0 to 1 for rms_norm_eps, got -0.00001'],
    ['an epsilon of 1e38', { rms_norm_eps: 1e38 }, 'expected a number from 0 to 1 for rms_norm_eps, got 1e+38'],
    ['no heads', { num_attention_heads: 0 }, 'expected a whole number > 0 for num_attention_heads, got 0'],
    ['no key heads', { num_key_value_heads: 0 }, 'expected a whole number > 0 for num_key_value_heads, got 0'],
    ['half a head', { num_attention_heads: 1.5 }, 'expected a whole number > 0 for num_attention_heads, got 1.5'],
    [
      'code of its own',
      { auto_map: { AutoConfig: 'configuration_x.XConfig', AutoModelForCausalLM: 'modeling_x.XForCausalLM' } },
      'expected a model that the classes of transformers compute, got auto_map = {"AutoConfig":"configuration_x.XConfig",',
    ],
    [
      'a window that is on',
      { use_sliding_window: true, sliding_window: 64 },
      'expected false (anything else is not supported) for use_sliding_window, got true',
    ],
    ['layers of other widths', { per_layer_config: { 1: { intermediate_size: 7 } } }, 'for per_layer_config, got {"1"'],
    [
      'weights of MLX',
      { quantization: { group_size: 64, bits: 4 } },
      'for quantization, got {"group_size":64,"bits":4}',
    ],
    ['a flag as text', { attention_bias: 'yes' }, 'expected true or false for attention_bias, got "yes"'],
    ['ids below zero', { eos_token_id: [-1] }, 'expected token ids for eos_token_id, got [-1]'],
  ])('%s is an error that names it', (_, changes, message) => {
    expect(() => llama(changes)).toThrow(message)
    expect(() => llama(changes)).toThrow('[config] dir/config.json')
  })

  test('fields of other software, of earlier versions and of what is switched off say nothing', () => {
    const fields = {
      _attn_implementation: 'flash_attention_2',
      _attn_implementation_autoset: true,
      _commit_hash: 'abc',
      _flash_attn_2_enabled: true,
      _name_or_path: 'some/model',
      _num_labels: 2,
      auto_map: { AutoTokenizer: ['tokenization_x.XTokenizer', null] },
      compression_config: null,
      dtype: 'bfloat16',
      eos_token_ids: [2],
      gradient_checkpointing: false,
      is_llama_config: true,
      max_sequence_length: 2048,
      max_window_layers: 28,
      model_max_length: 4096,
      model_name: 'unsloth/x',
      name_or_path: 'x',
      num_labels: 2,
      output_past: true,
      output_router_logits: false,
      pad_token_id: -1,
      partial_rotary_factor: 1,
      per_layer_config: null,
      pretraining_tp: 2,
      pruned_heads: {},
      quantization_config: null,
      rope_interleaved: false,
      sliding_window: 32768,
      task_specific_params: { 'text-generation': { do_sample: true } },
      tie_last_hidden_states: true,
      tokenizer_model_max_length: 2048,
      torch_dtype: 'float16',
      transformers_version: '4.11.0',
      'transformers.js_config': { dtype: 'q4' },
      unsloth_fixed: true,
      unsloth_version: '2025.1',
      use_return_dict: true,
      use_sliding_window: false,
      xla_device: null,
    }
    expect(llama(fields)).toEqual(llama({}))
  })

  test('head_dim may be given where heads times head_dim is not the width', () => {
    expect(llama({ hidden_size: 37, num_attention_heads: 3, head_dim: 20, num_key_value_heads: 1 }).headDim).toBe(20)
  })
})

describe('mistral', () => {
  test('has the defaults of transformers, and a window on all layers', () => {
    expect(mistral()).toMatchObject({
      modelType: 'mistral',
      headDim: 12,
      maxPositionEmbeddings: 131072,
      rmsNormEps: 1e-6,
      rope: { theta: 10000, scaling: { type: 'default' } },
      qkvBias: false,
      oBias: false,
      mlpBias: false,
      qkNorm: false,
      tieWordEmbeddings: false,
      windows: [4096, 4096],
    })
  })

  test.each<[string, RawConfig, Partial<LlamaConfig>]>([
    ['no window where it is null', { sliding_window: null }, { windows: [0, 0] }],
    ['a window of its own', { sliding_window: 7 }, { windows: [7, 7] }],
    [
      '8 key heads where they are absent',
      { num_attention_heads: 16, head_dim: 4, num_key_value_heads: undefined },
      { numKeyValueHeads: 8 },
    ],
    ['as many key heads as heads where they are null', { num_key_value_heads: null }, { numKeyValueHeads: 4 }],
    ['the width of heads where it is given', { head_dim: 20 }, { headDim: 20 }],
    ['what width and heads make where that is null', { head_dim: null }, { headDim: 12 }],
  ])('reads %s', (_, changes, expected) => {
    expect(mistral(changes)).toMatchObject(expected)
  })

  test.each<[string, RawConfig, string]>([
    ['a window of nothing', { sliding_window: 0 }, 'expected a whole number > 0 for sliding_window, got 0'],
    [
      'windows by layer',
      { layer_types: ['full_attention', 'sliding_attention'] },
      'got layer_types = ["full_attention",',
    ],
    ['biases', { attention_bias: true }, 'got attention_bias = true;'],
  ])('%s is an error that names it', (_, changes, message) => {
    expect(() => mistral(changes)).toThrow(message)
  })
})

describe('qwen2', () => {
  test('has biases on q, k and v alone, and the defaults of transformers', () => {
    expect(qwen2()).toMatchObject({
      modelType: 'qwen2',
      numKeyValueHeads: 4,
      maxPositionEmbeddings: 32768,
      qkvBias: true,
      oBias: false,
      mlpBias: false,
      windows: [0, 0],
    })
    expect(() => qwen2({ num_key_value_heads: undefined })).toThrow(
      'expected a divisor of num_attention_heads = 4 for num_key_value_heads, got 32',
    )
  })

  test('reads the config of Qwen2.5-0.5B as it is published', () => {
    const published = {
      attention_dropout: 0,
      max_window_layers: 1,
      rope_theta: 1000000,
      sliding_window: 32768,
      torch_dtype: 'bfloat16',
      use_mrope: false,
      use_sliding_window: false,
    }
    expect(qwen2(published)).toMatchObject({ windows: [0, 0], rope: { theta: 1000000, scaling: { type: 'default' } } })
  })

  test.each<[string, RawConfig, number[]]>([
    [
      'the layers from max_window_layers on',
      { use_sliding_window: true, sliding_window: 7, max_window_layers: 1 },
      [0, 7],
    ],
    ['all layers', { use_sliding_window: true, max_window_layers: 0 }, [4096, 4096]],
    ['no layer below the default of 28', { use_sliding_window: true, sliding_window: 7 }, [0, 0]],
    ['no layer without a size', { use_sliding_window: true, sliding_window: null, max_window_layers: 0 }, [0, 0]],
    [
      'the layers that layer_types names',
      { use_sliding_window: true, sliding_window: 7, layer_types: ['sliding_attention', 'full_attention'] },
      [7, 0],
    ],
  ])('the window is on %s', (_, changes, windows) => {
    expect(qwen2(changes).windows).toEqual(windows)
  })

  test.each<[string, RawConfig, string]>([
    [
      'a window in layer_types that is switched off',
      { sliding_window: 7, layer_types: ['sliding_attention', 'full_attention'] },
      `expected only 'full_attention' without use_sliding_window and sliding_window for layer_types, got ["sliding_attention","full_attention"]`,
    ],
    [
      'another number of layer types',
      { layer_types: ['full_attention'] },
      `expected 'full_attention' or 'sliding_attention' for each of 2 layers for layer_types, got ["full_attention"]`,
    ],
    ['an unknown layer type', { layer_types: ['full_attention', 'linear_attention'] }, 'for layer_types, got ["full_'],
    ['layer types as text', { layer_types: 'full_attention' }, 'expected a list for layer_types, got "full_attention"'],
    ['a field of llama that would change the model', { mlp_bias: true }, 'got mlp_bias = true;'],
    [
      'rotary angles of images',
      { use_mrope: true },
      'expected false (anything else is not supported) for use_mrope, got true',
    ],
  ])('%s is an error that names it', (_, changes, message) => {
    expect(() => qwen2(changes)).toThrow(message)
  })
})

describe('qwen3', () => {
  test('has the defaults of transformers, and norms on q and k', () => {
    expect(qwen3()).toMatchObject({
      modelType: 'qwen3',
      numKeyValueHeads: 4,
      headDim: 128,
      maxPositionEmbeddings: 32768,
      rmsNormEps: 1e-6,
      qkvBias: false,
      oBias: false,
      mlpBias: false,
      qkNorm: true,
      tieWordEmbeddings: false,
      windows: [0, 0],
    })
    expect(qwen3({ num_attention_heads: 64, num_key_value_heads: undefined }).numKeyValueHeads).toBe(32)
  })

  test('reads the config of Qwen3-0.6B as it is published, at another size', () => {
    const published = {
      attention_bias: false,
      attention_dropout: 0,
      head_dim: 128,
      max_position_embeddings: 40960,
      max_window_layers: 28,
      num_key_value_heads: 2,
      rope_scaling: null,
      rope_theta: 1000000,
      sliding_window: null,
      tie_word_embeddings: true,
      torch_dtype: 'bfloat16',
      use_sliding_window: false,
    }
    const rope = { theta: 1000000, scaling: { type: 'default' } }
    expect(qwen3(published)).toMatchObject({ headDim: 128, tieWordEmbeddings: true, windows: [0, 0], rope })
  })

  test('reads biases of all four projections, and windows as qwen2', () => {
    const windows = {
      use_sliding_window: true,
      sliding_window: 7,
      layer_types: ['sliding_attention', 'full_attention'],
    }
    const expected = { qkvBias: true, oBias: true, mlpBias: false, windows: [7, 0] }
    expect(qwen3({ attention_bias: true, ...windows })).toMatchObject(expected)
  })

  test('a head_dim of null is an error, as in transformers', () => {
    expect(() => qwen3({ head_dim: null })).toThrow(
      '[config] dir/config.json: expected a whole number > 0 for head_dim, got null',
    )
  })
})

describe('gpt2', () => {
  test('has the defaults of transformers; dropout of the base and fields of other heads are fine', () => {
    const published = {
      n_ctx: 40,
      n_inner: null,
      attn_pdrop: 0.1,
      embd_pdrop: 0.1,
      resid_pdrop: 0.1,
      summary_type: 'cls_index',
      summary_first_dropout: 0.1,
      reorder_and_upcast_attn: false,
      task_specific_params: { 'text-generation': { do_sample: true } },
    }
    expect(gpt2(published)).toMatchObject({
      innerSize: 144,
      headDim: 12,
      maxPositionEmbeddings: 40,
      layerNormEpsilon: 1e-5,
      geluTanh: true,
      attentionScale: [1 / Math.sqrt(12), 1 / Math.sqrt(12)],
    })
  })

  test('reads what changes the result', () => {
    const changes = {
      n_inner: 77,
      activation_function: 'gelu',
      scale_attn_weights: false,
      scale_attn_by_inverse_layer_idx: true,
    }
    expect(gpt2(changes)).toMatchObject({ innerSize: 77, geluTanh: false, attentionScale: [1, 0.5] })
  })

  test('reads the config of distilgpt2 as it is published, and the fields that other GPT-2s have', () => {
    const published = {
      _num_labels: 1,
      architectures: ['GPT2LMHeadModel'],
      attn_pdrop: 0.1,
      id2label: { '0': 'LABEL_0' },
      label2id: { LABEL_0: 0 },
      n_ctx: 1024,
      resid_pdrop: 0.1,
      summary_activation: null,
      summary_first_dropout: 0.1,
      summary_proj_to_labels: true,
      summary_type: 'cls_index',
      summary_use_proj: true,
      task_specific_params: { 'text-generation': { do_sample: true, max_length: 50 } },
    }
    const others = { n_special: 0, predict_special_tokens: true, output_past: true, gradient_checkpointing: false }
    expect(gpt2({ ...published, ...others })).toEqual(gpt2({}))
    expect(() => gpt2({ layer_norm_epsilon: -1 })).toThrow(
      'expected a number from 0 to 1 for layer_norm_epsilon, got -1',
    )
  })

  test.each<[string, RawConfig, string]>([
    ['heads that do not divide the width', { n_head: 5 }, 'expected a divisor of n_embd = 36 for n_head, got 5'],
    ['another activation', { activation_function: 'relu' }, 'for activation_function, got "relu"'],
    [
      'cross attention',
      { add_cross_attention: true },
      'expected false (anything else is not supported) for add_cross_attention, got true',
    ],
    ['a field of another model', { rope_theta: 10000 }, 'got rope_theta = 10000;'],
  ])('%s is an error that names it', (_, changes, message) => {
    expect(() => gpt2(changes)).toThrow(message)
  })
})
