/**
 * @file The options of `trainLora` but those of `training`, which are in training-options.ts: types, every default, and
 * what each may be. How they go together is in resolve-options.ts.
 */

import { LORA_OPTIONS, type LoraConfig } from '../adapters/lora-config.js'
import { type DataSource, isDataSource } from '../data/sources/open-source.js'
import { HUB_OPTIONS, type HubOptions } from '../hub/settings.js'
import { LOADER_LIST, LOADER_NAMES, type LoaderName } from '../loaders/loader-names.js'
import type { OptionProblem } from '../lowrank-error.js'
import { MODEL_OPTIONS } from '../nn/model-options.js'
import type { Quantization } from '../nn/module.js'
import { boolean, callback, either, instance, oneOf, type Rule, text, textOf } from '../options/rules.js'
import { SIGNAL } from '../options/shared.js'
import { aliasesOf, type OptionTable } from '../options/table.js'
import { DEVICE, DEVICE_OPTIONS, type DeviceName } from '../tensor/device.js'
import { COMPUTE_DTYPES, type ComputeDType } from '../tensor/dtype.js'
import type { ForeignTokenizer } from '../tokenizer/adapt.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { isObject, isPlainObject } from '../values.js'
import { isCallbacks, type TrainCallback } from './callbacks.js'
import { evalDatasetRule, type NamedDataSources } from './eval-datasets.js'
import type { TrainEvent } from './events.js'
import { PRESETS, type PresetName } from './presets.js'
import { PROBE_OPTIONS, type ProbeOptions } from './probe-options.js'
import { type ResolvedTrainingOptions, TRAINING_OPTIONS, type TrainingOptions } from './training-options.js'

/** Options of `trainLora`. Those of `HubOptions` count where the model is one of the Hub. */
export interface TrainRunOptions extends HubOptions, ProbeOptions {
  /**
   * A recipe for what the other options leave open; see `PRESETS`.
   * @default none
   */
  preset?: PresetName
  /**
   * Directory of a model, a GGUF file, or a Hub id, `org/name` or `org/name@revision`, which is fetched into the Hub
   * cache where it is not there yet.
   */
  model: string
  /**
   * Used instead of the model's own tokenizer; those of transformers.js fit.
   * @default the model's
   */
  tokenizer?: Tokenizer | ForeignTokenizer
  /** Path, glob or folder of rows, several of them, rows themselves, or an object that reads rows. */
  dataset: DataSource
  /**
   * Rows to evaluate on, or several data sets by name, whose scores are `eval_NAME_loss`; or hold some of `dataset` out
   * with `training.evalSplit`.
   * @default none
   */
  evalDataset?: DataSource | NamedDataSources
  /**
   * 'full' trains every weight of the model instead of an adapter.
   * @default 'lora'
   */
  method?: 'lora' | 'full'
  /**
   * Settings of the adapter; not with method 'full'.
   * @default every default of `LoraConfig`
   */
  lora?: Partial<LoraConfig>
  /**
   * What the adapter names as its base model: the Hub id of a `model` that is given as a path or a GGUF file. Not with
   * method 'full'.
   * @default the Hub id of the model, else its absolute path
   */
  baseModelName?: string
  /**
   * Compares the adapter with its base once the run is complete, and writes `behaviour.json` into `outputDir`; see
   * `compareBehaviour`. Needs `outputDir` and method 'lora'.
   * @default false
   */
  behaviour?: boolean
  /**
   * Programs that are to open the result: what they refuse of the adapter, the model and its chat template is a warning
   * before the first step.
   * @default none
   */
  exportFor?: readonly LoaderName[]
  /**
   * 'nf4' (QLoRA): the frozen projections are held in 4 bits; see `loadModel`. Not with method 'full'.
   * @default what the checkpoint has
   */
  quantization?: Quantization
  /**
   * On a GPU: the embeddings stay in the machine's memory; see `loadModel`. Not with method 'full'.
   * @default false
   */
  offloadEmbedding?: boolean
  /**
   * How long, how fast and on what of the rows it trains.
   * @default every default of `TrainingOptions`
   */
  training?: TrainingOptions
  /**
   * Directory of checkpoints, log.jsonl, train.yaml, trainer_state.json and README.md; without it none are written.
   * It has a lock: a second run there is refused while one goes on.
   * @default none
   */
  outputDir?: string
  /**
   * Where it trains. GPUs need the engine with CUDA, see `lowrank doctor`.
   * @default 'cpu'
   */
  device?: DeviceName
  /**
   * Dtype of weights and activations. 'auto': bfloat16 on a GPU, where the processor computes in it, and with
   * `quantization`, else float32. With 'float16' the loss is scaled as torch.amp.GradScaler does it.
   * @default 'auto'
   */
  dtype?: ComputeDType | 'auto'
  /**
   * Threads of the CPU that compute.
   * @default the physical cores that the process may use
   */
  threads?: number
  /**
   * Bytes that tensors may take.
   * @default 90 % of the device's memory that is available
   */
  memoryBudget?: number
  /**
   * True: go on from the last checkpoint in `outputDir`; a path: from that checkpoint. Its files are compared with
   * their checksums first.
   * @default false
   */
  resumeFromCheckpoint?: boolean | string
  /**
   * Ends the run after the step in progress, with a checkpoint; before the first step it throws the signal's reason.
   * @default none
   */
  signal?: AbortSignal
  /**
   * Is told what happens, in order; what it throws or rejects with ends the run after its step, with a checkpoint.
   * @default none
   */
  onEvent?: (event: TrainEvent) => void
  /**
   * Are told what happens, in order, and waited for: trackers, progress bars, early stopping.
   * @default none
   */
  callbacks?: readonly TrainCallback[]
}

