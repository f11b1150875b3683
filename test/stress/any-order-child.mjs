/**
 * @file Calls the public API in random orders: closed devices, disposed models, full budgets, answers that nobody waits
 * for. Arguments: JSON of `seed`, `sequences`, and the directories of a `model` and an `adapter`. Prints as JSON what
 * was called, how it ended, and all that is wrong: rejections without an owner, promises that never settle, errors
 * without a proper text.
 */

import {
  AdamW,
  activeAdapters,
  createModel,
  Device,
  deleteAdapter,
  disableAdapters,
  enableAdapters,
  evaluateLoss,
  LoraAdapter,
  loadAdapter,
  loadModel,
  noGrad,
  planGeneration,
  planTraining,
  saveModel,
  scope,
  setAdapter,
  Tensor,
  trainLora,
} from '../../dist/index.js'

const {
  seed,
  sequences,
  model: modelDirectory,
  adapter: adapterDirectory,
  config,
  output,
} = JSON.parse(process.argv[2])

let state = seed
/** A whole number below `limit`; the same series for the same seed. */
function below(limit) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return Math.floor((state / 2 ** 32) * limit)
}
const oneOf = (items) => items[below(items.length)]
const chance = (percent) => below(100) < percent

const wrong = []
const texts = new Set()
const outcomes = {}
let done = []
const report = (what, text) => wrong.push({ what, text, calls: done.join(' ') })
process.on('unhandledRejection', (reason) => report('a rejection without an owner', String(reason?.stack ?? reason)))
process.on('uncaughtException', (error) =>
  report('an exception that nobody could catch', String(error?.stack ?? error)),
)

/** An error says where, what was expected and what came; an abort is the caller's own. */
function look(name, error) {
  const isProper = error instanceof Error && /^\[[\w. -]+\] \S.{14,1500}$/s.test(error.message)
  const isAbort = error?.name === 'AbortError'
  if (!isProper && !isAbort) report(`${name} ended with`, String(error?.stack ?? error))
  texts.add(`${name}: ${error?.message}`)
  count(name, 'error')
}

function count(name, outcome) {
  outcomes[name] ??= { result: 0, error: 0 }
  outcomes[name][outcome]++
}

let devices, models, adapters, optimizers, tensors, losses, streams, pending

/** Makes one call; what it returns is kept by `then`, now or when it comes. */
function call(name, run, then = () => {}) {
  done.push(name)
  try {
    const result = run()
    if (typeof result?.then !== 'function') {
      count(name, 'result')
      return then(result)
    }
    let settled = false
    const settling = result.then(
      (value) => {
        settled = true
        count(name, 'result')
        then(value)
      },
      (error) => {
        settled = true
        look(name, error)
      },
    )
    pending.push({ name, settling, isSettled: () => settled })
  } catch (error) {
    look(name, error)
  }
}

const ids = (length) => Array.from({ length }, () => below(config.vocab_size))
const batch = () => {
  const inputIds = Array.from({ length: 1 + below(2) }, () => ids(6))
  return { inputIds, labels: inputIds }
}

