/** @file `lowrank plan --generate`: what answering would take, before anything is loaded. */

import { formatBytes } from '../bytes.js'
import { type GenerationPlan, planGeneration } from '../generation/plan-generation.js'
import type { GenerationPlanOptions } from '../generation/plan-options.js'
import { type Paint, paintFor } from '../progress/terminal.js'
import { type FlagValue, readConfig } from './config.js'
import { checkRunOptions } from './run-options.js'
import { flagValues } from './train-flags.js'
import { UsageError } from './usage-error.js'

interface GenerationPlanFlags {
  readonly set: readonly string[]
  readonly memory?: number
  readonly json?: boolean
  /** Prompts at a time; a text that is no number is refused by the plan. */
  readonly batchSize?: string
  readonly promptTokens?: number
  readonly maxNewTokens?: number
}

/** Options that say which model answers and how it is held. */
const COUNTING = ['model', 'revision', 'preset', 'quantization', 'dtype', 'device']

/** Of a file for `lowrank train` what names the model and how it is held counts; a flag that says something else is refused. */
export async function planAnswers(
  configPath: string | undefined,
  { batchSize, ...given }: GenerationPlanFlags,
): Promise<void> {
  const { set, memory, json, promptTokens, maxNewTokens } = given
  const flags = flagValues(given)
  refuseTrainingFlags(set, flags)
  const configuration = await readConfig(configPath, set, flags)
  const { model, device, dtype, quantization, revision, token, cacheDir, localFilesOnly } = checkRunOptions(
    configuration,
    { defaults: { dataset: [] } },
  )
  const options: GenerationPlanOptions = {
    model,
    device,
    quantization,
    revision,
    token,
    cacheDir,
    localFilesOnly,
    dtype: dtype === 'auto' ? undefined : dtype,
  }
  const planned = await planGeneration(
    { ...options, batchSize: batchSize === undefined ? undefined : Number(batchSize), promptTokens, maxNewTokens },
    { memory },
  )
  process.stdout.write(json ? `${JSON.stringify(planned)}\n` : describe(planned, paintFor(process.stdout)))
}

/** @throws UsageError naming what was typed and belongs to training alone */
function refuseTrainingFlags(set: readonly string[], flags: readonly FlagValue[]): void {
  const typed = [
    ...flags.filter(({ path: [name] }) => !COUNTING.includes(name as string)).map(({ flag }) => flag),
    ...set.filter((setting) => /^(?:training|lora)\b/.test(setting)).map((setting) => `--set ${setting.split('=')[0]}`),
  ]
  if (typed.length === 0) return
  const lengths = typed.includes('--max-length') ? '; --prompt-tokens and --max-new-tokens give the lengths' : ''
  throw new UsageError(`[plan] expected no flags of training with --generate, got ${typed.join(', ')}${lengths}`)
}

function describe(plan: GenerationPlan, paint: Paint): string {
  const { dtype, quantization, batchSize, promptTokens, maxNewTokens, tensors } = plan
  const row = (name: string, bytes: number): string => `  ${name.padEnd(WIDTH)}${formatBytes(bytes).padStart(10)}`
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

const WIDTH = 40
