/**
 * @file mlflowCallback: a run of trainLora as a run of MLflow. It makes calls of events; the journal and the pump do
 * the rest, so that no event waits for a server but the last.
 */

import { existsSync, readdirSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { makeDirectories } from '../atomic-write.js'
import { cacheDirectory } from '../cache-directory.js'
import { withoutSecrets } from '../errors.js'
import { LowrankError } from '../lowrank-error.js'
import { expectOptions } from '../options/table.js'
import { evaluationFigures } from '../trackers/figures.js'
import { samplesFrame, samplesOf } from '../trackers/samples.js'
import type { EndEvent, EvaluateEvent, FailEvent, StartEvent, TrainEvent } from '../train/events.js'
import { type CreateRunCall, RUN_TAG, type RunState } from './calls.js'
import type { RunStatus } from './client.js'
import { callsFrom, JOURNAL_FILE, Journal, type JournalSummary, summarize } from './journal.js'
import { cutText, jsonNumber, LONGEST_PARAM, LONGEST_TAG } from './limits.js'
import { type DatasetInput, datasetInputs } from './lineage.js'
import { MLFLOW_OPTIONS, type MlflowOptions } from './options.js'
import { paramsOf } from './params.js'
import { Pump } from './pump.js'
import { runTags } from './run-tags.js'
import { type MlflowSettings, readMlflowSettings } from './settings.js'
import { createSystemMetrics, type SystemMetrics } from './system-metrics.js'

/** What a server has recorded of a run. */
export interface RecordedRun extends RunState {
  /** The address without credentials, `databricks` or `databricks://PROFILE`. */
  readonly trackingUri: string
}

/** Hears once what became of the run. */
export type OnRecorded = (run: RecordedRun | undefined) => void

/** A `TrainCallback`, for `callbacks` of `trainLora`. */
export interface MlflowCallback {
  readonly name: string
  readonly needsResult: boolean
  onEvent(event: { readonly type: string }): unknown
}

/** Files of an output directory that go along with the run. */
const FILES = ['train.yaml', 'log.jsonl', 'samples.jsonl', 'README.md', 'trainer_state.json']
/** Folder of tables of answers. */
const SAMPLES = 'samples/'
/** Pages and results of evaluations beside them. */
const REPORT = /^(?:report|evaluation)[\w.-]*\.(?:html|json)$/

/**
 * A callback that records a run of `trainLora` in MLflow: params, metrics, system metrics, tags, data sets, files, and
 * what was trained as a logged model. The run waits for the server at its end alone. What a server does not take stays
 * in `mlflow.jsonl` in the `outputDir` (without one, in lowrank's cache directory), for `lowrank mlflow sync`.
 * @throws OptionError for options that do not fit, and where nothing says which server
 */
export function mlflowCallback(options: MlflowOptions = {}): MlflowCallback {
  return recordingCallback(options)
}

/** `mlflowCallback` that tells what the server has of the run, once its end is recorded or was not. */
export function recordingCallback(options: MlflowOptions, onRecorded: OnRecorded = () => {}): MlflowCallback {
  expectOptions('mlflow', options, MLFLOW_OPTIONS)
  const settings = readMlflowSettings(options)
  let recorder: Recorder | undefined
  let inputs: DatasetInput[] = []
  const warnings: string[] = []
  const warn = (message: string): void => void warnings.push(message)
  /** A callback tells of what is wrong by what it throws. */
  const throwWarnings = (): void => {
    if (warnings.length > 0) throw new LowrankError('SERVICE', warnings.splice(0, warnings.length).join('; '))
  }
  const record = (event: TrainEvent): Promise<void> | undefined => {
    if (event.type === 'data') inputs.push(...datasetInputs(event.split, event.lineage))
    if (event.type === 'start') return begin(event)
    if (event.type === 'end' || event.type === 'fail') return finish(event)
    recorder?.record(event)
    return undefined
  }
  const begin = async (event: StartEvent): Promise<void> => {
    recorder = await Recorder.begin(event, inputs, settings, warn)
    inputs = []
  }
  const finish = async (event: EndEvent | FailEvent): Promise<void> => {
    // A callback that fails at `end` makes a `fail` behind it: this run has been recorded by then.
    const ending = recorder
    recorder = undefined
    inputs = []
    let recorded: RecordedRun | undefined
    try {
      recorded = await ending?.end(event)
    } finally {
      // Whoever links to the run waits for this.
      onRecorded(recorded)
    }
  }
  return {
    name: 'mlflow',
    needsResult: settings.logModel,
    onEvent(event: TrainEvent) {
      const work = record(event)
      return work === undefined ? throwWarnings() : work.then(throwWarnings)
    },
  }
}

/** Where the journal of a run lies. */
async function journalDirectory({ outputDir, runId }: StartEvent): Promise<string> {
  if (outputDir !== undefined) return outputDir
  const directory = join(cacheDirectory(), 'mlflow', runId)
  await makeDirectories(directory)
  return directory
}

/** The journal in a directory that is of this run; one of another run that still has to be sent is put aside. */
async function ownJournal(directory: string, runId: string): Promise<JournalSummary | undefined> {
  const path = join(directory, JOURNAL_FILE)
  const summary = await summarize(path)
  if (summary === undefined || summary.first?.tags[RUN_TAG] === runId) return summary
  const other = summary.first?.tags[RUN_TAG]?.replace(/[^\w-]/g, '') ?? `${Date.now()}`
  await rename(path, join(directory, `mlflow-${other}.jsonl`))
  return undefined
}

/** Makes calls of the events of one run. */
class Recorder {
  readonly #settings: MlflowSettings
  readonly #directory: string
  readonly #outputDir: string | undefined
  readonly #pump: Pump
  readonly #warn: (message: string) => void
  readonly #params: Readonly<Record<string, string>>
  readonly #system: SystemMetrics | undefined
  /** Paths of tables of answers. */
  readonly #tables: string[] = []
  #step: number

  private constructor(
    event: StartEvent,
    settings: MlflowSettings,
    { directory, pump, params, warn }: Pick<Begun, 'directory' | 'pump' | 'params' | 'warn'>,
  ) {
    this.#settings = settings
    this.#directory = directory
    this.#outputDir = event.outputDir
    this.#pump = pump
    this.#warn = warn
    this.#params = params
    this.#system = settings.logSystemMetrics ? createSystemMetrics(settings.samplingInterval) : undefined
    this.#step = event.step
  }

  /** Begins the run, or goes on with it where its journal is there. */
  static async begin(
    event: StartEvent,
    inputs: readonly DatasetInput[],
    settings: MlflowSettings,
    warn: (message: string) => void,
  ): Promise<Recorder> {
    const directory = await journalDirectory(event)
    const summary = await ownJournal(directory, event.runId)
    const tags = await runTags(event, settings.tags)
    const { reportTo: _, mlflow: __, tensorboard: ___, csv: ____, jsonl: _____, ...options } = event.options
    const { params, cut } = paramsOf(options)
    const { offline, target, requestTimeout } = settings
    const journal = Journal.open(directory, summary)
    const pump = new Pump({ journal, summary, directory, target: offline ? undefined : target, requestTimeout, warn })
    if (summary?.first === undefined) pump.push(createRunCall(event, tags, settings))
    else pump.push({ call: 'continue-run', tags })
    pump.push({ call: 'log-params', params })
    for (const { key, whole } of cut) pump.push({ call: 'log-text', path: `params/${key}.txt`, text: whole })
    if (cut.length > 0)
      warn(
        `[mlflow] params are at most ${LONGEST_PARAM} characters: ${cut.map(({ key }) => key).join(', ')} cut, and whole as params/NAME.txt among the files of the run`,
      )
    if (inputs.length > 0) pump.push({ call: 'log-inputs', datasets: inputs })
    pump.flush()
    const recorder = new Recorder(event, settings, { directory, pump, params, warn })
    if (summary !== undefined)
      for await (const call of callsFrom(journal.path, 0))
        if (call.call === 'log-text' && call.path.startsWith(SAMPLES)) recorder.#tables.push(call.path)
    return recorder
  }

  /** Never waits. */
  record(event: TrainEvent): void {
    if (event.type === 'log') {
      this.#step = event.step
      this.#pump.push({ call: 'log-event', timestamp: Date.now(), event, system: this.#system?.sample() })
    } else if (event.type === 'evaluate') {
      this.#logMetrics(evaluationFigures(event), event.step)
      this.#logSamples(event)
    } else if (event.type === 'save') this.#pump.flush()
  }

  async end(event: EndEvent | FailEvent): Promise<RecordedRun | undefined> {
    const status = statusOf(event)
    if (event.type === 'end') {
      this.#step = event.step
      this.#logMetrics({
        ...(event.loss !== undefined && { train_loss: jsonNumber(event.loss) }),
        train_runtime: event.seconds,
      })
    } else {
      const message = cutText(withoutSecrets(event.message), LONGEST_TAG)
      this.#pump.push({
        call: 'set-tags',
        tags: { 'lowrank.error': message, 'lowrank.errorCode': event.code ?? 'none' },
      })
    }
    for (const path of this.#files()) this.#pump.push({ call: 'log-artifact', path, file: path })
    if (event.type === 'end' && event.result !== undefined && this.#settings.logModel) this.#logModel(event.result)
    this.#pump.push({ call: 'end-run', status, endTime: Date.now() })
    const isSent = await this.#pump.finish(this.#settings.finishTimeout)
    if (!isSent)
      this.#warn(
        `[mlflow] ${this.#pump.unsent} calls are not sent; they wait in ${join(this.#directory, JOURNAL_FILE)}: lowrank mlflow sync ${this.#directory}`,
      )
    const { run } = this.#pump
    const { target } = this.#settings
    return isSent && run !== undefined && target !== undefined ? { ...run, trackingUri: target.uri } : undefined
  }

  #logMetrics(metrics: Readonly<Record<string, number | string>>, step = this.#step): void {
    this.#pump.push({ call: 'log-metrics', timestamp: Date.now(), step, metrics })
  }

  /** Answers to sample prompts as a table, as `log_table` of MLflow's client leaves one. */
  #logSamples(event: EvaluateEvent): void {
    const samples = samplesOf(event)
    if (samples.length === 0) return
    const path = `${SAMPLES}step-${String(event.step).padStart(8, '0')}.json`
    this.#pump.push({ call: 'log-text', path, text: samplesFrame(event.step, samples) })
    this.#tables.push(path)
    const tables = this.#tables.map((table) => ({ path: table, type: 'table' }))
    const tag = JSON.stringify(tables)
    // A tag holds so much: later tables are files all the same.
    if (tag.length <= LONGEST_TAG) this.#pump.push({ call: 'set-tags', tags: { 'mlflow.loggedArtifacts': tag } })
  }

  #logModel({ kind, path }: NonNullable<EndEvent['result']>): void {
    const inside = relative(this.#directory, path)
    const directory = inside.startsWith('..') ? path : inside
    const params = Object.fromEntries(
      Object.entries(this.#params).filter(([key]) => /^(?:model|revision|lora\.)/.test(key)),
    )
    const modelType = kind === 'adapter' ? 'lora' : 'full'
    this.#pump.push({ call: 'log-model', name: kind, directory, step: this.#step, modelType, params })
  }

  /** Files of the output directory that are there, relative to it. */
  #files(): readonly string[] {
    const directory = this.#outputDir
    if (directory === undefined) return []
    const reports = readdirSync(directory).filter((name) => REPORT.test(name))
    return [...FILES.filter((name) => existsSync(join(directory, name))), ...reports.sort()]
  }
}

interface Begun {
  readonly directory: string
  readonly pump: Pump
  readonly params: Readonly<Record<string, string>>
  readonly warn: (message: string) => void
}

function createRunCall(event: StartEvent, tags: CreateRunCall['tags'], settings: MlflowSettings): CreateRunCall {
  const { experimentName, experimentId, runId } = settings
  const runName = settings.runName ?? event.runName
  return {
    call: 'create-run',
    trackingUri: settings.target?.uri ?? null,
    ...(experimentName !== undefined && { experimentName }),
    ...(experimentId !== undefined && { experimentId }),
    ...(runId !== undefined && { runId }),
    ...(runName !== undefined && { runName }),
    startTime: Date.parse(event.startedAt),
    tags,
  }
}

function statusOf(event: EndEvent | FailEvent): RunStatus {
  if (event.type === 'end') return event.reason === 'completed' ? 'FINISHED' : 'KILLED'
  return event.code === 'STOPPED' ? 'KILLED' : 'FAILED'
}
