/** @file behaviour.json of a run: what else the adapter changed, and which of its rows it recites. */

import { join } from 'node:path'
import { writeFileAtomic } from '../atomic-write.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { isEntry } from '../data/sources/dataset-entry.js'
import { compareBehaviour } from '../evaluate/behaviour/compare-behaviour.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { withChatTemplate } from '../tokenizer/with-template.js'
import type { ResolvedTrainOptions } from './options.js'

const BEHAVIOUR_FILE = 'behaviour.json'

/** Compares the adapter with its base, on the rows of the run too where they can be read again. */
export async function writeBehaviour(
  model: CausalLM,
  tokenizer: Tokenizer,
  directory: string,
  { dataset, signal, training }: ResolvedTrainOptions,
): Promise<void> {
  const canReadAgain = typeof dataset === 'string' || Array.isArray(dataset) || isEntry(dataset)
  const report = await compareBehaviour(model, withChatTemplate(tokenizer, training.chatTemplate), {
    ...(canReadAgain && { dataset }),
    ...(signal && { signal }),
  })
  await writeFileAtomic(join(directory, BEHAVIOUR_FILE), `${JSON.stringify(report, null, 2)}\n`)
}
