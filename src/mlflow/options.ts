/** @file The options of the MLflow callback: types, every default, and what each may be. */

import { boolean, number, objectOf, text, textOf } from '../options/rules.js'
import type { OptionTable } from '../options/table.js'

/** Where runs are recorded, and what of them. */
export interface MlflowOptions {
  /**
   * The MLflow server: `https://host`, `databricks`, or `databricks://PROFILE`.
   * @default MLFLOW_TRACKING_URI
   */
  trackingUri?: string
  /**
   * Bearer token for the server; not for Databricks, whose credentials are those of its own client.
   * @default MLFLOW_TRACKING_TOKEN
   */
  token?: string
  /**
   * Name for the server, with `password`; goes before a token.
   * @default MLFLOW_TRACKING_USERNAME
   */
  username?: string
  /**
   * Password for the server, with `username`.
   * @default MLFLOW_TRACKING_PASSWORD
   */
  password?: string
  /**
   * The experiment, which is made where it does not exist; for Databricks a path such as `/Users/me@example.com/risk`.
   * @default MLFLOW_EXPERIMENT_NAME, else MLflow's experiment "Default"
   */
  experimentName?: string
  /**
   * The experiment by its id, in place of `experimentName`.
   * @default MLFLOW_EXPERIMENT_ID
   */
  experimentId?: string
  /**
   * A run of MLflow to go on with.
   * @default MLFLOW_RUN_ID, else a new run; a resumed run goes on with its own
   */
  runId?: string
  /**
   * Name of the run.
   * @default training.runName, else the server makes one up
   */
  runName?: string
  /**
   * More tags of the run.
   * @default {}
   */
  tags?: Readonly<Record<string, string>>
  /**
   * Keep what was trained as a logged model of the run. The run needs an `outputDir`.
   * @default true
   */
  logModel?: boolean
  /**
   * Record memory and processor time of the process.
   * @default true, unless MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING is false
   */
  logSystemMetrics?: boolean
  /**
   * Ask no server: write all calls down for `lowrank mlflow sync`.
   * @default false
   */
  offline?: boolean
  /**
   * Seconds that the end of a run waits for the server; what is left then is for `lowrank mlflow sync`.
   * @default 60
   */
  finishTimeout?: number
}

/** The options of `mlflowCallback`, and of `mlflow` in `trainLora`. */
export const MLFLOW_OPTIONS = {
  trackingUri: {
    rule: textOf('https://host, databricks or databricks://PROFILE'),
    otherwise: 'MLFLOW_TRACKING_URI',
    example: 'http://localhost:5000',
    help: 'the MLflow server, or Databricks',
  },
  token: {
    rule: { ...text, isSecret: true },
    otherwise: 'MLFLOW_TRACKING_TOKEN',
    example: '***',
    help: 'bearer token for the server; better in the environment',
  },
  username: {
    rule: text,
    otherwise: 'MLFLOW_TRACKING_USERNAME',
    example: 'me',
    help: 'name for the server, with password',
  },
  password: {
    rule: { ...text, isSecret: true },
    otherwise: 'MLFLOW_TRACKING_PASSWORD',
    example: '***',
    help: 'password for the server; better in the environment',
  },
  experimentName: {
    rule: text,
    otherwise: 'MLFLOW_EXPERIMENT_NAME, else "Default"',
    example: 'risk',
    help: 'the experiment, made where it does not exist; for Databricks a path of the workspace',
  },
  experimentId: {
    rule: text,
    otherwise: 'MLFLOW_EXPERIMENT_ID',
    example: '7',
    help: 'the experiment by its id, in place of experimentName',
  },
  runId: {
    rule: text,
    otherwise: 'MLFLOW_RUN_ID, else a new run; a resumed run goes on with its own',
    example: '0123456789abcdef0123456789abcdef',
    help: 'a run of MLflow to go on with',
  },
  runName: {
    rule: text,
    otherwise: 'training.runName, else the server makes one up',
    example: 'first try',
    help: 'name of the run in MLflow',
  },
  tags: {
    rule: objectOf(text, 'an object of texts by name'),
    otherwise: '{}',
    example: {},
    help: 'more tags of the run',
  },
  logModel: {
    rule: boolean,
    default: true,
    help: 'keep what was trained as a logged model of the run; needs outputDir',
  },
  logSystemMetrics: {
    rule: boolean,
    otherwise: 'true, unless MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING is false',
    example: false,
    help: 'record memory and processor time of the process',
  },
  offline: {
    rule: boolean,
    default: false,
    help: 'ask no server: write all calls down for lowrank mlflow sync',
  },
  finishTimeout: {
    rule: number({ min: 0 }),
    default: 60,
    help: 'seconds that the end of a run waits for the server; what is left then is for lowrank mlflow sync',
  },
} as const satisfies OptionTable<MlflowOptions>
