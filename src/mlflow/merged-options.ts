/** @file The options of `withMergedModel`. Loads nothing of the engine. */

import { MERGE_OPTIONS, type MergeOptions } from '../adapters/merge-options.js'
import type { LoadModelOptions } from '../checkpoint/load-model.js'
import { HUB_OPTIONS } from '../hub/settings.js'
import { MODEL_OPTIONS, OPEN_DEVICE } from '../nn/model-options.js'
import { callback, path } from '../options/rules.js'
import type { OptionTable } from '../options/table.js'
import { PACK_OPTIONS, type PackOptions } from './model/pack-options.js'

/** How an adapter is merged, and what the model directory of the sum says. */
export interface MergedModelOptions
  extends PackOptions,
    Pick<MergeOptions, 'dtype' | 'maxShardSize' | 'onProgress'>,
    Pick<LoadModelOptions, 'quantization' | 'device' | 'token' | 'cacheDir' | 'localFilesOnly' | 'onEvent'> {
  /**
   * Where the merged model lies while it is used; needs as much room as the base model.
   * @default `merged` in lowrank's cache directory
   */
  temporaryDirectory?: string
}

/** The options of `withMergedModel`. */
export const MERGED_MODEL_OPTIONS = {
  ...PACK_OPTIONS,
  dtype: MERGE_OPTIONS.dtype,
  maxShardSize: MERGE_OPTIONS.maxShardSize,
  quantization: {
    ...MODEL_OPTIONS.quantization,
    help: "'nf4': merge onto the weights that QLoRA trained on, decoded, not the original ones",
  },
  device: OPEN_DEVICE,
  token: HUB_OPTIONS.token,
  cacheDir: HUB_OPTIONS.cacheDir,
  localFilesOnly: HUB_OPTIONS.localFilesOnly,
  temporaryDirectory: {
    rule: path,
    otherwise: "`merged` in lowrank's cache directory",
    help: 'where the merged model lies while it is used; needs as much room as the base model',
  },
  onEvent: { rule: callback, otherwise: 'none', help: 'is told how far a download from the Hub is' },
  onProgress: MERGE_OPTIONS.onProgress,
} as const satisfies OptionTable<MergedModelOptions>
