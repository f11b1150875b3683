/** @file Format `gguf-adapter`: an adapter in one GGUF file. */

import { join } from 'node:path'
import { LoraAdapter } from '../adapters/lora-adapter.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import type { ExportFormat } from './export-format.js'
import { readGgufAdapter, writeGgufAdapter } from './gguf-adapter-files.js'
import { writePeftFiles } from './peft-files.js'
import { roundingShare } from './tolerances.js'

const FILE = 'adapter.gguf'

export const ggufAdapter: ExportFormat = {
  name: 'gguf-adapter',
  summary: 'an adapter in one GGUF file, in float32',
  opens: 'llama.cpp, node-llama-cpp, Ollama, LM Studio',
  holds: 'adapter',
  takes: [],
  notCompared: 'llama.cpp did not run; the file was read back by its names and shapes, and computed here',
  tolerance: (computed) => roundingShare(computed, 'float32'),
  async write({ adapter, directory }) {
    await writeGgufAdapter(adapter as LoraAdapter, join(directory, FILE))
  },
  async reopen({ output, base, scratch }) {
    const model = base as CausalLM
    const { updates, baseModel } = await readGgufAdapter(join(output, FILE), model)
    await writePeftFiles(scratch, model, updates, { baseModel })
    return { kind: 'adapter', adapter: await LoraAdapter.load(model, scratch), tokenizer: undefined }
  },
}
