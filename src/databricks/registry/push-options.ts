/** @file Options of what registers adapters and models. Loads nothing of the engine. */

import { MERGED_MODEL_OPTIONS } from '../../mlflow/merged-options.js'
import { PACK_OPTIONS, type PackOptions } from '../../mlflow/model/pack-options.js'
import { boolean, callback, number, objectOf, text } from '../../options/rules.js'
import type { OptionTable } from '../../options/table.js'
import type { DatabricksClient, DatabricksOptions } from '../client/connect.js'
import { isAlias } from '../client/models/address.js'
import { PULL_OPTIONS } from '../client/models/pull-options.js'
import { WAIT_OPTIONS } from '../options.js'

/** How far a push is. */
export type PushModelEvent = MergeEvent | UploadEvent

/** An adapter is merged into its base model, before anything is uploaded. */
export interface MergeEvent {
  readonly type: 'merge'
  /** Tensors of the merged model that are written. */
  readonly tensors: number
  readonly totalTensors: number
}

/** Files are on their way to the registry. */
export interface UploadEvent {
  readonly type: 'upload'
  /** `uc://main.risk.chat@v3` */
  readonly address: string
  /** Bytes that are there, or on their way. */
  readonly bytes: number
  readonly totalBytes: number
}

/** Options of `pushModel`, and of `pushAdapter` with {@link PushAdapterOptions}. */
export interface PushModelOptions
  extends Pick<PackOptions, 'task' | 'inputExample' | 'baseModel' | 'baseRevision' | 'signal'> {
  /**
   * Alias that the version gets once it is READY, such as 'champion'; what had it loses it.
   * @default none
   */
  alias?: string
  /**
   * Tags of the version.
   * @default none
   */
  tags?: Readonly<Record<string, string>>
  /**
   * Id of the MLflow run that made it, which the version is linked to.
   * @default none
   */
  run?: string
  /**
   * Figures of it, which become tags: `eval_loss` is the tag `metric_eval_loss`.
   * @default none
   */
  metrics?: Readonly<Record<string, number>>
  /**
   * What people read about the version.
   * @default none
   */
  description?: string
  /**
   * The registry as MLflow names it: 'databricks-uc', 'databricks-uc://PROFILE', 'uc:https://HOST' for an open-source
   * Unity Catalog server, or 'https://HOST' for an MLflow server.
   * @default MLFLOW_REGISTRY_URI, else 'databricks-uc'
   */
  registry?: string
  /**
   * A workspace: how to connect to it, or a client that is connected.
   * @default the environment and ~/.databrickscfg
   */
  databricks?: DatabricksOptions | DatabricksClient
  /**
   * Seconds that the version may take to become READY once its files are there.
   * @default 600
   */
  timeout?: number
  /**
   * Milliseconds between two questions whether it is READY.
   * @default 5000
   */
  pollInterval?: number
  /**
   * Told how far merging and the upload are.
   * @default none
   */
  onProgress?: (event: PushModelEvent) => void
  /**
   * Told of what is worth knowing before anything is uploaded, a sentence each.
   * @default none
   */
  onWarning?: (message: string) => void
}

/** Options of `pushAdapter`. */
export interface PushAdapterOptions extends PushModelOptions {
  /**
   * Whether the adapter is merged into its base model and the sum is registered, which can be served.
   * @default false
   */
  merged?: boolean
  /**
   * With `merged`: 'nf4' merges onto the weights that QLoRA trained on, decoded, not the original ones.
   * @default none, the original weights
   */
  quantization?: 'nf4'
  /**
   * With `merged`: dtype of the weights.
   * @default that of the base, 'bfloat16' where it has 32 bits
   */
  dtype?: 'bfloat16' | 'float16' | 'float32'
}

const ALIAS = {
  rule: {
    expected: 'a name of letters, digits, - and _ that is no version, such as champion',
    accepts: isAlias,
    schema: { type: 'string', pattern: '^[A-Za-z0-9_-]{1,255}$' },
  },
  otherwise: 'none',
  help: 'alias that the version gets once it is READY, such as champion; what had it loses it',
} as const

/** The options of `pushModel`. */
export const PUSH_MODEL_OPTIONS = {
  alias: ALIAS,
  tags: {
    rule: objectOf(text, 'an object of text by name'),
    otherwise: 'none',
    example: {},
    help: 'tags of the version',
  },
  run: { rule: text, otherwise: 'none', help: 'id of the MLflow run that made it, which the version is linked to' },
  metrics: {
    rule: objectOf(number({}), 'an object of numbers by name'),
    otherwise: 'none',
    help: 'figures of it, which become tags: eval_loss is the tag metric_eval_loss',
  },
  description: {
    rule: text,
    otherwise: 'none',
    example: 'trained nightly',
    help: 'what people read about the version',
  },
  registry: {
    ...PULL_OPTIONS.registry,
    example: 'databricks-uc',
    help: 'registry as MLflow names it: databricks-uc, databricks-uc://PROFILE, uc:https://HOST, https://HOST',
  },
  databricks: PULL_OPTIONS.databricks,
  task: PACK_OPTIONS.task,
  inputExample: PACK_OPTIONS.inputExample,
  baseModel: PACK_OPTIONS.baseModel,
  baseRevision: PACK_OPTIONS.baseRevision,
  timeout: {
    ...WAIT_OPTIONS.timeout,
    default: 600 as number,
    help: 'seconds that the version may take to become READY once its files are there',
  },
  pollInterval: { ...WAIT_OPTIONS.pollInterval, help: 'milliseconds between two questions whether it is READY' },
  onProgress: { rule: callback, otherwise: 'none', help: 'told how far merging and the upload are' },
  onWarning: {
    rule: callback,
    otherwise: 'none',
    help: 'told of what is worth knowing before anything is uploaded, a sentence each',
  },
  signal: PULL_OPTIONS.signal,
} as const satisfies OptionTable<PushModelOptions>

/** The options of `pushAdapter`. */
export const PUSH_ADAPTER_OPTIONS = {
  ...PUSH_MODEL_OPTIONS,
  merged: {
    rule: boolean,
    default: false as boolean,
    help: 'whether the adapter is merged into its base model and the sum is registered, which can be served',
  },
  quantization: {
    ...MERGED_MODEL_OPTIONS.quantization,
    otherwise: 'none, the original weights',
    help: 'of merged: nf4 merges onto the weights that QLoRA trained on, decoded, not the original ones',
  },
  dtype: {
    ...MERGED_MODEL_OPTIONS.dtype,
    otherwise: 'that of the base, bfloat16 where it has 32 bits',
    help: 'of merged: bfloat16, float16 or float32',
  },
} as const satisfies OptionTable<PushAdapterOptions>
