/** @file Format `peft`: the adapter as PEFT saves it, all that it holds. */

import { LoraAdapter } from '../adapters/lora-adapter.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import type { ExportFormat, Reopened, ReopenJob } from './export-format.js'
import { tokenizerOf } from './merged-files.js'
import { roundingShare } from './tolerances.js'

export const peft: ExportFormat = {
  name: 'peft',
  summary: "an adapter in PEFT's files, as it was trained",
  opens: 'PEFT, transformers, TGI, lowrank',
  holds: 'adapter',
  takes: [],
  tolerance: (computed) => roundingShare(computed, 'float32'),
  async write({ adapter, directory, saved, tokenizer }) {
    const source = adapter as LoraAdapter
    const { tokenizer: own } = source
    // Answers are asked for with it wherever the adapter goes.
    if (tokenizer) source.tokenizer = saved
    try {
      await source.save(directory)
    } finally {
      source.tokenizer = own
    }
  },
  reopen: reopenPeft,
}

/** Opens an adapter in PEFT's files. */
export async function reopenPeft({ output, base }: ReopenJob): Promise<Reopened> {
  const adapter = await LoraAdapter.load(base as CausalLM, output)
  return { kind: 'adapter', adapter, tokenizer: await tokenizerOf(output) }
}
