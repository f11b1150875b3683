/**
 * @file LoRA settings: options in both spellings, PEFT's configuration in and out, and an error for whatever would
 * change the result.
 */

import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { DEFAULT_LORA_CONFIG, type LoraConfig } from '../../src/adapters/lora-config.js'
import { fromPeftConfig, parseLoraOptions, readPeftConfig, toPeftConfig } from '../../src/adapters/peft-config.js'
import {
  parsePeftTensorName,
  peftBiasName,
  peftModuleTensorName,
  peftTensorName,
} from '../../src/adapters/peft-names.js'

const goldenCases = new URL('../golden/cases/', import.meta.url).pathname

describe('parseLoraOptions', () => {
  test('fills in the defaults', () => {
    const defaults = {
      r: 16,
      loraAlpha: 32,
      loraDropout: 0,
      targetModules: 'all-linear',
      excludeModules: [],
      layersToTransform: null,
      layersPattern: null,
      rankPattern: {},
      alphaPattern: {},
      bias: 'none',
      useRslora: false,
      modulesToSave: [],
      initLoraWeights: true,
    }
    expect(parseLoraOptions()).toEqual(defaults)
    expect(parseLoraOptions({ r: undefined, modulesToSave: null, target_modules: null })).toEqual(defaults)
    expect(parseLoraOptions({ rankPattern: null, layersToTransform: null, bias: null })).toEqual(defaults)
    expect(DEFAULT_LORA_CONFIG).toEqual(defaults)
  })

  test('takes camelCase and snake_case, and drops repeated names', () => {
    const expected = {
      r: 7,
      loraAlpha: 3.5,
      loraDropout: 0.05,
      targetModules: ['q_proj', 'v_proj'],
      excludeModules: ['layers.0.self_attn.v_proj'],
      layersToTransform: [0, 2],
      layersPattern: 'layers',
      rankPattern: { q_proj: 3 },
      alphaPattern: { v_proj: 1.5 },
      bias: 'lora_only',
      useRslora: true,
      modulesToSave: ['lm_head'],
      initLoraWeights: 'gaussian',
    }
    expect(parseLoraOptions({ ...expected, targetModules: ['q_proj', 'v_proj', 'q_proj'] })).toEqual(expected)
    expect(
      parseLoraOptions({
        r: 7,
        lora_alpha: 3.5,
        lora_dropout: 0.05,
        target_modules: ['q_proj', 'v_proj'],
        exclude_modules: ['layers.0.self_attn.v_proj'],
        layers_to_transform: [0, 2],
        layers_pattern: 'layers',
        rank_pattern: { q_proj: 3 },
        alpha_pattern: { v_proj: 1.5 },
        bias: 'lora_only',
        use_rslora: true,
        modules_to_save: ['lm_head'],
        init_lora_weights: 'Gaussian',
      }),
    ).toEqual(expected)
  })

  test('leaves the keys of patterns as they are, and takes what is empty as not given', () => {
    const rankPattern = { 'layers\\.0\\..*_proj': 2, q_proj: 7 }
    expect(Object.entries(parseLoraOptions({ rankPattern }).rankPattern)).toEqual(Object.entries(rankPattern))
    const empty = { excludeModules: '', layersPattern: [], rankPattern: {} }
    expect(parseLoraOptions(empty)).toEqual(DEFAULT_LORA_CONFIG)
    expect(parseLoraOptions({ targetModules: ['q_proj'], layersToTransform: 0, layersPattern: 'h' })).toMatchObject({
      layersToTransform: 0,
      layersPattern: 'h',
    })
  })

  test('knows all-linear in any case', () => {
    expect(parseLoraOptions({ targetModules: 'All-Linear' }).targetModules).toBe('all-linear')
  })

  test('refuses the same option in both spellings', () => {
    expect(() => parseLoraOptions({ loraAlpha: 8, lora_alpha: 16 })).toThrow(
      '[lora] the option loraAlpha is given twice',
    )
  })

  test.each([
    [{ r: 0 }, 'expected a whole number from 1 to 65536 for r, got 0'],
    [{ r: 2.5 }, 'expected a whole number from 1 to 65536 for r, got 2.5'],
    [{ r: '16' }, 'expected a whole number from 1 to 65536 for r, got "16"'],
    [{ loraAlpha: 0 }, 'expected a number from 1e-30 to 1e30 for loraAlpha, got 0'],
    [{ lora_alpha: Number.NaN }, 'expected a number from 1e-30 to 1e30 for loraAlpha, got NaN'],
    [{ loraDropout: 1 }, 'expected a number in [0, 1) for loraDropout, got 1'],
    [{ loraDropout: -0.1 }, 'expected a number in [0, 1) for loraDropout, got -0.1'],
    [{ loraDropout: '0' }, 'expected a number in [0, 1) for loraDropout, got "0"'],
    [{ useRslora: 1 }, 'expected true or false for useRslora, got 1'],
    [{ targetModules: [] }, 'expected module names, a regular expression or "all-linear" for targetModules, got []'],
    [
      { targetModules: ['q_proj', 1] },
      'expected module names, a regular expression or "all-linear" for targetModules, got ["q_proj", 1]',
    ],
    [{ targetModules: '' }, 'expected module names, a regular expression or "all-linear" for targetModules, got ""'],
    [{ modulesToSave: 'lm_head' }, 'expected a list of module names for modulesToSave, got "lm_head"'],
    [{ excludeModules: 3 }, 'expected module names or a regular expression for excludeModules, got 3'],
    [
      { excludeModules: ['q_proj', ''] },
      'expected module names or a regular expression for excludeModules, got ["q_proj", ""]',
    ],
    [
      { layersToTransform: -1 },
      'expected a whole number of at least 0 or a list of them for layersToTransform, got -1',
    ],
    [
      { layersToTransform: [0, '1'] },
      'expected a whole number of at least 0 or a list of them for layersToTransform, got [0, "1"]',
    ],
    [{ layersPattern: 1 }, 'expected a name or a list of names for layersPattern, got 1'],
    [
      { rankPattern: ['q_proj'] },
      'expected an object with a whole number from 1 to 65536 by module for rankPattern, got ["q_proj"]',
    ],
    [{ rankPattern: { q_proj: 0 } }, 'expected a whole number from 1 to 65536 for rankPattern["q_proj"], got 0'],
    [{ rank_pattern: { q_proj: 1.5 } }, 'expected a whole number from 1 to 65536 for rankPattern["q_proj"], got 1.5'],
    [{ rankPattern: { '': 2 } }, 'expected names or regular expressions for the keys of rankPattern, got ""'],
    [{ alphaPattern: { q_proj: '8' } }, 'expected a number from 1e-30 to 1e30 for alphaPattern["q_proj"], got "8"'],
    [{ bias: 'lora' }, "expected 'none', 'all' or 'lora_only' for bias, got \"lora\""],
    [{ bias: true }, "expected 'none', 'all' or 'lora_only' for bias, got true"],
    [{ initLoraWeights: 'normal' }, 'expected true, false or \'gaussian\' for initLoraWeights, got "normal"'],
    [{ initLoraWeights: 1 }, "expected true, false or 'gaussian' for initLoraWeights, got 1"],
    [
      { layersToTransform: [0] },
      'expected a list of names for targetModules with layersToTransform, got "all-linear"; list the modules, or choose the layers in a regular expression alone',
    ],
    [
      { targetModules: '.*q_proj', layersToTransform: 0 },
      'expected a list of names for targetModules with layersToTransform, got ".*q_proj"',
    ],
    [
      { targetModules: '.*q_proj', layersPattern: 'h' },
      'expected a list of names for targetModules with layersPattern, got ".*q_proj"',
    ],
    [
      { targetModules: ['q_proj'], layersPattern: 'h' },
      'expected layersToTransform with layersPattern, got none; add it, or remove layersPattern',
    ],
  ])('refuses %j', (options, message) => {
    expect(() => parseLoraOptions(options)).toThrow(`[lora] ${message}`)
  })

  test('names the nearest option for an unknown one', () => {
    expect(() => parseLoraOptions({ lorAlpha: 8 })).toThrow(
      '[lora] unknown option "lorAlpha"; did you mean "loraAlpha"? valid options: r, loraAlpha, loraDropout, targetModules, ' +
        'excludeModules, layersToTransform, layersPattern, rankPattern, alphaPattern, bias, useRslora, modulesToSave, initLoraWeights',
    )
    expect(() => parseLoraOptions({ rank_patern: {} })).toThrow('did you mean "rankPattern"?')
    expect(() => parseLoraOptions({ layerToTransform: 1 })).toThrow('did you mean "layersToTransform"?')
    expect(() => parseLoraOptions({ use_rs_lora: true })).toThrow('did you mean "useRslora"?')
    expect(() => parseLoraOptions({ constructor: 1 })).toThrow('unknown option "constructor"')
    expect(() => parseLoraOptions([1])).toThrow('[lora] expected an object for options, got [1]')
  })

  test('says that an option of PEFT is not supported yet, unless it has the value that changes nothing', () => {
    const unsupported: [object, string][] = [
      [{ useDora: true }, 'useDora is not supported yet, got true; leave it out'],
      [{ use_dora: true }, 'useDora is not supported yet'],
      [{ loraBias: true }, 'loraBias is not supported yet, got true'],
      [{ layerReplication: [[0, 4]] }, 'layerReplication is not supported yet, got [[...]]'],
      [{ initLoraWeights: 'pissa' }, 'initLoraWeights is not supported yet, got "pissa"'],
      [{ initLoraWeights: 'eva' }, 'initLoraWeights is not supported yet, got "eva"'],
      [{ evaConfig: { rho: 2 } }, 'evaConfig is not supported yet'],
      [{ taskType: 'SEQ_CLS' }, 'taskType is not supported yet, got "SEQ_CLS"'],
      [{ peft_type: 'IA3' }, 'peftType is not supported yet, got "IA3"'],
    ]
    for (const [options, message] of unsupported)
      expect(() => parseLoraOptions(options)).toThrow(`[lora] the PEFT option ${message}`)
    const harmless = {
      useDora: false,
      bias: 'none',
      rankPattern: {},
      init_lora_weights: true,
      task_type: 'CAUSAL_LM',
      fanInFanOut: true,
    }
    expect(parseLoraOptions(harmless)).toEqual(DEFAULT_LORA_CONFIG)
  })
})

