/** @file Options of what reads registered models. Loads no service. */

import { boolean, callback, text } from '../../../options/rules.js'
import type { OptionTable } from '../../../options/table.js'
import type { DatabricksClient, DatabricksOptions } from '../connect.js'
import { FILE_OPTIONS } from '../files/options.js'

/** How far a pull is. */
export interface PullEvent {
  readonly type: 'pull'
  /** `uc://main.risk.chat@v3` */
  readonly address: string
  /** Bytes that are there. */
  readonly bytes: number
  readonly totalBytes: number
}

/** Options of `pullAdapter` and `pullModel`. */
export interface PullOptions {
  /**
   * A workspace: how to connect to it, or a client that is connected.
   * @default the environment and ~/.databrickscfg
   */
  databricks?: DatabricksOptions | DatabricksClient
  /**
   * The registry as MLflow names it: 'databricks-uc', 'databricks-uc://PROFILE', or 'uc:https://HOST' for an
   * open-source Unity Catalog server.
   * @default MLFLOW_REGISTRY_URI, else 'databricks-uc'
   */
  registry?: string
  /**
   * Folder that pulled versions are kept in.
   * @default LOWRANK_CACHE, then `lowrank` in XDG_CACHE_HOME, then ~/.cache/lowrank
   */
  cacheDir?: string
  /**
   * Whether only what was pulled before is taken, and no server is asked.
   * @default false
   */
  localFilesOnly?: boolean
  /**
   * Told how far the pull is.
   * @default none
   */
  onProgress?: (event: PullEvent) => void
  /**
   * Ends the work with its reason.
   * @default none
   */
  signal?: AbortSignal
}

/** The options of `pullAdapter` and `pullModel`. */
export const PULL_OPTIONS = {
  databricks: FILE_OPTIONS.databricks,
  registry: {
    rule: text,
    otherwise: "MLFLOW_REGISTRY_URI, else 'databricks-uc'",
    help: 'registry as MLflow names it: databricks-uc, databricks-uc://PROFILE, uc:https://HOST',
  },
  cacheDir: {
    rule: text,
    otherwise: 'LOWRANK_CACHE, then lowrank in XDG_CACHE_HOME, then ~/.cache/lowrank',
    help: 'folder that pulled versions are kept in',
  },
  localFilesOnly: {
    rule: boolean,
    default: false as boolean,
    help: 'whether only what was pulled before is taken, and no server is asked',
  },
  onProgress: { rule: callback, otherwise: 'none', help: 'told how far the pull is' },
  signal: FILE_OPTIONS.signal,
} as const satisfies OptionTable<PullOptions>
