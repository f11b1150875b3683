/** @file `lowrank plan --generate`: what answering would take, before anything is loaded. */

import { formatBytes } from '../bytes.js'
import { type GenerationPlan, type GenerationPlanOptions, planGeneration } from '../generation/plan-generation.js'
import { parseTrainOptions } from '../train/parse-options.js'
import { readConfig } from './config.js'
import { type Paint, paintFor } from './terminal.js'
import { UsageError } from './usage-error.js'

interface GenerationPlanFlags {
  readonly set: readonly string[]
  readonly memory?: number
  readonly json?: boolean
  readonly batchSize?: number
  readonly promptTokens?: number
  readonly maxNewTokens?: number
}

/** Of a file for `lowrank train`, and of flags for it, what names the model and how it is held counts. */
export async function planAnswers(
  configPath: string | undefined,
  { set, memory, json, batchSize, promptTokens, maxNewTokens, ...given }: GenerationPlanFlags,
): Promise<void> {
  const config = { dataset: [], ...(await readConfig(configPath, set)), ...given }
  let options: GenerationPlanOptions
  try {
    const { model, device, dtype, quantization, revision, token, cacheDir, localFilesOnly } = parseTrainOptions(config)
    options = {
      model,
      device,
      quantization,
      revision,
      token,
      cacheDir,
      localFilesOnly,
      dtype: dtype === 'auto' ? undefined : dtype,
    }
  } catch (cause) {
    throw new UsageError((cause as Error).message, { cause })
  }
  const planned = await planGeneration({ ...options, batchSize, promptTokens, maxNewTokens }, { memory })
  process.stdout.write(json ? `${JSON.stringify(planned)}\n` : describe(planned, paintFor(process.stdout)))
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
