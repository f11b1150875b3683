/**
 * @file What the README.md of a data set says of its files: the list `configs` of its YAML header, as the Hub has it.
 * Opens nothing.
 */

import { describeValue, listNames } from '../../errors.js'
import { DataError } from '../../lowrank-error.js'
import { isObject } from '../../values.js'
import { loadPeer } from '../load-peer.js'

/** Paths with wildcards, by split. */
export type SplitPatterns = ReadonlyMap<string, readonly string[]>

/** A part of a data set that has columns of its own. */
export interface DatasetConfig {
  readonly name: string
  readonly isDefault: boolean
  /** The folder that paths begin at; empty: that of the data set. */
  readonly directory: string
  /** Undefined: names of files and folders tell the splits. */
  readonly files: SplitPatterns | undefined
}

/** Cards with long lists of features have some hundred thousand letters. */
const LARGEST_HEADER = 2_000_000
const HEADER = /^\ufeff?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)/s

/** Keys that say nothing of how rows are read, or what is told from the file itself. */
const HARMLESS = ['version', 'description', 'features', 'drop_labels', 'drop_metadata', 'sep', 'delimiter', 'quotechar']

/**
 * The configurations of a data set; none where its card names none.
 * @param place What errors call the data set.
 * @throws DataError for a card that says what cannot be followed
 */
export async function configsOf(card: string, place: string): Promise<readonly DatasetConfig[]> {
  const header = HEADER.exec(card)?.[1]
  if (header === undefined || header.length > LARGEST_HEADER || !/^configs\s*:/m.test(header)) return []
  const fault = (what: string): DataError =>
    new DataError(
      `[data] expected a readable list configs in the README.md of ${place}, got ${what}; correct it, or name the files with dataFiles`,
    )
  const { parse } = await loadPeer<typeof import('yaml')>('yaml', 'to read the list configs of a README.md')
  let configs: unknown
  try {
    configs = (parse(header, { maxAliasCount: 100 }) as { configs?: unknown }).configs
  } catch (error) {
    throw fault(`no YAML (${(error as Error).message.split('\n')[0]})`)
  }
  if (configs === undefined || configs === null) return []
  if (!Array.isArray(configs)) throw fault(describeValue(configs))
  const found = configs.map((entry: unknown) => readConfig(entry, fault))
  const names = found.map(({ name }) => name)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) throw fault(`two of ${describeValue(twice)}`)
  return found
}

function readConfig(entry: unknown, fault: (what: string) => DataError): DatasetConfig {
  if (!isObject(entry)) throw fault(describeValue(entry))
  const { config_name: name, default: isDefault, data_files: files, data_dir: directory, ...others } = entry
  if (typeof name !== 'string' || name === '') throw fault('one without config_name')
  if (directory !== undefined && typeof directory !== 'string') throw fault(`data_dir ${describeValue(directory)}`)
  const unread = Object.keys(others).filter((key) => !HARMLESS.includes(key))
  if (unread.length > 0) throw fault(`${listNames(unread)} in ${describeValue(name)}, which is not read here`)
  return {
    name,
    isDefault: isDefault === true,
    directory: directory ?? '',
    files: files === undefined || files === null ? undefined : readPatterns(files, fault),
  }
}

/**
 * Patterns as `data_files` has them: one, a list, a list of splits with their paths, or an object from splits to paths.
 * @throws what `fault` makes of what it is instead
 */
export function readPatterns(given: unknown, fault: (what: string) => Error): SplitPatterns {
  const paths = (value: unknown): readonly string[] => {
    const list: readonly unknown[] = Array.isArray(value) ? value : [value]
    if (list.length > 0 && list.every((path) => typeof path === 'string' && path !== '')) return list as string[]
    throw fault(`${describeValue(value)} for paths`)
  }
  if (isObject(given)) return new Map(Object.entries(given).map(([split, value]) => [split, paths(value)]))
  if (!Array.isArray(given) || !given.some(isObject)) return new Map([['train', paths(given)]])
  const splits = new Map<string, readonly string[]>()
  for (const entry of given as unknown[]) {
    const { split, path, ...others } = isObject(entry) ? entry : {}
    if (typeof split !== 'string' || !/^\w+(?:\.\w+)*$/.test(split) || Object.keys(others).length > 0)
      throw fault(`${describeValue(entry)} in data_files, where { split, path } belongs`)
    if (splits.has(split)) throw fault(`the split ${describeValue(split)} twice`)
    splits.set(split, paths(path))
  }
  return splits
}
