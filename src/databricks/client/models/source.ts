/**
 * @file The source of versions that lowrank makes: it names the hash of their content, by which a version is found
 * again. Searches return no tags, and open-source servers have none, so that it stands there.
 */

const SOURCE = /^lowrank:\/sha256\/([0-9a-f]{64})$/

/** The source of a version with this content. @param hash SHA-256 in hexadecimal */
export function sourceOfHash(hash: string): string {
  return `lowrank:/sha256/${hash}`
}

/** The hash that a source names; undefined for versions of others. */
export function hashOfSource(source: string): string | undefined {
  return SOURCE.exec(source)?.[1]
}
