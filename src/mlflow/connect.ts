/** @file A connection to an MLflow server, or to the MLflow of a Databricks workspace. */

import { connectDatabricks, type DatabricksOptions } from '../databricks/client/connect.js'
import { describeValue, shorten, withoutSecrets } from '../errors.js'
import { retryAfter } from '../http/patience.js'
import { createRest, type RefusedAnswer, type RestClient } from '../http/rest.js'
import { ServiceError } from '../http/service-error.js'
import { isObject } from '../values.js'
import { packageVersion } from '../version.js'
import type { MlflowTarget } from './settings.js'

/** A server that can be asked. */
export interface MlflowConnection {
  readonly rest: RestClient
  /** What stands before `/api/2.0/mlflow` in a path: the folder in which a proxy has the server. */
  readonly base: string
  readonly isDatabricks: boolean
  /** Milliseconds that the server asked to wait when it gave this error. */
  waitOf(error: unknown): number | undefined
}

export interface ConnectOptions {
  /** Seconds that one request may take. */
  readonly timeout: number
  /** Seconds for all tries of a call; 0: one try. */
  readonly patience: number
  readonly signal?: AbortSignal | undefined
}

/**
 * Finds out who asks. A server itself is not asked.
 * @throws OptionError for credentials of Databricks that are not there
 */
export async function connectTo(target: MlflowTarget, options: ConnectOptions): Promise<MlflowConnection> {
  if (target.kind === 'databricks') {
    const { profile } = target
    const rest = await connectDatabricks(
      (profile === undefined ? {} : { profile }) as DatabricksOptions,
      options.signal,
    )
    return { rest, base: '', isDatabricks: true, waitOf: () => undefined }
  }
  const { origin, pathname } = new URL(target.uri)
  const waits = new WeakMap<object, number>()
  const authorization: Record<string, string> =
    target.authorization === undefined ? {} : { authorization: target.authorization }
  const rest = createRest({
    server: origin,
    where: 'mlflow',
    setting: ', and that MLFLOW_TRACKING_URI is right',
    headers: { 'user-agent': `lowrank/${packageVersion() ?? '0'} node/${process.versions.node}` },
    authorize: async () => authorization,
    errorOf: (answer, { what }) => {
      const error = serverError(answer, what, target)
      const wait = retryAfter(answer.headers)
      if (wait !== undefined) waits.set(error, wait)
      return error
    },
    timeout: 1000 * options.timeout,
    budget: 1000 * options.patience,
  })
  const base = pathname.replace(/\/+$/, '')
  return { rest, base, isDatabricks: false, waitOf: (error) => (error instanceof Error ? waits.get(error) : undefined) }
}

function serverError({ status, headers, text }: RefusedAnswer, what: string, target: MlflowTarget): ServiceError {
  const { code, message } = saidIn(text)
  const got = `HTTP ${status}${code === undefined ? '' : ` ${code}`}${message === '' ? '' : `, ${describeValue(shorten(withoutSecrets(message, target.kind === 'server' ? target.secrets : [])))}`}`
  return new ServiceError(`[mlflow] expected ${what} from ${target.uri}, got ${got}; ${remedy(status, target)}`, {
    status,
    errorCode: code,
    requestId: headers.get('x-request-id') ?? undefined,
  })
}

function remedy(status: number, target: MlflowTarget): string {
  if (status === 401 || status === 403) {
    const isNamed = target.kind === 'server' && target.authorization !== undefined
    return isNamed
      ? 'it does not take the credentials: look at MLFLOW_TRACKING_TOKEN, MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, and at the rights that they have'
      : 'set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD'
  }
  if (status === 404)
    return 'check that MLFLOW_TRACKING_URI is the address of an MLflow server, and that what is named exists'
  return status >= 500 || status === 429 ? 'try again later' : 'correct what it says'
}

function saidIn(text: string): { code: string | undefined; message: string } {
  try {
    const json: unknown = JSON.parse(text)
    if (isObject(json)) {
      const { error_code, message } = json
      return { code: typeof error_code === 'string' ? error_code : undefined, message: String(message ?? '') }
    }
  } catch {
    // A proxy answers in words of its own.
  }
  return { code: undefined, message: /^\s*</.test(text) ? 'a page of HTML' : text.trim() }
}