/** A device, a model and so on, closed and disposed ones among them. */
const CALLS = {
  open: () =>
    call(
      'Device.open',
      () =>
        Device.open('cpu', {
          threads: 1 + below(2),
          memoryBudget: oneOf([undefined, 2 ** 30, 3e5, 2e6]),
          dryRun: chance(10),
        }),
      (device) => devices.push(device),
    ),
  create: () =>
    call(
      'createModel',
      () => createModel(config, { device: oneOf(['cpu', ...devices]), quantization: chance(20) ? 'nf4' : undefined }),
      (model) => models.push(model),
    ),
  load: () =>
    call(
      'loadModel',
      () => loadModel(modelDirectory, { device: oneOf(['cpu', ...devices]), dtype: oneOf(['float32', 'bfloat16']) }),
      (model) => models.push(model),
    ),
  forward: () => {
    const model = oneOf(models)
    const run = () => model.forward(batch(), { logits: chance(30) })
    call('forward', chance(20) ? () => noGrad(run) : chance(20) ? () => scope(() => run().loss) : run, (result) =>
      losses.push(result.loss ?? result),
    )
  },
  trainStep: () => {
    const model = oneOf(models)
    call('a training step', () => {
      const adapter = LoraAdapter.create(model, { r: 2 })
      adapters.push(adapter)
      const optimizer = new AdamW(adapter.parameters())
      optimizers.push(optimizer)
      const { loss } = model.train().forward(batch())
      losses.push(loss)
      loss.backward()
      optimizer.step({ maxGradNorm: 1 })
      return chance(50) ? optimizer.gradNorms() : loss.read()
    })
  },
  train: () => call('train()', () => oneOf(models).train(chance(70))),
  backward: () => call('backward', () => oneOf(losses).backward()),
  read: () => call('read', () => oneOf([...losses, ...tensors]).read()),
  readParameter: () => call('parameter.read', () => oneOf([...oneOf(models).parameters().values()]).read()),
  sync: () => call('sync', () => oneOf([...devices, ...models.map(({ device }) => device)]).sync()),
  generate: () =>
    call('generate', () => {
      const controller = new AbortController()
      if (chance(20)) setImmediate(() => controller.abort())
      const several = chance(30)
      const prompt = several ? [ids(3), ids(5)] : ids(1 + below(8))
      const options = {
        maxNewTokens: below(12),
        signal: controller.signal,
        ...(chance(40) && { temperature: 0.9, seed: 1 }),
      }
      return oneOf(models).generate(prompt, options)
    }),
  stream: () =>
    call(
      'stream',
      () => oneOf(models).stream(ids(4), { maxNewTokens: 20 }),
      (stream) => streams.push(stream),
    ),
  next: () => call('stream.next', () => oneOf(streams).next()),
  return: () => call('stream.return', () => oneOf(streams).return()),
  adapter: () =>
    call(
      'LoraAdapter.create',
      () => LoraAdapter.create(oneOf(models), { r: 2 }, { adapterName: oneOf(['a', 'b', undefined]) }),
      (made) => adapters.push(made),
    ),
  loadAdapter: () =>
    call(
      'loadAdapter',
      () => loadAdapter(oneOf(models), adapterDirectory, oneOf(['a', 'c'])),
      (made) => adapters.push(made),
    ),
  setAdapter: () => call('setAdapter', () => setAdapter(oneOf(models), oneOf(['a', 'b', 'c', ['a', 'b']]))),
  disable: () => call('disableAdapters', () => oneOf([disableAdapters, enableAdapters, activeAdapters])(oneOf(models))),
  deleteAdapter: () => call('deleteAdapter', () => deleteAdapter(oneOf(models), oneOf(['a', 'b', 'c', 'default']))),
  disposeAdapter: () => call('adapter.dispose', () => oneOf(adapters).dispose()),
  saveAdapter: () => call('adapter.save', () => oneOf(adapters).save(`${output}/adapter`)),
  merge: () => call('mergeAndUnload', () => oneOf(adapters).mergeAndUnload()),
  optimizer: () =>
    call(
      'new AdamW',
      () => new AdamW(oneOf(adapters).parameters()),
      (made) => optimizers.push(made),
    ),
  step: () => call('AdamW.step', () => oneOf(optimizers).step({ maxGradNorm: 1 })),
  zeroGrad: () => call('AdamW.zeroGrad', () => oneOf(optimizers).zeroGrad()),
  gradNorms: () => call('AdamW.gradNorms', () => oneOf(optimizers).gradNorms()),
  disposeOptimizer: () => call('AdamW.dispose', () => oneOf(optimizers).dispose()),
  tensor: () => {
    const shape = oneOf([
      [2, 3],
      [0, 4],
      [300, 1000],
      [2 ** 20, 2 ** 20],
    ])
    call(
      'Tensor.full',
      () => Tensor.full(oneOf([...devices, ...models.map(({ device }) => device)]), shape, 'float32', 1),
      (made) => tensors.push(made),
    )
  },
  disposeTensor: () => call('tensor.dispose', () => oneOf([...tensors, ...losses]).dispose()),
  save: () => call('saveModel', () => saveModel(oneOf(models), `${output}/model`)),
  disposeModel: () => call('model.dispose', () => oneOf(models).dispose()),
  closeDevice: () => call('device.close', () => oneOf([...devices, ...models.map(({ device }) => device)]).close()),
  memory: () => call('device.memory', () => oneOf([...devices, ...models.map(({ device }) => device)]).memory()),
  evaluate: () =>
    call('evaluateLoss', () => {
      const example = {
        inputIds: Int32Array.from(ids(6)),
        labels: Int32Array.from(ids(6)),
        numSupervised: 5,
        promptLength: 1,
      }
      return evaluateLoss(oneOf(models), [example, example], { batchSize: 1 })
    }),
}

