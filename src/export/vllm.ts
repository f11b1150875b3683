/**
 * @file Format `vllm`: the adapter in the form of PEFT's files that every version of vLLM computes rightly: one rank
 * and one scale for all modules, since versions before 0.33 ignore patterns.
 */

import type { LoraAdapter } from '../adapters/lora-adapter.js'
import { writeFilesAtomic } from '../atomic-write.js'
import { tokenizerFiles } from '../checkpoint/save-tokenizer.js'
import type { ExportFormat } from './export-format.js'
import { loraUpdates, uniformUpdates } from './lora-updates.js'
import { reopenPeft } from './peft.js'
import { writePeftFiles } from './peft-files.js'
import { baseNameOf } from './peft-source.js'
import { roundingShare } from './tolerances.js'

export const vllm: ExportFormat = {
  name: 'vllm',
  summary: "an adapter in PEFT's files with one rank and one scale, as every version of vLLM reads it",
  opens: 'vLLM, SGLang, PEFT, lowrank',
  holds: 'adapter',
  takes: [],
  tolerance: (computed) => roundingShare(computed, 'float32'),
  async write({ model, adapter, directory, saved, tokenizer }) {
    const source = adapter as LoraAdapter
    const { updates } = uniformUpdates(await loraUpdates(source, 'vllm'))
    await writePeftFiles(directory, model, updates, baseNameOf(source))
    if (tokenizer) await writeFilesAtomic(await tokenizerFiles(directory, saved))
  },
  reopen: reopenPeft,
}