/** What `trainLora` works with. */
export interface ResolvedTrainOptions
  extends Omit<TrainRunOptions, 'method' | 'lora' | 'training' | 'device' | 'dtype' | 'resumeFromCheckpoint'> {
  method: 'lora' | 'full'
  /** Undefined when `method` is 'full'. */
  lora: LoraConfig | undefined
  training: ResolvedTrainingOptions
  device: DeviceName
  dtype: ComputeDType | 'auto'
  resumeFromCheckpoint: boolean | string
}

/** Options of `trainLora` that training knows nothing of: what they become is among its callbacks. */
export interface MoreOptions {
  readonly table: OptionTable
  /** What is wrong with them together, once each has passed its rule. */
  check(options: Readonly<Record<string, unknown>>): readonly OptionProblem[]
}

/** A path that would be a directory called `~`. */
const isFromHome = (value: unknown): boolean => typeof value === 'string' && HOME.test(value)
const HOME = /^~(?:[/\\]|$)/

/** Rows; a file can hold them or their path. */
const source = {
  expected: 'the path, glob or folder of rows, or an iterable of them',
  accepts: isDataSource,
  schema: {
    anyOf: [
      { type: 'string', minLength: 1 },
      { type: 'array', items: { type: ['string', 'object'] } },
      { type: 'object', anyOf: [{ required: ['path'] }, { required: ['mix'] }] },
    ],
  },
} as const satisfies Rule

