/** @file What commands that look at rows need before the first: tokenizer and options of the run. */

import { readdir } from 'node:fs/promises'
import { readModelConfig } from '../../checkpoint/load-model.js'
import { INSPECT_OPTIONS, type InspectOptions } from '../../data/inspect.js'
import type { ResolvedDataOptions } from '../../data/options.js'
import { openSource } from '../../data/sources/open-source.js'
import { isGgufPath } from '../../gguf/reader.js'
import { loadTokenizer, type Tokenizer } from '../../tokenizer/tokenizer.js'
import { locateModel } from '../locate-model.js'
import type { RunOptions } from '../run-options.js'

interface PreparedRows {
  readonly tokenizer: Tokenizer
  readonly data: InspectOptions & { readonly maxLength: number }
  /** Where the model lies. */
  readonly path: string
  /** config.json of the model. */
  readonly config: Readonly<Record<string, unknown>>
}

/** @throws where the data set or the model is not there */
export async function prepareRows(
  command: string,
  { options }: RunOptions,
  json: boolean | undefined,
): Promise<PreparedRows> {
  await openSource(options.dataset).check?.()
  const { path } = await locateModel(command, { model: options.model, revision: options.revision, json })
  const tokenizer = await loadTokenizer(path)
  const config = command === 'data show' && (await holdsTokenizerAlone(path)) ? {} : await readModelConfig(path)
  // GPT-2 has its own name for it.
  const positions = config.max_position_embeddings ?? config.n_positions
  const { maxLength: wanted } = options.training
  const maxLength = Math.min(wanted, typeof positions === 'number' ? positions : wanted)
  return { tokenizer, data: { ...rowOptionsOf(options.training), maxLength }, path, config }
}

/**
 * Whether a folder has nothing of a model but its tokenizer, which is enough to look at rows. Rules need config.json
 * too, as it names stop tokens.
 */
async function holdsTokenizerAlone(path: string): Promise<boolean> {
  if (isGgufPath(path)) return false
  return !(await readdir(path)).some((name) => name === 'config.json' || name.endsWith('.safetensors'))
}

/** What a run says of its rows, without what `inspectDataset` does not take. */
function rowOptionsOf(training: ResolvedDataOptions): InspectOptions {
  const given = Object.entries(training).filter(([name, value]) => name in INSPECT_OPTIONS && value !== undefined)
  return Object.fromEntries(given)
}
