/** @file Format `mlx-adapter`: an adapter in mlx-lm's files. */

import { LoraAdapter } from '../adapters/lora-adapter.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import type { ExportFormat } from './export-format.js'
import { loraUpdates, uniformUpdates } from './lora-updates.js'
import { readMlxFiles, writeMlxFiles } from './mlx-files.js'
import { writePeftFiles } from './peft-files.js'
import { baseNameOf } from './peft-source.js'
import { roundingShare } from './tolerances.js'

export const mlxAdapter: ExportFormat = {
  name: 'mlx-adapter',
  summary: "an adapter in mlx-lm's files, with one rank and one scale",
  opens: 'mlx-lm, LM Studio on a Mac',
  holds: 'adapter',
  takes: [],
  notCompared: 'mlx-lm did not run; its files were read back by its names and shapes, and computed here',
  tolerance: (computed) => roundingShare(computed, 'float32'),
  async write({ model, adapter, directory }) {
    const source = adapter as LoraAdapter
    const uniform = uniformUpdates(await loraUpdates(source, 'mlx-adapter'))
    const { baseModel } = baseNameOf(source)
    await writeMlxFiles(directory, model, uniform, { dropout: source.config.loraDropout, baseModel })
  },
  async reopen({ output, base, scratch }) {
    const model = base as CausalLM
    const { updates, baseModel } = await readMlxFiles(output, model)
    await writePeftFiles(scratch, model, updates, { baseModel })
    return { kind: 'adapter', adapter: await LoraAdapter.load(model, scratch), tokenizer: undefined }
  },
}
