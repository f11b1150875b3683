// @ts-check
/**
 * @file Pre-trains the small base model from scratch. Stops when its minutes are over; run it again to go on.
 *
 *   node examples/pretrain/pretrain.mjs [--work out/pretrain] [--minutes 30] [--steps 3000] [--out models/lowrank-base-5m]
 *
 * Reads WORK/train.jsonl and WORK/heldout.jsonl (corpus.mjs) and the model of `--from` (WORK/init, of init.mjs). `--steps` fixes the learning rate
 * schedule: keep it from sitting to sitting, or raise it to take a run further. Where the time is not known beforehand, begin with `--scheduler
 * constant_with_warmup`, and then let the rate fall to 0 in a run of its own, `--run NAME --from WORK/run/checkpoint-N`. Writes checkpoints to
 * WORK/RUN, the curve to WORK/RUN.csv, and, once all steps are done, the model to OUT. A later run takes another `--seed`, so that it meets the rows in
 * another order.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createProgress, saveModel, trainLora } from '../../dist/index.js'

const { values } = parseArgs({
  options: {
    work: { type: 'string', default: 'out/pretrain' },
    out: { type: 'string', default: 'models/lowrank-base-5m' },
    minutes: { type: 'string', default: '30' },
    steps: { type: 'string', default: '3000' },
    from: { type: 'string' },
    run: { type: 'string', default: 'run' },
    scheduler: { type: 'string', default: 'cosine' },
    'learning-rate': { type: 'string', default: '2e-3' },
    'warmup-steps': { type: 'string', default: '100' },
    'packs-per-step': { type: 'string', default: '8' },
    seed: { type: 'string', default: '42' },
    threads: { type: 'string' },
  },
})
const { work } = values
const from = values.from ?? join(work, 'init')
const runs = join(work, values.run)
const curve = join(work, `${values.run}.csv`)

/** step -> line of the loss curve. A resumed run goes over the steps after its checkpoint again. @returns {Map<number, string>} */
function readCurve() {
  const lines = existsSync(curve) ? readFileSync(curve, 'utf8').trim().split('\n').slice(1) : []
  return new Map(lines.map((line) => [Number(line.split(',')[0]), line]))
}

const points = readCurve()
const writeCurve = () => {
  const lines = [...points].sort((a, b) => a[0] - b[0]).map((point) => point[1])
  writeFileSync(curve, `${['step,tokens,learning_rate,train_loss,heldout_loss', ...lines].join('\n')}\n`)
}

mkdirSync(runs, { recursive: true })
const resume = readdirSync(runs).some((name) => name.startsWith('checkpoint-'))
const clock = new AbortController()
const timer = setTimeout(() => clock.abort(), Number(values.minutes) * 60_000)
const progress = createProgress({ intervalSeconds: 30 })
let started = false

const run = await trainLora({
  model: from,
  dataset: join(work, 'train.jsonl'),
  evalDataset: join(work, 'heldout.jsonl'),
  method: 'full',
  training: {
    packing: true,
    maxLength: 512,
    maxSteps: Number(values.steps),
    perDeviceTrainBatchSize: Number(values['packs-per-step']),
    gradientAccumulationSteps: 1,
    gradientCheckpointing: false,
    learningRate: Number(values['learning-rate']),
    lrSchedulerType: /** @type {'cosine'} */ (values.scheduler),
    warmupSteps: Number(values['warmup-steps']),
    adamBeta2: 0.95,
    weightDecay: 0.1,
    maxGradNorm: 1,
    loggingSteps: 20,
    evalStrategy: 'steps',
    evalSteps: 500,
    saveStrategy: 'steps',
    saveSteps: 250,
    saveTotalLimit: 2,
    seed: Number(values.seed),
  },
  ...(values.threads ? { threads: Number(values.threads) } : {}),
  outputDir: runs,
  resumeFromCheckpoint: resume,
  signal: clock.signal,
  onEvent: (event) => {
    progress.onEvent(event)
    // Encoding the corpus is not part of the time asked for.
    if (event.type === 'start' && !started) started = Boolean(timer.refresh())
    if (event.type !== 'log' && event.type !== 'evaluate') return
    if (event.type === 'log') {
      const { step, numInputTokensSeen, learningRate, loss } = event
      points.set(step, [step, numInputTokensSeen, learningRate.toExponential(3), loss.toFixed(4), ''].join(','))
    } else {
      const line = points.get(event.step)
      if (line) points.set(event.step, line.replace(/[^,]*$/, event.loss.toFixed(4)))
    }
    writeCurve()
  },
})
clearTimeout(timer)
progress.stop()
if (run.reason === 'completed') {
  await saveModel(run.model, values.out, { dtype: 'bfloat16', tokenizerFrom: from })
  console.log(`${run.step} steps done, model in ${values.out}`)
} else console.log(`stopped after step ${run.step} of ${values.steps}; run the same command again to go on`)
run.dispose()
