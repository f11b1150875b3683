/** @file Packages that are not installed with lowrank, since few programs need them: loaded where one does. */

import { LowrankError } from '../lowrank-error.js'
import { errorCode } from '../regular-file.js'

/** What is known to work. */
const VERSIONS = { 'apache-arrow': '21', '@duckdb/node-api': '1.5.5-r.5' } as const

/**
 * Loads an optional peer dependency.
 *
 * @param purpose `to read Arrow`
 * @throws where it is not installed, saying what to install
 */
export async function loadPeer<Package>(name: keyof typeof VERSIONS, purpose: string): Promise<Package> {
  try {
    return (await import(name)) as Package
  } catch (error) {
    const isMissing = errorCode(error) === 'ERR_MODULE_NOT_FOUND'
    throw new LowrankError(
      'INVALID_CALL',
      `[data] expected the package ${name} ${purpose}, got ${isMissing ? 'none' : 'one that does not load'}; ` +
        `npm install ${name}@${VERSIONS[name]}`,
      { cause: error },
    )
  }
}
