/** @file trainLora: from a model, rows and options to a trained adapter. Puts the pieces together; the loop is in trainer.ts. */

import { createHash } from 'node:crypto'
import { basename, dirname, join, resolve } from 'node:path'
import { LoraAdapter } from '../adapters/lora-adapter.js'
import { PEFT_WEIGHTS_FILE } from '../adapters/peft-names.js'
import type { Parameter } from '../autograd/parameter.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { openCheckpoint } from '../checkpoint/checkpoint.js'
import { beginLoading } from '../checkpoint/load-model.js'
import { resolveModel } from '../checkpoint/resolve-model.js'
import { saveModel } from '../checkpoint/save-model.js'
import { BatchPlan, largestSequentialBatch } from '../data/batches.js'
import { prepareDataset } from '../data/dataset.js'
import type { Example } from '../data/examples.js'
import { datasetFingerprint } from '../data/fingerprint.js'
import { dataOptionsOf } from '../data/options.js'
import { dataWarnings } from '../data/report.js'
import type { DataSource } from '../data/rows.js'
import { withoutSecrets } from '../errors.js'
import { LowrankError } from '../lowrank-error.js'
import { changingRun } from '../options/table.js'
import { Device } from '../tensor/device.js'
import { asTokenizer } from '../tokenizer/adapt.js'
import { loadTokenizer, type Tokenizer } from '../tokenizer/tokenizer.js'
import { Turns } from '../turns.js'
import { isObject, toError } from '../values.js'
import { readSafetensorsHeader } from '../weights/safetensors.js'
import { AdamW } from './adamw.js'
import { type Report, Reporter } from './callbacks.js'
import { type DataSplit, type FailEvent, ofType, type TrainEvent } from './events.js'
import { SFT } from './objectives/sft.js'
import {
  type ResolvedTrainingOptions,
  type ResolvedTrainOptions,
  TRAINING_OPTIONS,
  type TrainLoraOptions,
} from './options.js'
import { OutputDirectory } from './output-directory.js'
import { parseTrainOptions } from './parse-options.js'
import { planRun } from './plan.js'
import { openRunFiles, type RunFiles, secretsOf, writeCard } from './run-files.js'
import { runWarnings } from './run-warnings.js'
import { type RunInProgress, type RunStatistics, startRun, type TrainResult, type TrainRun } from './train-run.js'
import { countSteps, Trainer } from './trainer.js'
import { loadCheckpoint, type RunIdentity, runIdOf, type TrainedWeights } from './training-state.js'

/**
 * Fine-tunes a model with LoRA (or in full, with `method: 'full'`).
 *
 * Rows are encoded once, batches are ragged (no padding is computed), the loss of a step is the mean over all supervised tokens of its
 * accumulation window. With `outputDir`, checkpoints are written there from which `resumeFromCheckpoint` goes on to the same bytes.
 * The run begins at once. What is returned is awaited for the result, iterated for events, and stopped; see {@link TrainRun}. Wrong options reject it
 * too, before any callback is told of anything.
 * When `onEvent` throws or rejects, the run ends after the step in progress, with a checkpoint where there is an `outputDir`, and rejects with
 * that error.
 * @throws on unknown or contradictory options, on defects of the data (naming the row) and of the model, on a loss that is not finite.
 */
export function trainLora(options: TrainLoraOptions): TrainRun {
  return startRun((run) => train(() => parseTrainOptions(options), run))
}

/** `trainLora` with options that are checked and completed, as the command line has them before it begins. */
export function trainResolved(options: ResolvedTrainOptions): TrainRun {
  return startRun((run) => train(() => options, run))
}

async function train(read: () => ResolvedTrainOptions, { log, stopped, follow }: RunInProgress): Promise<TrainResult> {
  const record = (event: TrainEvent): void => log.add(event)
  let reporter = new Reporter({ record, stopped })
  let output: OutputDirectory | undefined
  let resolved: ResolvedTrainOptions | undefined
  try {
    resolved = read()
    reporter = new Reporter({ ...resolved, record, stopped })
    // Before anything that takes long: another run may have the directory, or checkpoints in it.
    output = resolved.outputDir === undefined ? undefined : await OutputDirectory.open(resolved.outputDir)
    return await trainInto(output, resolved, reporter)
  } catch (error) {
    await reporter.report(failEvent(error, reporter, resolved ? await secretsOf(resolved) : []))
    if (reporter.hasAudience) follow()
    throw error
  } finally {
    await output?.close()
  }
}

