/** @file The options of `trainLora`: types, every default, and the one place where their values are checked. */

import { DEFAULT_LORA_CONFIG, type LoraConfig } from '../adapters/lora-config.js'
import { parseLoraOptions } from '../adapters/peft-config.js'
import type { GradientCheckpointing } from '../autograd/checkpoint.js'
import { DATA_OPTION_NAMES, type DataOptions, type ResolvedDataOptions, resolveDataOptions } from '../data/options.js'
import type { DataSource } from '../data/rows.js'
import { describeValue, unknownOption } from '../errors.js'
import type { HubOptions } from '../hub/settings.js'
import type { Quantization } from '../nn/module.js'
import { DEVICE_NAMES, type DeviceName, isDeviceName } from '../tensor/device.js'
import { COMPUTE_DTYPES, type ComputeDType } from '../tensor/dtype.js'
import type { ForeignTokenizer } from '../tokenizer/adapt.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import type { TrainEvent } from './events.js'
import {
  OLD_TOP_LEVEL_NAMES,
  OLD_TRAINING_NAMES,
  UNSUPPORTED_SCHEDULERS,
  UNSUPPORTED_TRAINING,
} from './known-options.js'
import {
  boolean,
  camelCaseKeys,
  check,
  either,
  exactly,
  integer,
  number,
  oneOf,
  type Rule,
  type Spelling,
  text,
} from './option-rules.js'
import { findPreset, type PresetName, withPreset } from './presets.js'
import { LR_SCHEDULER_TYPES, type LrSchedulerType } from './schedule.js'

/** When something happens during a run. */
export type IntervalStrategy = 'no' | 'steps' | 'epoch'

/** What transformers' TrainingArguments and TRL's SFTConfig hold, in camelCase. Defaults are in {@link TRAINING_DEFAULTS}. */
export interface TrainingOptions extends DataOptions {
  numTrainEpochs?: number
  /** Optimizer steps; when above 0 it replaces `numTrainEpochs`. */
  maxSteps?: number
  /** Rows (with packing: packs) per micro-batch. */
  perDeviceTrainBatchSize?: number
  perDeviceEvalBatchSize?: number
  /** Micro-batches per optimizer step; 'auto' makes 16 rows per step of whatever `perDeviceTrainBatchSize` is. */
  gradientAccumulationSteps?: number | 'auto'
  /**
   * Recompute layers in backward instead of keeping their activations: true keeps the results of attention, 'full' recomputes those too, so that about
   * half as much is kept per layer. 'auto' does what memory demands. No bit of any result changes.
   */
  gradientCheckpointing?: GradientCheckpointing | 'auto'
  learningRate?: number
  lrSchedulerType?: LrSchedulerType
  /** Share of all steps that the rate rises from 0. Not together with `warmupSteps`. */
  warmupRatio?: number
  warmupSteps?: number
  weightDecay?: number
  adamBeta1?: number
  adamBeta2?: number
  adamEpsilon?: number
  /** Gradients longer than this are scaled down to it; 0 never clips. */
  maxGradNorm?: number
  /** 'auto': when there is something to evaluate on, every `evalSteps` where those are given, else each epoch. */
  evalStrategy?: IntervalStrategy | 'auto'
  evalSteps?: number
  saveStrategy?: IntervalStrategy
  saveSteps?: number
  /** Checkpoints kept; null keeps all. */
  saveTotalLimit?: number | null
  /** Steps that one log event averages over. */
  loggingSteps?: number
}

