/**
 * @file Which registry is meant, named as MLflow names registries: `databricks-uc`, `databricks-uc://PROFILE`, or
 * `uc:https://host` for an open-source Unity Catalog server.
 */

import { describeValue } from '../../../errors.js'
import { createRest, type RestClient } from '../../../http/rest.js'
import { OptionError } from '../../../lowrank-error.js'
import { packageVersion } from '../../../version.js'
import { type DatabricksClient, type DatabricksOptions, openDatabricks } from '../connect.js'
import { databricksError } from '../errors.js'
import { catalogRegistry } from './catalog-registry.js'
import { databricksRegistry, hasFilesApi } from './databricks-registry.js'
import type { Registry } from './registry.js'

/** A registry as its address says. */
export type RegistryTarget =
  | { readonly kind: 'databricks'; readonly profile: string | undefined }
  | { readonly kind: 'open-source'; readonly server: string }
  | { readonly kind: 'mlflow'; readonly uri: string }

/** A registry of Unity Catalog that can be asked. */
export interface OpenedRegistry {
  readonly registry: Registry
  /** The workspace; undefined for an open-source server. */
  readonly client: DatabricksClient | undefined
}

/** @throws OptionError for an address that names no registry */
export function readRegistry(registry: string | undefined): RegistryTarget {
  const uri = (registry ?? process.env.MLFLOW_REGISTRY_URI)?.trim() || 'databricks-uc'
  const [, profile] = /^databricks-uc:\/\/([^/]+)\/?$/.exec(uri) ?? []
  if (uri === 'databricks-uc' || uri === 'uc:databricks-uc' || profile !== undefined)
    return { kind: 'databricks', profile }
  const [, server] = /^uc:(https?:\/\/.+)$/i.exec(uri) ?? []
  if (server !== undefined && URL.canParse(server)) return { kind: 'open-source', server: new URL(server).origin }
  if (/^https?:\/\//i.test(uri) && URL.canParse(uri)) return { kind: 'mlflow', uri }
  const named = registry === undefined ? 'MLFLOW_REGISTRY_URI' : 'registry'
  const old = uri === 'databricks' ? ', whose models are not in Unity Catalog' : ''
  throw new OptionError(
    `[databricks] expected databricks-uc, databricks-uc://PROFILE, uc:https://HOST or the address of an MLflow server for ${named}, got ${describeValue(uri)}${old}; ` +
      'name one of these',
  )
}

/** Connects to a registry of Unity Catalog. @throws OptionError for one of an MLflow server */
export async function openRegistry(
  registry: string | undefined,
  databricks: DatabricksOptions | DatabricksClient | undefined,
  signal: AbortSignal | undefined,
): Promise<OpenedRegistry> {
  const target = readRegistry(registry)
  if (target.kind === 'mlflow')
    throw new OptionError(
      `[databricks] expected a registry of Unity Catalog for a model of uc://, got the MLflow server ${new URL(target.uri).origin}; set registry to databricks-uc or uc:https://HOST`,
    )
  if (target.kind === 'open-source')
    return { registry: catalogRegistry(openSourceServer(target.server)), client: undefined }
  const given = target.profile === undefined ? databricks : withProfile(target.profile, databricks)
  const client = await openDatabricks(given, signal)
  const isNative = /^(?:true|1)$/i.test(process.env.MLFLOW_ENABLE_UC_NATIVE_MODEL_REGISTRY ?? '')
  const native = (): Registry => catalogRegistry(client, { takesFiles: (ending) => hasFilesApi(client, ending) })
  return { registry: isNative ? native() : databricksRegistry(client), client }
}

/** @throws OptionError where a connected client is of another profile */
function withProfile(
  profile: string,
  databricks: DatabricksOptions | DatabricksClient | undefined,
): DatabricksOptions | DatabricksClient {
  if (databricks === undefined || !('sendTo' in databricks)) return { ...databricks, profile }
  if (databricks.profile === profile) return databricks
  throw new OptionError(
    `[databricks] expected a client of the profile ${profile}, which registry names, got one of ${databricks.source}; name databricks-uc as the registry`,
  )
}

/** The token, where there is one, is MLFLOW_UC_OSS_TOKEN, as for MLflow's client. */
function openSourceServer(server: string): RestClient {
  const token = process.env.MLFLOW_UC_OSS_TOKEN?.trim() || undefined
  if (token !== undefined && /[\r\n\0]/.test(token))
    throw new OptionError('[databricks] expected one line in MLFLOW_UC_OSS_TOKEN, got several; set it again')
  const authorization: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` }
  const source = token === undefined ? 'nowhere: MLFLOW_UC_OSS_TOKEN is not set' : 'MLFLOW_UC_OSS_TOKEN'
  return createRest({
    server,
    where: 'databricks',
    setting: ', and that the address of the registry is right',
    headers: { 'user-agent': `lowrank/${packageVersion() ?? '0'} node/${process.versions.node}` },
    authorize: async () => authorization,
    errorOf: (answer, { what }) => databricksError(answer, what, { server, authType: 'token', source }),
  })
}