/** Calls that take long: few of them. */
const LONG_CALLS = {
  plan: () =>
    call('planTraining', () =>
      planTraining(
        { model: config, lora: { r: 2 }, training: { maxLength: 16 } },
        { memory: oneOf([undefined, 1e5, 9.5e7]) },
      ),
    ),
  planGeneration: () =>
    call('planGeneration', () => planGeneration({ model: config, promptTokens: 4, maxNewTokens: 4 })),
  trainLora: () => {
    const controller = new AbortController()
    const stopAt = below(6)
    let events = 0
    call(
      'trainLora',
      () =>
        trainLora({
          model: modelDirectory,
          dataset: [
            { prompt: 'one', completion: ' two' },
            { prompt: 'three', completion: ' four five' },
          ],
          lora: { r: 2 },
          memoryBudget: oneOf([undefined, 2 ** 30, 1e6, 1e5]),
          training: { maxSteps: 3, maxLength: 16, perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 1 },
          signal: controller.signal,
          onEvent: () => {
            if (++events === stopAt) controller.abort()
          },
        }),
      (run) => {
        models.push(run.model)
        adapters.push(run.adapter)
        if (chance(70)) call('TrainRun.dispose', () => run.dispose())
        if (chance(30)) call('TrainRun.dispose', () => run.dispose())
      },
    )
  },
}

// What a call takes has to be there.
const needs = {
  forward: () => models,
  train: () => models,
  trainStep: () => models,
  backward: () => losses,
  read: () => [...losses, ...tensors],
  readParameter: () => models,
  generate: () => models,
  stream: () => models,
  next: () => streams,
  return: () => streams,
  adapter: () => models,
  loadAdapter: () => models,
  setAdapter: () => models,
  disable: () => models,
  deleteAdapter: () => models,
  disposeAdapter: () => adapters,
  saveAdapter: () => adapters,
  merge: () => adapters,
  optimizer: () => adapters,
  step: () => optimizers,
  zeroGrad: () => optimizers,
  gradNorms: () => optimizers,
  disposeOptimizer: () => optimizers,
  disposeTensor: () => [...tensors, ...losses],
  save: () => models,
  disposeModel: () => models,
  evaluate: () => models,
  sync: () => [...devices, ...models],
  tensor: () => [...devices, ...models],
  closeDevice: () => [...devices, ...models],
  memory: () => [...devices, ...models],
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

for (let sequence = 0; sequence < sequences; sequence++) {
  ;[devices, models, adapters, optimizers, tensors, losses, streams, pending] = [[], [], [], [], [], [], [], []]
  done = [`#${sequence}:`]
  const names = Object.keys(CALLS)
  for (let i = 0; i < 25; i++) {
    const name = i === 0 ? oneOf(['create', 'load', 'open']) : oneOf(names)
    if (needs[name] && needs[name]().length === 0) continue
    if (chance(2)) LONG_CALLS[oneOf(Object.keys(LONG_CALLS))]()
    CALLS[name]()
    if (chance(50)) await turn()
    if (chance(20)) await Promise.all(pending.map(({ settling }) => settling))
  }
  if (chance(50)) for (const model of models) call('model.dispose', () => model.dispose())
  if (chance(50)) for (const device of devices) call('device.close', () => device.close())
  // Far more than any of these takes: what is open then stays open.
  const deadline = AbortSignal.timeout(120_000)
  const late = new Promise((resolve) => deadline.addEventListener('abort', resolve, { once: true }))
  for (let rest = pending; rest.some(({ isSettled }) => !isSettled()) && !deadline.aborted; rest = pending) {
    await Promise.race([Promise.all(rest.map(({ settling }) => settling)), late])
  }
  for (const { name, isSettled } of pending) if (!isSettled()) report(`${name} never settled`, '')
  await turn()
  if (sequence % 16 === 0) globalThis.gc?.()
  if (wrong.length > 20) break
}
process.stdout.write(JSON.stringify({ outcomes, wrong, texts: [...texts].slice(0, 400) }))
process.exit(0)
