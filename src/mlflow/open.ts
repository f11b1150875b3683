/** @file connectMlflow: a server's tracking calls for programs. */

import { SIGNAL } from '../options/shared.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { type ArtifactContent, putArtifact } from './artifacts.js'
import { createMlflowClient, type LoggedModel, type MlflowRun, type TrackingCalls } from './client.js'
import { connectTo } from './connect.js'
import { MLFLOW_OPTIONS, type MlflowOptions } from './options.js'
import { givenUri, REQUEST_TIMEOUT, readTarget } from './settings.js'

export interface ConnectMlflowOptions extends Pick<MlflowOptions, 'trackingUri' | 'token' | 'username' | 'password'> {
  /**
   * Ends what is asked of the server.
   * @default none
   */
  signal?: AbortSignal
}

/** The options of `connectMlflow`. */
export const CONNECT_MLFLOW_OPTIONS = {
  trackingUri: MLFLOW_OPTIONS.trackingUri,
  token: MLFLOW_OPTIONS.token,
  username: MLFLOW_OPTIONS.username,
  password: MLFLOW_OPTIONS.password,
  signal: SIGNAL,
} as const satisfies OptionTable<ConnectMlflowOptions>

/** Seconds for all tries of a call. */
const PATIENCE = 120

/** The tracking calls of a server, and its files. */
export interface MlflowServer extends TrackingCalls {
  /** Puts a file or a text among the files of a run or a logged model. */
  putArtifact(owner: MlflowRun | LoggedModel, path: string, content: ArtifactContent): Promise<void>
}

/**
 * The tracking calls of an MLflow server or of Databricks. Calls that nobody knows the end of are repeated where that
 * changes nothing; the others, such as metrics, fail.
 * @throws OptionError where nothing says which server, or there are no credentials for Databricks
 */
export async function connectMlflow(options: ConnectMlflowOptions = {}): Promise<MlflowServer> {
  const { signal, token, username, password, trackingUri } = readOptions('mlflow', options, CONNECT_MLFLOW_OPTIONS)
  const credentials = { ...(token && { token }), ...(username && { username }), ...(password && { password }) }
  const target = readTarget(givenUri(trackingUri), credentials)
  const connection = await connectTo(target, { timeout: REQUEST_TIMEOUT, patience: PATIENCE, signal })
  const { connection: _, signal: __, ...client } = createMlflowClient(connection, signal)
  return {
    ...client,
    putArtifact: async (owner, path, content) => await putArtifact(connection, owner, path, content, signal),
  }
}
