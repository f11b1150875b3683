/** @file What a run becomes in MLflow: all of it, once, whatever happens to requests, the server and the process. */

import { appendFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { parse } from 'yaml'
import { loadModel, trainLora } from '../../src/index.js'
import { mlflowCallback, packAdapter, syncMlflow } from '../../src/mlflow.js'
import { TRACKING, type TrackedModel, type TrackedRun } from '../../src/testing/routes/mlflow.js'
import { FAULTS, type Fault, type LoopbackWorkspace, startWorkspace } from '../../src/testing.js'
import { END, logEvent, startEvent, tell } from '../support/run-events.js'
import { temporaryDirectory, tinyAdapter, tinyRows, writeTinyModel } from '../support/tiny-model.js'

const EXPERIMENT = '/Users/me@example.com/risk'
const BATCH = /runs\/log-batch/
const STEPS = Array.from({ length: 7 }, (_, index) => index + 1)

let directory: string
let workspace: LoopbackWorkspace
let count = 0

beforeEach(async () => {
  directory = join(root, `${count++}`)
  mkdirSync(directory)
  workspace = await startWorkspace({ token: 'planted-token-0123456789' })
})
afterEach(() => workspace.close())

const root = temporaryDirectory()

const server = () => ({ trackingUri: workspace.url, token: workspace.token, experimentName: EXPERIMENT })
const tracking = () => workspace.state.of(TRACKING)
const onlyRun = (): TrackedRun => {
  const runs = [...tracking().runs.values()]
  expect(runs).toHaveLength(1)
  return runs[0] as TrackedRun
}
const stepsOf = (key: string): number[] =>
  onlyRun().metrics.flatMap((metric) => (metric.key === key ? metric.step : []))

/** An adapter of a model in a directory. */
async function savedAdapter(): Promise<string> {
  const model = await loadModel(await writeTinyModel(join(directory, 'model')))
  await tinyAdapter(model).save(join(directory, 'adapter'))
  model.dispose()
  return join(directory, 'adapter')
}

describe('a run of trainLora in MLflow', () => {
  it('a run has params, metrics, tags, data sets, files and the adapter as a logged model, on Databricks', async () => {
    const model = await writeTinyModel(join(directory, 'model'))
    writeFileSync(
      join(directory, 'rows.jsonl'),
      tinyRows(9)
        .map((row) => JSON.stringify(row))
        .join('\n'),
    )
    const environment = { DATABRICKS_HOST: workspace.url, DATABRICKS_TOKEN: workspace.token }
    for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value)
    try {
      const outputDir = join(directory, 'out')
      const run = await trainLora({
        model,
        dataset: join(directory, 'rows.jsonl'),
        outputDir,
        reportTo: ['mlflow'],
        mlflow: { trackingUri: 'databricks', experimentName: EXPERIMENT, tags: { team: 'risk' } },
        training: { maxSteps: 2, loggingSteps: 1, runName: 'first', evalSplit: 0.2, evalSteps: 2 },
        lora: { r: 3 },
      })
      run.dispose()
    } finally {
      vi.unstubAllEnvs()
    }
    const run = onlyRun()
    expect(run).toMatchObject({ name: 'first', status: 'FINISHED', endTime: expect.any(Number) })
    expect(Object.fromEntries(run.params)).toMatchObject({
      model,
      method: 'lora',
      'lora.r': '3',
      'training.maxSteps': '2',
    })
    expect([...run.params.keys()].filter((key) => /mlflow|reportTo/.test(key))).toEqual([])
    expect(Object.fromEntries(run.tags)).toMatchObject({
      'mlflow.source.type': 'LOCAL',
      team: 'risk',
      'lowrank.device': 'cpu',
    })
    expect(run.tags.get('mlflow.source.git.commit')).toMatch(/^[0-9a-f]{40}$/)
    for (const key of ['loss', 'learning_rate', 'grad_norm', 'epoch']) expect(stepsOf(key), key).toEqual([1, 2])
    for (const key of ['eval_loss', 'train_loss', 'train_runtime']) expect(stepsOf(key), key).toEqual([2])
    expect(run.metrics.map(({ key }) => key)).toContain('system/process_memory_usage_megabytes')
    expect(run.datasets).toMatchObject([
      {
        tags: [{ key: 'mlflow.data.context', value: 'train' }, { key: 'lowrank.sha256' }],
        dataset: { name: 'rows.jsonl', source_type: 'local', digest: expect.stringMatching(/^[0-9a-f]{36}$/) },
      },
    ])
    const [logged] = [...tracking().models.values()] as [TrackedModel]
    expect(logged).toMatchObject({ name: 'adapter', status: 'LOGGED_MODEL_READY', runId: run.id, modelType: 'lora' })
    expect(run.models).toEqual([{ model_id: logged.id, step: 2 }])
    const files = await workspace.state.storage.list('')
    const paths = files.map(({ key }) => key.replace(/^.*?(?=Runs|LoggedModels)/, '')).sort()
    const ofModel = `LoggedModels/${logged.id}/`
    expect(paths.filter((path) => !path.startsWith(ofModel))).toEqual(
      ['README.md', 'log.jsonl', 'train.yaml', 'trainer_state.json'].map((name) => `Runs/${run.id}/${name}`),
    )
    const names = paths.filter((path) => path.startsWith(ofModel)).map((path) => path.slice(ofModel.length))
    const { files: packed, hash } = await packAdapter(join(directory, 'out', 'adapter'))
    expect(names.sort()).toEqual(packed.map(({ path }) => path).sort())
    const [mlmodel] = files.filter(({ key }) => key.endsWith('/MLmodel'))
    expect(parse(await text(await workspace.state.storage.get(mlmodel?.key as string)))).toMatchObject({
      model_id: logged.id,
      run_id: run.id,
      metadata: { lowrank: { kind: 'adapter', base_model: model, r: 3, content_hash: hash } },
    })
    const journal = readFileSync(join(directory, 'out', 'mlflow.jsonl'), 'utf8')
      .trim()
      .split('\n')
    // The server has all of it: what is left says which run it is.
    expect(journal.map((line) => Object.keys(JSON.parse(line))[0])).toEqual(['call', 'done'])
  })

  it('a run of MLflow is FAILED with the error where the run fails, KILLED where it is stopped', async () => {
    const fail = {
      type: 'fail',
      code: 'DIVERGED',
      message: 'the loss is no number; token hf_abcdefghijklmnopqrstuvwx',
    } as const
    await tell(mlflowCallback(server()), [startEvent(directory), logEvent(1), fail])
    expect(onlyRun().status).toBe('FAILED')
    expect(Object.fromEntries(onlyRun().tags)).toMatchObject({
      'lowrank.error': 'the loss is no number; token ***',
      'lowrank.errorCode': 'DIVERGED',
    })
    const stopped = { ...END, reason: 'aborted' } as const
    await tell(mlflowCallback(server()), [startEvent(directory, { runId: 'run-2' }), stopped])
    expect([...tracking().runs.values()].map(({ status }) => status)).toEqual(['FAILED', 'KILLED'])
  })

  it('an adapter that MLflow could not load goes along as it is, and a warning says why', async () => {
    const path = join(directory, 'adapter')
    mkdirSync(path)
    writeFileSync(join(path, 'adapter_config.json'), '{"peft_type":"LORA","target_modules":["q_proj"],"use_dora":true}')
    const ending = { ...END, result: { kind: 'adapter', path } } as const
    vi.stubEnv('DATABRICKS_HOST', workspace.url)
    vi.stubEnv('DATABRICKS_TOKEN', workspace.token)
    const callback = mlflowCallback({ trackingUri: 'databricks', experimentName: EXPERIMENT })
    const warnings = await tell(callback, [startEvent(directory), ending]).finally(() => vi.unstubAllEnvs())
    expect(warnings.join()).toMatch(/the logged model has the files of .*adapter alone, no MLmodel: .*use_dora is not/)
    const [logged] = [...tracking().models.values()] as [TrackedModel]
    expect(logged.status).toBe('LOGGED_MODEL_READY')
    const files = await workspace.state.storage.list('')
    expect(files.flatMap(({ key }) => key.split(`LoggedModels/${logged.id}/`)[1] ?? [])).toEqual([
      'adapter_config.json',
    ])
  })

  it('a server without logged models gets the model among the files of its run', async () => {
    const path = await savedAdapter()
    const missing = { status: 404, body: { error_code: 'ENDPOINT_NOT_FOUND', message: 'no such path' } }
    workspace.fail({ path: /logged-models/, times: 9, with: missing })
    vi.stubEnv('DATABRICKS_HOST', workspace.url)
    vi.stubEnv('DATABRICKS_TOKEN', workspace.token)
    const callback = mlflowCallback({ trackingUri: 'databricks', experimentName: EXPERIMENT })
    const ending = { ...END, result: { kind: 'adapter', path } } as const
    const warnings = await tell(callback, [startEvent(directory), ending]).finally(() => vi.unstubAllEnvs())
    expect(warnings).toEqual([])
    const keys = (await workspace.state.storage.list('')).map(({ key }) => key)
    const mlmodel = keys.find((key) => key.endsWith(`Runs/${onlyRun().id}/adapter/MLmodel`)) ?? ''
    expect(parse(await text(await workspace.state.storage.get(mlmodel)))).toMatchObject({ model_id: null })
    expect(keys.filter((key) => key.endsWith('/adapter/peft/adapter_model.safetensors'))).toHaveLength(1)
  })

  it('MLflow keeps long params whole beside their beginning, and says so', async () => {
    const options = { note: 'x'.repeat(6001), fits: 'y'.repeat(6000) }
    const warnings = await tell(mlflowCallback(server()), [startEvent(directory, { options }), END])
    const { params } = onlyRun()
    expect(params.get('note')).toMatch(/^x{5900,}\.\.\. \(cut, 6001 characters\)$/)
    expect(params.get('note')).toHaveLength(6000)
    expect(params.get('fits')).toBe('y'.repeat(6000))
    expect(warnings[0]).toContain('params are at most 6000 characters: note cut')
  })

  it('metrics keep numbers that JSON has none for', async () => {
    const events = [logEvent(1, { loss: Number.NaN, gradNorm: Number.POSITIVE_INFINITY }), logEvent(2)]
    await tell(mlflowCallback(server()), [startEvent(directory), ...events, END])
    const valuesOf = (key: string) => onlyRun().metrics.flatMap((metric) => (metric.key === key ? metric.value : []))
    expect(valuesOf('loss')).toEqual(['NaN', 0.5])
    expect(valuesOf('grad_norm')).toEqual(['Infinity', 1])
  })

  it('a resumed run goes on in the same run of MLflow after a stop, and logs no step twice', async () => {
    const stopped = { ...END, reason: 'aborted', step: 7 } as const
    await tell(mlflowCallback(server()), [startEvent(directory), ...STEPS.map((step) => logEvent(step)), stopped])
    expect(onlyRun().status).toBe('KILLED')
    await tell(mlflowCallback(server()), [
      // Stopped behind step 7, it goes on from the checkpoint of step 4, with another batch size.
      startEvent(directory, { step: 4, options: { model: 'org/name', lora: { r: 5 } } }),
      ...[5, 6, 7, 8, 9].map((step) => logEvent(step)),
      END,
    ])
    expect(stepsOf('loss')).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(onlyRun()).toMatchObject({ status: 'FINISHED' })
    expect(onlyRun().params.get('lora.r')).toBe('4')
    expect(onlyRun().tags.get('lowrank.changedParams')).toBe('{"lora.r":"5"}')
  })

  it('a run goes on with the run that MLFLOW_RUN_ID names', async () => {
    await tell(mlflowCallback(server()), [startEvent(directory), logEvent(1), END])
    const { id } = onlyRun()
    await tell(mlflowCallback({ ...server(), runId: id }), [
      startEvent(directory, { runId: 'run-2' }),
      logEvent(2),
      END,
    ])
    expect(onlyRun().id).toBe(id)
    expect(stepsOf('loss')).toEqual([1, 2])
  })
})

