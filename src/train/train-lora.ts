/**
 * @file trainLora: from a model, rows and options to a trained adapter. Puts the pieces together; the loop is in
 * trainer.ts.
 */

import { dirname, resolve } from 'node:path'
import type { LoraAdapter } from '../adapters/lora-adapter.js'
import { cacheDirectory } from '../cache-directory.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { beginLoading } from '../checkpoint/load-model.js'
import { resolveModel } from '../checkpoint/resolve-model.js'
import type { DataCursor } from '../data/batches.js'
import type { Item } from '../data/items.js'
import { withoutSecrets } from '../errors.js'
import { LowrankError } from '../lowrank-error.js'
import { Device } from '../tensor/device.js'
import { asTokenizer } from '../tokenizer/adapt.js'
import { loadTokenizer, type Tokenizer } from '../tokenizer/tokenizer.js'
import { Turns } from '../turns.js'
import { isObject, toError } from '../values.js'
import { packageVersion } from '../version.js'
import { type Report, Reporter } from './callbacks.js'
import { rowsOf } from './evaluations.js'
import { type EndEvent, type FailEvent, ofType, type PresetEvent, type TrainEvent } from './events.js'
import { expectKnownMetric } from './known-metrics.js'
import type { Objective } from './objective.js'
import { SFT } from './objectives/sft.js'
import type { ResolvedTrainOptions, TrainRunOptions } from './options.js'
import { OutputDirectory } from './output-directory.js'
import { estimateMemory } from './plan.js'
import { findPreset, type PresetName } from './presets.js'
import { Probes, readEvalTasks } from './probes.js'
import { resolveTrainOptions } from './resolve-options.js'
import { findCheckpoint, runIdentity } from './resume.js'
import { writeBehaviour } from './run-behaviour.js'
import { plainOptions } from './run-config.js'
import { checkSources, prepareData, type RunData } from './run-data.js'
import { openRunFiles, type RunFiles, secretsOf, writeCard } from './run-files.js'
import { RunStatusFile } from './run-status.js'
import { exportWarnings, runWarnings } from './run-warnings.js'
import { type RunInProgress, startRun, type TrainResult, type TrainRun } from './train-run.js'
import { createOptimizer, createTrainedPart } from './trained-part.js'
import { Trainer } from './trainer.js'
import { loadCheckpoint } from './training-state.js'

/**
 * Fine-tunes a model with LoRA (or in full, with `method: 'full'`).
 *
 * Rows are encoded once, batches are ragged (no padding is computed), the loss of a step is the mean over all
 * supervised tokens of its accumulation window. With `outputDir`, checkpoints are written there from which
 * `resumeFromCheckpoint` goes on to the same bytes. The run begins at once. What is returned is awaited for the result,
 * iterated for events, and stopped; see {@link TrainRun}. Wrong options reject it too, before any callback is told of
 * anything. When `onEvent` throws or rejects, the run ends after the step in progress, with a checkpoint where there is
 * an `outputDir`, and rejects with that error.
 * @throws OptionError on unknown or contradictory options, all told at once.
 * @throws DataError on a row that cannot be trained on, with file and row.
 * @throws ModelError on a model, tokenizer or adapter that is damaged or not supported.
 * @throws OutOfMemoryError before the first step, if the run does not fit the memory budget.
 * @throws DivergedError on a loss, gradient or weight that is no finite number, with the last good checkpoint.
 * @throws LowrankError on files, checkpoints and devices; see ErrorCode.
 */
export function trainLora(options: TrainRunOptions): TrainRun {
  return startRun((run) => train(SFT, () => resolveTrainOptions(options), run))
}

/** `trainLora` with options that somebody else checks and completes; what `open` throws, the run rejects with. */
export function trainOpened(open: () => Promise<ResolvedTrainOptions>): TrainRun {
  return startRun((run) => train(SFT, open, run))
}

/** A run of any objective. */
export function trainObjective<I extends Item>(objective: Objective<I>, options: ResolvedTrainOptions): TrainRun {
  return startRun((run) => train(objective, () => options, run))
}

