/** @file `lowrank hosted train`: fine-tuning by a service, as a file and flags say, followed to its end. */

import { TRAIN_HOSTED_OPTIONS, type TrainHostedOptions } from '../../hosted/options.js'
import type { OptionEntry, OptionFlag } from '../../options/table.js'
import { isPlainObject } from '../../values.js'
import type { Command, FlagTable } from '../command.js'
import { readSpec } from '../config.js'
import { writeFields } from '../databricks/output.js'
import { JSON_OBJECT } from '../flags.js'
import { untilSignal } from '../until-signal.js'
import { UsageError } from '../usage-error.js'
import { showEvents } from './shown.js'

type TrainFlags = Readonly<Record<string, unknown>>

interface Checked {
  readonly options: TrainHostedOptions
  readonly json: boolean
}

/** Flags of the table: each may also stand in the file, so that none is needed and none has its default here. */
const OPTION_FLAGS = Object.fromEntries(
  Object.entries(TRAIN_HOSTED_OPTIONS as Readonly<Record<string, OptionEntry>>).flatMap(([name, entry]) => {
    const { isRequired: _, default: value, otherwise, flag, ...rest } = entry
    const shown = value === undefined ? (otherwise ?? 'that of the file') : `that of the file, then ${String(value)}`
    return flag === undefined ? [] : [[name, { ...rest, flag, otherwise: shown }]]
  }),
) as Readonly<Record<string, OptionEntry & { readonly flag: OptionFlag }>>

export const command: Command<TrainFlags, Checked> = {
  summary: 'fine-tune a model at Azure OpenAI, OpenAI or Vertex AI, and wait for it',
  details:
    'The same once more goes on with the run of --output: nothing is uploaded twice, and no job is made twice. Ctrl-C ends ' +
    'the wait, and the job goes on, unless --cancel-on-abort is given. Keys are taken from the environment.',
  arguments: [{ name: 'config', help: 'YAML file with the options of trainHosted' }],
  flags: {
    ...OPTION_FLAGS,
    json: { ...JSON_OBJECT, help: 'write events and the result as JSON lines to stdout' },
  } as FlagTable<TrainFlags>,
  examples: [
    { text: 'Tune as a file says', line: 'hosted train tune.yaml' },
    {
      text: 'See rows, tokens and cost, and send nothing',
      line: 'hosted train tune.yaml --dry-run --price-per-million-tokens 25',
    },
    {
      text: 'Tune without a file',
      line: 'hosted train --provider openai --model m --dataset a --output out',
    },
  ],
  async check({ flags: { json, ...flags }, words: [file] }) {
    const fields = file === undefined ? {} : await readSpec(file, 'options such as "provider: azure"')
    const given = Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined))
    const options = { ...fields, ...given } as unknown as TrainHostedOptions
    if (options.hyperparameters !== undefined && !isPlainObject(options.hyperparameters))
      throw new UsageError(
        '[hosted train] expected numbers by name for hyperparameters, as "hyperparameters: { nEpochs: 2 }"; correct it',
      )
    const { expectOptions } = await import('../../options/table.js')
    expectOptions('hosted train', options, TRAIN_HOSTED_OPTIONS)
    return { options, json: json === true }
  },
  async run({ options, json }) {
    const { trainHosted } = await import('../../hosted/train-hosted.js')
    const events = showEvents('Tuning', json)
    const run = await untilSignal((signal) =>
      trainHosted({ ...options, onEvent: events.onEvent, signal }).finally(events.close),
    )
    if (json) return void process.stdout.write(`${JSON.stringify({ type: 'result', ...run })}\n`)
    const { jobId, status, model, endpoint, deployment, trainedTokens } = run
    const given = {
      Job: jobId,
      Status: status,
      Model: model,
      Endpoint: endpoint,
      Deployment: deployment,
      Tokens: trainedTokens?.toString(),
    }
    writeFields(Object.fromEntries(Object.entries(given).map(([name, value]) => [name, value ?? undefined])))
  },
}
