/** @file What generation does unless it is told otherwise. Imports nothing, so that help texts can show it. */

/** Defaults of `GenerateOptions`; those of a model's generation_config.json come before them where tokens are drawn. */
export const SAMPLING_DEFAULTS = {
  temperature: 1,
  topK: 50,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  seed: 0,
  maxNewTokens: 128,
} as const

/** Tokens of a prompt and of an answer that memory is planned for. */
export const PLANNED_TOKENS = { promptTokens: 512, maxNewTokens: SAMPLING_DEFAULTS.maxNewTokens } as const
