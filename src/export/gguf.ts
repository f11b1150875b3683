/** @file Format `gguf`: a whole model in one GGUF file. */

import { join } from 'node:path'
import { loadModel } from '../checkpoint/load-model.js'
import type { FileDType } from '../checkpoint/save-model.js'
import { loadTokenizer } from '../tokenizer/tokenizer.js'
import type { ExportFormat } from './export-format.js'
import type { GgufFileType } from './gguf-file-types.js'
import { writeGgufModel } from './gguf-model.js'
import { roundingShare } from './tolerances.js'

const FILE = 'model.gguf'
export const DEFAULT_TYPE = 'F16'

/** Largest difference of a logit that packing explains, as a share of the largest logit. */
const SHARES: Readonly<Record<GgufFileType, number>> = {
  F32: 0,
  F16: 0,
  BF16: 0,
  Q8_0: 0.1,
  Q6_K: 0.2,
  Q5_K_M: 0.4,
  Q5_0: 0.4,
  Q4_K_M: 0.6,
  Q4_0: 0.8,
}

export const gguf: ExportFormat = {
  name: 'gguf',
  summary: 'a model in one GGUF file, the adapter folded in, with tokenizer and chat template',
  opens: 'llama.cpp, node-llama-cpp, Ollama, LM Studio, lowrank',
  holds: 'model',
  takes: ['type', 'calibration'],
  dtypeOf: ({ type = DEFAULT_TYPE }) => dtypeOf(type),
  tolerance: (computed, written, { type = DEFAULT_TYPE }) => Math.max(roundingShare(computed, written), SHARES[type]),
  async write({ model, adapter, directory, saved, tokenizer, options, signal, onCalibrate, onTensor, warn }) {
    const { type = DEFAULT_TYPE } = options
    const calibration = tokenizer && options.calibration?.map((text) => tokenizer.encode(text))
    const { warnings } = await writeGgufModel(model, join(directory, FILE), {
      type,
      ...(adapter && { adapter }),
      ...(saved.tokenizerFrom !== undefined && { tokenizerFrom: saved.tokenizerFrom }),
      ...(saved.chatTemplate !== undefined && { chatTemplate: saved.chatTemplate }),
      ...(calibration && { calibration }),
      ...(signal && { signal }),
      ...(onCalibrate && { onCalibrate }),
      ...(onTensor && { onProgress: onTensor }),
    })
    warnings.forEach(warn)
  },
  async reopen({ output, source }) {
    const path = join(output, FILE)
    return { kind: 'model', model: await loadModel(path, source), tokenizer: await loadTokenizer(path) }
  },
}

/** The float that values are rounded to where they are not packed. */
function dtypeOf(type: GgufFileType): FileDType {
  if (type === 'F32') return 'float32'
  return type === 'BF16' ? 'bfloat16' : 'float16'
}