describe('calls', () => {
  const faults: readonly [string, Fault, isTaken: boolean][] = [
    ['503', FAULTS.unavailable(), false],
    ['429', FAULTS.rateLimited(), false],
    ['502 in HTML', FAULTS.html(), false],
    ['a connection that breaks before', 'reset', false],
    ['an answer that is lost', 'lost-answer', true],
    ['an answer that is cut', { cutAfter: 1 }, true],
    ['a request that is cut', { cutRequestAfter: 10 }, false],
  ]
  it.each(faults)(
    'nothing is lost and nothing comes twice with %s at every kind of call',
    async (_, fault, isTaken) => {
      for (const path of [/experiments\/create/, /runs\/create/, BATCH, /runs\/update/])
        workspace.fail({ path, with: fault })
      // Params come first, again where they were not taken; then points.
      workspace.fail({ path: BATCH, skip: isTaken ? 0 : 1, with: fault })
      const warnings = await tell(mlflowCallback(server()), [
        startEvent(directory),
        ...STEPS.map((step) => logEvent(step)),
        END,
      ])
      expect(workspace.pendingFaults()).toEqual([])
      expect(stepsOf('loss')).toEqual(STEPS)
      expect(stepsOf('train_loss')).toEqual([1000])
      expect(onlyRun()).toMatchObject({ status: 'FINISHED' })
      expect(onlyRun().params.size).toBe(2)
      expect(warnings.join('\n')).not.toContain('are not sent')
    },
  )

  it('a server that is down all the time stops no run, and sync sends what was written down', async () => {
    const uri = workspace.url
    await workspace.close()
    const options = { ...server(), trackingUri: uri, finishTimeout: 0.2 }
    const warnings = await tell(mlflowCallback(options), [
      startEvent(directory),
      ...STEPS.map((step) => logEvent(step)),
      END,
    ])
    expect(warnings.join('\n')).toMatch(/cannot reach .* calls are not sent; they wait in .*lowrank mlflow sync/s)
    workspace = await startWorkspace({ token: workspace.token })
    const sync = { trackingUri: workspace.url, token: workspace.token }
    expect(await syncMlflow(directory, sync)).toMatchObject([{ sent: 11, failed: [], run: { runId: onlyRun().id } }])
    expect(await syncMlflow(directory, sync)).toMatchObject([{ sent: 0 }])
    expect(stepsOf('loss')).toEqual(STEPS)
    expect(onlyRun().status).toBe('FINISHED')
  })

  it('a sync that is killed at any of its requests and started again sends each call once', async () => {
    const offline = mlflowCallback({ offline: true, experimentName: EXPERIMENT })
    await tell(offline, [startEvent(directory), logEvent(1), { ...logEvent(2), type: 'log' }, END])
    const journal = readFileSync(join(directory, 'mlflow.jsonl'), 'utf8')
    expect(workspace.requests).toHaveLength(0)
    const sync = { trackingUri: workspace.url, token: workspace.token, patience: 0 }
    // Each start loses the answer of the request that it comes to, which is what a kill at that moment leaves.
    for (let at = 0; ; at++) {
      writeFileSync(join(directory, 'mlflow.jsonl'), journal)
      tracking().runs.clear()
      workspace.fail({ path: /runs|experiments\/create/, skip: at, with: 'lost-answer' })
      const first = await syncMlflow(directory, sync).catch((error: Error) => error)
      const isCut = workspace.pendingFaults().length === 0
      workspace.heal()
      if (first instanceof Error) await syncMlflow(directory, sync)
      expect(stepsOf('loss'), `${at}`).toEqual([1, 2])
      expect(onlyRun().status).toBe('FINISHED')
      if (!isCut) break
      expect(at).toBeLessThan(20)
    }
  })

  it('points that come together are written together, and all of them before a checkpoint is told of', async () => {
    const callback = mlflowCallback({ offline: true, experimentName: EXPERIMENT })
    const lines = () => readFileSync(join(directory, 'mlflow.jsonl'), 'utf8').split('\n').filter(isPoints).length
    const isPoints = (line: string) => line.includes('"log-metrics"')
    const clock = vi.spyOn(Date, 'now').mockReturnValue(Date.now())
    await tell(callback, [startEvent(directory)])
    await tell(
      callback,
      STEPS.map((step) => logEvent(step)),
    )
    clock.mockRestore()
    expect(lines()).toBe(0)
    await vi.waitFor(() => expect(lines()).toBe(STEPS.length))
    const save = { type: 'save', kind: 'checkpoint', path: directory, step: 9, totalSteps: 9, epoch: 0 } as const
    await tell(callback, [logEvent(8), logEvent(9), save])
    expect(lines()).toBe(STEPS.length + 2)
  })

  it('half a line that a killed process has left is no call', async () => {
    const save = { type: 'save', kind: 'checkpoint', path: directory, step: 1, totalSteps: 7, epoch: 0 } as const
    const events = [startEvent(directory), logEvent(1), save]
    await tell(mlflowCallback({ offline: true, experimentName: EXPERIMENT }), events)
    appendFileSync(join(directory, 'mlflow.jsonl'), '{"call":"log-metrics","timest')
    await tell(mlflowCallback(server()), [startEvent(directory, { step: 1 }), logEvent(2), END])
    expect(stepsOf('loss')).toEqual([1, 2])
  })

  it('a run that begins in the directory of another one, which is not sent yet, puts its journal aside', async () => {
    await tell(mlflowCallback({ offline: true, experimentName: EXPERIMENT }), [startEvent(directory), logEvent(1), END])
    await tell(mlflowCallback(server()), [startEvent(directory, { runId: 'run-2' }), logEvent(1), END])
    expect(readdirSync(directory).sort()).toEqual(['mlflow-run-1.jsonl', 'mlflow.jsonl'])
    const sync = { trackingUri: workspace.url, token: workspace.token }
    expect(await syncMlflow(directory, sync)).toMatchObject([{ sent: 5 }, { sent: 0 }])
    expect([...tracking().runs.values()].map(({ tags }) => tags.get('lowrank.runId'))).toEqual(['run-2', 'run-1'])
  })
})

