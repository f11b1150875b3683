/** @file The names of the loaders whose rules are known. Loads nothing of the engine. */

import { listOf, oneOf } from '../options/rules.js'

/** Programs that open models and adapters, in the order in which they are shown. */
export const LOADER_NAMES = ['vllm', 'llama.cpp', 'ollama', 'mlx', 'peft', 'transformers'] as const
export type LoaderName = (typeof LOADER_NAMES)[number]

/** A list of them. */
export const LOADER_LIST = listOf(oneOf(LOADER_NAMES), `a list of ${LOADER_NAMES.join(', ')}`, { minItems: 1 })
