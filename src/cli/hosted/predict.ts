/** @file `lowrank hosted predict`: answers of a tuned model to the rows of a data set. */

import type { DataSource } from '../../data/sources/open-source.js'
import { PREDICT_HOSTED_OPTIONS } from '../../hosted/run-options.js'
import { createBar } from '../../progress/progress.js'
import { countOfRows } from '../../progress/terminal.js'
import type { Command } from '../command.js'
import { writeJson } from '../databricks/output.js'
import { JSON_OBJECT } from '../flags.js'
import { PART_FLAGS, type PartFlags, partOf } from '../part-flags.js'
import { untilSignal } from '../until-signal.js'
import { UsageError } from '../usage-error.js'
import { expectRun, RUN_ARGUMENT } from './flags.js'

interface PredictFlags extends PartFlags {
  readonly output?: string
  readonly model?: string
  readonly maxTokens?: number
  readonly temperature?: number
  readonly seed?: number
  readonly concurrency?: number
  readonly json?: boolean
}

interface Checked extends PredictFlags {
  readonly outputDir: string
  readonly dataset: string
  readonly output: string
}

const { output: OUTPUT, model, maxTokens, temperature, seed, concurrency } = PREDICT_HOSTED_OPTIONS
const { isRequired: _, ...output } = OUTPUT

export const command: Command<PredictFlags, Checked> = {
  summary: 'write answers of the tuned model of a hosted run to the rows of a data set',
  details:
    'Answers that were paid for are kept beside --output: the same once more, after whatever stop, asks for the rest alone.',
  arguments: [RUN_ARGUMENT, { name: 'DATASET', help: 'path or glob of the rows', otherwise: 'needed' }],
  flags: {
    output: { ...output, otherwise: 'needed' },
    model,
    maxTokens,
    temperature,
    seed,
    concurrency,
    ...PART_FLAGS,
    json: { ...JSON_OBJECT, flag: { ...JSON_OBJECT.flag, group: 'Output' } },
  },
  examples: [
    { text: 'Answer the rows of a test set', line: 'hosted predict out/tuned test.jsonl --output predictions.jsonl' },
  ],
  check({ flags, words: [run, dataset = ''] }) {
    const outputDir = expectRun('hosted predict', run)
    if (dataset === '' || flags.output === undefined)
      throw new UsageError('[hosted predict] expected a data set and --output, got one or none; write both')
    return { ...flags, output: flags.output, outputDir, dataset }
  },
  async run({ dataset, split, datasetConfig, json, ...options }) {
    const { predictHosted } = await import('../../hosted/predict.js')
    const part = { ...(split !== undefined && { split }), ...(datasetConfig !== undefined && { datasetConfig }) }
    const bar = createBar()
    const onProgress = (done: number, total: number): void =>
      bar.show({
        label: { text: 'Asking', importance: 2 },
        fraction: done / total,
        parts: [{ text: `${done}/${total}`, importance: 1 }],
      })
    const work = (signal: AbortSignal): ReturnType<typeof predictHosted> =>
      predictHosted({ ...options, dataset: partOf(dataset, part) as DataSource, onProgress, signal })
    const done = await untilSignal((signal) => work(signal).finally(() => bar.close()))
    if (json) return writeJson(done)
    const tokens = `${done.promptTokens} and ${done.completionTokens} tokens`
    process.stdout.write(
      `Wrote ${countOfRows(done.rows)} to ${done.output}; ${done.reused} were paid for before; ${tokens}\n`,
    )
  },
}
