/** @file The names of the formats and of the kinds of adapters. Loads nothing of the engine. */

/** The names of all formats, in the order in which they are shown. */
export const FORMAT_NAMES = [
  'merged',
  'peft',
  'vllm',
  'mlx',
  'mlx-adapter',
  'gguf',
  'gguf-adapter',
  'ollama',
  'lm-studio',
] as const
export type ExportFormatName = (typeof FORMAT_NAMES)[number]

/** The kinds of adapters: PEFT's two files, one GGUF file of llama.cpp, or mlx-lm's two files. */
export const ADAPTER_KINDS = ['peft', 'gguf', 'mlx'] as const
export type AdapterKind = (typeof ADAPTER_KINDS)[number]
