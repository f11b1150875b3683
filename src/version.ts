/** @file The version of this package. Imports nothing of src/. */

import { createRequire } from 'node:module'

/** As package.json has it; undefined where a bundler has taken the code out of its package. */
export function packageVersion(): string | undefined {
  try {
    const { name, version } = createRequire(import.meta.url)('../package.json') as { name?: unknown; version?: unknown }
    return name === 'lowrank' && typeof version === 'string' ? version : undefined
  } catch {
    return undefined
  }
}
