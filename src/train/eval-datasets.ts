/** @file What `evalDataset` may be: a data set, or several by name, as transformers' Trainer takes them. */

import { type DataSource, isDataSource } from '../data/sources/open-source.js'
import type { Rule } from '../options/rules.js'
import { isPlainObject } from '../values.js'

/** Data sets by the names that their scores have: `eval_NAME_loss`. */
export type NamedDataSources = Readonly<Record<string, DataSource>>

/** A data set with its name among several; undefined: it is the only one. */
export interface EvalSource {
  readonly name: string | undefined
  readonly source: DataSource
}

/** What metrics and files can be called. */
const NAME = /^[A-Za-z0-9][\w.-]{0,63}$/

/** Whether a value names several data sets; an object with `path` or `mix` is one. */
export function isNamedSources(value: unknown): value is NamedDataSources {
  return isPlainObject(value) && !isDataSource(value) && Object.keys(value).length > 0
}

/** The data sets of `evalDataset` in their order. */
export function evalSources(evalDataset: DataSource | NamedDataSources | undefined): EvalSource[] {
  if (evalDataset === undefined) return []
  if (!isNamedSources(evalDataset)) return [{ name: undefined, source: evalDataset }]
  return Object.entries(evalDataset).map(([name, source]) => ({ name, source }))
}

/** What errors call a data set of `evalDataset`. */
export function evalOption(name: string | undefined): string {
  return name === undefined ? 'evalDataset' : `evalDataset.${name}`
}

/** The rule of `evalDataset`, of which `source` is that of one data set. */
export function evalDatasetRule(source: Rule & { readonly schema: { readonly anyOf: readonly object[] } }): Rule {
  return {
    expected: `${source.expected}, or an object from names of letters, digits, _, - and . to several of those,`,
    accepts: (value) =>
      source.accepts(value) ||
      (isNamedSources(value) && Object.entries(value).every(([name, each]) => NAME.test(name) && source.accepts(each))),
    hint: (value) => {
      if (source.accepts(value) || !isNamedSources(value)) return ''
      const [name] = Object.entries(value).find(([key, each]) => !NAME.test(key) || !source.accepts(each)) ?? []
      return name === undefined ? '' : `; ${JSON.stringify(name)} is not`
    },
    schema: {
      anyOf: [
        ...source.schema.anyOf,
        { type: 'object', minProperties: 1, patternProperties: { [NAME.source]: source.schema } },
      ],
    },
  }
}
