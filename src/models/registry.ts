/** @file The model types that lowrank knows. A new model is a file beside this one and a line here. */

import type { Architecture } from '../architecture/architecture.js'
import type { RawConfig } from '../architecture/config.js'
import { describeValue, expectObject } from '../errors.js'
import { ModelError } from '../lowrank-error.js'
import { gpt2 } from './gpt2.js'
import { llama } from './llama.js'
import { mistral } from './mistral.js'
import { qwen2 } from './qwen2.js'
import { qwen3 } from './qwen3.js'

const ARCHITECTURES: readonly Architecture[] = [llama, mistral, qwen2, qwen3, gpt2]

/** The architecture that `config.model_type` names. @throws on an unknown one, listing the known. */
export function findArchitecture(config: RawConfig, where: string): Architecture {
  expectObject(where, 'config', config)
  const found = ARCHITECTURES.find(({ modelType }) => modelType === config.model_type)
  if (found) return found
  const known = ARCHITECTURES.map(({ modelType }) => `'${modelType}'`).join(', ')
  throw new ModelError(
    `[config] ${where}: expected model_type to be one of ${known}, got ${config.model_type === undefined ? 'nothing' : describeValue(config.model_type)}`,
  )
}
