/**
 * @file Where the model of a command lies, which is fetched with a progress bar: the one that is named, or the one that
 * its adapter was trained on.
 */

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { PEFT_CONFIG_FILE, readPeftConfig } from '../adapters/peft-config.js'
import { type ModelLocation, resolveModel } from '../checkpoint/resolve-model.js'
import { createProgress } from '../progress/progress.js'
import { expectModel } from './flags.js'
import { endAtOnce, releaseSignals } from './signal-guard.js'
import { UsageError } from './usage-error.js'

interface ModelFlags {
  /** Default: the base model that the first adapter names. */
  readonly model?: string
  readonly revision?: string
  /** Directories of adapters that will be loaded on it. */
  readonly adapters?: readonly string[]
  readonly json?: boolean
}

/**
 * Where the tokenizer and the chat template of answers are: in the first adapter that has a tokenizer beside it, as
 * trainers of Python save the one they trained with, else with the model. Says so on stderr where it is an adapter's.
 */
export async function tokenizerPlace(
  { path }: ModelLocation,
  ...adapters: readonly (string | undefined)[]
): Promise<string> {
  for (const adapter of adapters) {
    if (adapter === undefined) continue
    const found = await stat(join(adapter, 'tokenizer.json')).catch(() => undefined)
    if (!found) continue
    process.stderr.write(`Tokenizer and chat template are those in ${adapter}\n`)
    return adapter
  }
  return path
}

/**
 * @throws UsageError where neither a model nor an adapter that knows its own is given, or adapters belong to different
 * ones
 */
export async function locateModel(
  command: string,
  { model: given, revision, adapters = [], json }: ModelFlags,
): Promise<ModelLocation> {
  const bases: { adapter: string; baseModel: string | undefined; revision: string | undefined }[] = []
  for (const adapter of adapters) {
    const { baseModel, revision } = await readPeftConfig(adapter)
    bases.push({ adapter, baseModel, revision })
  }
  const [first] = bases
  const model = given ?? first?.baseModel
  if (model === undefined) {
    expectModel(command, given, adapters)
    throw new UsageError(
      `[${command}] expected --model DIR, or a name of it in ${PEFT_CONFIG_FILE} of ${first?.adapter}; got neither`,
    )
  }
  const other = given === undefined && bases.find(({ baseModel }) => baseModel !== undefined && baseModel !== model)
  if (other) {
    throw new UsageError(
      `[${command}] expected adapters of one model, got ${first?.adapter} of ${model} and ${other.adapter} of ${other.baseModel}; ` +
        'give the one to load them on with --model',
    )
  }
  const commit = first?.baseModel === model ? first.revision : undefined
  const progress = createProgress()
  endAtOnce({ hasStatus: true })
  try {
    return await resolveModel(model, { revision: revision ?? commit, onEvent: json ? undefined : progress.onEvent })
  } finally {
    progress.stop()
    releaseSignals()
  }
}