async function train<I extends Item>(
  objective: Objective<I>,
  read: () => ResolvedTrainOptions | Promise<ResolvedTrainOptions>,
  { log, stopped, follow }: RunInProgress,
): Promise<TrainResult> {
  const startedAt = new Date().toISOString()
  let status: RunStatusFile | undefined
  const record = (event: TrainEvent): void => {
    log.add(event)
    status?.see(event)
  }
  let reporter = new Reporter({ record, stopped })
  let output: OutputDirectory | undefined
  let resolved: ResolvedTrainOptions | undefined
  try {
    resolved = await read()
    readEvalTasks(resolved.evalTasks)
    expectKnownMetric(objective, resolved)
    reporter = new Reporter({ ...resolved, record, stopped })
    const { preset } = resolved
    if (preset !== undefined) await reporter.report(presetEvent(preset))
    // Before anything that takes long: another run may have the directory, or checkpoints in it.
    output = resolved.outputDir === undefined ? undefined : await OutputDirectory.open(resolved.outputDir)
    status = output && new RunStatusFile(output.path, (message) => void reporter.report({ type: 'warning', message }))
    const checkpoint = await findCheckpoint(output, resolved.resumeFromCheckpoint)
    return await trainInto({ objective, options: resolved, reporter, output, checkpoint, startedAt })
  } catch (error) {
    await reporter.report(failEvent(error, reporter, resolved ? await secretsOf(resolved) : []))
    if (reporter.hasAudience) follow()
    throw error
  } finally {
    await status?.close()
    await output?.close()
  }
}

/** A run whose options are settled and whose directory is its own. */
interface OpenRun<I extends Item> {
  readonly objective: Objective<I>
  readonly options: ResolvedTrainOptions
  readonly reporter: Reporter
  readonly output: OutputDirectory | undefined
  readonly checkpoint: string | undefined
  readonly startedAt: string
}

async function trainInto<I extends Item>(run: OpenRun<I>): Promise<TrainResult> {
  const { options, reporter } = run
  const { signal } = reporter
  const onEvent = (event: TrainEvent): void => void reporter.report(event)
  await checkSources({ ...options, signal })
  const location = await resolveModel(options.model, { ...options, signal, onEvent })
  reporter.throwIfFailed()
  const device = Device.open(options.device, { threads: options.threads, memoryBudget: options.memoryBudget })
  try {
    const dtype = options.dtype === 'auto' ? undefined : options.dtype
    // Tokenizer and rows are prepared while the weights are read.
    const { quantization, offloadEmbedding } = options
    onEvent({ type: 'load', model: location.nameOrPath, quantization: quantization ?? null })
    const model = await beginLoading(location, { device, dtype, quantization, offloadEmbedding })
    const tokenizer = options.tokenizer ? asTokenizer(options.tokenizer) : await loadTokenizer(location.path)
    return await trainOn(model, tokenizer, location.path, { ...run, options: { ...options, signal, onEvent } })
  } catch (error) {
    device.close()
    throw error
  }
}

async function trainOn<I extends Item>(
  model: CausalLM,
  tokenizer: Tokenizer,
  modelPath: string,
  run: OpenRun<I>,
): Promise<TrainResult> {
  const { objective, options, output } = run
  const data = await prepareData(objective, options, tokenizer, model, output?.path ?? cacheDirectory())
  try {
    return await trainOnData(model, tokenizer, modelPath, { ...run, data })
  } finally {
    await data.close()
  }
}