describe('reading adapter_config.json', () => {
  const peft = { peft_type: 'LORA', task_type: 'CAUSAL_LM', r: 4, lora_alpha: 8, target_modules: ['q_proj'] }

  test('the adapter_config.json of every golden adapter, which PEFT wrote, is read', async () => {
    const cases = (await readdir(goldenCases, { recursive: true })).filter((file) =>
      file.endsWith('adapter_config.json'),
    )
    expect(cases.length).toBeGreaterThan(5)
    for (const file of cases) {
      const json = JSON.parse(await readFile(join(goldenCases, file), 'utf8'))
      const { lora } = await readPeftConfig(join(goldenCases, file, '..'))
      expect(lora).toEqual({
        r: json.r,
        loraAlpha: json.lora_alpha,
        loraDropout: json.lora_dropout,
        targetModules: json.target_modules,
        excludeModules: json.exclude_modules ?? [],
        layersToTransform: json.layers_to_transform,
        layersPattern: json.layers_pattern,
        rankPattern: json.rank_pattern,
        alphaPattern: json.alpha_pattern,
        bias: json.bias,
        useRslora: json.use_rslora,
        modulesToSave: json.modules_to_save ?? [],
        initLoraWeights: json.init_lora_weights,
      })
    }
  })

  test('a subset has the defaults of PEFT, not ours', () => {
    expect(fromPeftConfig({ peft_type: 'LORA', target_modules: 'all-linear' })).toEqual({
      lora: { ...DEFAULT_LORA_CONFIG, r: 8, loraAlpha: 8 },
      baseModel: undefined,
    })
    expect(fromPeftConfig({ ...peft, base_model_name_or_path: 'org/name' }).baseModel).toBe('org/name')
  })

  test('keys that change nothing are dropped', () => {
    const { lora } = fromPeftConfig({
      ...peft,
      auto_mapping: { base_model_class: 'LlamaForCausalLM' },
      fan_in_fan_out: true,
      init_lora_weights: 'gaussian',
      eva_config: { rho: 2 },
      megatron_core: 'megatron.core',
      a_later_size: 16,
      a_later_name: 'x',
      a_later_switch: false,
      a_later_config: null,
    })
    expect(lora).toMatchObject({ r: 4, loraAlpha: 8, targetModules: ['q_proj'] })
  })

  test.each([
    [{ peft_type: 'IA3' }, 'expected "LORA" for peft_type, got "IA3"; only LoRA is supported'],
    [{ peft_type: undefined }, 'expected "LORA" for peft_type, got undefined'],
    [{ task_type: 'SEQ_CLS' }, 'expected "CAUSAL_LM" for task_type, got "SEQ_CLS"'],
    [{ use_dora: true }, 'the PEFT feature use_dora is not supported yet, got true'],
    [{ bias: 'vera_only' }, "expected 'none', 'all' or 'lora_only' for bias, got \"vera_only\""],
    [{ rank_pattern: { q_proj: -8 } }, 'expected a whole number from 1 to 65536 for rank_pattern["q_proj"], got -8'],
    [{ alpha_pattern: { q_proj: null } }, 'expected a number from 1e-30 to 1e30 for alpha_pattern["q_proj"], got null'],
    [
      { target_modules: '.*q_proj', layers_to_transform: [1] },
      'expected a list of names for target_modules with layers_to_transform, got ".*q_proj"',
    ],
    [{ layers_pattern: 'h' }, 'expected layers_to_transform with layers_pattern, got none'],
    [{ layer_replication: [[0, 4]] }, 'the PEFT feature layer_replication is not supported yet'],
    [{ trainable_token_indices: [3] }, 'the PEFT feature trainable_token_indices is not supported yet'],
    [{ target_parameters: ['experts'] }, 'the PEFT feature target_parameters is not supported yet'],
    [{ lora_bias: true }, 'the PEFT feature lora_bias is not supported yet'],
    [{ use_qalora: true }, 'the PEFT feature use_qalora is not supported yet'],
    [
      { init_lora_weights: 'pissa_niter_4' },
      'init_lora_weights "pissa_niter_4" changes the base model, which is not supported',
    ],
    [{ init_lora_weights: 'olora' }, 'init_lora_weights "olora" changes the base model'],
    [{ r: 9007199254740991 }, 'expected a whole number from 1 to 65536 for r, got 9007199254740991'],
    // What every object inherits is no setting that is known.
    [{ constructor: true }, 'the setting "constructor" is not known here, got true'],
    [{ toString: [1] }, 'the setting "toString" is not known here, got [1]'],
    [
      { use_something_new: true },
      'the setting "use_something_new" is not known here, got true; remove it from the file if',
    ],
    [{ something_config: { a: 1 } }, 'the setting "something_config" is not known here, got {a}'],
    [{ r: 0 }, 'expected a whole number from 1 to 65536 for r, got 0'],
    [{ lora_alpha: '8' }, 'expected a number from 1e-30 to 1e30 for lora_alpha, got "8"'],
    [
      { target_modules: null },
      'expected module names, a regular expression or "all-linear" for target_modules, got null',
    ],
    [
      { target_modules: undefined },
      'expected module names, a regular expression or "all-linear" for target_modules, got undefined',
    ],
  ])('%j is an error', (change, message) => {
    expect(() => fromPeftConfig({ ...peft, ...change })).toThrow(`[adapter adapter_config.json] ${message}`)
  })

  test('missing and damaged files are errors that name the file', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'lowrank-peft-'))
    const path = join(directory, 'adapter_config.json')
    await expect(readPeftConfig(directory)).rejects.toThrow(
      `[adapter] expected the directory of an adapter, got ${directory}`,
    )
    for (const [content, message] of [
      ['{"r": 8', 'is not valid JSON'],
      ['{"r": 8, "r": 16}', 'the key "r" occurs twice'],
      ['[]', 'instead of a JSON object'],
      [`${'{"a":'.repeat(1e5)}1${'}'.repeat(1e5)}`, 'more than 32 levels deep'],
    ] as const) {
      await writeFile(path, content)
      await expect(readPeftConfig(directory)).rejects.toThrow(message)
      await expect(readPeftConfig(directory)).rejects.toThrow(path)
    }
    await rm(directory, { recursive: true })
  })
})

