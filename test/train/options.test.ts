/** @file The options of trainLora: spellings, defaults, ranges, and the answers to options that do not fit. */

import { describe, expect, it } from 'vitest'
import { OptionError } from '../../src/lowrank-error.js'
import { resolveTrainOptions } from '../../src/train/resolve-options.js'
import { TRAINING_DEFAULTS } from '../../src/train/training-options.js'

const minimal = { model: 'a/model', dataset: 'rows.jsonl' }
const parse = (training: object, rest: object = {}) => resolveTrainOptions({ ...minimal, ...rest, training })
const messageOf = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    return (error as Error).message
  }
  return 'nothing was thrown'
}

describe('defaults', () => {
  it('are those of the design when only a model and a data set are given', () => {
    expect(resolveTrainOptions(minimal)).toEqual({
      ...minimal,
      method: 'lora',
      lora: {
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
      },
      device: 'cpu',
      dtype: 'auto',
      resumeFromCheckpoint: false,
      training: {
        ...TRAINING_DEFAULTS,
        gradientAccumulationSteps: 4,
        evalStrategy: 'no',
        maxLength: 2048,
        packing: false,
        packingStrategy: 'bfd',
        padding: false,
        completionOnlyLoss: true,
        assistantOnlyLoss: true,
        shuffle: true,
        seed: 42,
        evalSplit: 0,
        chatTemplate: undefined,
        chatTemplateKwargs: {},
        columns: {},
        roleMapping: {},
        trainOnTurns: 'all',
        trainOnReasoning: true,
        rowForm: undefined,
        onDroppedContent: 'warn',
        onError: 'error',
      },
    })
  })

  it('make sixteen rows per optimizer step of any batch size, unless accumulation is given', () => {
    expect(parse({ perDeviceTrainBatchSize: 3 }).training.gradientAccumulationSteps).toBe(6)
    expect(parse({ perDeviceTrainBatchSize: 33 }).training.gradientAccumulationSteps).toBe(1)
    expect(parse({ perDeviceTrainBatchSize: 3, gradientAccumulationSteps: 1 }).training.gradientAccumulationSteps).toBe(
      1,
    )
  })

  it('evaluate as soon as there is something to evaluate on', () => {
    expect(parse({ evalSplit: 0.1 }).training.evalStrategy).toBe('epoch')
    expect(parse({}, { evalDataset: 'held-out.jsonl' }).training.evalStrategy).toBe('epoch')
    expect(parse({ evalSplit: 7, evalSteps: 5 }).training.evalStrategy).toBe('steps')
    expect(parse({ evalSplit: 7, evalStrategy: 'no' }).training.evalStrategy).toBe('no')
  })

  it('have no lora options when every weight is trained', () => {
    expect(resolveTrainOptions({ ...minimal, method: 'full' }).lora).toBeUndefined()
  })
})

describe('values that would be taken for something else', () => {
  it('are refused: objects whose keys say nothing of what they hold', () => {
    const boxes = [new Map([['maxSteps', 3]]), new Set(['maxSteps']), new Date(0), new Uint8Array(2), /maxSteps/]
    for (const box of boxes) {
      expect(() => resolveTrainOptions(box)).toThrow('[train] expected an object of options, got ')
      expect(() => resolveTrainOptions({ ...minimal, training: box })).toThrow(
        'expected an object of training options for training, got ',
      )
      expect(() => resolveTrainOptions({ ...minimal, lora: box })).toThrow(
        'expected an object of LoRA options for lora, ',
      )
      for (const name of ['rankPattern', 'alphaPattern'])
        expect(() => resolveTrainOptions({ ...minimal, lora: { [name]: box } })).toThrow(
          new RegExp(`^\\[lora\\] expected an object with .* for ${name}, got `),
        )
      for (const name of ['roleMapping', 'chatTemplateKwargs'])
        expect(() => parse({ [name]: box })).toThrow(
          new RegExp(`^\\[training\\] expected an object.* for ${name}, got `),
        )
    }
    const bare = Object.assign(Object.create(null), { maxSteps: 3 })
    expect(parse(bare).training.maxSteps).toBe(3)
  })

  it('are refused: a path where the text of a chat template is wanted', () => {
    for (const chatTemplate of ['chat_template.jinja', './templates/a.jinja', ''])
      expect(() => parse({ chatTemplate })).toThrow('expected Jinja text with {{ or {% in it ')
    expect(parse({ chatTemplate: '{%- for m in messages %}x{% endfor %}' }).training.chatTemplate).toContain('for m')
  })

  it('are refused: an outputDir that would be a directory called ~', () => {
    for (const outputDir of ['~', '~/runs/a'])
      expect(() => resolveTrainOptions({ ...minimal, outputDir })).toThrow(
        `got "${outputDir}"; only a shell knows ~, and only without quotes: write the whole path`,
      )
    expect(resolveTrainOptions({ ...minimal, outputDir: 'a~/~b' }).outputDir).toBe('a~/~b')
  })
})

