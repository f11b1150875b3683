/**
 * @file A run of trainLora in a real MLflow server with sqlite: read back through MLflow's own client, and seen on its
 * page in a browser.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { pushAdapter } from '../../src/databricks.js'
import { LoraAdapter, loadModel, trainLora } from '../../src/index.js'
import { mlflowCallback, syncMlflow } from '../../src/mlflow.js'
import { relativeDifference } from '../support/golden.js'
import { END, startEvent } from '../support/run-events.js'
import { temporaryDirectory, tinyRows, writeTinyModel } from '../support/tiny-model.js'
import { IDS, inPython, logitsOf, type Seen, TOLERANCE } from './mlflow-model.js'
import { describeWithPython, runPython } from './python.js'

const BROWSER = process.env.LOWRANK_TEST_BROWSER ?? 'chromium'
/** What mlflow_read.py tells, but for what is compared as a whole. */
interface Read {
  readonly experiment: string
  readonly run: string
  readonly folder: string
  readonly model: { readonly id: string }
  readonly outputs: readonly string[]
}

/** Milliseconds until a server that starts on a busy machine answers. */
const PATIENCE = 120_000

describeWithPython('an MLflow server', () => {
  const directory = temporaryDirectory()
  let server: ChildProcess | undefined
  let uri = ''

  beforeAll(async () => {
    const port = await freePort()
    uri = `http://127.0.0.1:${port}`
    const program = join(dirname(process.env.LOWRANK_TEST_PYTHON ?? ''), 'mlflow')
    const store = ['--backend-store-uri', 'sqlite:///runs.db', '--artifacts-destination', './files']
    server = spawn(program, ['server', ...store, '--host', '127.0.0.1', '--port', `${port}`, '--workers', '1'], {
      cwd: directory,
      env: { ...process.env, MLFLOW_DISABLE_TELEMETRY: 'true' },
      stdio: 'ignore',
      detached: true,
    })
    const end = Date.now() + PATIENCE
    while (
      !(await fetch(`${uri}/health`).then(
        (answer) => answer.ok,
        () => false,
      ))
    ) {
      if (Date.now() > end || server.exitCode !== null) throw new Error('[test] the MLflow server does not answer')
      await sleep(200)
    }
  }, PATIENCE + 10_000)

  afterAll(async () => {
    if (server?.pid === undefined || server.exitCode !== null) return
    const ended = once(server, 'exit')
    // The server has processes of its own.
    process.kill(-server.pid, 'SIGTERM')
    await ended
  })

  async function train(name: string, mlflow: object): Promise<string> {
    const outputDir = join(directory, name)
    const rows = join(directory, 'rows.jsonl')
    writeFileSync(
      rows,
      tinyRows(12)
        .map((row) => JSON.stringify(row))
        .join('\n'),
    )
    const run = await trainLora({
      model: await writeTinyModel(join(directory, 'model')),
      dataset: rows,
      outputDir,
      reportTo: ['mlflow'],
      mlflow: { experimentName: name, ...mlflow },
      training: { maxSteps: 3, loggingSteps: 1, evalSplit: 0.2, evalSteps: 3, runName: 'a first try' },
    })
    run.dispose()
    return outputDir
  }

  async function readBack(name: string): Promise<Read> {
    const script = fileURLToPath(new URL('mlflow_read.py', import.meta.url))
    const { code, stdout, stderr } = await runPython([script, uri, name, join(directory, `${name}-files`)])
    expect(code, stderr).toBe(0)
    return JSON.parse(stdout.trim().split('\n').at(-1) as string)
  }

  const complete = {
    status: 'FINISHED',
    name: 'a first try',
    params: { 'lora.r': '16', 'training.maxSteps': '3' },
    tags: { 'mlflow.source.type': 'LOCAL', 'mlflow.runName': 'a first try' },
    history: { loss: [1, 2, 3], learning_rate: [1, 2, 3], grad_norm: [1, 2, 3], eval_loss: [3], train_loss: [3] },
    inputs: [['rows.jsonl', expect.stringMatching(/^[0-9a-f]{36}$/), 'train']],
    artifacts: ['README.md', 'log.jsonl', 'train.yaml', 'trainer_state.json'],
    model: { status: 'READY', files: expect.arrayContaining(['MLmodel', 'components', 'peft', 'requirements.txt']) },
  }

  it('a run is read back through its own Python client, which loads what it logged and what is registered', async () => {
    const outputDir = await train('online', { trackingUri: uri })
    const read = await readBack('online')
    expect(read).toMatchObject(complete)
    expect(read.outputs).toEqual([read.model.id])
    for (const file of ['adapter_config.json', 'adapter_model.safetensors'])
      expect(readFileSync(join(read.folder, 'peft', file))).toEqual(readFileSync(join(outputDir, 'adapter', file)))
    const model = await loadModel(join(directory, 'model'), { dtype: 'float32' })
    await LoraAdapter.load(model, join(outputDir, 'adapter'))
    const logits = await logitsOf(model)
    model.dispose()
    const pushed = { registry: uri, alias: 'champion', run: read.run }
    await pushAdapter(join(outputDir, 'adapter'), 'risk', pushed)
    const uris = [`models:/${read.model.id}`, 'models:/risk@champion']
    const [logged, registered] = (await inPython(
      uris.map((each) => ({ uri: each, ids: IDS })),
      { trackingUri: uri },
    )) as [Seen, Seen]
    expect(logged).toMatchObject({ model_id: read.model.id })
    for (const seen of [logged, registered]) {
      expect(relativeDifference(seen.logits, logits)).toBeLessThan(TOLERANCE)
      expect(seen).toMatchObject({ class: 'PeftModelForCausalLM', run_id: read.run })
      expect(seen.predicted).toEqual(seen.generated)
    }
  })

  it('a run that was trained offline is the same once it is synced, and a second sync sends nothing', async () => {
    const outputDir = await train('offline', { offline: true })
    const [first] = await syncMlflow(outputDir, { trackingUri: uri })
    expect(first).toMatchObject({ failed: [] })
    expect(await readBack('offline')).toMatchObject(complete)
    expect(await syncMlflow(outputDir, { trackingUri: uri })).toMatchObject([{ sent: 0, failed: [] }])
  })

  it('evaluations are read back: scores of data sets and tasks, tables of answers and a report, each once', async () => {
    const outputDir = join(directory, 'evaluations')
    mkdirSync(outputDir)
    writeFileSync(join(outputDir, 'report.html'), '<p>report</p>')
    const evaluation = (step: number) => ({
      type: 'evaluate',
      step,
      totalSteps: 1000,
      epoch: step / 1000,
      loss: 2 / step,
      tokens: 7,
      seconds: 0.5,
      metrics: { eval_loss: 2 / step, eval_held_loss: 3 / step, eval_short_answers_rougeL: 0.25 },
      samples: [{ prompt: 'Two\nlines', text: `"answer" ${step}`, finishReason: 'stop' }],
    })
    const options = { trackingUri: uri, experimentName: 'evaluations' }
    // The first process writes down what the second one sends, as if the server had been down until then.
    const before = mlflowCallback({ ...options, offline: true })
    for (const event of [startEvent(outputDir), evaluation(2)]) await before.onEvent(event)
    const callback = mlflowCallback(options)
    for (const event of [startEvent(outputDir, { step: 2 }), evaluation(4), END]) await callback.onEvent(event)
    const script = fileURLToPath(new URL('mlflow_evaluations.py', import.meta.url))
    const { code, stdout, stderr } = await runPython([script, uri, 'evaluations'])
    expect(code, stderr).toBe(0)
    const row = (step: number) => ({ step, prompt: 'Two\nlines', answer: `"answer" ${step}`, finish_reason: 'stop' })
    const points = (value: (step: number) => number) => [2, 4].map((step) => [step, value(step)])
    expect(JSON.parse(stdout.trim().split('\n').at(-1) as string)).toEqual({
      points: {
        eval_loss: points((step) => 2 / step),
        eval_held_loss: points((step) => 3 / step),
        eval_short_answers_rougeL: points(() => 0.25),
      },
      tables: { 'samples/step-00000002.json': [row(2)], 'samples/step-00000004.json': [row(4)] },
      report: '<p>report</p>',
    })
  })

  it('its page shows the run and a metric in a browser', async () => {
    await train('seen', { trackingUri: uri })
    const { experiment, run } = await readBack('seen')
    const page = `${uri}/#/experiments/${experiment}/runs/${run}`
    const flags = [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--virtual-time-budget=30000',
    ]
    const browser = spawn(BROWSER, [...flags, `--user-data-dir=${join(directory, 'browser')}`, '--dump-dom', page], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    let dom = ''
    browser.stdout.setEncoding('utf8').on('data', (text: string) => {
      dom += text
    })
    const [code] = await once(browser, 'close')
    expect(code).toBe(0)
    for (const text of ['a first try', 'Finished', 'grad_norm', 'eval_loss']) expect(dom).toContain(text)
  })
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}
