/** @file What both dialects of registries read of answers. */

import { describeValue } from '../../../errors.js'
import { ServiceError } from '../../../http/service-error.js'
import { isObject } from '../../../values.js'
import { isMissing } from '../errors.js'
import type { FilesWay, ModelVersion } from './registry.js'

/** Fields of a request or an answer. */
export type Fields = Readonly<Record<string, unknown>>

/** What an action gives; undefined where the service says that nothing is there. */
export async function ifThere<T>(action: () => Promise<T>): Promise<T | undefined> {
  try {
    return await action()
  } catch (error) {
    if (isMissing(error) && !(error instanceof ServiceError && error.errorCode === 'ENDPOINT_NOT_FOUND'))
      return undefined
    throw error
  }
}

/** Text that is there; Protobuf's JSON has empty text for none. */
export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** Tags as text by name. */
export function textsOf(tags: unknown): Record<string, string> {
  const pairs = Array.isArray(tags) ? tags.filter(isObject) : []
  return Object.fromEntries(pairs.map(({ key, value }) => [String(key), String(value ?? '')]))
}

/** Tags as requests have them. */
export function pairsOf(tags: Readonly<Record<string, string>>): object[] {
  return Object.entries(tags).map(([key, value]) => ({ key, value }))
}

/**
 * A version as it was asked for.
 * @param asked number of the version; undefined: any
 * @throws ServiceError for an answer that is about something else, whose files would be taken for those asked for
 */
export function expectVersion(
  found: ModelVersion,
  server: string,
  { name, asked }: { readonly name: string; readonly asked?: number },
): ModelVersion {
  const isNamed = found.name.toLowerCase() === name.toLowerCase()
  const isNumbered = Number.isSafeInteger(found.version) && found.version > 0
  if (isNamed && isNumbered && found.version === (asked ?? found.version)) return found
  throw new ServiceError(
    `[databricks] expected ${asked === undefined ? 'a version' : `version ${asked}`} of the model ${name} from ${server}, got ` +
      `${describeValue(found.version)} of ${describeValue(found.name)}; check the address, and whether something else answers in its place`,
  )
}

/** @throws ServiceError where the files are in a cloud that asks for its own keys */
export function expectOwnStorage(credentials: unknown, server: string, name: string): FilesWay {
  const given = isObject(credentials) ? credentials : {}
  if (given.storage_mode === 'DEFAULT_STORAGE') return 'presigned'
  const clouds = { aws_temp_credentials: 'AWS', azure_user_delegation_sas: 'Azure', gcp_oauth_token: 'Google Cloud' }
  const cloud = Object.entries(clouds).find(([field]) => given[field] !== undefined)?.[1] ?? 'a cloud'
  throw new ServiceError(
    `[databricks] expected ${server} to take files of the model ${name} itself, got keys of ${cloud} for its storage, which lowrank does not use; ask an ` +
      'administrator to turn on the Files API for models, or use a schema in default storage',
    { errorCode: 'CUSTOMER_HOSTED' },
  )
}