describe('spellings', () => {
  it('spellings may be those of Python', () => {
    const { training, lora, outputDir } = resolveTrainOptions({
      ...minimal,
      output_dir: 'out',
      lora: { r: 8, lora_alpha: 16, target_modules: ['q_proj'], layers_to_transform: 1, rank_pattern: { q_proj: 4 } },
      training: { num_train_epochs: 1.5, adam_beta1: 0.8, per_device_train_batch_size: 2, max_length: 77 },
    })
    expect(outputDir).toBe('out')
    expect(lora).toMatchObject({ r: 8, loraAlpha: 16, targetModules: ['q_proj'] })
    expect(lora).toMatchObject({ layersToTransform: 1, rankPattern: { q_proj: 4 } })
    expect(training).toMatchObject({ numTrainEpochs: 1.5, adamBeta1: 0.8, perDeviceTrainBatchSize: 2, maxLength: 77 })
  })

  it('spellings may be those of earlier versions', () => {
    expect(parse({ evaluation_strategy: 'steps', max_seq_length: 99, eval_split: 5 }).training).toMatchObject({
      evalStrategy: 'steps',
      maxLength: 99,
    })
    expect(
      resolveTrainOptions({ model_name_or_path: 'a/model', train_dataset: 'x.jsonl', torch_dtype: 'float32' }),
    ).toMatchObject({
      model: 'a/model',
      dataset: 'x.jsonl',
      dtype: 'float32',
    })
    expect(parse({ no_cuda: true }).device).toBe('cpu')
  })

  it('spellings may not come twice', () => {
    expect(() => parse({ maxLength: 64, max_seq_length: 128 })).toThrow(
      '[training] expected maxLength once, got it as maxLength and as max_seq_length; remove one',
    )
  })

  it('spellings by a name that every object has is unknown like any other', () => {
    for (const name of ['constructor', 'toString', '__proto__', 'hasOwnProperty']) {
      // As a file has it: written in a program, the third would be no key at all.
      const given = JSON.parse(`{"${name}":1}`) as object
      for (const options of [
        Object.fromEntries([...Object.entries(minimal), [name, 1]]),
        { ...minimal, training: given },
        { ...minimal, lora: given },
      ])
        expect(() => resolveTrainOptions(options), name).toThrow(`unknown option "${name}"`)
    }
  })

  it('spellings that are wrong are answered with the nearest right one', () => {
    expect(() => parse({ learningrate: 1 })).toThrow(
      '[training] unknown option "learningrate"; did you mean "learningRate"?',
    )
    expect(() => parse({ num_epochs: 1 })).toThrow('did you mean "numTrainEpochs"?')
    expect(() => resolveTrainOptions({ ...minimal, datset: 'x' })).toThrow(
      '[train] unknown option "datset"; did you mean "dataset"?',
    )
    expect(() => parse({ epochs: 2 })).toThrow('unknown option "epochs"; did you mean "numTrainEpochs"?')
    expect(() => parse({ lr: 1e-3 })).toThrow('unknown option "lr"; did you mean "learningRate"?')
    expect(() => parse({ batch_size: 2 })).toThrow('"batch_size"; did you mean "perDeviceTrainBatchSize"?')
    expect(() => resolveTrainOptions({ ...minimal, lora: { rank: 8 } })).toThrow(
      'unknown option "rank"; did you mean "r"?',
    )
    expect(() => resolveTrainOptions({ ...minimal, epochs: 2 })).toThrow(
      '[train] epochs is an option of training; write training: { numTrainEpochs: ... }',
    )
    expect(() => parse({ rank: 8 })).toThrow('[training] rank is an option of lora; write lora: { r: ... }')
    expect(() => parse({ constructor: 1 })).toThrow('[training] unknown option "constructor"')
    expect(() => resolveTrainOptions({ ...minimal, lora: { exclude_module: ['q_proj'] } })).toThrow(
      '[lora] unknown option "exclude_module"; did you mean "excludeModules"?',
    )
    expect(() => parse(JSON.parse('{"__proto__": 1}'))).toThrow('[training] unknown option "__proto__"')
  })

  it('spellings in the wrong place are sent to the right one', () => {
    expect(() => resolveTrainOptions({ ...minimal, learning_rate: 1e-4 })).toThrow(
      '[train] learningRate is an option of training; write training: { learningRate: ... }',
    )
    expect(() => parse({ output_dir: 'out' })).toThrow(
      '[training] outputDir stands beside training, not in it; move it one level up',
    )
    expect(() => resolveTrainOptions({ ...minimal, lora_r: 8 })).toThrow(
      '[train] loraR is an option of lora; write lora: { r: ... }',
    )
    expect(() => parse({ lora_alpha: 8 })).toThrow(
      '[training] loraAlpha is an option of lora; write lora: { loraAlpha: ... }',
    )
    expect(() => resolveTrainOptions({ ...minimal, rank_pattern: { q_proj: 8 } })).toThrow(
      '[train] rankPattern is an option of lora; write lora: { rankPattern: ... }',
    )
  })
})