/** Options of `trainLora`. Those of `HubOptions` count where the model is one of the Hub. */
export interface TrainLoraOptions extends HubOptions {
  /** A recipe for what the other options leave open; see `PRESETS`. */
  preset?: PresetName
  /** Directory of a model, a GGUF file, or a Hub id, `org/name` or `org/name@revision`, which is fetched into the Hub cache where it is not there yet. */
  model: string
  /** Used instead of the model's own tokenizer; those of transformers.js fit. */
  tokenizer?: Tokenizer | ForeignTokenizer
  /** Path or glob of JSON Lines, or rows. */
  dataset: DataSource
  /** Rows to evaluate on; or hold some of `dataset` out with `training.evalSplit`. */
  evalDataset?: DataSource
  /** 'full' trains every weight of the model instead of an adapter. Default 'lora'. */
  method?: 'lora' | 'full'
  lora?: Partial<LoraConfig>
  /** 'nf4' (QLoRA): the frozen projections are held in 4 bits; see `loadModel`. Not with method 'full'. */
  quantization?: Quantization
  /** On a GPU: the embeddings stay in the machine's memory; see `loadModel`. Not with method 'full'. Default false. */
  offloadEmbedding?: boolean
  training?: TrainingOptions
  /** Where checkpoints go; without it none are written. */
  outputDir?: string
  /** Where it trains; default 'cpu'. GPUs need the engine with CUDA, see `lowrank doctor`. */
  device?: DeviceName
  /**
   * Of weights and activations. 'auto' (default): bfloat16 on a GPU, where the processor computes in it, and with `quantization`, else float32. With
   * 'float16' the loss is scaled as torch.amp.GradScaler does it.
   */
  dtype?: ComputeDType | 'auto'
  /** Of the CPU. Default: the physical cores that the process may use. */
  threads?: number
  /** Bytes that tensors may take. Default: 90 % of the device's memory that is available. */
  memoryBudget?: number
  /** true: go on from the last checkpoint in `outputDir`; a path: from that checkpoint. */
  resumeFromCheckpoint?: boolean | string
  /** Ends the run after the step in progress, with a checkpoint; before the first step it throws the signal's reason. */
  signal?: AbortSignal
  onEvent?: (event: TrainEvent) => void
}

/** Every default of `training`, those of the data among them in src/data/options.ts. */
export const TRAINING_DEFAULTS = {
  numTrainEpochs: 3,
  maxSteps: -1,
  perDeviceTrainBatchSize: 4,
  perDeviceEvalBatchSize: 8,
  gradientAccumulationSteps: 'auto',
  gradientCheckpointing: 'auto',
  learningRate: 2e-4,
  lrSchedulerType: 'cosine',
  warmupRatio: 0.05,
  warmupSteps: undefined,
  weightDecay: 0,
  adamBeta1: 0.9,
  adamBeta2: 0.999,
  adamEpsilon: 1e-8,
  maxGradNorm: 1,
  evalStrategy: 'auto',
  evalSteps: 100,
  saveStrategy: 'steps',
  saveSteps: 500,
  saveTotalLimit: null,
  loggingSteps: 10,
} as const satisfies Record<Exclude<keyof TrainingOptions, keyof DataOptions>, unknown>

const EFFECTIVE_BATCH_SIZE = 16

/** `training` with everything filled in and no 'auto' that could be settled without the model. */
export interface ResolvedTrainingOptions
  extends ResolvedDataOptions,
    Required<Omit<TrainingOptions, keyof DataOptions | 'gradientAccumulationSteps' | 'evalStrategy' | 'warmupSteps'>> {
  gradientAccumulationSteps: number
  evalStrategy: IntervalStrategy
  /** Undefined: `warmupRatio` counts. */
  warmupSteps: number | undefined
}

/** What `trainLora` works with. */
export interface ResolvedTrainOptions
  extends Omit<TrainLoraOptions, 'method' | 'lora' | 'training' | 'device' | 'dtype' | 'resumeFromCheckpoint'> {
  method: 'lora' | 'full'
  /** Undefined when `method` is 'full'. */
  lora: LoraConfig | undefined
  training: ResolvedTrainingOptions
  device: DeviceName
  dtype: ComputeDType | 'auto'
  resumeFromCheckpoint: boolean | string
}

