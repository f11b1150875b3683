/** @file Writes the address of every module that a process imports to stderr; for `node --import`. */

import { writeSync } from 'node:fs'
import { register } from 'node:module'
import { isMainThread } from 'node:worker_threads'

// Node loads this file once more on the thread of the hooks.
if (isMainThread) register(import.meta.url)

export async function load(url, context, nextLoad) {
  writeSync(2, `imported ${url}\n`)
  return nextLoad(url, context)
}