describe('the device', () => {
  it.each(['cpu', 'cuda', 'cuda:0', 'cuda:17', 'auto', 'cuda-emulator'])('the device may be %s', (device) => {
    expect(resolveTrainOptions({ ...minimal, device }).device).toBe(device)
  })

  it.each(['gpu', 'cuda:', 'cuda:x', 'cuda:-1', 'cuda:1.5', 'CUDA', ' cpu', '', 0])(
    'the device may not be %j',
    (device) => {
      expect(() => resolveTrainOptions({ ...minimal, device })).toThrow(
        `[train] expected 'cpu', 'cuda', 'cuda:N' or 'auto' for device, got ${JSON.stringify(device)}`,
      )
    },
  )

  it('is the CPU where the flags of transformers say so, and they have to agree', () => {
    expect(parse({ use_cpu: true }).device).toBe('cpu')
    expect(parse({ use_cpu: false }, { device: 'cuda:1' }).device).toBe('cuda:1')
    expect(parse({ no_cuda: false }).device).toBe('cpu')
    for (const device of ['cuda', 'auto']) {
      expect(() => parse({ no_cuda: true }, { device })).toThrow(
        `[training] expected noCuda: true and device to agree, got device "${device}"`,
      )
    }
  })
})

describe('values', () => {
  it('values outside their range are named with the range', () => {
    const wrong: [object, string][] = [
      [{ numTrainEpochs: 0 }, 'expected a number above 0 for numTrainEpochs, got 0'],
      [{ numTrainEpochs: Number.NaN }, 'expected a number above 0 for numTrainEpochs, got NaN'],
      [
        { maxSteps: 0 },
        'expected a whole number of at least 1 and at most 2147483647 or -1 (no limit) for maxSteps, got 0',
      ],
      [{ learningRate: '2e-4' }, 'expected a number above 0 for learningRate, got "2e-4"; write it without quotes'],
      [{ warmupRatio: 1.5 }, 'expected a number of at least 0 and at most 1 for warmupRatio, got 1.5'],
      [{ warmupSteps: 0.1 }, 'expected a whole number of at least 0 for warmupSteps, got 0.1'],
      [{ adamBeta2: 1 }, 'expected a number of at least 0 and below 1 for adamBeta2, got 1'],
      [{ perDeviceTrainBatchSize: 2.5 }, 'expected a whole number of at least 1 for perDeviceTrainBatchSize, got 2.5'],
      [{ saveStrategy: 'worst' }, "expected 'no', 'steps', 'epoch', 'best' for saveStrategy, got \"worst\""],
      [{ saveTotalLimit: 0 }, 'expected a whole number of at least 1 or null (keep all) for saveTotalLimit, got 0'],
      [{ packing: 'yes' }, 'expected true or false for packing, got "yes"'],
      [{ maxLength: null }, 'expected a whole number of at least 2 for maxLength, got null'],
      [
        { maxSteps: 2 ** 31 },
        'expected a whole number of at least 1 and at most 2147483647 or -1 (no limit) for maxSteps, got 2147483648',
      ],
      [
        { learningRate: 1e39 },
        'expected a number above 0 for learningRate, got 1e+39; in float32, in which it is computed, it is Infinity',
      ],
      [
        { learningRate: 1e-46 },
        'expected a number above 0 for learningRate, got 1e-46; in float32, in which it is computed, it is 0',
      ],
      [
        { adamBeta2: 0.999999999 },
        'expected a number of at least 0 and below 1 for adamBeta2, got 0.999999999; in float32, in which it is computed, it is 1',
      ],
      [
        { adamEpsilon: 1e-50 },
        'expected a number above 0 for adamEpsilon, got 1e-50; in float32, in which it is computed, it is 0',
      ],
      [
        { maxGradNorm: 1e-50 },
        'expected a number of at least 0 for maxGradNorm, got 1e-50; in float32, in which it is computed, it is 0',
      ],
      [{ maxGradNorm: -0.1 }, 'expected a number of at least 0 for maxGradNorm, got -0.1'],
      [{ evalSplit: -0.1 }, 'expected a fraction below 1 or a whole number of rows for evalSplit, got -0.1'],
    ]
    for (const [training, message] of wrong) expect(messageOf(() => parse(training))).toBe(`[training] ${message}`)
  })

  it('values at the edge of their range are taken', () => {
    const { training } = parse({
      numTrainEpochs: 1e-300,
      learningRate: 1e-45,
      maxGradNorm: 0,
      weightDecay: -0,
      adamBeta1: 0,
    })
    expect(training).toMatchObject({ numTrainEpochs: 1e-300, learningRate: 1e-45, maxGradNorm: 0, adamBeta1: 0 })
    const { lora } = resolveTrainOptions({ ...minimal, lora: { loraAlpha: 1e30, loraDropout: 0.999999 } })
    expect(lora).toMatchObject({ loraAlpha: 1e30, loraDropout: 0.999999 })
    for (const [given, message] of [
      [{ loraAlpha: 1e308 }, 'expected a number from 1e-30 to 1e30 for loraAlpha, got 1e+308'],
      [{ loraAlpha: 1e-60 }, 'expected a number from 1e-30 to 1e30 for loraAlpha, got 1e-60'],
      [{ loraDropout: 0.99999999999 }, 'expected a number in [0, 1) for loraDropout, got 0.99999999999'],
    ] as const)
      expect(messageOf(() => resolveTrainOptions({ ...minimal, lora: given }))).toBe(`[lora] ${message}`)
  })

  it('values of the top level are checked too', () => {
    expect(() => resolveTrainOptions(undefined)).toThrow('[train] expected an object of options, got undefined')
    expect(() => resolveTrainOptions({ dataset: 'x' })).toThrow(
      '[train] expected the directory, .gguf file or Hub id of a model for model, got nothing',
    )
    expect(() => resolveTrainOptions({ ...minimal, dataset: 7 })).toThrow('or an iterable of them for dataset, got 7')
    expect(() => resolveTrainOptions({ ...minimal, method: 'qlora' })).toThrow(
      "[train] expected 'lora', 'full' for method, got \"qlora\"",
    )
    expect(() => resolveTrainOptions({ ...minimal, quantization: 'nf5' })).toThrow(
      '[train] expected \'nf4\' for quantization, got "nf5"',
    )
    expect(() => resolveTrainOptions({ ...minimal, training: 3 })).toThrow(
      'expected an object of training options for training, got 3',
    )
    expect(() => resolveTrainOptions({ ...minimal, signal: {} })).toThrow('expected an AbortSignal for signal')
    expect(() => resolveTrainOptions({ ...minimal, lora: { r: 0 } })).toThrow(/\[lora\].*r\b/)
  })

  it('values may be rows in place of a path', () => {
    const dataset = [{ prompt: 'a', completion: 'b' }]
    expect(resolveTrainOptions({ model: 'm', dataset }).dataset).toBe(dataset)
  })
})

