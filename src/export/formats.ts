/**
 * @file The formats of `exportModel` in the order in which they are shown. A new one is its file, a line here, and its
 * name in format-names.ts.
 */

import type { ExportFormat } from './export-format.js'
import type { ExportFormatName } from './format-names.js'
import { gguf } from './gguf.js'
import { ggufAdapter } from './gguf-adapter.js'
import { lmStudio } from './lm-studio.js'
import { merged } from './merged.js'
import { mlxAdapter } from './mlx-adapter.js'
import { mlxModel } from './mlx-model.js'
import { ollama } from './ollama.js'
import { peft } from './peft.js'
import { vllm } from './vllm.js'

export const FORMATS: Readonly<Record<ExportFormatName, ExportFormat>> = {
  merged,
  peft,
  vllm,
  mlx: mlxModel,
  'mlx-adapter': mlxAdapter,
  gguf,
  'gguf-adapter': ggufAdapter,
  ollama,
  'lm-studio': lmStudio,
}
