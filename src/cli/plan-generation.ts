/** @file `lowrank plan --generate`: what answering would take, before anything is loaded. */

import { formatBytes } from '../bytes.js'
import { type GenerationPlan, type GenerationPlanOptions, planGeneration } from '../generation/plan-generation.js'
import { readConfig } from './config.js'
import { type Paint, paintFor } from './terminal.js'
import { UsageError } from './usage-error.js'

interface GenerationPlanFlags extends Partial<Omit<GenerationPlanOptions, 'model'>> {
  readonly model?: string
  readonly set: readonly string[]
  readonly memory?: number
  readonly json?: boolean
}

/** Of a file for `lowrank train` only what names the model and how it is held counts. */
export async function planAnswers(configPath: string | undefined, flags: GenerationPlanFlags): Promise<void> {
  const { set, memory, json } = flags
  const file = (await readConfig(configPath, set)) as Partial<GenerationPlanOptions>
  const model = flags.model ?? file.model
  if (model === undefined) throw new UsageError('[plan] expected --model DIR or a file that names one, got neither')
  const dtype = (file.dtype as string | undefined) === 'auto' ? undefined : file.dtype
  const planned = await planGeneration(
    {
      model,
      dtype,
      revision: flags.revision ?? file.revision,
      quantization: flags.quantization ?? file.quantization,
      batchSize: flags.batchSize,
      promptTokens: flags.promptTokens,
      maxNewTokens: flags.maxNewTokens,
    },
    { memory },
  )
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
    row('the process without tensors', plan.process),
    paint('bold', row('peak', plan.peakResident)),
    row('available', plan.memory),
    '',
    plan.fits
      ? paint('green', 'It fits')
      : `${paint('yellow', 'It does not fit')}: fewer or shorter prompts, fewer new tokens${quantization ? '' : ', --quantization nf4'}, or a smaller model`,
  ]
  return `${lines.join('\n')}\n`
}

const WIDTH = 40
