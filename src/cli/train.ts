/** @file `lowrank train CONFIG.yaml`: the options of trainLora from a file, progress on the terminal, the result on disk. */

import { join } from 'node:path'
import type { Quantization } from '../nn/module.js'
import type { TrainLoraOptions } from '../train/options.js'
import { parseTrainOptions } from '../train/parse-options.js'
import { type TrainRun, trainLora } from '../train/train-lora.js'
import { readConfig } from './config.js'
import { presetLines, presetOf } from './preset.js'
import { createProgress } from './progress.js'
import { paintFor } from './terminal.js'
import { UsageError } from './usage-error.js'

interface TrainCommandOptions {
  readonly preset?: string
  readonly revision?: string
  readonly quantization?: string
  readonly device?: string
  readonly set: readonly string[]
  readonly json?: boolean
}

export async function train(configPath: string, { set, json, ...given }: TrainCommandOptions): Promise<void> {
  const config = { ...(await readConfig(configPath, set)), ...given }
  const { model, method, outputDir } = checkConfig(config, configPath)
  const target = join(outputDir, method === 'lora' ? 'adapter' : 'model')
  const preset = presetOf(config)
  if (json && preset) process.stdout.write(`${JSON.stringify({ type: 'preset', ...preset })}\n`)
  else process.stderr.write(presetLines(preset))
  const progress = createProgress({ json })
  const interrupt = stopOnInterrupt(progress.stop)
  let run: TrainRun
  try {
    run = await trainLora({
      ...(config as unknown as TrainLoraOptions),
      signal: interrupt.signal,
      onEvent: progress.onEvent,
    })
  } catch (error) {
    if (!interrupt.signal.aborted || error !== interrupt.signal.reason) throw error
    throw new Error('stopped before the first step; what was fetched of the model is kept')
  } finally {
    progress.stop()
    interrupt.release()
  }
  if (run.reason === 'aborted') {
    throw new Error(`stopped at step ${run.step}; go on with --set resumeFromCheckpoint=true`)
  }
  await run.save(target)
  run.dispose()
  if (json) process.stdout.write(`${JSON.stringify({ type: 'saved', method, path: target })}\n`)
  else describeResult(model, method, target, run.model.quantization)
}

/** Every mistake in the configuration is one of usage: nothing is loaded before it is found. */
function checkConfig(
  config: Record<string, unknown>,
  path: string,
): { model: string; method: 'lora' | 'full'; outputDir: string } {
  let parsed: ReturnType<typeof parseTrainOptions>
  try {
    parsed = parseTrainOptions(config)
  } catch (cause) {
    throw new UsageError(`${(cause as Error).message} (in ${path})`, { cause })
  }
  const { model, revision, method, outputDir } = parsed
  if (outputDir === undefined) {
    throw new UsageError(
      `[train] expected outputDir in ${path}, got none; add outputDir: PATH, or --set outputDir=PATH`,
    )
  }
  return { model: revision === undefined || model.includes('@') ? model : `${model}@${revision}`, method, outputDir }
}

/** The first Ctrl-C ends the run after its step, with a checkpoint; the second ends the program once `cleanUp` is done. */
function stopOnInterrupt(cleanUp: () => void): { signal: AbortSignal; release: () => void } {
  const controller = new AbortController()
  const stop = (): void => {
    if (controller.signal.aborted) {
      cleanUp()
      process.exit(1)
    }
    process.stderr.write('\nStopping after this step; once more stops at once\n')
    controller.abort()
  }
  const signals = ['SIGINT', 'SIGTERM'] as const
  for (const name of signals) process.on(name, stop)
  const release = (): void => {
    for (const name of signals) process.off(name, stop)
  }
  return { signal: controller.signal, release }
}

function describeResult(
  model: string,
  method: 'lora' | 'full',
  target: string,
  quantization: Quantization | undefined,
): void {
  const paint = paintFor(process.stdout)
  const base = quantization ? `${model} --quantization ${quantization}` : model
  const arguments_ = method === 'lora' ? `--model ${base} --adapter ${target}` : `--model ${target}`
  process.stdout.write(`${paint('green', 'Saved')} ${target}\nTry it: lowrank generate ${arguments_} --prompt "..."\n`)
}
