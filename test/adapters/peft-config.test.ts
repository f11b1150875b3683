/** @file LoRA settings: options in both spellings, PEFT's configuration in and out, and an error for whatever would change the result. */

import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  DEFAULT_LORA_CONFIG,
  fromPeftConfig,
  type LoraConfig,
  parseLoraOptions,
  readPeftConfig,
  toPeftConfig,
} from '../../src/adapters/peft-config.js'
import { parsePeftTensorName, peftModuleTensorName, peftTensorName } from '../../src/adapters/peft-names.js'

const goldenCases = new URL('../golden/cases/', import.meta.url).pathname

describe('parseLoraOptions', () => {
  test('fills in the defaults', () => {
    const defaults = {
      r: 16,
      loraAlpha: 32,
      loraDropout: 0,
      targetModules: 'all-linear',
      useRslora: false,
      modulesToSave: [],
    }
    expect(parseLoraOptions()).toEqual(defaults)
    expect(parseLoraOptions({ r: undefined, modulesToSave: null, target_modules: null })).toEqual(defaults)
    expect(DEFAULT_LORA_CONFIG).toEqual(defaults)
  })

  test('takes camelCase and snake_case, and drops repeated names', () => {
    const expected = {
      r: 7,
      loraAlpha: 3.5,
      loraDropout: 0.05,
      targetModules: ['q_proj', 'v_proj'],
      useRslora: true,
      modulesToSave: ['lm_head'],
    }
    expect(parseLoraOptions({ ...expected, targetModules: ['q_proj', 'v_proj', 'q_proj'] })).toEqual(expected)
    expect(
      parseLoraOptions({
        r: 7,
        lora_alpha: 3.5,
        lora_dropout: 0.05,
        target_modules: ['q_proj', 'v_proj'],
        use_rslora: true,
        modules_to_save: ['lm_head'],
      }),
    ).toEqual(expected)
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
    [{ r: 0 }, 'expected a whole number above 0 for r, got 0'],
    [{ r: 2.5 }, 'expected a whole number above 0 for r, got 2.5'],
    [{ r: '16' }, 'expected a whole number above 0 for r, got "16"'],
    [{ loraAlpha: 0 }, 'expected a number above 0 for loraAlpha, got 0'],
    [{ lora_alpha: Number.NaN }, 'expected a number above 0 for loraAlpha, got NaN'],
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
  ])('refuses %j', (options, message) => {
    expect(() => parseLoraOptions(options)).toThrow(`[lora] ${message}`)
  })

  test('names the nearest option for an unknown one', () => {
    expect(() => parseLoraOptions({ lorAlpha: 8 })).toThrow(
      '[lora] unknown option "lorAlpha"; did you mean "loraAlpha"? valid options: r, loraAlpha, loraDropout, targetModules, ' +
        'useRslora, modulesToSave',
    )
    expect(() => parseLoraOptions({ use_rs_lora: true })).toThrow('did you mean "useRslora"?')
    expect(() => parseLoraOptions({ constructor: 1 })).toThrow('unknown option "constructor"')
    expect(() => parseLoraOptions([1])).toThrow('[lora] expected an object of options, got [1]')
  })

  test('says that an option of PEFT is not supported yet, unless it has the value that changes nothing', () => {
    const unsupported: [object, string][] = [
      [{ useDora: true }, 'useDora is not supported yet, got true; leave it out'],
      [{ use_dora: true }, 'useDora is not supported yet'],
      [{ bias: 'all' }, 'bias is not supported yet, got "all"'],
      [{ rankPattern: { q_proj: 8 } }, 'rankPattern is not supported yet, got {q_proj}'],
      [{ initLoraWeights: 'pissa' }, 'initLoraWeights is not supported yet, got "pissa"'],
      [{ initLoraWeights: false }, 'initLoraWeights is not supported yet, got false'],
      [{ evaConfig: { rho: 2 } }, 'evaConfig is not supported yet'],
      [{ layersToTransform: [0] }, 'layersToTransform is not supported yet, got [0]'],
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

  test('of every golden adapter, which PEFT wrote', async () => {
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
        useRslora: json.use_rslora,
        modulesToSave: json.modules_to_save ?? [],
      })
    }
  })

  test('a subset has the defaults of PEFT, not ours', () => {
    expect(fromPeftConfig({ peft_type: 'LORA', target_modules: 'all-linear' })).toEqual({
      lora: { r: 8, loraAlpha: 8, loraDropout: 0, targetModules: 'all-linear', useRslora: false, modulesToSave: [] },
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
    [{ bias: 'lora_only' }, 'the PEFT feature bias is not supported yet, got "lora_only"'],
    [{ rank_pattern: { q_proj: 8 } }, 'the PEFT feature rank_pattern is not supported yet, got {q_proj}'],
    [{ alpha_pattern: { q_proj: 8 } }, 'the PEFT feature alpha_pattern is not supported yet'],
    [{ layers_to_transform: [1] }, 'the PEFT feature layers_to_transform is not supported yet'],
    [{ layers_to_transform: 0 }, 'the PEFT feature layers_to_transform is not supported yet, got 0'],
    [{ layer_replication: [[0, 4]] }, 'the PEFT feature layer_replication is not supported yet'],
    [{ exclude_modules: ['v_proj'] }, 'the PEFT feature exclude_modules is not supported yet'],
    [{ trainable_token_indices: [3] }, 'the PEFT feature trainable_token_indices is not supported yet'],
    [{ target_parameters: ['experts'] }, 'the PEFT feature target_parameters is not supported yet'],
    [{ lora_bias: true }, 'the PEFT feature lora_bias is not supported yet'],
    [{ use_qalora: true }, 'the PEFT feature use_qalora is not supported yet'],
    [
      { init_lora_weights: 'pissa_niter_4' },
      'init_lora_weights "pissa_niter_4" changes the base model, which is not supported',
    ],
    [{ init_lora_weights: 'olora' }, 'init_lora_weights "olora" changes the base model'],
    [
      { use_something_new: true },
      'the setting "use_something_new" is not known here, got true; remove it from the file if',
    ],
    [{ something_config: { a: 1 } }, 'the setting "something_config" is not known here, got {a}'],
    [{ r: 0 }, 'expected a whole number above 0 for r, got 0'],
    [{ lora_alpha: '8' }, 'expected a number above 0 for lora_alpha, got "8"'],
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
    await expect(readPeftConfig(directory)).rejects.toThrow(`[adapter] cannot read ${path}`)
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

describe('toPeftConfig', () => {
  const config: LoraConfig = {
    r: 8,
    loraAlpha: 16,
    loraDropout: 0.1,
    targetModules: ['v_proj', 'q_proj'],
    useRslora: true,
    modulesToSave: ['lm_head', 'embed_tokens'],
  }

  test('writes sorted keys and lists, and reads back the same', () => {
    const text = toPeftConfig(config, { baseModel: 'org/name', revision: 'a1b2', fanInFanOut: false })
    const json = JSON.parse(text)
    expect(Object.keys(json)).toEqual(Object.keys(json).sort())
    expect(text.startsWith('{\n  "alpha_pattern": {},\n  "auto_mapping": null,\n')).toBe(true)
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
      modules_to_save: ['embed_tokens', 'lm_head'],
    })
    expect(fromPeftConfig(json)).toEqual({
      lora: { ...config, targetModules: ['q_proj', 'v_proj'], modulesToSave: ['embed_tokens', 'lm_head'] },
      baseModel: 'org/name',
    })
  })

  test('writes an expression as it is, and nothing to save as null', () => {
    const text = toPeftConfig(
      { ...config, targetModules: '.*\\.q_proj', modulesToSave: [] },
      { baseModel: null, fanInFanOut: true },
    )
    expect(JSON.parse(text)).toMatchObject({
      target_modules: '.*\\.q_proj',
      modules_to_save: null,
      base_model_name_or_path: null,
      fan_in_fan_out: true,
    })
  })

  test('has only keys that PEFT writes too, with the same fixed values', async () => {
    const [file = ''] = (await readdir(goldenCases, { recursive: true })).filter((name) =>
      name.endsWith('adapter_config.json'),
    )
    const theirs = JSON.parse(await readFile(join(goldenCases, file), 'utf8'))
    const ours = JSON.parse(toPeftConfig(config, { baseModel: null, fanInFanOut: false }))
    const ofTheAdapter = ['r', 'lora_alpha', 'lora_dropout', 'target_modules', 'modules_to_save', 'use_rslora']
    const ofTheSave = ['base_model_name_or_path', 'peft_version', 'init_lora_weights', 'auto_mapping', 'inference_mode']
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
    ['base_model.model.a.q.base_layer.weight', { kind: 'unsupported', module: 'a.q', feature: 'base_layer' }],
    ['model.layers.0.q.lora_A.weight', undefined],
    ['base_model.model.weight', undefined],
    ['', undefined],
  ])('%s', (name, parsed) => {
    expect(parsePeftTensorName(name)).toEqual(parsed)
  })
})
