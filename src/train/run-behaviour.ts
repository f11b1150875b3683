/** @file behaviour.json of a run: what else the adapter changed, and which of its rows it recites. */

import { join } from 'node:path'
import { writeFileAtomic } from '../atomic-write.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { isEntry } from '../data/sources/dataset-entry.js'
import { compareBehaviour } from '../evaluate/behaviour/compare-behaviour.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { withChatTemplate } from '../tokenizer/with-template.js'
import { toError } from '../values.js'
import type { Progress, TrainEvent } from './events.js'
import type { ResolvedTrainOptions } from './options.js'

const BEHAVIOUR_FILE = 'behaviour.json'

/** Prompts of the comparison, as events count them. */
const STEPS = 120
/** Milliseconds between two reports of how far it is. */
const REPORT_INTERVAL = 500

/**
 * Compares the adapter with its base, on the rows of the run too where they can be read again. What fails here, or is
 * stopped, takes nothing of the run, whose result is complete: it is told as a warning.
 */
export async function writeBehaviour(
  model: CausalLM,
  tokenizer: Tokenizer,
  directory: string,
  { dataset, signal, training }: ResolvedTrainOptions,
  { report, progress }: { readonly report: (event: TrainEvent) => Promise<void>; readonly progress: Progress },
): Promise<void> {
  const canReadAgain = typeof dataset === 'string' || Array.isArray(dataset) || isEntry(dataset)
  let last = performance.now()
  const onFraction = (fraction: number): void => {
    if (performance.now() - last < REPORT_INTERVAL) return
    last = performance.now()
    void report({ type: 'evaluating', ...progress, rows: Math.floor(fraction * STEPS), totalRows: STEPS })
  }
  try {
    const found = await compareBehaviour(model, withChatTemplate(tokenizer, training.chatTemplate), {
      ...(canReadAgain && { dataset }),
      ...(signal && { signal }),
      onFraction,
    })
    await writeFileAtomic(join(directory, BEHAVIOUR_FILE), `${JSON.stringify(found, null, 2)}\n`)
  } catch (error) {
    const cause = signal?.aborted ? 'the run was stopped' : toError(error).message
    const message = `[behaviour] ${BEHAVIOUR_FILE} was not written: ${cause}; the adapter is complete, and lowrank eval --behaviour compares it`
    await report({ type: 'warning', message })
  }
}
