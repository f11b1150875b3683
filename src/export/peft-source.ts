/** @file What an adapter calls its base model. */

import type { LoraAdapter } from '../adapters/lora-adapter.js'
import { parseJsonObject } from '../weights/strict-json.js'
import type { BaseName } from './peft-files.js'

/** The names that `adapter.save` would write. */
export function baseNameOf(adapter: LoraAdapter): BaseName {
  const json = parseJsonObject('export', 'the settings of the adapter', Buffer.from(adapter.configText()))
  const { base_model_name_or_path: baseModel, revision } = json
  return {
    baseModel: typeof baseModel === 'string' ? baseModel : null,
    revision: typeof revision === 'string' ? revision : undefined,
  }
}
