/**
 * @file Format `ollama`: a folder with a Modelfile, the model in GGUF, and the adapter in GGUF beside it where there is
 * one. `ollama create NAME -f Modelfile` reads it.
 */

import { join } from 'node:path'
import { LoraAdapter } from '../adapters/lora-adapter.js'
import { writeFileAtomic } from '../atomic-write.js'
import { loadModel } from '../checkpoint/load-model.js'
import { ModelError } from '../lowrank-error.js'
import { readRegularFile } from '../regular-file.js'
import { loadTokenizer } from '../tokenizer/tokenizer.js'
import type { ExportFormat } from './export-format.js'
import { gguf } from './gguf.js'
import { readGgufAdapter, writeGgufAdapter } from './gguf-adapter-files.js'
import { writeGgufModel } from './gguf-model.js'
import { modelfileText } from './modelfile.js'
import { writePeftFiles } from './peft-files.js'

const MODELFILE = 'Modelfile'
const MODEL = 'model.gguf'
const ADAPTER = 'adapter.gguf'

export const ollama: ExportFormat = {
  name: 'ollama',
  summary: 'a folder with a Modelfile, the model in GGUF and the adapter beside it',
  opens: 'Ollama',
  holds: 'model',
  takes: ['type'],
  ...(gguf.dtypeOf && { dtypeOf: gguf.dtypeOf }),
  notCompared:
    'Ollama did not run; its two GGUF files were read back and computed here, and its template is that of a family whose turns are those of the chat template',
  tolerance: gguf.tolerance,
  async write({ model, adapter, directory, options, saved, tokenizer, signal, onTensor }) {
    if (model.config.modelType === 'gpt2')
      throw new ModelError(
        "[export] expected a model that Ollama runs for format 'ollama', got one of model_type 'gpt2'; export format 'gguf' for llama.cpp",
      )
    // Before what takes long: it may refuse the chat template.
    const text = modelfileText({ from: MODEL, adapter: adapter && ADAPTER, tokenizer })
    await writeFileAtomic(join(directory, MODELFILE), text)
    if (adapter) await writeGgufAdapter(adapter, join(directory, ADAPTER))
    const { tokenizerFrom, chatTemplate } = saved
    await writeGgufModel(model, join(directory, MODEL), {
      ...(options.type && { type: options.type }),
      ...(tokenizerFrom !== undefined && { tokenizerFrom }),
      ...(chatTemplate !== undefined && { chatTemplate }),
      ...(signal && { signal }),
      ...(onTensor && { onProgress: onTensor }),
    })
  },
  async reopen({ output, source, scratch }) {
    const text = (await readRegularFile(join(output, MODELFILE), { where: 'export' })).toString()
    const path = join(output, namedBy(text, 'FROM') ?? '')
    const model = await loadModel(path, source)
    const adapter = namedBy(text, 'ADAPTER')
    if (adapter !== undefined) {
      const { updates, baseModel } = await readGgufAdapter(join(output, adapter), model)
      await writePeftFiles(scratch, model, updates, { baseModel })
      await LoraAdapter.load(model, scratch)
    }
    return { kind: 'model', model, tokenizer: await loadTokenizer(path) }
  },
}

/** The file that an instruction names. */
function namedBy(text: string, instruction: 'FROM' | 'ADAPTER'): string | undefined {
  return new RegExp(`^${instruction} \\./(.+)$`, 'm').exec(text)?.[1]
}
