/** @file Adapters that are loaded and unloaded while the server runs: vLLM's two routes. */

import { LowrankError } from '../lowrank-error.js'
import { boolean, path, type Rule } from '../options/rules.js'
import { ApiError, badRequest, toApiError } from './api-error.js'
import { type FieldTable, readFields } from './fields.js'
import type { ModelEntry, ServedModel } from './served-model.js'

const NAME: Rule = {
  expected: 'a name of up to 100 letters, digits and - _ . /',
  accepts: (value) => typeof value === 'string' && /^[\w./-]{1,100}$/.test(value),
  schema: { type: 'string', pattern: '^[A-Za-z0-9_./-]{1,100}$' },
}

export const LOAD_FIELDS = {
  lora_name: { rule: NAME, help: 'the name by which requests ask for the adapter', isRequired: true },
  lora_path: { rule: path, help: 'its directory on the machine of the server', isRequired: true },
  load_inplace: { rule: boolean, help: 'take the place of an adapter of that name' },
} as const satisfies FieldTable

export const UNLOAD_FIELDS = {
  lora_name: { rule: NAME, help: 'the name of the adapter', isRequired: true },
} as const satisfies FieldTable

/** @throws ApiError */
export async function loadLoraAdapter(body: unknown, served: ServedModel): Promise<ModelEntry> {
  const where = 'load_lora_adapter'
  const given = readFields(where, body, LOAD_FIELDS)
  const { lora_name: name, lora_path: directory } = given as { lora_name: string; lora_path: string }
  if (name === served.name)
    throw badRequest(`[${where}] expected a name that the base model does not have, got ${name}`, 'lora_name')
  if (served.engine.adapters.includes(name) && given.load_inplace !== true) {
    const message = `[${where}] expected a new name, got ${name}, which an adapter has; unload that one, or set load_inplace`
    throw badRequest(message, 'lora_name', 'adapter_exists')
  }
  try {
    await served.engine.loadAdapter(name, directory)
  } catch (cause) {
    // Whoever may load adapters may know what is wrong with the files of one.
    if (cause instanceof LowrankError && ['FILE', 'INVALID_MODEL', 'INVALID_OPTION', 'CHECKPOINT'].includes(cause.code))
      throw new ApiError(400, 'invalid_request_error', cause.message, { param: 'lora_path', cause })
    throw toApiError(cause)
  }
  return served.entryOf({ id: name, adapter: name })
}

/** Resolves once the answers that use it have ended. @throws ApiError */
export async function unloadLoraAdapter(body: unknown, served: ServedModel): Promise<object> {
  const where = 'unload_lora_adapter'
  const { lora_name: name } = readFields(where, body, UNLOAD_FIELDS) as { lora_name: string }
  if (!served.engine.adapters.includes(name)) {
    const message = `[${where}] expected the name of an adapter, got ${name}; GET /v1/models lists them`
    throw new ApiError(404, 'invalid_request_error', message, { param: 'lora_name', code: 'model_not_found' })
  }
  await served.engine.removeAdapter(name)
  return { id: name, object: 'model', deleted: true }
}
