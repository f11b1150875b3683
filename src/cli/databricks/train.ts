/** @file `lowrank databricks train`: a training run on a GPU of a workspace, followed to its end and fetched. */

import { TRAINING_OPTIONS, TRAINING_WAIT_OPTIONS, type TrainingOptions } from '../../databricks/training/options.js'
import { packConfig } from '../../databricks/training/pack.js'
import { path } from '../../options/rules.js'
import { expectOptions } from '../../options/table.js'
import { harmless } from '../../progress/text-width.js'
import type { Command, FlagTable } from '../command.js'
import { readConfig } from '../config.js'
import { JSON_OBJECT } from '../flags.js'
import { readRunTasks } from '../run-tasks.js'
import { UsageError } from '../usage-error.js'
import { CONNECTION_FLAGS, type ConnectionFlags, connectionOf } from './connection-flags.js'
import { expectWord } from './given.js'
import { writeFields, writeJson } from './output.js'
import { endWith, runFields } from './runs/run.js'
import { showWait, WAIT_FLAGS, type WaitFlags } from './waiting.js'

type RunFlags = Partial<Omit<TrainingOptions, 'databricks' | 'signal'>>

interface TrainFlags extends ConnectionFlags, WaitFlags, RunFlags {
  readonly output?: string
  readonly json?: boolean
}

interface Train {
  readonly config: Readonly<Record<string, unknown>>
  readonly options: TrainingOptions
  readonly flags: ConnectionFlags & WaitFlags
  readonly output: string | undefined
  readonly json: boolean
}

const NAME = 'databricks train'
const { volume, acceleratorType, runName, experiment, packages, environmentVersion, timeoutSeconds } = TRAINING_OPTIONS

const RUN_FLAGS = {
  volume,
  acceleratorType,
  runName,
  experiment,
  packages,
  environmentVersion,
  timeoutSeconds,
} as const satisfies FlagTable<RunFlags>

export const command: Command<TrainFlags, Train> = {
  summary: 'train on a GPU of a workspace, follow the run, and fetch its result',
  details:
    'CONFIG is what lowrank train takes. It and the files of this machine that it names go into the volume; the node gets ' +
    'Node from PyPI and lowrank from npm. The log goes to stdout while it grows. Ctrl-C ends the wait, and the run goes on. ' +
    'The exit code is 1 where the run has failed; its checkpoints are fetched all the same.',
  arguments: [{ name: 'config', help: 'YAML file with the options of trainLora', otherwise: 'needed' }],
  flags: {
    ...RUN_FLAGS,
    output: {
      rule: path,
      otherwise: 'outputDir of the configuration, else none is fetched',
      help: 'folder that the result is fetched into',
      flag: { name: '--output', argument: 'dir', group: 'Output' },
    },
    json: { ...JSON_OBJECT, help: 'write one JSON object to stdout, and the log to stderr' },
    ...WAIT_FLAGS,
    timeout: { ...WAIT_FLAGS.timeout, default: TRAINING_WAIT_OPTIONS.timeout.default },
    ...CONNECTION_FLAGS,
  },
  examples: [
    { text: 'Train on an A10', line: 'databricks train run.yaml --volume /Volumes/main/chat/runs' },
    { text: 'On an H100', line: 'databricks train run.yaml --volume /Volumes/a/b/c --gpu GPU_1xH100' },
  ],
  async check({ flags: { output, json, ...given }, words: [file] }) {
    const { options: config } = await readConfig(expectWord(NAME, 'a YAML file with the options of trainLora', file))
    const options = Object.fromEntries(
      Object.keys(RUN_FLAGS).map((name) => [name, given[name as keyof RunFlags]]),
    ) as unknown as TrainingOptions
    if (given.volume === undefined)
      throw new UsageError(
        `[${NAME}] expected a folder in a volume, as /Volumes/CATALOG/SCHEMA/VOLUME for volume, got nothing; add --volume PATH`,
      )
    expectOptions(NAME, options, TRAINING_OPTIONS)
    const { resolveAllOptions } = await import('../../integrations/resolve-options.js')
    const problems = await readRunTasks(config)
    if (problems.length > 0) throw new UsageError(problems, { command: NAME })
    resolveAllOptions(config)
    await packConfig(NAME, config)
    const ownOutput = config.outputDir ?? config.output_dir
    const target = output ?? (typeof ownOutput === 'string' ? ownOutput : undefined)
    return { config, options, flags: given, output: target, json: json === true }
  },
  async run({ config, options, flags, output, json }) {
    const { submitTraining, waitForTraining } = await import('../../databricks/training/training.js')
    const { getRun } = await import('../../databricks/jobs.js')
    const databricks = connectionOf(flags)
    const log = json ? process.stderr : process.stdout
    let rest = ''
    const what = `The run ${options.runName ?? TRAINING_OPTIONS.runName.default}`
    const { run, folder } = await showWait(what, flags, async (here, { made, print }) => {
      const { signal } = here
      const begun = await submitTraining(config, { ...options, databricks, signal })
      const { runId } = begun
      const fetched = `lowrank databricks sync ${begun.folder}/output ${output ?? 'DIR'}`
      made(
        `it goes on in the workspace; lowrank databricks runs logs ${runId} waits for it, ${fetched} fetches its result`,
      )
      if (flags.noWait) return { run: await getRun(runId, { databricks, signal }), folder: begun.folder }
      const ended = await waitForTraining(begun, {
        databricks,
        ...here,
        ...(output !== undefined && { outputDir: output }),
        onLog: (text) => {
          const lines = (rest + text).split('\n')
          rest = lines.pop() ?? ''
          print(log, lines.map((line) => `${harmless(line)}\n`).join(''))
        },
      })
      if (rest !== '') print(log, `${harmless(rest)}\n`)
      return { run: ended, folder: begun.folder }
    })
    if (json) writeJson({ ...run, folder })
    else writeFields({ ...runFields(run), folder, output: flags.noWait ? undefined : output })
    if (!flags.noWait) endWith(run)
  },
}
