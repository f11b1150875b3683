/**
 * @file Packages that few programs need, loaded where one does: most are not installed with lowrank, and bundles leave
 * all of them out.
 */

import { LowrankError } from '../lowrank-error.js'
import { errorCode } from '../regular-file.js'

/** What is known to work. */
const VERSIONS = {
  'apache-arrow': '21',
  '@duckdb/node-api': '1.5.5-r.5',
  '@mozilla/readability': '0.6.0',
  linkedom: '0.18.15',
  mammoth: '1.13.0',
  unpdf: '1.7.0',
  yaml: '2.9.1',
} as const

/** The name of a package that is loaded on demand. */
export type PeerName = keyof typeof VERSIONS

/**
 * Loads a package.
 *
 * @param purpose `to read Arrow`
 * @param together What the purpose needs in all, so that one command installs it.
 * @throws where it is not installed, saying what to install
 */
export async function loadPeer<Package>(
  name: PeerName,
  purpose: string,
  together: readonly PeerName[] = [name],
): Promise<Package> {
  try {
    return (await import(name)) as Package
  } catch (error) {
    const isMissing = errorCode(error) === 'ERR_MODULE_NOT_FOUND'
    throw new LowrankError(
      'INVALID_CALL',
      `[data] expected the package ${name} ${purpose}, got ${isMissing ? 'none' : 'one that does not load'}; ` +
        `npm install ${together.map((each) => `${each}@${VERSIONS[each]}`).join(' ')}`,
      { cause: error },
    )
  }
}
