/**
 * @file What a run leaves in its output directory beside checkpoints: log.jsonl, train.yaml and README.md. None of them
 * can end a run.
 */

import { dirname, join } from 'node:path'
import { writeFileAtomic } from '../atomic-write.js'
import { isSecretName } from '../errors.js'
import { isOwnCard } from '../hub/card-text.js'
import { readHubSettings } from '../hub/settings.js'
import { LowrankError } from '../lowrank-error.js'
import { readRegularFileIfThere } from '../regular-file.js'
import { isPlainObject } from '../values.js'
import type { TrainEvent } from './events.js'
import type { ResolvedTrainOptions } from './options.js'
import { CARD_FILE, type RunSummary, runCardText } from './run-card.js'
import { CONFIG_FILE, isOwnConfig, type RunSettings, runConfigText } from './run-config.js'
import type { RunLineage } from './run-data.js'
import { LOG_FILE, RunLog, SAMPLES_FILE, type SampledLine } from './run-log.js'

export interface RunFilesOptions {
  readonly directory: string
  readonly options: ResolvedTrainOptions
  readonly settings: RunSettings
  /** Where the run goes on, and from which checkpoint. */
  readonly step: number
  readonly checkpoint: string | undefined
  /** Is told what could not be written. */
  readonly warn: (message: string) => void
}

/** The files of a run that goes on. */
export interface RunFiles {
  /** Never throws. */
  record(event: TrainEvent): void
  /** Writes what the log has not written yet. Never throws. */
  flush(): void
  /** The last line of the log of a type, before a resume too. */
  readonly last: RunLog['last']
  /** All lines of the log, of before a resume too. */
  readonly events: RunLog['events']
  /** Writes the card, and train.yaml anew where more is known of the rows than was at the start. Never throws. */
  finish(run: RunSummary): Promise<void>
}

/** Writes train.yaml and begins or continues the log. */
export async function openRunFiles(given: RunFilesOptions): Promise<RunFiles> {
  const { directory, options, settings, step, checkpoint, warn } = given
  const attempt = async (name: string, action: () => Promise<void>): Promise<boolean> => {
    try {
      await action()
      return true
    } catch (error) {
      warn(`[train] ${join(directory, name)} was not written: ${(error as Error).message}; the run goes on`)
      return false
    }
  }
  const writeConfig = async (lineage: RunLineage): Promise<void> => {
    const path = join(directory, CONFIG_FILE)
    const present = await readRegularFileIfThere(path, { where: 'train' })
    if (present !== undefined && !isOwnConfig(present.toString()))
      throw new LowrankError(
        'FILE',
        'another file of that name is there; to have the options of the run as well, give yours another name',
      )
    await writeFileAtomic(path, runConfigText(options, { ...settings, lineage }))
  }
  const hasConfig = await attempt(CONFIG_FILE, () => writeConfig(settings.lineage))
  const from = checkpoint && join(dirname(checkpoint), LOG_FILE)
  const log = await RunLog.open(join(directory, LOG_FILE), { from, step }, warn)
  const sampled =
    options.samplePrompts === undefined
      ? undefined
      : await RunLog.open<SampledLine>(
          join(directory, SAMPLES_FILE),
          { from: checkpoint && join(dirname(checkpoint), SAMPLES_FILE), step },
          warn,
        )
  const flush = (): void => {
    log.flush()
    sampled?.flush()
  }
  return {
    flush,
    record(event) {
      if (event.type === 'log') log.append(event)
      if (event.type !== 'evaluate') return
      const { samples, ...line } = event
      if (samples) sampled?.append({ type: 'samples', step: event.step, epoch: event.epoch, samples })
      log.append(line)
    },
    last: (type) => log.last(type),
    events: () => log.events(),
    async finish(run) {
      flush()
      if (hasConfig && run.lineage !== settings.lineage) await attempt(CONFIG_FILE, () => writeConfig(run.lineage))
      await attempt(CARD_FILE, () => writeCard(directory, run))
    },
  }
}

/** Writes the card of a run, but over nobody's own. */
export async function writeCard(directory: string, run: RunSummary): Promise<void> {
  const path = join(directory, CARD_FILE)
  const present = await readRegularFileIfThere(path, { where: 'train' })
  if (present === undefined || isOwnCard(present.toString())) await writeFileAtomic(path, runCardText(run))
}

/** Secrets that the run was given, or finds where the Hub client looks for them. */
export async function secretsOf(options: ResolvedTrainOptions): Promise<string[]> {
  const found = await readHubSettings(options).catch(() => undefined)
  const { HF_TOKEN, HUGGING_FACE_HUB_TOKEN, MLFLOW_TRACKING_TOKEN, MLFLOW_TRACKING_PASSWORD } = process.env
  const others = [HF_TOKEN, HUGGING_FACE_HUB_TOKEN, MLFLOW_TRACKING_TOKEN, MLFLOW_TRACKING_PASSWORD]
  // Parts with options of their own, such as `mlflow`, may hold some too.
  const nested = Object.values(options).flatMap((part) =>
    isPlainObject(part)
      ? Object.entries(part).flatMap(([name, value]) => (isSecretName(name) ? [String(value)] : []))
      : [],
  )
  const own = Object.entries(options).flatMap(([name, value]) =>
    isSecretName(name) && typeof value === 'string' ? [value] : [],
  )
  return [...own, found?.token?.value, ...others, ...nested].flatMap((token) => token?.trim() || [])
}
