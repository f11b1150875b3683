/** @file What is said of loaders: each rule by an adapter or a model that breaks it alone. */

import { describe, expect, it } from 'vitest'
import { DEFAULT_LORA_CONFIG, type LoraConfig } from '../../src/adapters/lora-config.js'
import { featuresOf, featuresOfConfig } from '../../src/loaders/adapter-features.js'
import { LOADER_NAMES, type LoaderName } from '../../src/loaders/loader-names.js'
import { LOADERS, loaderFindings } from '../../src/loaders/loaders.js'
import type { JsonObject } from '../../src/weights/strict-json.js'

const LLAMA = { model_type: 'llama', vocab_size: 32000 }

/** What one loader makes of an adapter. */
function found(name: LoaderName, adapter: Partial<LoraConfig>, config: JsonObject = LLAMA): string[] {
  const features = featuresOfConfig({ ...DEFAULT_LORA_CONFIG, ...adapter })
  return loaderFindings([name], { config, adapter: features, chatTemplate: undefined }).map(
    ({ effect, feature }) => `${effect} ${feature}`,
  )
}

/** The same of settings that only PEFT has. */
function foundInFiles(name: LoaderName, settings: JsonObject, tensors: string[] = []): string[] {
  const adapter = featuresOf({ r: 8, lora_alpha: 16, target_modules: ['q_proj'], ...settings }, tensors)
  return loaderFindings([name], { config: LLAMA, adapter, chatTemplate: undefined }).map(
    ({ effect, feature }) => `${effect} ${feature}`,
  )
}