const RULES: Record<keyof typeof TRAINING_DEFAULTS, Rule> = {
  numTrainEpochs: number({ above: 0 }),
  maxSteps: either(integer({ min: 1 }), exactly(-1, 'no limit')),
  perDeviceTrainBatchSize: integer({ min: 1 }),
  perDeviceEvalBatchSize: integer({ min: 1 }),
  gradientAccumulationSteps: either(integer({ min: 1 }), exactly('auto', `${EFFECTIVE_BATCH_SIZE} rows per step`)),
  gradientCheckpointing: either(boolean, oneOf(['full', 'auto'])),
  learningRate: number({ above: 0 }),
  lrSchedulerType: oneOf(LR_SCHEDULER_TYPES),
  warmupRatio: number({ min: 0, max: 1 }),
  warmupSteps: integer({ min: 0 }),
  weightDecay: number({ min: 0 }),
  adamBeta1: number({ min: 0, below: 1 }),
  adamBeta2: number({ min: 0, below: 1 }),
  adamEpsilon: number({ above: 0 }),
  maxGradNorm: number({ min: 0 }),
  evalStrategy: oneOf(['no', 'steps', 'epoch', 'auto']),
  evalSteps: integer({ min: 1 }),
  saveStrategy: oneOf(['no', 'steps', 'epoch']),
  saveSteps: integer({ min: 1 }),
  saveTotalLimit: either(integer({ min: 1 }), exactly(null, 'keep all')),
  loggingSteps: integer({ min: 1 }),
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isRows = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && (Symbol.iterator in value || Symbol.asyncIterator in value)

const source: Rule = {
  expected: 'the path or glob of JSON Lines, or an iterable of rows',
  accepts: (value) => text.accepts(value) || isRows(value),
}

const TOP_LEVEL: Record<keyof TrainLoraOptions, Rule> = {
  preset: { ...text, expected: 'the name of a preset' },
  model: { ...text, expected: 'the directory, .gguf file or Hub id of a model' },
  revision: { ...text, expected: 'a branch, tag or commit' },
  token: { ...text, expected: 'an access token' },
  cacheDir: { ...text, expected: 'the path of a directory' },
  localFilesOnly: boolean,
  tokenizer: { expected: 'a tokenizer', accepts: (value) => isObject(value) || typeof value === 'function' },
  dataset: source,
  evalDataset: source,
  method: oneOf(['lora', 'full']),
  lora: { expected: 'an object of LoRA options', accepts: isObject },
  quantization: oneOf(['nf4']),
  offloadEmbedding: boolean,
  training: { expected: 'an object of training options', accepts: isObject },
  outputDir: { ...text, expected: 'the path of a directory' },
  device: { expected: DEVICE_NAMES, accepts: isDeviceName },
  dtype: oneOf(['auto', ...COMPUTE_DTYPES]),
  threads: integer({ min: 1 }),
  memoryBudget: integer({ min: 1 }),
  resumeFromCheckpoint: either(boolean, { ...text, expected: 'the path of a checkpoint' }),
  signal: { expected: 'an AbortSignal', accepts: (value) => value instanceof AbortSignal },
  onEvent: { expected: 'a function', accepts: (value) => typeof value === 'function' },
}

const TRAINING_NAMES: readonly string[] = [...Object.keys(RULES), ...DATA_OPTION_NAMES]
const TOP_LEVEL_NAMES = Object.keys(TOP_LEVEL)

/**
 * Checks and completes the options of `trainLora`. Keys may be camelCase, or snake_case as in Python.
 *
 * @throws Error for an unknown option (naming the nearest), one that transformers or TRL have and this library does not yet,
 * values outside their range, and options that contradict each other.
 */
export function parseTrainOptions(raw: unknown): ResolvedTrainOptions {
  if (!isObject(raw)) throw new Error(`[train] expected an object of options, got ${describeValue(raw)}`)
  const [top, spelling] = camelCaseKeys('train', raw, OLD_TOP_LEVEL_NAMES)
  const nested = isObject(top.training) ? top.training : {}
  const [trainingFlags, trainingSpelling] = camelCaseKeys('training', nested, OLD_TRAINING_NAMES)
  const [given, flags] = applyPreset(top, trainingFlags)
  applyMachineFlags(given, flags)
  checkTopLevel(given, spelling)
  const options = given as unknown as TrainLoraOptions
  const method = options.method ?? 'lora'
  if (method === 'full' && options.lora) {
    throw new Error(
      "[train] expected no lora options with method 'full', which trains every weight; remove one of the two",
    )
  }
  if (method === 'full' && options.quantization) {
    throw new Error(
      "[train] expected no quantization with method 'full': weights in NF4 have no gradient; train an adapter on them, or remove it",
    )
  }
  if (method === 'full' && options.offloadEmbedding) {
    throw new Error(
      "[train] expected no offloadEmbedding with method 'full', which trains the embeddings; remove it, or train an adapter",
    )
  }
  const training = parseTraining(flags, trainingSpelling, options.evalDataset !== undefined)
  const resume = options.resumeFromCheckpoint ?? false
  if (resume === true && options.outputDir === undefined) {
    throw new Error(
      '[train] expected outputDir with resumeFromCheckpoint: true; set it, or give the path of a checkpoint',
    )
  }
  return {
    ...options,
    method,
    lora: method === 'lora' ? parseLoraOptions(options.lora ?? {}) : undefined,
    training,
    device: options.device ?? 'cpu',
    dtype: options.dtype ?? 'auto',
    resumeFromCheckpoint: resume,
  }
}

/** Options and those of `training`, completed by the preset where one is named. */
function applyPreset(
  top: Record<string, unknown>,
  training: Record<string, unknown>,
): [given: Record<string, unknown>, training: Record<string, unknown>] {
  // What is no object is refused as it stands.
  if (top.preset === undefined || (top.lora !== undefined && !isObject(top.lora))) return [top, training]
  const [lora] = camelCaseKeys('lora', top.lora ?? {}, {})
  const all = withPreset(findPreset(top.preset), { top, training, lora })
  const hasLora = top.lora !== undefined || Object.keys(all.lora).length > 0
  return [{ ...all.top, ...(hasLora && { lora: all.lora }) }, { ...all.training }]
}

function checkTopLevel(given: Record<string, unknown>, spelling: Spelling): void {
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(TOP_LEVEL, name)) continue
    if (
      TRAINING_NAMES.includes(name) ||
      Object.hasOwn(UNSUPPORTED_TRAINING, name) ||
      Object.hasOwn(OLD_TRAINING_NAMES, name)
    ) {
      throw new Error(`[train] ${name} is an option of training; write training: { ${name}: ... }`)
    }
    throw misplacedLoraOption('train', name) ?? unknownOption('train', spelling.get(name) ?? name, TOP_LEVEL_NAMES)
  }
  for (const name of ['model', 'dataset']) {
    if (given[name] === undefined)
      throw new Error(`[train] expected ${TOP_LEVEL[name as 'model'].expected} for ${name}, got nothing`)
  }
  const { dataset } = given
  if (typeof dataset === 'string' && dataset.startsWith('uc://')) {
    throw new Error('[train] Unity Catalog tables are real but not supported yet; export the table to a .jsonl file')
  }
  for (const [name, value] of Object.entries(given))
    check('train', name, value, TOP_LEVEL[name as keyof TrainLoraOptions])
}

