/**
 * @file Which MLflow server is asked, and in whose name: options before MLflow's own variables of the environment. Asks
 * nobody.
 */

import { describeValue } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import { MLFLOW_OPTIONS, type MlflowOptions } from './options.js'

/** A server with MLflow's REST interface, or Databricks. */
export type MlflowTarget =
  | {
      readonly kind: 'server'
      /** Its address, without a slash at the end and without a name or a password. */
      readonly uri: string
      /** What the header `authorization` says; undefined: nobody is named. */
      readonly authorization: string | undefined
      /** What nobody else may see, sent or not. */
      readonly secrets: readonly string[]
    }
  | {
      readonly kind: 'databricks'
      /** As it was given: `databricks` or `databricks://PROFILE`. */
      readonly uri: string
      /** Profile of ~/.databrickscfg; undefined: what the environment says. */
      readonly profile: string | undefined
    }

export interface MlflowSettings {
  /** Undefined where calls are only written down and nothing says where they will go. */
  readonly target: MlflowTarget | undefined
  readonly experimentName: string | undefined
  readonly experimentId: string | undefined
  /** The run of MLflow to go on with. */
  readonly runId: string | undefined
  readonly runName: string | undefined
  readonly tags: Readonly<Record<string, string>>
  readonly logModel: boolean
  readonly logSystemMetrics: boolean
  /** Seconds between two samples of system metrics. */
  readonly samplingInterval: number
  readonly offline: boolean
  /** Seconds that one request may take. */
  readonly requestTimeout: number
  /** Seconds that the end of a run waits for the server. */
  readonly finishTimeout: number
}

/** Seconds, as MLflow has them. */
export const REQUEST_TIMEOUT = 120
const SAMPLING_INTERVAL = 10

/**
 * What options and environment say.
 * @throws OptionError for an address that is none, and where there is none but there must be
 */
export function readMlflowSettings(options: MlflowOptions = {}): MlflowSettings {
  const { env } = process
  const offline = options.offline === true
  const uri = offline ? (options.trackingUri ?? given(env.MLFLOW_TRACKING_URI)) : givenUri(options.trackingUri)
  const isNamed = options.experimentName !== undefined || options.experimentId !== undefined
  const settings = {
    target: uri === undefined ? undefined : readTarget(uri, options),
    experimentName: options.experimentName ?? (isNamed ? undefined : given(env.MLFLOW_EXPERIMENT_NAME)),
    experimentId: options.experimentId ?? (isNamed ? undefined : given(env.MLFLOW_EXPERIMENT_ID)),
    runId: options.runId ?? given(env.MLFLOW_RUN_ID),
    runName: options.runName,
    tags: { ...tagsOfEnvironment(env.MLFLOW_RUN_CONTEXT), ...options.tags },
    logModel: options.logModel !== false,
    logSystemMetrics:
      options.logSystemMetrics ?? !/^(?:false|0)$/i.test(env.MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING ?? ''),
    samplingInterval: seconds('MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL') ?? SAMPLING_INTERVAL,
    offline,
    requestTimeout: seconds('MLFLOW_HTTP_REQUEST_TIMEOUT') ?? REQUEST_TIMEOUT,
    finishTimeout: options.finishTimeout ?? MLFLOW_OPTIONS.finishTimeout.default,
  }
  checkExperiment(settings)
  return settings
}

/** The address of an option, else of the environment. @throws OptionError where there is none */
export function givenUri(trackingUri: string | undefined): string {
  const uri = trackingUri ?? given(process.env.MLFLOW_TRACKING_URI)
  if (uri !== undefined) return uri
  throw new OptionError(
    '[mlflow] expected the address of an MLflow server for trackingUri, got none; set MLFLOW_TRACKING_URI ' +
      '(https://host, or databricks). A run may also write down what it has to send: offline: true',
  )
}

