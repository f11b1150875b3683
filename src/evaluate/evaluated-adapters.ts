/** @file The adapters of an evaluation: their names, and where they are. Loads none. */

import { stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { PEFT_CONFIG_FILE } from '../adapters/peft-config.js'
import { resolveAdapter } from '../adapters/resolve-adapter.js'
import { describeValue } from '../errors.js'
import { OptionError } from '../lowrank-error.js'

/** What the report calls the model without an adapter. */
export const BASE = 'base'

/** An adapter under the name that the report has for it. */
export interface NamedAdapter {
  readonly name: string
  /** As it was given. */
  readonly adapter: string
}

/**
 * Adapters by name. Those of a list are called by their directories: `out/poet/adapter` is poet,
 * `out/poet/checkpoint-50` is checkpoint-50, or poet/checkpoint-50 where another has that name.
 * @throws OptionError for names that are taken
 */
export function namedAdapters(given: readonly string[] | Readonly<Record<string, string>>): readonly NamedAdapter[] {
  if (!Array.isArray(given))
    return Object.entries(given as Readonly<Record<string, string>>).map(([name, adapter]) => named(name, adapter))
  const adapters = given as readonly string[]
  const short = adapters.map((adapter) => namesOf(adapter)[0])
  const names = adapters.map((adapter, index) => {
    const isShared = short.some((other, place) => place !== index && other === short[index])
    return namesOf(adapter)[isShared ? 1 : 0]
  })
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) {
    throw new OptionError(
      `[evaluate] expected different adapters, got two that are called ${describeValue(twice)}; name them: adapters: { first: 'DIRECTORY' }`,
    )
  }
  return adapters.map((adapter, index) => named(names[index] as string, adapter))
}

function named(name: string, adapter: string): NamedAdapter {
  if (name !== BASE && name !== '') return { name, adapter }
  throw new OptionError(
    `[evaluate] expected another name than ${describeValue(name)} for an adapter, which is the model without one; rename it`,
  )
}

/** The short and the long name of an adapter. */
function namesOf(adapter: string): readonly [string, string] {
  if (/^\w+:\/\//.test(adapter)) return [adapter, adapter]
  const path = resolve(adapter)
  const last = basename(path)
  const parent = basename(dirname(path))
  const long = `${parent}/${last}`
  return last === 'adapter' && parent !== '' ? [parent, `${basename(dirname(dirname(path)))}/${parent}`] : [last, long]
}

/**
 * The directory that holds the adapter: the given one, its `adapter` where it is that of a run, or what is fetched of a
 * Hub id or a `uc://` address.
 */
export async function adapterDirectory(adapter: string, signal: AbortSignal | undefined): Promise<string> {
  const directory = await resolveAdapter(adapter, signal === undefined ? {} : { signal })
  if (await isThere(join(directory, PEFT_CONFIG_FILE))) return directory
  const within = join(directory, 'adapter')
  return (await isThere(join(within, PEFT_CONFIG_FILE))) ? within : directory
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined
}
