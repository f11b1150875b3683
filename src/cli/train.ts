/**
 * @file `lowrank train`: the options of trainLora from a file and flags, progress on the terminal, the result on disk.
 */

import { join } from 'node:path'
import { TRAIN_OPTIONS } from '../integrations/options.js'
import type { RunLinks } from '../integrations/run-links.js'
import { LowrankError } from '../lowrank-error.js'
import { boolean } from '../options/rules.js'
import { paintFor } from '../progress/terminal.js'
import type { TrainCallback } from '../train/callbacks.js'
import type { ResolvedTrainOptions } from '../train/options.js'
import type { TrainResult } from '../train/train-run.js'
import type { Command } from './command.js'
import { JSON_OBJECT } from './flags.js'
import { watchInterrupts } from './interrupt.js'
import { PART_FLAGS, type PartFlags } from './part-flags.js'
import type { RunOptions } from './run-options.js'
import { expectResultOnDisk } from './standard-streams.js'
import { flagFor, SET_FLAGS, type SetFlags } from './train-flags.js'
import { commandLine } from './try-it.js'

interface TrainFlags extends SetFlags, PartFlags {
  readonly json?: boolean
  readonly noChart?: boolean
}

interface Checked {
  readonly run: RunOptions
  readonly json: boolean
  readonly chart: boolean
}

export const command: Command<TrainFlags, Checked> = {
  summary: 'train a LoRA adapter, or a whole model, as flags or a YAML file say',
  arguments: [{ name: 'config', help: 'YAML file with the options of trainLora; lowrank init writes one' }],
  settings: TRAIN_OPTIONS,
  flags: {
    ...PART_FLAGS,
    ...SET_FLAGS,
    json: { ...JSON_OBJECT, help: 'write events as JSON lines to stdout instead of a progress bar' },
    noChart: {
      rule: boolean,
      default: false,
      help: 'leave out the chart of the loss that stands above the progress bar on a terminal',
      flag: { name: '--no-chart' },
    },
  },
  examples: [
    { text: 'Train as a file says', line: 'train run.yaml' },
    {
      text: 'Train without a file',
      line: 'train --model org/name --dataset rows.jsonl --output out/mine',
    },
    { text: 'Change options of a file for this run', line: 'train run.yaml --lr 1e-4 --set training.warmupRatio=0.1' },
    { text: 'Go on after a stop', line: 'train run.yaml --resume' },
  ],
  instead: flagFor,
  async check(given) {
    const { readRunOptions } = await import('./run-options.js')
    return {
      run: await readRunOptions(given, { outputDir: true }),
      json: given.flags.json === true,
      chart: given.flags.noChart !== true,
    }
  },
  run: ({ run, json, chart }) => train(run, { json, chart }),
}

async function train({ options }: RunOptions, { json, chart }: Omit<Checked, 'run'>): Promise<void> {
  expectResultOnDisk()
  const [{ createProgress }, { trainResolved }, { createRunLinks }] = await Promise.all([
    import('../progress/progress.js'),
    import('../integrations/train-lora.js'),
    import('../integrations/run-links.js'),
  ])
  const links = createRunLinks()
  const { method } = options
  const target = join(options.outputDir as string, method === 'lora' ? 'adapter' : 'model')
  const progress = createProgress({ json, chart })
  const interrupt = watchInterrupts(() => {
    progress.stop()
    progress.print('Stopping after this step; a second Ctrl-C stops at once')
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
    run = await trainResolved({ ...options, signal: interrupt.signal, callbacks: [signals, progress] }, links)
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
  if (!json) process.stdout.write(`${paintFor(process.stdout)('green', 'Saved')} ${target}\n`)
  await describeLinks(links, json)
  if (!json) describeUse(options, target, run)
}

/** Where the run is found again: in a tracker, in a registry. Programs get an object for each. */
async function describeLinks(links: RunLinks, json: boolean): Promise<void> {
  const tracked = await links.tracked()
  const registered = links.registered()
  const pushed = links.pushed()
  if (json) {
    if (tracked) {
      const { trackingUri, isDatabricks, experimentId, runId, modelId } = tracked
      const told = { type: 'tracked', trackingUri, isDatabricks, experimentId, runId, modelId }
      process.stdout.write(`${JSON.stringify(told)}\n`)
    }
    if (registered) process.stdout.write(`${JSON.stringify({ type: 'registered', ...registered })}\n`)
    if (pushed) process.stdout.write(`${JSON.stringify({ type: 'pushed', ...pushed })}\n`)
    return
  }
  const paint = paintFor(process.stdout)
  if (tracked) {
    const { runId, experimentId, trackingUri } = tracked
    process.stdout.write(`${paint('green', 'Recorded')} run ${runId} in experiment ${experimentId} of ${trackingUri}\n`)
  }
  if (pushed) process.stdout.write(`${paint('green', 'Pushed')} to ${pushed.url} as commit ${pushed.commit}\n`)
  if (!registered) return
  const { name, version, alias, isNew, warnings } = registered
  const also = [...(alias === undefined ? [] : [`alias ${alias}`]), ...(isNew ? [] : ['which was there'])]
  process.stdout.write(`${paint('green', 'Registered')} ${[`${name} version ${version}`, ...also].join(', ')}\n`)
  const paintWarning = paintFor(process.stderr)
  for (const warning of warnings) process.stderr.write(`${paintWarning('yellow', `warning: ${warning}`)}\n`)
}

function describeUse({ method, model, revision }: ResolvedTrainOptions, target: string, run: TrainResult): void {
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
  process.stdout.write(`Try it: ${command} --prompt "..."\n`)
}