describe('options of transformers and TRL', () => {
  it('options of transformers and TRL that are not supported yet say so, and what to do', () => {
    const messages: [object, string][] = [
      [
        { optim: 'adafactor' },
        'optim: "adafactor" is real but not supported yet; AdamW is the only optimizer: leave it out or set \'adamw_torch\'',
      ],
      [{ torch_compile: true }, 'torchCompile: true is real but not supported yet; leave it out'],
      [
        { skip_memory_metrics: false },
        'skipMemoryMetrics: false is real but not supported yet; set includeMemoryMetrics: true',
      ],
      [{ neftune_noise_alpha: 5 }, 'neftuneNoiseAlpha: 5 is real but not supported yet; leave it out'],
      [
        { lr_scheduler_type: 'polynomial' },
        "lrSchedulerType 'polynomial' is real but not supported yet; use 'cosine', 'linear', 'constant', 'constant_with_warmup'",
      ],
    ]
    for (const [training, message] of messages) expect(messageOf(() => parse(training))).toBe(`[training] ${message}`)
    expect(() => resolveTrainOptions({ ...minimal, dataset: 's3://a.b.c' })).toThrow(
      'got "s3://a.b.c"; such addresses are not read; download the file',
    )
  })

  it('are accepted where they ask for what happens anyway', () => {
    const { training } = parse({
      optim: 'adamw_torch',
      report_to: 'none',
      torch_compile: false,
      neftune_noise_alpha: null,
    })
    expect(training).not.toHaveProperty('optim')
    expect(training).not.toHaveProperty('reportTo')
  })
})

