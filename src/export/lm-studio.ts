/**
 * @file Format `lm-studio`: a model's folder as LM Studio keeps them, `models/PUBLISHER/NAME/NAME-TYPE.gguf`, the
 * adapter folded in, since LM Studio loads none for GGUF files. `output` is the folder NAME.
 */

import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { loadModel } from '../checkpoint/load-model.js'
import { isGgufPath } from '../gguf/reader.js'
import { loadTokenizer } from '../tokenizer/tokenizer.js'
import type { ExportFormat } from './export-format.js'
import { DEFAULT_TYPE, gguf } from './gguf.js'
import { writeGgufModel } from './gguf-model.js'

export const lmStudio: ExportFormat = {
  name: 'lm-studio',
  summary: "a model's folder for LM Studio, in GGUF, the adapter folded in",
  opens: 'LM Studio, llama.cpp, node-llama-cpp',
  holds: 'model',
  takes: ['type'],
  ...(gguf.dtypeOf && { dtypeOf: gguf.dtypeOf }),
  notCompared: 'LM Studio did not run; its GGUF file was read back and computed here',
  tolerance: gguf.tolerance,
  async write({ model, adapter, directory, output, options, saved, signal, onTensor }) {
    const { type = DEFAULT_TYPE } = options
    const { tokenizerFrom, chatTemplate } = saved
    await writeGgufModel(model, join(directory, `${basename(output)}-${type}.gguf`), {
      type,
      name: basename(output),
      ...(adapter && { adapter }),
      ...(tokenizerFrom !== undefined && { tokenizerFrom }),
      ...(chatTemplate !== undefined && { chatTemplate }),
      ...(signal && { signal }),
      ...(onTensor && { onProgress: onTensor }),
    })
  },
  async reopen({ output, source }) {
    const name = (await readdir(output)).find((file) => isGgufPath(file)) as string
    const path = join(output, name)
    return { kind: 'model', model: await loadModel(path, source), tokenizer: await loadTokenizer(path) }
  },
}
