/** @file Ids of the Hub: what looks like one, and the error for one that may be a path with a mistake in it. */

import { HubError } from './hub-error.js'

const HUB_ID = /^[A-Za-z0-9][\w.-]*(\/[A-Za-z0-9][\w.-]*)?$/

/** `ID` or `ID@REVISION` in its parts; undefined where the Hub can have nothing of that name. */
export function hubIdOf(text: string): { readonly id: string; readonly revision: string | undefined } | undefined {
  const at = text.indexOf('@')
  const id = at < 0 ? text : text.slice(0, at)
  if (!HUB_ID.test(id) || id.includes('..') || id.includes('--')) return undefined
  return { id, revision: at < 0 ? undefined : text.slice(at + 1) }
}

/**
 * What looks like a Hub id may be a path with a mistake in it: the error says both.
 * @param hint `; did you mean PATH?`, or nothing
 */
export function orNoDirectory(error: unknown, path: string, hint: string): unknown {
  if (!(error instanceof HubError)) return error
  // Where the Hub answered and nothing here is near, the name is hardly that of a directory.
  if (hint === '' && (error.cause === undefined || error.message.includes(path))) return error
  const directory = error.message.includes(path) ? '' : `; nor is there a directory ${path}`
  return new HubError(`${error.message}${directory}${hint}`, { cacheMayServe: error.cacheMayServe, cause: error })
}