/** The options of `trainLora`. */
export const TRAIN_LORA_OPTIONS = {
  model: {
    rule: textOf('the directory, .gguf file or Hub id of a model'),
    example: 'HuggingFaceTB/SmolLM2-135M-Instruct',
    help: 'directory, .gguf file or Hub id of the model',
    isRequired: true,
    aliases: ['modelNameOrPath'],
    flag: { name: '--model', argument: 'dir', group: 'Model, rows and result' },
  },
  ...HUB_OPTIONS,
  preset: {
    rule: { ...textOf('the name of a preset'), schema: { enum: Object.keys(PRESETS) } },
    example: 'qlora-all-linear',
    help: `a recipe that fills in what you leave open: ${Object.keys(PRESETS).join(', ')}`,
    flag: { name: '--preset', argument: 'name' },
  },
  tokenizer: {
    rule: instance('a tokenizer', (value) => isObject(value) || typeof value === 'function'),
    otherwise: "the model's",
    help: "used in place of the model's tokenizer",
    aliases: ['processingClass'],
  },
  dataset: {
    rule: source,
    example: 'rows.jsonl',
    help: 'path, glob or folder of the rows',
    isRequired: true,
    aliases: ['trainDataset'],
    flag: { name: '--dataset', argument: 'path' },
  },
  evalDataset: {
    rule: evalDatasetRule(source),
    example: 'held-out.jsonl',
    help: 'path, glob or folder of rows to evaluate on, or several of those by name',
    flag: { name: '--eval-dataset', argument: 'path' },
  },
  ...PROBE_OPTIONS,
  outputDir: {
    rule: {
      expected: 'the path of a directory',
      accepts: (value) => text.accepts(value) && !isFromHome(value),
      hint: (value) =>
        isFromHome(value) ? '; only a shell knows ~, and only without quotes: write the whole path' : '',
      schema: { type: 'string', minLength: 1, not: { pattern: HOME.source } },
    },
    example: 'out/run',
    help: 'where checkpoints go, and the result in adapter/ or model/; needed on the command line',
    flag: { name: '--output', argument: 'dir' },
  },
  method: {
    rule: oneOf(['lora', 'full']),
    default: 'lora',
    help: 'lora, or full: train every weight',
    flag: { name: '--method', argument: 'name', group: 'How it is held and computed' },
  },
  behaviour: {
    rule: boolean,
    default: false,
    help: 'compares the adapter with its base once the run is complete, and writes behaviour.json',
    flag: { name: '--behaviour' },
  },
  exportFor: {
    rule: LOADER_LIST,
    otherwise: 'none',
    example: ['vllm', 'llama.cpp'],
    help: `programs that are to open the result, and what they refuse is told before the first step: ${LOADER_NAMES.join(', ')}`,
    flag: {
      name: '--export-for',
      argument: 'names',
      help: 'tell first what these programs refuse of the result',
      choices: LOADER_NAMES,
    },
  },
  baseModelName: {
    rule: textOf('the Hub id or path of a model'),
    example: 'org/name',
    otherwise: 'the Hub id of the model, else its absolute path',
    help: 'Hub id that the adapter names as its base, where model is a path or a GGUF file',
  },
  quantization: MODEL_OPTIONS.quantization,
  offloadEmbedding: MODEL_OPTIONS.offloadEmbedding,
  device: DEVICE,
  dtype: {
    rule: oneOf(['auto', ...COMPUTE_DTYPES]),
    default: 'auto',
    help: 'auto, bfloat16, float16 or float32',
    aliases: ['torchDtype'],
    flag: MODEL_OPTIONS.dtype.flag,
  },
  threads: DEVICE_OPTIONS.threads,
  memoryBudget: DEVICE_OPTIONS.memoryBudget,
  resumeFromCheckpoint: {
    rule: either(boolean, textOf('the path of a checkpoint')),
    default: false,
    help: 'true: go on from the last checkpoint in outputDir; or the path of one',
    flag: { name: '--resume', help: 'go on from the last checkpoint in --output' },
  },
  signal: {
    ...SIGNAL,
    help: 'ends the run after the step in progress, with a checkpoint',
  },
  onEvent: {
    rule: callback,
    help: 'is called with each event of the run, in order',
  },
  callbacks: {
    rule: instance('a list of objects with a name and a function onEvent', isCallbacks),
    help: 'their onEvent is called with each event, in order, and waited for',
  },
  lora: {
    rule: { expected: 'an object of LoRA options', accepts: isPlainObject },
    help: 'settings of the adapter',
    aliases: ['peftConfig'],
    table: LORA_OPTIONS,
  },
  training: {
    rule: { expected: 'an object of training options', accepts: isPlainObject },
    help: 'how long, how fast and on what of the rows it trains',
    table: TRAINING_OPTIONS,
  },
} as const satisfies OptionTable<TrainRunOptions>

/** The name here of an option beside `training` (no section) or in it, by that or an older name in camelCase. */
export function currentName(section: string | undefined, name: string): string {
  const table: OptionTable = section === undefined ? TRAIN_LORA_OPTIONS : section === 'training' ? TRAINING_OPTIONS : {}
  return aliasesOf(table).get(name) ?? name
}
