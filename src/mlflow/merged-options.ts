/** @file The options of `withMergedModel`. */

import { MERGE_OPTIONS, type MergeOptions } from '../adapters/merge-options.js'
import { LOAD_MODEL_OPTIONS, type LoadModelOptions } from '../checkpoint/load-model.js'
import { path } from '../options/rules.js'
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
    ...LOAD_MODEL_OPTIONS.quantization,
    help: "'nf4': merge onto the weights that QLoRA trained on, decoded, not the original ones",
  },
  device: LOAD_MODEL_OPTIONS.device,
  token: LOAD_MODEL_OPTIONS.token,
  cacheDir: LOAD_MODEL_OPTIONS.cacheDir,
  localFilesOnly: LOAD_MODEL_OPTIONS.localFilesOnly,
  temporaryDirectory: {
    rule: path,
    otherwise: "`merged` in lowrank's cache directory",
    help: 'where the merged model lies while it is used; needs as much room as the base model',
  },
  onEvent: LOAD_MODEL_OPTIONS.onEvent,
  onProgress: MERGE_OPTIONS.onProgress,
} as const satisfies OptionTable<MergedModelOptions>