describe('ensure_weight_tying', () => {
  const config = (changes: object) => ({
    peft_type: 'LORA',
    target_modules: ['q_proj'],
    ensure_weight_tying: true,
    ...changes,
  })

  test('passes where the adapter leaves head and embedding alone, and is refused where it may not', () => {
    expect(fromPeftConfig(config({})).lora.targetModules).toEqual(['q_proj'])
    for (const changes of [
      { target_modules: ['q_proj', 'lm_head'] },
      { target_modules: ['model.embed_tokens'] },
      { target_modules: ['tokens'] },
      { target_modules: 'all-linear' },
      { target_modules: '.*' },
      { modules_to_save: ['norm'] },
      { modules_to_save: ['model'] },
    ]) {
      expect(() => fromPeftConfig(config(changes))).toThrow(
        'the PEFT feature ensure_weight_tying is not supported yet, got true; merge it into its model with merge_and_unload() of PEFT, and load what that saves',
      )
    }
  })
})

describe('toPeftConfig', () => {
  const config: LoraConfig = {
    r: 8,
    loraAlpha: 16,
    loraDropout: 0.1,
    targetModules: ['v_proj', 'q_proj'],
    excludeModules: ['o_proj', 'k_proj'],
    layersToTransform: [2, 0],
    layersPattern: ['layers'],
    rankPattern: { v_proj: 4, q_proj: 2 },
    alphaPattern: { q_proj: 1.5 },
    bias: 'all',
    useRslora: true,
    modulesToSave: ['lm_head', 'embed_tokens'],
    initLoraWeights: 'gaussian',
  }

  test('writes sorted keys and lists, and reads back the same', () => {
    const text = toPeftConfig(config, { baseModel: 'org/name', revision: 'a1b2', fanInFanOut: false })
    const json = JSON.parse(text)
    expect(Object.keys(json)).toEqual(Object.keys(json).sort())
    expect(text.startsWith('{\n  "alpha_pattern": {\n    "q_proj": 1.5\n  },\n  "auto_mapping": null,\n')).toBe(true)
    expect(json).toMatchObject({
      base_model_name_or_path: 'org/name',
      revision: 'a1b2',
      fan_in_fan_out: false,
      inference_mode: true,
      peft_type: 'LORA',
      task_type: 'CAUSAL_LM',
      r: 8,
      lora_alpha: 16,
      lora_dropout: 0.1,
      use_rslora: true,
      target_modules: ['q_proj', 'v_proj'],
      exclude_modules: ['k_proj', 'o_proj'],
      layers_to_transform: [2, 0],
      layers_pattern: ['layers'],
      rank_pattern: { v_proj: 4, q_proj: 2 },
      alpha_pattern: { q_proj: 1.5 },
      bias: 'all',
      init_lora_weights: 'gaussian',
      modules_to_save: ['embed_tokens', 'lm_head'],
    })
    // The first that matches counts, here and in PEFT.
    expect(Object.keys(json.rank_pattern)).toEqual(['v_proj', 'q_proj'])
    expect(fromPeftConfig(json)).toEqual({
      lora: {
        ...config,
        targetModules: ['q_proj', 'v_proj'],
        excludeModules: ['k_proj', 'o_proj'],
        modulesToSave: ['embed_tokens', 'lm_head'],
      },
      revision: 'a1b2',
      baseModel: 'org/name',
    })
  })

  test('writes an expression as it is, and nothing to save as null', () => {
    const text = toPeftConfig(
      { ...DEFAULT_LORA_CONFIG, targetModules: '.*\\.q_proj', excludeModules: '.*0.*' },
      { baseModel: null, fanInFanOut: true },
    )
    expect(JSON.parse(text)).toMatchObject({
      target_modules: '.*\\.q_proj',
      exclude_modules: '.*0.*',
      modules_to_save: null,
      layers_to_transform: null,
      layers_pattern: null,
      rank_pattern: {},
      alpha_pattern: {},
      bias: 'none',
      init_lora_weights: true,
      base_model_name_or_path: null,
      fan_in_fan_out: true,
    })
  })

  test('has only keys that PEFT writes too, with the same fixed values', async () => {
    const [file = ''] = (await readdir(goldenCases, { recursive: true })).filter((name) =>
      name.endsWith('adapter_config.json'),
    )
    const theirs = JSON.parse(await readFile(join(goldenCases, file), 'utf8'))
    const ours = JSON.parse(toPeftConfig(DEFAULT_LORA_CONFIG, { baseModel: null, fanInFanOut: false }))
    const ofTheAdapter = ['r', 'lora_alpha', 'target_modules', 'fan_in_fan_out']
    const ofTheSave = ['base_model_name_or_path', 'peft_version', 'auto_mapping', 'inference_mode']
    for (const [key, value] of Object.entries(ours)) {
      expect(Object.keys(theirs)).toContain(key)
      if (![...ofTheAdapter, ...ofTheSave].includes(key)) expect(value, key).toEqual(theirs[key])
    }
  })
})

