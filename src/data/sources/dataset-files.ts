/**
 * @file Which files of a data set are wanted: by its card, by patterns, or by the names of its files and folders, as
 * the package datasets has it. Works on paths; opens nothing.
 */

import { describeValue, listNames } from '../../errors.js'
import { DataError, OptionError } from '../../lowrank-error.js'
import { configsOf, type DatasetConfig, readPatterns, type SplitPatterns } from './dataset-card.js'
import { DATA_ENDINGS } from './formats.js'
import { splitsOf } from './splits.js'
import { unpackedPath } from './unpack.js'

/** What a data set has. */
export interface DatasetLayout {
  /** What errors call it. */
  readonly place: string
  /** What it is, as errors say it: `a folder`. */
  readonly kind: string
  /** The folder, for errors. */
  readonly file?: string
  /** Paths of all files within it, with forward slashes, sorted. */
  readonly paths: readonly string[]
  /** The text of its README.md. */
  readonly card: string | undefined
  /** Whether its folders are configurations and, in these, splits: as the Hub converts data sets to Parquet. */
  readonly isConverted?: boolean
  /** Whether only the files of the most common format count, as in data sets of others. */
  readonly isForeign?: boolean
}

/** What is wanted of it; names are those of `datasets.load_dataset`. */
export interface DatasetChoice {
  /** Several: the first that there is. */
  readonly split: string | readonly string[]
  readonly name?: string | undefined
  readonly dataDir?: string | undefined
  readonly dataFiles?: unknown
}

/** Files that describe a data set. */
const NO_ROWS = ['config.json', 'dataset_info.json', 'dataset_infos.json', 'dataset_dict.json', 'state.json']

/** Whether a file has rows, by its name. */
export function isDataFile(path: string): boolean {
  const name = unpackedPath(path.slice(path.lastIndexOf('/') + 1)).toLowerCase()
  return !NO_ROWS.includes(name) && DATA_ENDINGS.some((ending) => name.endsWith(ending))
}

/**
 * The paths of the files of one split.
 * @throws DataError naming what the data set has instead
 */
export async function chooseFiles(layout: DatasetLayout, choice: DatasetChoice): Promise<readonly string[]> {
  const { place } = layout
  const splits = await splitsIn(layout, choice)
  const wanted = typeof choice.split === 'string' ? [choice.split] : choice.split
  const name = wanted.find((split) => splits.has(split))
  const files = name === undefined ? undefined : splits.get(name)
  if (files !== undefined) return layout.isForeign ? ofOneFormat(files, place) : files
  throw new DataError(
    `[data] expected the split ${wanted.map((split) => JSON.stringify(split)).join(' or ')} in ${place}, got ${layout.kind} that has ` +
      `${splits.size === 1 && splits.has('train') ? "only 'train'" : listNames([...splits.keys()])}; give a split that it has, or the files`,
    detailsOf(layout),
  )
}

/** The files of all splits. */
async function splitsIn(
  layout: DatasetLayout,
  { name, dataDir, dataFiles }: DatasetChoice,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const { place, paths, card, isConverted } = layout
  if (dataFiles !== undefined) {
    if (name !== undefined) throw new OptionError('[data] expected name or dataFiles, got both; remove one')
    const fault = (what: string): Error =>
      new OptionError(`[data] expected paths, or an object from splits to paths, for dataFiles, got ${what}`)
    return matched(layout, readPatterns(dataFiles, fault), dataDir ?? '')
  }
  if (dataDir !== undefined) return byNames(layout, dataDir)
  const configs = card === undefined ? [] : await configsOf(card, place)
  if (configs.length > 0) {
    const { files, directory } = chooseConfig(configs, name, place)
    return files === undefined ? byNames(layout, directory) : matched(layout, files, directory)
  }
  if (isConverted) return converted(paths, name, place)
  if (name === undefined || name === 'default') return byNames(layout, '')
  throw new DataError(
    `[data] expected no name for ${place}, which has no configurations, got ${describeValue(name)}; remove it, or give dataDir for a folder`,
  )
}

function chooseConfig(configs: readonly DatasetConfig[], name: string | undefined, place: string): DatasetConfig {
  const names = listNames(configs.map((config) => config.name))
  if (name !== undefined) {
    const config = configs.find((each) => each.name === name)
    if (config !== undefined) return config
    throw new DataError(
      `[data] expected one of ${names} for name of ${place}, got ${describeValue(name)}; give one that it has`,
    )
  }
  const [first, second] =
    configs.length === 1 ? configs : configs.filter((each) => each.isDefault || each.name === 'default')
  if (first !== undefined && second === undefined) return first
  throw new DataError(
    `[data] expected a name for ${place}, which has the configurations ${names}${first ? ', of which several are the default' : ''}; give one: ` +
      `{ path: ..., name: ${JSON.stringify(configs[0]?.name)} }`,
  )
}