describe('conflicts', () => {
  it('conflicts between precision flags are named', () => {
    expect(parse({ bf16: true }).dtype).toBe('bfloat16')
    expect(parse({ fp16: true }).dtype).toBe('float16')
    expect(parse({ fp16: true }, { dtype: 'float16' }).dtype).toBe('float16')
    expect(parse({ bf16: false, fp16: false }).dtype).toBe('auto')
    expect(() => parse({ fp16: true }, { dtype: 'bfloat16' })).toThrow(
      '[training] expected fp16: true and dtype to agree, got dtype "bfloat16"; remove one',
    )
    expect(() => parse({ bf16: true, fp16: true })).toThrow('[training] expected bf16 or fp16, got both; remove one')
    expect(() => parse({ bf16: true }, { dtype: 'float32' })).toThrow(
      '[training] expected bf16: true and dtype to agree, got dtype "float32"; remove one',
    )
    expect(() => parse({ bf16: 1 })).toThrow('[training] expected true or false for bf16, got 1')
  })

  it('conflicts between options of the schedule are named', () => {
    expect(() => parse({ warmupRatio: 0.1, warmupSteps: 5 })).toThrow(
      'expected warmupRatio or warmupSteps, got both; remove one',
    )
    expect(() => parse({ lrSchedulerType: 'constant', warmupSteps: 5 })).toThrow(
      "expected no warmupSteps with lrSchedulerType 'constant'; use 'constant_with_warmup'",
    )
  })

  it('conflicts between ways to make batches are named', () => {
    const pairs = [
      [{ maxTokensPerBatch: 9000, dataloaderDropLast: true }, 'maxTokensPerBatch or dataloaderDropLast'],
      [{ maxTokensPerBatch: 9000, packing: true }, 'maxTokensPerBatch or packing'],
      [{ groupByLength: true, packing: true }, 'groupByLength or packing'],
    ] as const
    for (const [training, names] of pairs)
      expect(() => parse(training)).toThrow(`[training] expected ${names}, got both; remove one`)
    expect(parse({ maxTokensPerBatch: 9000 }).training.gradientAccumulationSteps).toBe(1)
    expect(parse({ group_by_length: true, dataloader_drop_last: true }).training).toMatchObject({
      groupByLength: true,
      dataloaderDropLast: true,
      gradientAccumulationSteps: 4,
    })
  })

  it('conflicts about evaluation are named', () => {
    expect(() => parse({ evalStrategy: 'epoch' })).toThrow(
      "expected evalDataset or evalSplit with evalStrategy 'epoch'",
    )
    expect(() => parse({ evalSplit: 0.1 }, { evalDataset: 'x' })).toThrow(
      'expected evalDataset or evalSplit, got both; remove one',
    )
  })

  it('conflicts between method, resuming and what they need are named', () => {
    expect(() => resolveTrainOptions({ ...minimal, method: 'full', lora: {} })).toThrow(
      "expected no lora options with method 'full'",
    )
    expect(() => resolveTrainOptions({ ...minimal, method: 'full', offloadEmbedding: true })).toThrow(
      "[train] expected no offloadEmbedding with method 'full', which trains the embeddings",
    )
    expect(() => resolveTrainOptions({ ...minimal, method: 'full', quantization: 'nf4' })).toThrow(
      "[train] expected no quantization with method 'full': weights in NF4 have no gradient; train an adapter on them, or remove it",
    )
    expect(() => resolveTrainOptions({ ...minimal, resumeFromCheckpoint: true })).toThrow(
      'expected outputDir with resumeFromCheckpoint: true',
    )
    expect(() => resolveTrainOptions({ ...minimal, behaviour: true })).toThrow(
      'expected outputDir with behaviour: true',
    )
    expect(() => resolveTrainOptions({ ...minimal, outputDir: 'o', method: 'full', behaviour: true })).toThrow(
      "expected method 'lora' with behaviour: true",
    )
  })
})