function failEvent(error: unknown, reporter: Reporter, secrets: readonly string[]): FailEvent {
  const { signal, failedCallback, hasFailed } = reporter
  const isStopped = !hasFailed && signal.aborted && error === signal.reason
  const { code } = isObject(error) ? error : {}
  return {
    type: 'fail',
    code: isStopped ? 'STOPPED' : typeof code === 'string' ? code : null,
    message: withoutSecrets(toError(error).message, secrets),
    ...(failedCallback !== undefined && { callback: failedCallback }),
  }
}

async function trainInto(
  output: OutputDirectory | undefined,
  resolved: ResolvedTrainOptions,
  listener: Reporter,
): Promise<TrainResult> {
  const checkpoint = await findCheckpoint(output, resolved.resumeFromCheckpoint)
  const { signal } = listener
  const onEvent = (event: TrainEvent): void => void listener.report(event)
  const location = await resolveModel(resolved.model, { ...resolved, signal, onEvent })
  listener.throwIfFailed()
  const device = Device.open(resolved.device, { threads: resolved.threads, memoryBudget: resolved.memoryBudget })
  try {
    const dtype = resolved.dtype === 'auto' ? undefined : resolved.dtype
    // Tokenizer and rows are prepared while the weights are read.
    const { quantization, offloadEmbedding } = resolved
    onEvent({ type: 'load', model: location.nameOrPath, quantization: quantization ?? null })
    const model = await beginLoading(location, { device, dtype, quantization, offloadEmbedding })
    const tokenizer = resolved.tokenizer ? asTokenizer(resolved.tokenizer) : await loadTokenizer(location.path)
    return await trainOn(
      model,
      tokenizer,
      location.path,
      output,
      checkpoint,
      { ...resolved, signal, onEvent },
      listener,
    )
  } catch (error) {
    device.close()
    throw error
  }
}

async function trainOn(
  model: CausalLM,
  tokenizer: Tokenizer,
  modelPath: string,
  output: OutputDirectory | undefined,
  checkpoint: string | undefined,
  options: ResolvedTrainOptions,
  listener: Reporter,
): Promise<TrainResult> {
  const { training, signal } = options
  const { train, evaluation, statistics } = await prepareData(options, tokenizer, model)
  const adapter = options.lora && LoraAdapter.create(model, options.lora, { seed: training.seed })
  if (adapter) adapter.baseModelName = options.baseModelName
  const weights = adapter ? adapterWeights(adapter) : modelWeights(model, modelPath)
  const turns = new Turns(signal)
  const plan = new BatchPlan(train, training)
  await plan.prepare(0, turns)
  const { learningRate, adamBeta1, adamBeta2, adamEpsilon, weightDecay } = training
  const optimizer = new AdamW(weights.parameters, {
    lr: learningRate,
    betas: [adamBeta1, adamBeta2],
    eps: adamEpsilon,
    weightDecay,
    decays,
  })
  const { gradientCheckpointing, peakResident } = await planRun(
    SFT,
    model,
    options,
    rowsOf(plan, training, train, evaluation),
  )
  model.gradientCheckpointing = gradientCheckpointing
  await model.device.sync()
  signal?.throwIfAborted()
  const identity = runIdentity(options, model, await turns.run(datasetFingerprint(train)), adapter)
  const totalSteps = await countSteps(plan, training, turns)
  const resumed =
    checkpoint === undefined
      ? undefined
      : {
          path: checkpoint,
          checkpoint: await loadCheckpoint(checkpoint, { weights, optimizer, identity, plan, totalSteps, turns }),
          isContinued: output !== undefined && dirname(checkpoint) === resolve(output.path),
        }
  await plan.prepare(resumed?.checkpoint.state.cursor.epoch ?? 0, turns)
  const history: TrainEvent[] = []
  let files: RunFiles | undefined
  const report: Report = (event) => {
    if (event.type === 'log' || event.type === 'evaluate') history.push(event)
    files?.record(event)
    return listener.report(event)
  }
  const trainer = new Trainer(
    {
      objective: SFT,
      source: plan,
      model,
      weights,
      optimizer,
      totalSteps,
      evaluation,
      training,
      identity,
      output,
      signal,
      report,
    },
    resumed,
  )
  const secrets = await secretsOf(options)
  const { nameOrPath, origin, dtype } = model
  if (output) {
    const settings = { model: nameOrPath, revision: origin.revision, dtype, device: model.device.type, secrets }
    const { step } = trainer.progress
    const warn = (message: string): void => void report({ type: 'warning', message })
    files = await openRunFiles({ directory: output.path, options, settings, step, checkpoint, warn })
  }
  const warnings = [...model.warnings, ...(resumed?.checkpoint.warnings ?? []), ...runWarnings(training, totalSteps)]
  for (const message of warnings) await report({ type: 'warning', message })
  if (output && options.resumeFromCheckpoint === true && !resumed) {
    const message = `[resume] ${output.path} holds no checkpoint: the run begins at its first step`
    await report({ type: 'warning', message })
  }
  await report({
    type: 'start',
    ...trainer.progress,
    ...parameterCounts(model, weights, adapter),
    quantization: model.quantization ?? null,
    trainRows: train.length,
    evalRows: evaluation.length,
    gradientCheckpointing,
    plannedMemory: peakResident,
    device: model.device.type,
  })
  const { end, ...result } = await trainer.run()
  const rows = { statistics, trainRows: train.length, evalRows: evaluation.length }
  const last: RunFiles['last'] = (type) => (files ? files.last(type) : ofType(history, type).at(-1))
  const figures = { ...trainer.progress, lastLog: last('log'), lastEvaluation: last('evaluate') }
  const summary = { ...figures, ...rows, options, model: nameOrPath, origin, dtype, secrets }
  await files?.finish(summary)
  const { stoppedBy } = listener
  if (!listener.hasFailed) await report({ ...end, ...(stoppedBy !== undefined && { stoppedBy }) })
  if (listener.hasFailed) await trainer.saveUnsaved()
  listener.throwIfFailed()
  optimizer.dispose()
  return {
    ...result,
    model,
    tokenizer,
    statistics,
    history,
    get adapter(): LoraAdapter {
      if (!adapter)
        throw new LowrankError(
          'INVALID_CALL',
          "[train] expected a LoRA run for adapter, but method 'full' trains the model itself; use save(directory)",
        )
      return adapter
    },
    save: async (target) => {
      await (adapter ? adapter.save(target) : saveModel(model, target, { tokenizerFrom: modelPath }))
      await writeCard(target, summary)
    },
    dispose: () => {
      adapter?.dispose()
      model.dispose()
      model.device.close()
    },
  }
}

