/** @file The names of the formats. Loads nothing of the engine. */

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
