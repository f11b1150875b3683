/** @file Format `merged`: a whole model in Hugging Face's files. */

import type { ExportFormat } from './export-format.js'
import { reopenMerged, writeMerged } from './merged-files.js'
import { roundingShare } from './tolerances.js'

export const merged: ExportFormat = {
  name: 'merged',
  summary: 'a model in safetensors, the adapter folded in, with tokenizer, chat template and generation config',
  opens: 'transformers, vLLM, TGI, SGLang, lowrank',
  holds: 'model',
  takes: ['dtype', 'maxShardSize'],
  tolerance: roundingShare,
  write: (job) => writeMerged(job),
  reopen: reopenMerged,
}