/** Encodes the rows of `dataset` and `evalDataset`, telling of each how far it is and what became of it. */
async function prepareData(
  { dataset, evalDataset, training, signal, onEvent }: ResolvedTrainOptions,
  tokenizer: Tokenizer,
  { config }: CausalLM,
): Promise<{ train: Example[]; evaluation: Example[]; statistics: RunStatistics }> {
  const maxLength = Math.min(training.maxLength, config.maxPositionEmbeddings)
  const clipped = maxLength < training.maxLength
  const options = { ...dataOptionsOf(training), maxLength, vocabSize: config.vocabSize, signal }
  const prepare = async (split: DataSplit, source: DataSource, evalSplit: number) => {
    const onProgress = (rows: number, fraction: number | undefined): void =>
      onEvent?.({ type: 'prepare', split, rows, ...(fraction !== undefined && { fraction }) })
    const prepared = await prepareDataset(source, tokenizer, { ...options, evalSplit, onProgress })
    onEvent?.({
      type: 'data',
      split,
      ...prepared.statistics,
      maxLength,
      ...(clipped && { clippedMaxLength: { wanted: training.maxLength, used: maxLength } }),
      warnings: dataWarnings(prepared.statistics, maxLength, {
        wantedMaxLength: training.maxLength,
        maxPositions: config.maxPositionEmbeddings,
      }),
    })
    return prepared
  }
  const { train, evaluation, statistics } = await prepare('train', dataset, training.evalSplit)
  if (evalDataset === undefined) return { train, evaluation, statistics }
  const heldOut = await prepare('eval', evalDataset, 0)
  return { train, evaluation: heldOut.train, statistics: { ...statistics, evaluation: heldOut.statistics } }
}

function adapterWeights(adapter: LoraAdapter): TrainedWeights {
  return {
    parameters: adapter.parameters(),
    save: (directory) => adapter.save(directory),
    tensors: async (directory) => (await readSafetensorsHeader(join(directory, PEFT_WEIGHTS_FILE))).tensors,
  }
}