describe('tensor names', () => {
  test('are those of PEFT, and are taken apart again', () => {
    const module = 'model.layers.0.self_attn.q_proj'
    expect(peftTensorName(module, 'lora_A')).toBe(`base_model.model.${module}.lora_A.weight`)
    expect(peftModuleTensorName('lm_head', 'weight')).toBe('base_model.model.lm_head.weight')
    expect(peftBiasName(module, true)).toBe(`base_model.model.${module}.base_layer.bias`)
    expect(peftBiasName('transformer.ln_f', false)).toBe('base_model.model.transformer.ln_f.bias')
    expect(parsePeftTensorName(peftBiasName(module, true))).toEqual({ kind: 'module', module, parameter: 'bias' })
    expect(parsePeftTensorName(peftTensorName(module, 'lora_B'))).toEqual({ kind: 'lora_B', module })
  })

  test.each([
    ['base_model.model.a.q.lora_A.default.weight', { kind: 'lora_A', module: 'a.q' }],
    ['base_model.model.a.q.lora_B.my_adapter.weight', { kind: 'lora_B', module: 'a.q' }],
    ['base_model.model.lm_head.weight', { kind: 'module', module: 'lm_head', parameter: 'weight' }],
    ['base_model.model.a.norm.bias', { kind: 'module', module: 'a.norm', parameter: 'bias' }],
    [
      'base_model.model.lm_head.modules_to_save.default.weight',
      { kind: 'module', module: 'lm_head', parameter: 'weight' },
    ],
    ['base_model.model.lm_head.modules_to_save.weight', { kind: 'module', module: 'lm_head', parameter: 'weight' }],
    ['base_model.model.lm_head.default.weight', { kind: 'module', module: 'lm_head', parameter: 'weight' }],
    ['base_model.model.a.q.lora_magnitude_vector', { kind: 'unsupported', module: 'a.q', feature: 'use_dora' }],
    [
      'base_model.model.a.q.lora_magnitude_vector.default.weight',
      { kind: 'unsupported', module: 'a.q', feature: 'use_dora' },
    ],
    ['base_model.model.e.lora_embedding_A', { kind: 'unsupported', module: 'e', feature: 'LoRA on an embedding' }],
    ['base_model.model.a.q.lora_B.bias', { kind: 'unsupported', module: 'a.q', feature: 'lora_bias' }],
    ['base_model.model.a.q.base_layer.weight', { kind: 'base', module: 'a.q', parameter: 'weight' }],
    ['base_model.model.a.original_module.weight', { kind: 'base', module: 'a', parameter: 'weight' }],
    [
      'base_model.model.lm_head.modules_to_save.mine.weight',
      { kind: 'module', module: 'lm_head', parameter: 'weight' },
    ],
    ['base_model.model.a.q.lora_A.mine.weight', { kind: 'lora_A', module: 'a.q' }],
    ['model.layers.0.q.lora_A.weight', { kind: 'lora_A', module: 'model.layers.0.q' }],
    ['model.layers.0.q.lora_magnitude_vector', undefined],
    ['base_model.model.weight', undefined],
    ['', undefined],
  ])('%s', (name, parsed) => {
    expect(parsePeftTensorName(name)).toEqual(parsed)
  })
})