function parseTraining(
  given: Record<string, unknown>,
  spelling: Spelling,
  hasEvalDataset: boolean,
): ResolvedTrainingOptions {
  const own: TrainingOptions = {}
  const data: DataOptions = {}
  for (const [name, value] of Object.entries(given)) {
    if (Object.hasOwn(RULES, name)) {
      if (name === 'lrSchedulerType' && UNSUPPORTED_SCHEDULERS.includes(value as string)) {
        throw new Error(
          `[training] lrSchedulerType '${value}' is real but not supported yet; use ${RULES.lrSchedulerType.expected}`,
        )
      }
      check('training', name, value, RULES[name as keyof typeof RULES])
      Object.assign(own, { [name]: value })
    } else if ((DATA_OPTION_NAMES as readonly string[]).includes(name)) Object.assign(data, { [name]: value })
    else checkForeign(name, value, spelling)
  }
  const resolvedData = resolveDataOptions(data, 'training')
  checkConflicts(own, resolvedData, hasEvalDataset)
  const all = { ...TRAINING_DEFAULTS, ...own }
  const hasEvaluation = hasEvalDataset || resolvedData.evalSplit > 0
  return {
    ...all,
    ...resolvedData,
    gradientAccumulationSteps:
      all.gradientAccumulationSteps === 'auto'
        ? Math.ceil(EFFECTIVE_BATCH_SIZE / all.perDeviceTrainBatchSize)
        : all.gradientAccumulationSteps,
    evalStrategy: all.evalStrategy === 'auto' ? autoEvalStrategy(hasEvaluation, own) : all.evalStrategy,
  }
}

