/** @file Flags that name a part of a data set: a split, a configuration. */

import { type DatasetEntry, isEntry } from '../data/sources/dataset-entry.js'
import { describeValue } from '../errors.js'
import { text } from '../options/rules.js'
import type { FlagTable } from './command.js'
import { UsageError } from './usage-error.js'

/** Which part of the data set is read. */
export interface PartFlags {
  readonly split?: string
  readonly datasetConfig?: string
}

export const PART_FLAGS = {
  split: {
    rule: text,
    otherwise: 'train',
    help: 'split of the data set, or a slice of one, as in train[:10%]',
    flag: { name: '--split', argument: 'name', group: 'Part of the data set' },
  },
  datasetConfig: {
    rule: text,
    otherwise: 'the only one, or the default',
    help: 'configuration of a data set of several',
    flag: { name: '--dataset-config', argument: 'name' },
  },
} as const satisfies FlagTable<PartFlags>

/** A data set, or the part of it that flags name. @throws UsageError where it is several data sets, or rows */
export function partOf(dataset: unknown, { split, datasetConfig }: PartFlags): unknown {
  if (split === undefined && datasetConfig === undefined) return dataset
  const part = { ...(split !== undefined && { split }), ...(datasetConfig !== undefined && { name: datasetConfig }) }
  if (typeof dataset === 'string') return { path: dataset, ...part }
  if (isEntry(dataset) && 'path' in dataset) {
    const { config: _, ...entry } = dataset as DatasetEntry & { readonly config?: string }
    return { ...(datasetConfig === undefined ? dataset : entry), ...part }
  }
  const flag = split === undefined ? '--dataset-config' : '--split'
  throw new UsageError(`[config] expected one data set for ${flag}, got ${describeValue(dataset)}; name it in the file`)
}
