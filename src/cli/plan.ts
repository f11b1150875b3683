/** @file `lowrank plan`: what a training run would take, before anything is loaded. */

import { formatBytes } from '../bytes.js'
import { describeSwitch, formatCount, type Paint, paintFor } from '../progress/terminal.js'
import { describeChange, describeRemedy, planResolved, type TrainingPlan } from '../train/plan.js'
import { readConfig } from './config.js'
import { presetLines, presetOf } from './preset.js'
import { checkRunOptions } from './run-options.js'
import { flagValues } from './train-flags.js'
import { UsageError } from './usage-error.js'

interface PlanCommandOptions {
  readonly set: readonly string[]
  readonly memory?: number
  readonly json?: boolean
}

/** A plan is of rows of `maxLength` tokens; none are read. */
const WITHOUT_ROWS = { dataset: [] }

export async function plan(configPath: string | undefined, given: PlanCommandOptions): Promise<void> {
  const { set, memory, json } = given
  const answering = { promptTokens: '--prompt-tokens', maxNewTokens: '--max-new-tokens' }
  for (const [name, flag] of Object.entries(answering))
    if (Object.hasOwn(given, name)) throw new UsageError(`[plan] expected ${flag} with --generate, got it without`)
  const configuration = await readConfig(configPath, set, flagValues(given))
  const options = checkRunOptions(configuration, { defaults: WITHOUT_ROWS })
  const planned = await planResolved(options, memory)
  const isAsked = configuration.originOf(['training', 'maxLength']) !== undefined
  const wantedMaxLength = isAsked ? options.training.maxLength : undefined
  const preset = presetOf(configuration.options)
  process.stdout.write(
    json
      ? `${JSON.stringify({ ...planned, ...(preset && { preset }) })}\n`
      : presetLines(preset) + describe(planned, wantedMaxLength, paintFor(process.stdout)),
  )
}

/** @param wantedMaxLength Undefined where it was not asked for. */
function describe(plan: TrainingPlan, wantedMaxLength: number | undefined, paint: Paint): string {
  const { settings, tensors, trainableParameters, totalParameters } = plan
  const row = (name: string, bytes: number): string => `  ${name.padEnd(WIDTH)}${formatBytes(bytes).padStart(10)}`
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

const WIDTH = 60