describe('everything that is wrong', () => {
  const problemsOf = (options: object): OptionError['problems'] => {
    try {
      resolveTrainOptions(options)
    } catch (error) {
      if (error instanceof OptionError) return error.problems
      throw error
    }
    return []
  }

  it('is told at once, each with the option as it was spelled', () => {
    const options = {
      model: 7,
      datset: 'x',
      preset: 'qlora',
      peft_config: { rank: 8, lora_alpha: -1, target_modules: [], rankPattern: { q_proj: 0 } },
      training: {
        learning_rate: 'fast',
        max_seq_length: 1,
        maxSteps: 1.5,
        optim: 'sgd',
        loraDropout: 0.1,
        bf16: 'yes',
        eval_strategy: 'steps',
      },
    }
    expect(problemsOf(options).map(({ options }) => options.map((path) => path.join('.')).join(' '))).toEqual([
      'preset',
      'training.bf16',
      'model',
      'datset',
      'dataset',
      'training.learning_rate',
      'training.max_seq_length',
      'training.maxSteps',
      'training.optim',
      'training.loraDropout',
      'training.eval_strategy',
      'peft_config.rank',
      'peft_config.lora_alpha',
      'peft_config.target_modules',
      'peft_config.rankPattern',
    ])
    const message = messageOf(() => resolveTrainOptions(options))
    expect(message).toMatch(/^\[train\] 15 options are wrong:\n {2}- \[train\] unknown preset "qlora"/)
    expect(message).toContain('\n  - [training] expected a whole number of at least 2 for maxLength, got 1\n')
    expect(message).toContain('\n  - [lora] unknown option "rank"')
  })

  it('is not followed by complaints about what hangs on it', () => {
    const told = (options: object): string[] => problemsOf({ ...minimal, ...options }).map(({ message }) => message)
    expect(told({ training: { evalSplit: 'some', evalStrategy: 'epoch' } })).toEqual([
      '[training] expected a fraction below 1 or a whole number of rows for evalSplit, got "some"',
    ])
    expect(told({ lora: { layersToTransform: 'first', layersPattern: 'h' } })).toHaveLength(1)
    expect(told({ training: 3, lora: 4 })).toEqual([
      '[train] expected an object of training options for training, got 3',
      '[train] expected an object of LoRA options for lora, got 4',
    ])
  })

  it('names both sides of a contradiction', () => {
    expect(problemsOf({ ...minimal, training: { warmup_ratio: 0.1, warmupSteps: 3 } })).toMatchObject([
      {
        options: [
          ['training', 'warmup_ratio'],
          ['training', 'warmupSteps'],
        ],
      },
    ])
    expect(problemsOf({ ...minimal, method: 'full', lora: {} })).toMatchObject([{ options: [['lora'], ['method']] }])
  })
})

describe('an access token', () => {
  const token = 'secret-of-a-mirror'

  it.each<[string, object]>([
    ['as a list', { token: [token] }],
    ['as the key of an object', { token: { [token]: true } }],
    ['as an empty text', { token: ' ', cacheDir: '' }],
    ['under the name of transformers', { training: { hub_token: token } }],
    ['beside other options of training', { training: { token } }],
    ['under a name that does not exist', { hfToken: token, lora: { token } }],
  ])('is never shown: %s', (_, options) => {
    const message = messageOf(() => resolveTrainOptions({ ...minimal, ...options }))
    expect(message).toMatch(/^\[train/)
    expect(message).not.toContain(token)
  })

  it('is not shown in place of another option either, where its form tells', () => {
    for (const wrong of ['hf_abcdefghijKLMNOP0123', 'https://user:pass@host/x', 'https://host/x?access_token=pass']) {
      const message = messageOf(() =>
        resolveTrainOptions({ ...minimal, device: wrong, [wrong]: 1, training: { saveStrategy: [wrong] } }),
      )
      expect(message).toMatch(/3 options are wrong/)
      expect(message).toContain('***')
      expect(message).not.toMatch(/abcdef|pass/)
    }
  })
})
