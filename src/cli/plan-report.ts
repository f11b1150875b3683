/** @file What `lowrank plan` does once its flags are right: plan, and show the plan as a table. */

import { formatBytes } from '../bytes.js'
import { type GenerationPlan, planGeneration } from '../generation/plan-generation.js'
import { describeSwitch, formatCount, type Paint, paintFor } from '../progress/terminal.js'
import { describeChange, describeRemedy, planResolved, type TrainingPlan } from '../train/plan.js'
import type { Plan } from './plan.js'
import { presetLines } from './preset.js'

export async function plan({ json, generate, ...checked }: Plan): Promise<void> {
  const paint = paintFor(process.stdout)
  const { result, text } = generate ? await planAnswers(checked, paint) : await estimateMemory(checked, paint)
  process.stdout.write(json ? `${JSON.stringify(result)}\n` : text)
}

/** A plan for programs and for people. */
interface Shown {
  readonly result: object
  readonly text: string
}

async function estimateMemory({ run, memory }: Omit<Plan, 'json'>, paint: Paint): Promise<Shown> {
  const { options, preset } = run
  const planned = await planResolved(options, memory)
  const wantedMaxLength = run.has(['training', 'maxLength']) ? options.training.maxLength : undefined
  return {
    result: { ...planned, ...(preset && { preset }) },
    text: presetLines(preset) + describeTraining(planned, wantedMaxLength, paint),
  }
}

async function planAnswers({ run, memory, ...lengths }: Omit<Plan, 'json'>, paint: Paint): Promise<Shown> {
  const { model, device, dtype, quantization, revision, token, cacheDir, localFilesOnly } = run.options
  const { batchSize, promptTokens, maxNewTokens } = lengths
  const held = { device, quantization, dtype: dtype === 'auto' ? undefined : dtype }
  const place = { model, revision, token, cacheDir, localFilesOnly }
  const result = await planGeneration({ ...place, ...held, batchSize, promptTokens, maxNewTokens }, { memory })
  return { result, text: describeAnswers(result, paint) }
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
  const positions = isClipped ? ' (the longest that the model takes)' : ''
  const lines = [
    `Training ${formatCount(trainableParameters)} of ${formatCount(totalParameters)} parameters in ${settings.dtype}${settings.quantization ? ` on ${settings.quantization}` : ''}, ` +
      `${settings.perDeviceTrainBatchSize} x ${settings.maxLength} tokens${positions}, gradient checkpointing ${describeSwitch(settings.gradientCheckpointing)}`,
    row('weights', tensors.weights),
    row(settings.method === 'lora' ? 'adapter' : 'float32 masters', tensors.trained),
    row('gradients', tensors.gradients),
    row('optimizer', tensors.optimizer),
    row('activations and workspace', tensors.activations),
    row('gaps between these', plan.residentTensors - plan.peakTensors),
    ...(plan.process > 0 ? [row('Node.js itself', plan.process)] : []),
    paint('bold', row(plan.device === 'cpu' ? 'peak' : `peak on ${plan.device}`, plan.peakResident)),
    row('while loading', plan.peakLoading),
    ...(plan.hostTensors > 0 ? [row("embeddings, in the machine's memory", plan.hostTensors)] : []),
    row('available', plan.memory),
    '',
    'Peak with another setting',
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
    row('gaps between these', plan.peakResident - plan.process - plan.peakTensors),
    ...(plan.process > 0 ? [row('Node.js itself', plan.process)] : []),
    paint('bold', row(plan.device === 'cpu' ? 'peak' : `peak on ${plan.device}`, plan.peakResident)),
    row('available', plan.memory),
    '',
    plan.fits
      ? paint('green', 'It fits')
      : `${paint('yellow', 'It does not fit')}: fewer or shorter prompts, fewer new tokens${quantization ? '' : ', --quantization nf4'}, or a smaller model`,
  ]
  return `${lines.join('\n')}\n`
}