function modelWeights(model: CausalLM, tokenizerFrom: string): TrainedWeights {
  for (const parameter of model.parameters().values()) parameter.unfreeze()
  return {
    parameters: model.parameters(),
    save: (directory) => saveModel(model, directory, { dtype: 'float32', tokenizerFrom }),
    tensors: async (directory) => (await openCheckpoint(directory)).tensors,
  }
}

/** Vectors (norm weights and biases) are not decayed, as in transformers' Trainer. */
function decays(_name: string, parameter: Parameter): boolean {
  return parameter.shape.length > 1
}

/** What a run that goes on must share with the one that was interrupted. The rest, the learning rate first, may be changed on purpose. */
function runIdentity(
  { method, training }: ResolvedTrainOptions,
  model: CausalLM,
  dataset: string,
  adapter: LoraAdapter | undefined,
): RunIdentity {
  const { dtype: _, torch_dtype: __, ...architecture } = model.rawConfig
  return {
    method,
    model: createHash('sha256').update(JSON.stringify(architecture)).digest('hex'),
    ...(model.origin.revision && { revision: model.origin.revision }),
    dtype: model.dtype,
    ...(model.quantization && { quantization: model.quantization }),
    dataset,
    lora: adapter ? JSON.stringify(adapter.config) : null,
    ...changingRun(TRAINING_OPTIONS, training),
  }
}

/** The checkpoint to go on from, if any. @throws when the run would mix its checkpoints with those of another. */
async function findCheckpoint(
  output: OutputDirectory | undefined,
  resumeFromCheckpoint: string | boolean,
): Promise<string | undefined> {
  const given = typeof resumeFromCheckpoint === 'string' ? resolve(resumeFromCheckpoint) : undefined
  const last = (await output?.checkpoints())?.at(-1)
  if (output === undefined || last === undefined) return given
  const path = resolve(output.checkpointPath(last))
  await expectOneRun(output)
  if (resumeFromCheckpoint === true || path === given) return path
  const remedy =
    given !== undefined && dirname(given) === dirname(path)
      ? `remove the checkpoints after ${basename(given)}, or choose another outputDir`
      : 'set resumeFromCheckpoint: true (--resume) to go on from it, or choose another outputDir (--output), or remove it'
  throw new LowrankError(
    'CHECKPOINT',
    `[train] expected an outputDir without checkpoints of another run, but ${output.checkpointPath(last)} exists; ${remedy}`,
  )
}

/** @throws when a checkpoint of another run was put among those of this one. */
async function expectOneRun(output: OutputDirectory): Promise<void> {
  let first: { path: string; runId: string } | undefined
  for (const step of await output.checkpoints()) {
    const path = output.checkpointPath(step)
    const runId = await runIdOf(path)
    // Early versions did not say.
    if (!runId) continue
    first ??= { path, runId }
    if (runId === first.runId) continue
    throw new LowrankError(
      'CHECKPOINT',
      `[resume] expected the checkpoints in ${output.path} to be of one run, but ${first.path} is of run ${first.runId} and ${path} of ` +
        `run ${runId}; move those of the other run away`,
    )
  }
}

/** Lengths of the rows that decide how much memory the run takes. */
function rowsOf(
  plan: BatchPlan,
  { perDeviceTrainBatchSize, perDeviceEvalBatchSize, packing, maxLength, evalStrategy }: ResolvedTrainingOptions,
  train: readonly Example[],
  evaluation: readonly Example[],
) {
  const longest = train.reduce((most, { inputIds }) => Math.max(most, inputIds.length), 0)
  const rows = plan.largestBatch()
  const tokens = rows.reduce((sum, length) => sum + length, 0)
  return {
    longest: packing ? Math.min(maxLength, Math.ceil(tokens / perDeviceTrainBatchSize)) : longest,
    rows,
    evalRows: evalStrategy === 'no' ? [] : largestSequentialBatch(evaluation, perDeviceEvalBatchSize),
  }
}

function parameterCounts(
  model: CausalLM,
  weights: TrainedWeights,
  adapter: LoraAdapter | undefined,
): { trainableParameters: number; totalParameters: number } {
  const count = (parameters: Iterable<Parameter>): number => [...parameters].reduce((sum, { size }) => sum + size, 0)
  return {
    trainableParameters: count(weights.parameters.values()),
    totalParameters: count(model.parameters().values()) + (adapter?.numAddedParameters ?? 0),
  }
}
