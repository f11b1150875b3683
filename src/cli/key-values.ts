/** @file Flags that are given once for each of several names: `--tag key=value`. */

import { describeValue } from '../errors.js'
import { listOf, text } from '../options/rules.js'
import { UsageError } from './usage-error.js'

/** The rule of such a flag. */
export const KEY_VALUES = listOf(text, 'key=value')

/** What was given, by its keys. @throws UsageError for a word without `=`, and for a key that comes twice */
export function keyValues(command: string, flag: string, words: readonly string[] = []): Record<string, string> {
  const found = new Map<string, string>()
  for (const word of words) {
    const at = word.indexOf('=')
    if (at < 1)
      throw new UsageError(
        `[${command}] expected key=value for ${flag}, got ${describeValue(word)}; write ${flag} key=value`,
      )
    const key = word.slice(0, at)
    if (found.has(key))
      throw new UsageError(
        `[${command}] expected each key of ${flag} once, got ${describeValue(key)} twice; remove one`,
      )
    found.set(key, word.slice(at + 1))
  }
  return Object.fromEntries(found)
}
