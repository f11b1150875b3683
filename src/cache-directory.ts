/** @file Where lowrank keeps what it can make again. */

import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

/** The cache folder: LOWRANK_CACHE, then `lowrank` in XDG_CACHE_HOME, then ~/.cache/lowrank. */
export function cacheDirectory(): string {
  const { LOWRANK_CACHE, XDG_CACHE_HOME } = process.env
  return resolve(LOWRANK_CACHE || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'lowrank'))
}