/** `CONFIG/SPLIT/0000.parquet`; what is too large is converted in part, and the folder says so. */
function converted(
  paths: readonly string[],
  name: string | undefined,
  place: string,
): ReadonlyMap<string, readonly string[]> {
  const configs = new Map<string, Map<string, string[]>>()
  for (const path of paths) {
    const [, config, split] = /^([^/]+)\/(?:partial-)?([^/]+)\/[^/]+\.parquet$/.exec(path) ?? []
    if (config === undefined || split === undefined) continue
    const splits = configs.get(config) ?? new Map<string, string[]>()
    splits.set(split, [...(splits.get(split) ?? []), path])
    configs.set(config, splits)
  }
  const list = [...configs.keys()].map((each) => ({ name: each, isDefault: false, directory: '', files: undefined }))
  if (list.length === 0) throw noFiles(place, 'no folders of converted files')
  return configs.get(chooseConfig(list, name, place).name) as ReadonlyMap<string, readonly string[]>
}

function byNames(layout: DatasetLayout, directory: string): ReadonlyMap<string, readonly string[]> {
  const { paths, place, kind } = layout
  const root = folder(directory)
  const inside = paths.filter((path) => path.startsWith(root)).map((path) => path.slice(root.length))
  const files = inside.filter((path) => isDataFile(path) && !isHidden(path, ''))
  if (files.length === 0) {
    const script = paths.find((path) => /^[^/]+\.py$/.test(path))
    const endings = new Intl.ListFormat('en', { type: 'disjunction' }).format(DATA_ENDINGS)
    const what =
      script === undefined
        ? `it has no files that end in ${endings}`
        : `it has the program ${script}, which is not run; the revision refs/convert/parquet may have its rows`
    throw new DataError(`[data] expected ${kind} of data files, got ${place}${root}; ${what}`, detailsOf(layout))
  }
  const splits = splitsOf(files)
  const named = splits.size > 0 ? splits : new Map([['train', files]])
  return new Map([...named].map(([split, list]) => [split, list.map((path) => root + path)]))
}

function matched(
  { place, paths }: DatasetLayout,
  patterns: SplitPatterns,
  directory: string,
): ReadonlyMap<string, readonly string[]> {
  const root = folder(directory)
  return new Map(
    [...patterns].map(([split, list]) => [
      split,
      [
        ...new Set(
          list.flatMap((pattern) => {
            const found = matches(paths, root + pattern.replace(/^\.\//, ''), pattern)
            if (found.length > 0) return found
            throw noFiles(place, `no data file ${describeValue(pattern)}, which is to be in the split ${split}`)
          }),
        ),
      ],
    ]),
  )
}

/** Files of a pattern; hidden ones, and those of folders that begin with `__`, only where it says so. */
function matches(paths: readonly string[], pattern: string, given: string): readonly string[] {
  if (/^\/|(?:^|\/)\.\.(?:\/|$)|:\/\//.test(given)) {
    throw new DataError(
      `[data] expected paths within the data set, got ${describeValue(given)}; give that file as the data set`,
    )
  }
  if (paths.includes(pattern)) return [pattern]
  const expression = globExpression(pattern)
  return paths.filter((path) => expression.test(path) && isDataFile(path) && !isHidden(path, pattern))
}

function isHidden(path: string, pattern: string): boolean {
  const count = (text: string, mark: RegExp, parts: readonly string[] = text.split('/')): number =>
    parts.filter((part) => mark.test(part)).length
  return (
    count(path, /^\./) !== count(pattern, /^\./) ||
    count(path, /^__/, path.split('/').slice(0, -1)) !== count(pattern, /^__/, pattern.split('/').slice(0, -1))
  )
}

/** `*` and `?` match within a name, `[0-9]` one character, `**` any folders. */
function globExpression(pattern: string): RegExp {
  const source = pattern
    .split('/')
    .map((part, index, parts) => {
      if (part === '**') return index === parts.length - 1 ? '.*' : '(?:[^/]+/)*'
      const name = part
        .replace(/[.+^${}()|\\]/g, '\\$&')
        .replace(/\[!/g, '[^')
        .replace(/\*+/g, '[^/]*')
        .replace(/\?/g, '[^/]')
      return index === parts.length - 1 ? name : `${name}/`
    })
    .join('')
  try {
    return new RegExp(`^${source}$`, 's')
  } catch {
    throw new DataError(`[data] expected a pattern of paths, got ${describeValue(pattern)}; close its brackets`)
  }
}

/** The files of the most common format: repositories have tables of figures beside their rows. */
function ofOneFormat(files: readonly string[], place: string): readonly string[] {
  const byEnding = new Map<string, string[]>()
  for (const path of files) {
    const ending = DATA_ENDINGS.find((each) => unpackedPath(path).toLowerCase().endsWith(each)) ?? ''
    byEnding.set(ending, [...(byEnding.get(ending) ?? []), path])
  }
  const groups = [...byEnding].sort(([, a], [, b]) => b.length - a.length)
  const [[, most] = ['', []], next] = groups
  if (next === undefined || next[1].length < most.length) return most
  throw new DataError(
    `[data] expected one format of files in ${place}, got as many in ${groups.map(([ending]) => ending).join(' as in ')}; name the files with ` +
      'dataFiles',
  )
}

function detailsOf({ file }: DatasetLayout): { file?: string } {
  return file === undefined ? {} : { file }
}

function folder(directory: string): string {
  const trimmed = directory.replace(/^(?:\.?\/)+|\/+$/g, '')
  return trimmed === '' || trimmed === '.' ? '' : `${trimmed}/`
}

function noFiles(place: string, what: string): DataError {
  return new DataError(`[data] expected data files in ${place}, got ${what}`)
}
