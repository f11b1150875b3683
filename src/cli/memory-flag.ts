/** @file The flag that says how much memory a run may take. */

import { parseBytes } from '../bytes.js'
import { textOf } from '../options/rules.js'

/** Less is a number whose unit was forgotten, as in --memory 8. */
const LEAST_MEMORY = 2 ** 20

export const MEMORY = {
  rule: {
    ...textOf('an amount of memory such as 8GiB'),
    accepts: (value: unknown) => bytesOfMemory(value) !== undefined,
  },
  help: 'what may be taken, as in 8GiB',
  otherwise: 'what is available now',
  flag: { name: '--memory', argument: 'size' },
} as const

/** The bytes that a text such as 8GiB names; undefined where it names none. */
export function bytesOfMemory(size: unknown): number | undefined {
  const bytes = typeof size === 'string' ? parseBytes(size) : undefined
  return bytes !== undefined && bytes >= LEAST_MEMORY ? bytes : undefined
}
