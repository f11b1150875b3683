/**
 * @file Options that exist in transformers or TRL but not here: old spellings of ours, and those not supported yet. The
 * point is a better answer than "unknown option". PEFT's options are in src/adapters.
 */

/**
 * What the command line and other trainers call options of `training`: named in the error, as they are no spellings of
 * ours.
 */
export const SHORT_TRAINING_NAMES: ReadonlyMap<string, string> = new Map([
  ['epochs', 'numTrainEpochs'],
  ['lr', 'learningRate'],
  ['batchSize', 'perDeviceTrainBatchSize'],
  ['batch_size', 'perDeviceTrainBatchSize'],
])

/** An option that is real elsewhere. */
interface KnownOption {
  /** Values that ask for what happens here anyway; they are accepted and have no effect. */
  readonly same: readonly unknown[]
  /** What to do instead. */
  readonly remedy: string
  /** Whether the value must not be shown. */
  readonly isSecret?: boolean
}

const leaveOut = (...same: unknown[]): KnownOption => ({ same, remedy: 'leave it out' })
const instead = (remedy: string, ...same: unknown[]): KnownOption => ({ same, remedy })

const ADAMW = ['adamw', 'adamw_torch', 'adamw_torch_fused', 'adamw_hf']

/** Options of transformers' TrainingArguments and TRL's SFTConfig that are not supported yet. */
export const UNSUPPORTED_OPTIONS: Readonly<Record<string, KnownOption>> = {
  adafactor: leaveOut(false),
  activationOffloading: instead('use gradientCheckpointing', false),
  autoFindBatchSize: instead('lower perDeviceTrainBatchSize', false),
  averageTokensAcrossDevices: leaveOut(true, false),
  dataSeed: instead('set seed, which also seeds the order of the data'),
  datasetTextField: instead("name the column 'text'", 'text'),
  dataloaderNumWorkers: leaveOut(0),
  dataloaderPinMemory: leaveOut(true, false),
  ddpFindUnusedParameters: leaveOut(false),
  deepspeed: leaveOut(),
  disableTqdm: instead('leave createProgress() out of callbacks, or set --json on the command line', false),
  doEval: instead('set evalStrategy'),
  doTrain: leaveOut(true),
  eosToken: instead('set eos_token in tokenizer_config.json'),
  evalAccumulationSteps: leaveOut(1),
  evalPacking: instead('evaluation packs as training does'),
  fsdp: leaveOut('', false),
  fullDeterminism: instead('runs are deterministic without it', true),
  lengthColumnName: instead('lengths are counted', 'length'),
  gradientCheckpointingKwargs: leaveOut(),
  hubToken: { ...instead('set HF_TOKEN, or token beside training'), isSecret: true },
  hubModelId: instead('push the adapter directory with a Hub client'),
  ignoreDataSkip: leaveOut(false),
  includeNumInputTokensSeen: instead('events always carry it', true),
  labelSmoothingFactor: leaveOut(0),
  loggingDir: instead("set loggingDir of tensorboard beside training, with reportTo 'tensorboard'"),
  loggingStrategy: instead('set loggingSteps', 'steps'),
  logLevel: leaveOut(),
  lrSchedulerKwargs: leaveOut(),
  neftuneNoiseAlpha: leaveOut(0),
  optim: instead("AdamW is the only optimizer: leave it out or set 'adamw_torch'", ...ADAMW),
  optimArgs: instead('set adamBeta1, adamBeta2 and adamEpsilon'),
  optimTargetModules: leaveOut(),
  padToMultipleOf: instead("rows are not padded; padding: 'max_length' pads them to one length", 1),
  paddingFree: instead('leave padding out', true),
  predictionLossOnly: leaveOut(true),
  pushToHub: instead('push the adapter directory with a Hub client', false),
  removeUnusedColumns: leaveOut(true),
  reportTo: instead('set reportTo beside training', 'none'),
  saveOnlyModel: instead('checkpoints always hold what resuming needs', false),
  saveSafetensors: instead('files are always safetensors', true),
  skipMemoryMetrics: instead('set includeMemoryMetrics: true', true),
  tf32: leaveOut(false),
  torchCompile: leaveOut(false),
  torchEmptyCacheSteps: leaveOut(),
  useLigerKernel: instead('the output head and its loss are always fused', false),
}

/** Schedules of transformers that are not supported yet. */
export const UNSUPPORTED_SCHEDULERS: readonly string[] = [
  'cosine_with_restarts',
  'cosine_with_min_lr',
  'cosine_warmup_with_min_lr',
  'inverse_sqrt',
  'polynomial',
  'reduce_lr_on_plateau',
  'warmup_stable_decay',
]