async function trainOnData<I extends Item>(
  model: CausalLM,
  tokenizer: Tokenizer,
  modelPath: string,
  run: OpenRun<I> & { readonly data: RunData<I> },
): Promise<TrainResult> {
  const { objective, options, reporter, output, checkpoint, startedAt } = run
  const { training, signal } = options
  const { rows, evaluation } = run.data
  const { plan } = rows
  const trained = createTrainedPart(options, model, modelPath)
  const { weights, adapter } = trained
  const turns = new Turns(signal)
  const optimizer = createOptimizer(trained, training)
  const probes = await Probes.prepare(model, tokenizer, options)
  const lengths = rows.lengths(evaluation.map(({ items }) => items))
  const memory = await estimateMemory(objective, model, options, { ...lengths, answers: probes.sizes })
  model.gradientCheckpointing = memory.gradientCheckpointing
  await model.device.sync()
  signal?.throwIfAborted()
  const identity = runIdentity(objective, options, model, await rows.identity(turns), adapter)
  const totalSteps = await rows.countSteps(turns)
  const resumed =
    checkpoint === undefined
      ? undefined
      : {
          path: checkpoint,
          checkpoint: await loadCheckpoint(checkpoint, { weights, optimizer, identity, plan, totalSteps, turns }),
          isContinued: output !== undefined && dirname(checkpoint) === resolve(output.path),
        }
  const { cursor = FIRST_WINDOW, position } = resumed?.checkpoint.state ?? {}
  await rows.prepare(cursor, position, turns)
  const history: TrainEvent[] = []
  let files: RunFiles | undefined
  const report: Report = (event) => {
    if (event.type === 'log' || event.type === 'evaluate') history.push(event)
    files?.record(event)
    return reporter.report(event)
  }
  const trainer = new Trainer(
    {
      objective,
      source: plan,
      model,
      weights,
      optimizer,
      totalSteps,
      evaluation,
      probes,
      lowerIsBetter: readEvalTasks(options.evalTasks).lowerIsBetter,
      training,
      identity,
      output,
      signal,
      report,
      flushLog: () => files?.flush(),
    },
    resumed,
  )
  const { nameOrPath, origin, dtype } = model
  const secrets = await secretsOf(options)
  const settings = {
    model: nameOrPath,
    revision: origin.revision,
    dtype,
    device: model.device.type,
    lineage: run.data.lineage,
    locations: run.data.locations,
    secrets,
  }
  if (output) {
    const { step } = trainer.progress
    const warn = (message: string): void => void report({ type: 'warning', message })
    files = await openRunFiles({ directory: output.path, options, settings, step, checkpoint, warn })
  }
  const noCheckpoint = output && options.resumeFromCheckpoint === true && !resumed
  for (const message of [
    ...model.warnings,
    ...(resumed?.checkpoint.warnings ?? []),
    ...trainer.warnings,
    ...runWarnings(training, totalSteps),
    ...exportWarnings(
      options.exportFor ?? [],
      model.rawConfig,
      options.lora,
      training.chatTemplate ?? tokenizer.chatTemplate,
    ),
    ...(noCheckpoint ? [`[resume] ${output.path} holds no checkpoint: the run begins at its first step`] : []),
  ])
    await report({ type: 'warning', message })
  await report({
    type: 'start',
    runId: trainer.runId,
    ...(training.runName !== undefined && { runName: training.runName }),
    startedAt,
    ...(output && { outputDir: resolve(output.path) }),
    ...(checkpoint !== undefined && { resumedFrom: checkpoint }),
    ...trainer.progress,
    ...trained.counts,
    quantization: model.quantization ?? null,
    ...rows.facts,
    evalRows: rowsOf(evaluation),
    gradientCheckpointing: memory.gradientCheckpointing,
    plannedMemory: memory.peakResident,
    device: model.device.type,
    options: plainOptions(options, settings).options,
    versions: { lowrank: packageVersion() ?? null, node: process.versions.node },
  })
  const { end, ...result } = await trainer.run().finally(() => files?.flush())
  if (end.reason === 'completed' && end.step < totalSteps && end.earlyStopping === undefined)
    await report({ type: 'warning', message: endedEarly(end.step, totalSteps) })
  const { statistics, lineage, trainRows } = run.data.finish()
  const counts = { trainRows, evalRows: rowsOf(evaluation) }
  const last: RunFiles['last'] = (type) => (files ? files.last(type) : ofType(history, type).at(-1))
  const curve = files?.events() ?? [...ofType(history, 'log'), ...ofType(history, 'evaluate')]
  // That of the weights which the run ends with.
  const lastEvaluation = ofType(curve, 'evaluate').find(({ step }) => step === end.loadedStep) ?? last('evaluate')
  const figures = { ...trainer.progress, lastLog: last('log'), lastEvaluation, curve, end }
  const summary = { ...figures, ...counts, statistics, lineage, options, model: nameOrPath, origin, dtype, secrets }
  await files?.finish(summary)
  if (!reporter.hasFailed) {
    let saved: Pick<EndEvent, 'result'> = {}
    if (output && reporter.needsResult && end.reason === 'completed') {
      const path = resolve(output.path, trained.kind)
      await trained.save(path)
      await writeCard(path, summary)
      saved = { result: { kind: trained.kind, path } }
    }
    if (options.behaviour && output && adapter && end.reason === 'completed')
      await writeBehaviour(model, tokenizer, output.path, options, { report, progress: trainer.progress })
    await report({ ...end, ...saved, ...reporter.stopped })
  }
  if (reporter.hasFailed) await trainer.saveUnsaved()
  reporter.throwIfFailed()
  optimizer.dispose()
  return {
    ...result,
    best: end.best,
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
      await trained.save(target)
      await writeCard(target, summary)
      await report({ type: 'save', kind: trained.kind, ...trainer.progress, path: target })
      reporter.throwIfFailed()
    },
    dispose: () => {
      adapter?.dispose()
      model.dispose()
      model.device.close()
    },
  }
}

const FIRST_WINDOW: DataCursor = { epoch: 0, index: 0 }

function endedEarly(step: number, totalSteps: number): string {
  return (
    `[train] the rows ended with step ${step} of ${totalSteps}, and so does the run: the learning rate did not come to the end of its ` +
    'schedule; give as many rows as the source tells, or rows that can be read again'
  )
}

function presetEvent(name: PresetName): PresetEvent {
  const { description, differences } = findPreset(name)
  return { type: 'preset', name, description, differences }
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
