/** @file What commands about things in a workspace are given: their ids, and files that describe them. */

import { camelCase } from '../../options/spelling.js'
import { expectOptions, type OptionTable } from '../../options/table.js'
import { isPlainObject } from '../../values.js'
import { readSpec } from '../config.js'
import { UsageError } from '../usage-error.js'

/** @throws UsageError where a word is missing: `expectWord('clusters get', 'the id of a cluster', word)` */
export function expectWord(command: string, what: string, word: string | undefined): string {
  if (word !== undefined && word !== '') return word
  throw new UsageError(`[${command}] expected ${what}, got nothing; write it behind the command`)
}

/**
 * The fields of a file in YAML or JSON, in the names of Databricks' clients: `cluster_name` or `clusterName`.
 * @param nested Fields whose own fields are named so too; others hold names of users.
 * @throws UsageError where it cannot be read, OptionError where a field is not as its table says
 */
export async function readFields<Options extends object>(
  command: string,
  path: string,
  table: OptionTable<Options>,
  { example, nested = [] }: { readonly example: string; readonly nested?: readonly string[] },
): Promise<Options> {
  const inCamelCase = (fields: Readonly<Record<string, unknown>>, isTop: boolean): Record<string, unknown> =>
    Object.fromEntries(
      Object.entries(fields).map(([key, value]) => {
        const name = camelCase(key)
        return [name, isTop && nested.includes(name) && isPlainObject(value) ? inCamelCase(value, false) : value]
      }),
    )
  const fields = inCamelCase(await readSpec(path, example), true) as Options
  expectOptions(command, fields, table)
  return fields
}