/** The server that an address names. @throws OptionError for what MLflow keeps in files */
export function readTarget(
  uri: string,
  { token, username, password }: Pick<MlflowOptions, 'token' | 'username' | 'password'> = {},
): MlflowTarget {
  const [, profile] = /^databricks:\/\/([^/]+)\/?$/.exec(uri) ?? []
  if (uri === 'databricks' || profile !== undefined) return { kind: 'databricks', uri, profile }
  const url = /^https?:\/\//i.test(uri) && URL.canParse(uri) ? new URL(uri) : undefined
  if (url === undefined) {
    const [scheme] = /^[\w+]+(?=:)/.exec(uri) ?? []
    const got = scheme === undefined || scheme === 'file' ? 'a folder' : `an address with ${scheme}:`
    throw new OptionError(
      `[mlflow] expected https://host, http://host, databricks or databricks://PROFILE for trackingUri, got ${got}; ` +
        'an MLflow server has to keep it: start one with "mlflow server", or set offline: true',
    )
  }
  const { MLFLOW_TRACKING_TOKEN, MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD } = process.env
  const name = username ?? (decodeURIComponent(url.username) || given(MLFLOW_TRACKING_USERNAME))
  const secret = password ?? (decodeURIComponent(url.password) || given(MLFLOW_TRACKING_PASSWORD))
  const bearer = token ?? given(MLFLOW_TRACKING_TOKEN)
  for (const [what, value] of [
    ['username', name],
    ['password', secret],
    ['token', bearer],
  ] as const) {
    // A header that is cut at a line break would tell the rest of it to nobody knows whom.
    if (value !== undefined && /[\r\n\0]/.test(value))
      throw new OptionError(
        `[mlflow] expected one line for ${what}, got several; check MLFLOW_TRACKING_${what.toUpperCase()}`,
      )
  }
  const path = url.pathname.replace(/\/+$/, '')
  return {
    kind: 'server',
    uri: url.origin + path,
    secrets: [secret, bearer].filter((value) => value !== undefined),
    // As MLflow: a name goes before a token.
    authorization:
      name !== undefined && secret !== undefined
        ? `Basic ${Buffer.from(`${name}:${secret}`).toString('base64')}`
        : bearer === undefined
          ? undefined
          : `Bearer ${bearer}`,
  }
}

function checkExperiment({
  target,
  experimentName,
  experimentId,
}: Pick<MlflowSettings, 'target' | 'experimentName' | 'experimentId'>): void {
  if (experimentName !== undefined && experimentId !== undefined)
    throw new OptionError('[mlflow] expected experimentName or experimentId, got both; remove one')
  if (target?.kind !== 'databricks' || experimentId !== undefined) return
  if (experimentName === undefined || !experimentName.startsWith('/')) {
    throw new OptionError(
      `[mlflow] expected the path of an experiment in the workspace for experimentName, got ${
        experimentName === undefined ? 'none' : describeValue(experimentName)
      }; set MLFLOW_EXPERIMENT_NAME, as in /Users/you@example.com/lowrank`,
    )
  }
}

/** MLFLOW_RUN_CONTEXT: tags as JSON. */
function tagsOfEnvironment(text: string | undefined): Record<string, string> {
  if (given(text) === undefined) return {}
  try {
    const tags = JSON.parse(text as string) as Record<string, unknown>
    return Object.fromEntries(Object.entries(tags).map(([key, value]) => [key, String(value)]))
  } catch {
    throw new OptionError('[mlflow] expected an object of tags as JSON in MLFLOW_RUN_CONTEXT, got another text')
  }
}

function seconds(name: string): number | undefined {
  const text = given(process.env[name])
  if (text === undefined) return undefined
  const value = Number(text)
  if (Number.isFinite(value) && value > 0) return value
  throw new OptionError(`[mlflow] expected a number of seconds above 0 in ${name}, got ${describeValue(text)}`)
}

function given(text: string | undefined): string | undefined {
  return text?.trim() || undefined
}
