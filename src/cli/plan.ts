/** @file `lowrank plan`: the memory that training or answering would take, before anything is loaded. */

import { formatBytes, parseBytes } from '../bytes.js'
import { type GenerationPlan, planGeneration } from '../generation/plan-generation.js'
import { PLAN_GENERATION_OPTIONS } from '../generation/plan-options.js'
import { boolean, textOf } from '../options/rules.js'
import { describeSwitch, formatCount, type Paint, paintFor } from '../progress/terminal.js'
import { TRAIN_LORA_OPTIONS } from '../train/options.js'
import { describeChange, describeRemedy, planResolved, type TrainingPlan } from '../train/plan.js'
import type { Command, Given } from './command.js'
import { JSON_OBJECT } from './flags.js'
import { presetLines } from './preset.js'
import { type RunOptions, readRunOptions } from './run-options.js'
import { flagFor, SET_FLAGS, type SetFlags } from './train-flags.js'
import { checkAll, UsageError } from './usage-error.js'

interface PlanFlags extends SetFlags {
  readonly memory?: string
  readonly generate?: boolean
  readonly promptTokens?: number
  readonly maxNewTokens?: number
  readonly json?: boolean
}

interface Checked extends Omit<PlanFlags, 'memory'> {
  readonly run: RunOptions
  /** Bytes. */
  readonly memory: number | undefined
  /** Prompts that are answered together; undefined: one. */
  readonly batchSize: number | undefined
}

/** Options that say which model answers and how it is held. */
const OF_ANSWERS = ['model', 'revision', 'preset', 'quantization', 'dtype', 'device']

const { promptTokens, maxNewTokens } = PLAN_GENERATION_OPTIONS

export const command: Command<PlanFlags, Checked> = {
  summary: 'say how much memory a run takes, and what would make it fit',
  details: 'It reads the configuration of a model, or a .gguf file, and no weights and no rows.',
  arguments: [{ name: 'config', help: 'YAML file as for train' }],
  settings: TRAIN_LORA_OPTIONS,
  flags: {
    ...SET_FLAGS,
    memory: {
      rule: { ...textOf('an amount of memory such as 8GiB'), accepts: (value) => bytesOf(value) !== undefined },
      help: 'what may be taken, as in 8GiB',
      otherwise: 'what is available now',
      flag: { name: '--memory', argument: 'size', group: 'The plan' },
    },
    generate: {
      rule: boolean,
      help: 'plan answers in place of training: weights, keys and values; --batch-size prompts at a time',
      flag: { name: '--generate' },
    },
    promptTokens: {
      rule: promptTokens.rule,
      otherwise: String(promptTokens.default),
      help: `with --generate: ${promptTokens.help}`,
      flag: { name: '--prompt-tokens', argument: 'count' },
    },
    maxNewTokens: {
      rule: maxNewTokens.rule,
      otherwise: String(maxNewTokens.default),
      help: `with --generate: ${maxNewTokens.help}`,
      flag: { name: '--max-new-tokens', argument: 'count' },
    },
    json: JSON_OBJECT,
  },
  examples: [
    { text: 'Plan the run of a file', line: 'plan run.yaml' },
    {
      text: 'See whether QLoRA fits into 24 GB',
      line: 'plan --model Qwen/Qwen3-8B --quantization nf4 --memory 24GB',
    },
    {
      text: 'Plan four answers at a time',
      line: 'plan --generate --model model.gguf --batch-size 4',
    },
  ],
  instead: flagFor,
  async check(given) {
    const { flags, settings } = given
    const [run] = await checkAll('plan', [
      () => readRunOptions(given, { withoutRows: true }),
      () => (flags.generate ? refuseTrainingFlags(given) : refuseAnswerFlags(flags)),
    ])
    const hasBatchSize = settings.some(({ flag }) => flag === '--batch-size')
    return {
      ...flags,
      run,
      memory: bytesOf(flags.memory),
      batchSize: hasBatchSize ? run.options.training.perDeviceTrainBatchSize : undefined,
    }
  },
  async run({ json, generate, ...checked }) {
    const paint = paintFor(process.stdout)
    const { result, text } = generate ? await planAnswers(checked, paint) : await estimateMemory(checked, paint)
    process.stdout.write(json ? `${JSON.stringify(result)}\n` : text)
  },
}

/** A plan for programs and for people. */
interface Shown {
  readonly result: object
  readonly text: string
}

async function estimateMemory({ run, memory }: Omit<Checked, 'json'>, paint: Paint): Promise<Shown> {
  const { options, preset } = run
  const planned = await planResolved(options, memory)
  const wantedMaxLength = run.has(['training', 'maxLength']) ? options.training.maxLength : undefined
  return {
    result: { ...planned, ...(preset && { preset }) },
    text: presetLines(preset) + describeTraining(planned, wantedMaxLength, paint),
  }
}

async function planAnswers({ run, memory, ...lengths }: Omit<Checked, 'json'>, paint: Paint): Promise<Shown> {
  const { model, device, dtype, quantization, revision, token, cacheDir, localFilesOnly } = run.options
  const { batchSize, promptTokens, maxNewTokens } = lengths
  const held = { device, quantization, dtype: dtype === 'auto' ? undefined : dtype }
  const place = { model, revision, token, cacheDir, localFilesOnly }
  const result = await planGeneration({ ...place, ...held, batchSize, promptTokens, maxNewTokens }, { memory })
  return { result, text: describeAnswers(result, paint) }
}

