/** @file How large one file of weights may be: the option `maxShardSize`. Loads nothing of the engine. */

import { check } from '../options/rules.js'
import type { OptionEntry } from '../options/table.js'

const UNITS: Record<string, number | undefined> = {
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
}

/** An option of everything that writes a model. */
export const MAX_SHARD_SIZE = {
  rule: {
    expected: 'a number of bytes or a string like "5GB"',
    accepts: (value) => shardBytes(value) !== undefined,
    schema: { type: ['number', 'string'] },
  },
  default: '5GB',
  help: 'largest size of one file of weights, in bytes or as in 5GB (10^9 bytes) or 500MiB (2^20 bytes)',
  flag: { name: '--max-shard-size', argument: 'size', help: 'largest file of weights, as in 2GB' },
} as const satisfies OptionEntry<number | string>

/** The bytes of `maxShardSize`. @throws on what is no size */
export function parseShardSize(size: number | string): number {
  check('checkpoint', 'maxShardSize', size, MAX_SHARD_SIZE.rule)
  return shardBytes(size) as number
}

/** Undefined for what is no size. */
function shardBytes(size: unknown): number | undefined {
  const [, digits = '', unit = ''] = /^(\d+(?:\.\d+)?)\s*([KMG]i?B)$/i.exec(String(size)) ?? []
  const bytes =
    typeof size === 'number' ? size : Number(digits || Number.NaN) * (UNITS[unit.toUpperCase()] ?? Number.NaN)
  return bytes >= 1 ? bytes : undefined
}
