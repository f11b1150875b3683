/** @file `lowrank train`: the options of trainLora from a file and flags, progress on the terminal, the result on disk. */

import { join } from 'node:path'
import { LowrankError } from '../lowrank-error.js'
import { createProgress } from '../progress/progress.js'
import { paintFor } from '../progress/terminal.js'
import type { TrainCallback } from '../train/callbacks.js'
import type { ResolvedTrainOptions } from '../train/options.js'
import { trainResolved } from '../train/train-lora.js'
import type { TrainResult } from '../train/train-run.js'
import { readConfig } from './config.js'
import { watchInterrupts } from './interrupt.js'
import { checkRunOptions } from './run-options.js'
import { expectResultOnDisk } from './standard-streams.js'
import { flagValues } from './train-flags.js'
import { commandLine } from './try-it.js'

interface TrainCommandOptions {
  readonly set: readonly string[]
  readonly json?: boolean
}

export async function train(configPath: string | undefined, given: TrainCommandOptions): Promise<void> {
  expectResultOnDisk()
  const { set, json } = given
  const configuration = await readConfig(configPath, set, flagValues(given))
  const options = checkRunOptions(configuration, { outputDir: true })
  const { method } = options
  const target = join(options.outputDir as string, method === 'lora' ? 'adapter' : 'model')
  const progress = createProgress({ json })
  const interrupt = watchInterrupts(() => {
    progress.stop()
    progress.print('Stopping after this step; once more stops at once')
  })
  const signals: TrainCallback = {
    name: 'signals',
    onEvent: ({ type }) => {
      // What has to be ended in order: a download, and steps. See interrupt.ts.
      if (type === 'download' || type === 'start') interrupt.arm(true)
      if (type === 'load') interrupt.arm(false)
    },
  }
  let run: TrainResult
  try {
    run = await trainResolved({
      ...options,
      signal: interrupt.signal,
      callbacks: [signals, progress],
    })
  } catch (error) {
    if (!interrupt.signal.aborted || error !== interrupt.signal.reason) throw error
    throw new LowrankError('STOPPED', 'stopped before the first step; what was fetched of the model is kept')
  } finally {
    progress.stop()
    interrupt.release()
  }
  if (run.reason === 'aborted') throw new LowrankError('STOPPED', `stopped at step ${run.step}; go on with --resume`)
  await run.save(target)
  run.dispose()
  if (!json) describeResult(options, target, run)
}

function describeResult({ method, model, revision }: ResolvedTrainOptions, target: string, run: TrainResult): void {
  const { quantization } = run.model
  const base = revision === undefined || model.includes('@') ? model : `${model}@${revision}`
  // An answer is asked for as the rows were: conversations through the chat template.
  const isChat = 2 * run.statistics.conversations > run.statistics.rows
  const command = commandLine([
    'generate',
    ...(method === 'lora' ? ['--model', base] : ['--model', target]),
    ...(method === 'lora' && quantization ? ['--quantization', quantization] : []),
    ...(method === 'lora' ? ['--adapter', target] : []),
    ...(isChat ? ['--chat'] : []),
  ])
  const paint = paintFor(process.stdout)
  process.stdout.write(`${paint('green', 'Saved')} ${target}\nTry it: ${command} --prompt "..."\n`)
}