function autoEvalStrategy(hasEvaluation: boolean, own: TrainingOptions): IntervalStrategy {
  if (!hasEvaluation) return 'no'
  return own.evalSteps === undefined ? 'epoch' : 'steps'
}

/** An option that is not ours: fine when it asks for what happens anyway, else an error that knows it or does not. */
function checkForeign(name: string, value: unknown, spelling: Spelling): void {
  if (TOP_LEVEL_NAMES.includes(name))
    throw new Error(`[training] ${name} stands beside training, not in it; move it one level up`)
  const known = Object.hasOwn(UNSUPPORTED_TRAINING, name) ? UNSUPPORTED_TRAINING[name] : undefined
  if (known === undefined)
    throw misplacedLoraOption('training', name) ?? unknownOption('training', spelling.get(name) ?? name, TRAINING_NAMES)
  if (value === null || known.same.includes(value)) return
  throw new Error(`[training] ${name}: ${describeValue(value)} is real but not supported yet; ${known.remedy}`)
}

function misplacedLoraOption(where: string, name: string): Error | undefined {
  const loraName = name === 'loraR' ? 'r' : name
  if (!Object.hasOwn(DEFAULT_LORA_CONFIG, loraName)) return undefined
  return new Error(`[${where}] ${name} is an option of lora; write lora: { ${loraName}: ... }`)
}

function checkConflicts(own: TrainingOptions, data: ResolvedDataOptions, hasEvalDataset: boolean): void {
  const warmup = (own.warmupRatio ?? 0) > 0 ? 'warmupRatio' : (own.warmupSteps ?? 0) > 0 ? 'warmupSteps' : undefined
  if (own.warmupRatio !== undefined && own.warmupSteps !== undefined) {
    throw new Error('[training] expected warmupRatio or warmupSteps, got both; remove one')
  }
  if (own.lrSchedulerType === 'constant' && warmup) {
    throw new Error(`[training] expected no ${warmup} with lrSchedulerType 'constant'; use 'constant_with_warmup'`)
  }
  if (hasEvalDataset && data.evalSplit > 0) {
    throw new Error('[training] expected evalDataset or evalSplit, got both; remove one')
  }
  const evaluates = own.evalStrategy === 'steps' || own.evalStrategy === 'epoch'
  if (evaluates && !hasEvalDataset && data.evalSplit === 0) {
    throw new Error(
      `[training] expected evalDataset or evalSplit with evalStrategy '${own.evalStrategy}'; add one, or set 'no'`,
    )
  }
}

/** Turns the flags of TrainingArguments about machine and precision into `device` and `dtype`. */
function applyMachineFlags(given: Record<string, unknown>, flags: Record<string, unknown>): void {
  const take = (name: string): boolean => {
    const value = flags[name]
    if (value === undefined) return false
    check('training', name, value, boolean)
    delete flags[name]
    return value as boolean
  }
  const bf16 = take('bf16')
  const fp16 = take('fp16')
  if (bf16 && fp16) throw new Error('[training] expected bf16 or fp16, got both; remove one')
  const wanted = bf16 ? 'bfloat16' : fp16 ? 'float16' : undefined
  if (wanted && given.dtype !== undefined && given.dtype !== wanted) {
    throw new Error(
      `[training] expected ${bf16 ? 'bf16' : 'fp16'}: true and dtype to agree, got dtype ${describeValue(given.dtype)}; remove one`,
    )
  }
  if (wanted) given.dtype = wanted
  const cpuFlags = ['useCpu', 'noCuda'].filter(take)
  if (cpuFlags.length > 0 && given.device !== undefined && given.device !== 'cpu') {
    throw new Error(
      `[training] expected ${cpuFlags[0]}: true and device to agree, got device ${describeValue(given.device)}`,
    )
  }
  if (cpuFlags.length > 0) given.device = 'cpu'
}