describe('loaders', () => {
  it('bear the names that they are listed under, and say which version was read, and where', () => {
    expect(Object.values(LOADERS).map(({ name }) => name)).toEqual([...LOADER_NAMES])
    for (const { version, read } of Object.values(LOADERS)) {
      expect(version).toMatch(/\d/)
      expect(read).not.toBe('')
    }
  })

  it.each<[string, LoaderName, Partial<LoraConfig>, string[]]>([
    ['an adapter at the defaults', 'vllm', {}, []],
    ['an adapter at the defaults', 'llama.cpp', {}, []],
    ['an adapter at the defaults', 'mlx', {}, []],
    ['modules saved whole', 'vllm', { modulesToSave: ['lm_head'] }, ['refused modulesToSave']],
    ['modules saved whole', 'llama.cpp', { modulesToSave: ['norm'] }, ['refused modulesToSave']],
    ['modules saved whole', 'mlx', { modulesToSave: ['norm'] }, ['refused modulesToSave']],
    ['modules saved whole', 'peft', { modulesToSave: ['norm'] }, []],
    ['trained biases', 'vllm', { bias: 'lora_only' }, ['refused bias']],
    ['trained biases', 'ollama', { bias: 'all' }, ['refused bias']],
    ['rank 17', 'vllm', { r: 17 }, ['needs r']],
    ['rank 512', 'vllm', { r: 512 }, ['needs r']],
    ['rank 513 in a pattern', 'vllm', { rankPattern: { q_proj: 513 } }, ['refused r', 'ignored rankPattern']],
    ['patterns', 'mlx', { alphaPattern: { q_proj: 3 } }, ['ignored alphaPattern']],
    ['scaling by the root of r', 'ollama', { useRslora: true }, ['ignored useRslora']],
    ['an alpha with a fraction', 'ollama', { loraAlpha: 1.5 }, ['refused loraAlpha']],
  ])('say what comes of %s in %s', (_, name, adapter, expected) => {
    expect(found(name, adapter)).toEqual(expected)
  })

  it('names the smallest rank that vLLM can be started with', () => {
    const adapter = featuresOfConfig({ ...DEFAULT_LORA_CONFIG, r: 257 })
    const [finding] = loaderFindings(['vllm'], { config: LLAMA, adapter, chatTemplate: undefined })
    expect(finding).toEqual({
      ...{ loader: 'vllm', version: '0.33.0', effect: 'needs', feature: 'r' },
      message: 'it serves rank 257 only when started with --max-lora-rank 320; its default is 16',
    })
  })

  it('asks the model where the head is an update of its own', () => {
    const head = { targetModules: ['q_proj', 'lm_head'] }
    expect(found('vllm', head, { model_type: 'qwen2', vocab_size: 9 })).toEqual(['refused targetModules'])
    expect(found('vllm', head)).toEqual([])
    expect(found('vllm', head, { model_type: 'llama', vocab_size: 300000 })).toEqual(['refused targetModules'])
    expect(found('llama.cpp', head, { ...LLAMA, tie_word_embeddings: true })).toEqual(['refused targetModules'])
    expect(found('llama.cpp', head, { ...LLAMA, tie_word_embeddings: false })).toEqual([])
    expect(found('mlx', head, { ...LLAMA, tie_word_embeddings: true })).toEqual(['refused targetModules'])
    expect(found('vllm', {}, { model_type: 'gpt2' })).toEqual(['refused model_type'])
  })

  it('knows what only PEFT trains: DoRA, experts, LoRA on embeddings, initialisations that change the base', () => {
    expect(foundInFiles('vllm', { use_dora: true })).toEqual(['refused use_dora'])
    expect(foundInFiles('mlx', { use_dora: true })).toEqual(['refused use_dora'])
    const magnitude = ['base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector']
    expect(foundInFiles('llama.cpp', {}, magnitude)).toEqual(['refused use_dora'])
    expect(foundInFiles('llama.cpp', { target_parameters: ['mlp.experts.down_proj'] })).toEqual([
      'refused target_parameters',
    ])
    const expert = ['base_model.model.model.layers.0.mlp.experts.3.up_proj.lora_A.weight']
    expect(foundInFiles('mlx', {}, expert)).toEqual(['refused target_parameters'])
    const embedding = ['base_model.model.model.embed_tokens.lora_embedding_A']
    expect(foundInFiles('llama.cpp', {}, embedding)).toEqual(['refused targetModules'])
    expect(foundInFiles('vllm', { init_lora_weights: 'pissa' })).toEqual(['refused initLoraWeights'])
    expect(foundInFiles('vllm', { init_lora_weights: 'eva' })).toEqual([])
    expect(foundInFiles('peft', { use_tomorrow: true })).toEqual(['ignored use_tomorrow'])
  })

  it('knows what models compute elsewhere: windows, rotary scaling, biases', () => {
    const of = (name: LoaderName, config: JsonObject): string[] =>
      loaderFindings([name], { config, adapter: undefined, chatTemplate: undefined }).map(
        ({ effect, feature }) => `${effect} ${feature}`,
      )
    expect(of('mlx', { model_type: 'mistral' })).toEqual(['refused sliding_window'])
    expect(of('mlx', { model_type: 'mistral', sliding_window: null })).toEqual([])
    expect(of('mlx', { model_type: 'qwen3', attention_bias: true })).toEqual(['refused attention_bias'])
    expect(of('llama.cpp', { ...LLAMA, rope_scaling: { rope_type: 'dynamic', factor: 2 } })).toEqual([
      'refused rope_type',
    ])
    expect(of('llama.cpp', { model_type: 'qwen2', use_sliding_window: true, sliding_window: 4 })).toEqual([
      'ignored use_sliding_window',
    ])
    expect(of('transformers', { ...LLAMA, quantization_config: { load_in_4bit: true } })).toEqual([
      'needs quantization_config',
    ])
  })

  it("says what Go's templates leave out, and which named ones llama.cpp does not read", () => {
    const of = (name: LoaderName): string[] =>
      loaderFindings([name], {
        ...{ config: LLAMA, adapter: undefined },
        chatTemplate: { default: '{{ messages }}', tool_use: '{{ tools }}', rag: '{{ documents }}' },
      }).map(({ message }) => message)
    expect(of('llama.cpp')).toEqual(['it reads the templates default and tool_use alone, not rag'])
    expect(of('ollama')).toEqual([
      "its templates are Go's, not Jinja: those of known families are written for turns of text; what yours writes of tools is left out",
    ])
  })
})