function bytesOf(size: unknown): number | undefined {
  const bytes = typeof size === 'string' ? parseBytes(size) : undefined
  return bytes !== undefined && bytes >= 1 ? bytes : undefined
}

/** @throws UsageError naming what was typed and belongs to training alone */
function refuseTrainingFlags({ flags: { set }, settings }: Given<PlanFlags>): void {
  const typed = [
    ...settings
      .filter(({ flag, path: [name = ''] }) => flag !== '--batch-size' && !OF_ANSWERS.includes(name))
      .map(({ flag }) => flag),
    ...set.filter((setting) => /^(?:training|lora)\b/.test(setting)).map((setting) => `--set ${setting.split('=')[0]}`),
  ]
  if (typed.length === 0) return
  const lengths = typed.includes('--max-length') ? '; --prompt-tokens and --max-new-tokens give the lengths' : ''
  throw new UsageError(`[plan] expected no flags of training with --generate, got ${typed.join(', ')}${lengths}`)
}

/** @throws UsageError naming what was typed and belongs to answers alone */
function refuseAnswerFlags({ promptTokens, maxNewTokens }: PlanFlags): void {
  const typed = Object.entries({ '--prompt-tokens': promptTokens, '--max-new-tokens': maxNewTokens })
    .filter(([, value]) => value !== undefined)
    .map(([flag]) => flag)
  if (typed.length === 0) return
  throw new UsageError(`[plan] expected ${typed.join(' and ')} with --generate, got it without`)
}

/** Widths of the names of rows. */
const TRAINING_WIDTH = 60
const ANSWERS_WIDTH = 40

function rows(width: number): (name: string, bytes: number) => string {
  return (name, bytes) => `  ${name.padEnd(width)}${formatBytes(bytes).padStart(10)}`
}

/** @param wantedMaxLength Undefined where it was not asked for. */
function describeTraining(plan: TrainingPlan, wantedMaxLength: number | undefined, paint: Paint): string {
  const { settings, tensors, trainableParameters, totalParameters } = plan
  const row = rows(TRAINING_WIDTH)
  const isClipped = wantedMaxLength !== undefined && wantedMaxLength > settings.maxLength
  const positions = isClipped ? ' (all positions of the model)' : ''
  const lines = [
    `Training ${formatCount(trainableParameters)} of ${formatCount(totalParameters)} parameters in ${settings.dtype}${settings.quantization ? ` on ${settings.quantization}` : ''}, ` +
      `${settings.perDeviceTrainBatchSize} x ${settings.maxLength} tokens${positions}, gradient checkpointing ${describeSwitch(settings.gradientCheckpointing)}`,
    row('weights', tensors.weights),
    row(settings.method === 'lora' ? 'adapter' : 'float32 masters', tensors.trained),
    row('gradients', tensors.gradients),
    row('optimizer', tensors.optimizer),
    row('activations and workspace', tensors.activations),
    row('gaps between them', plan.residentTensors - plan.peakTensors),
    ...(plan.process > 0 ? [row('the process without tensors', plan.process)] : []),
    paint('bold', row(plan.device === 'cpu' ? 'peak' : `peak on ${plan.device}`, plan.peakResident)),
    row('while loading', plan.peakLoading),
    ...(plan.hostTensors > 0 ? [row("embeddings, in the machine's memory", plan.hostTensors)] : []),
    row('available', plan.memory),
    '',
    'Instead',
    ...plan.alternatives.map(({ change, peakResident }) => row(describeChange(change), peakResident)),
    '',
    plan.fits
      ? paint('green', 'It fits')
      : `${paint('yellow', 'It does not fit')}; ${describeRemedy(plan.remedy, { isGpu: plan.device !== 'cpu' })}`,
  ]
  return `${lines.join('\n')}\n`
}

function describeAnswers(plan: GenerationPlan, paint: Paint): string {
  const { dtype, quantization, batchSize, promptTokens, maxNewTokens, tensors } = plan
  const row = rows(ANSWERS_WIDTH)
  const lines = [
    `Answering ${batchSize} x ${promptTokens} tokens with up to ${maxNewTokens} in ${dtype}${quantization ? ` on ${quantization}` : ''}`,
    row('weights', tensors.weights),
    row('keys and values', tensors.kvCache),
    row('activations and workspace', tensors.activations),
    row('gaps between them', plan.peakResident - plan.process - plan.peakTensors),
    ...(plan.process > 0 ? [row('the process without tensors', plan.process)] : []),
    paint('bold', row(plan.device === 'cpu' ? 'peak' : `peak on ${plan.device}`, plan.peakResident)),
    row('available', plan.memory),
    '',
    plan.fits
      ? paint('green', 'It fits')
      : `${paint('yellow', 'It does not fit')}: fewer or shorter prompts, fewer new tokens${quantization ? '' : ', --quantization nf4'}, or a smaller model`,
  ]
  return `${lines.join('\n')}\n`
}