describe('a call that the server refuses for good', () => {
  it('a call that the server refuses for good is left out and told of; the points beside it are sent', async () => {
    const bad: Fault = { status: 400, body: { error_code: 'INVALID_PARAMETER_VALUE', message: 'no such value' } }
    // All points together, then those of step 1 by themselves.
    workspace.fail({ path: BATCH, skip: 1, times: 2, with: bad })
    const warnings = await tell(mlflowCallback(server()), [
      startEvent(directory),
      ...STEPS.map((step) => logEvent(step)),
      END,
    ])
    expect(stepsOf('loss')).toEqual(STEPS.slice(1))
    expect(warnings.join('\n')).toContain('no such value"; correct what it says; this call is left out')
  })

  it('credentials that the server does not take stop the sending; the journal keeps what there is', async () => {
    const warnings = await tell(mlflowCallback({ ...server(), token: 'wrong-token-wrong-token' }), [
      startEvent(directory),
      logEvent(1),
      END,
    ])
    expect(warnings.join('\n')).toMatch(/it does not take the credentials.*nothing more is sent/s)
    const sync = { trackingUri: workspace.url, token: workspace.token }
    expect(await syncMlflow(directory, sync)).toMatchObject([{ failed: [] }])
    expect(stepsOf('loss')).toEqual([1])
  })
})

it('no token stands in a journal, a warning or an error', async () => {
  const planted = 'planted-token-abcdefghij'
  workspace.fail({ path: /./, times: 20, with: { status: 401, body: { message: `no ${planted}` } } })
  const [scheme, rest] = workspace.url.split('//')
  const options = {
    trackingUri: `${scheme}//me:planted-password-99@${rest}`,
    token: planted,
    experimentName: EXPERIMENT,
  }
  const warnings = await tell(mlflowCallback(options), [startEvent(directory), logEvent(1), END])
  const error = await syncMlflow(directory, { token: planted }).catch((reason: Error) => reason)
  const shown = [
    ...warnings,
    String(error),
    (error as Error).stack,
    readFileSync(join(directory, 'mlflow.jsonl'), 'utf8'),
  ].join('\n')
  expect(shown).toContain('HTTP 401')
  expect(shown).not.toMatch(/planted-(?:token|password)/)
})
