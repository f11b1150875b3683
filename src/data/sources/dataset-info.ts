/**
 * @file Data sets that a dataset_info.json describes, as LLaMA-Factory has it: where the rows are, which columns they
 * have, and what their roles are called. Rows get the columns that lowrank knows; what is wrong with a row is said by
 * its form.
 */

import { stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { describeValue, listNames, nearestName, withoutSecrets } from '../../errors.js'
import { DataError, OptionError } from '../../lowrank-error.js'
import { readRegularFile, readRegularFileIfThere } from '../../regular-file.js'
import { isObject, toError } from '../../values.js'
import { passBadRow } from '../bad-rows.js'
import { describeOrigin, type RowOrigin, rowError } from '../row-origin.js'
import type { DatasetEntry } from './dataset-entry.js'
import { isDataFile } from './dataset-files.js'
import { isDatasetId } from './hub-address.js'
import type { RowSource } from './row-source.js'

export const DATASET_INFO = 'dataset_info.json'

/** A data set of such a file. */
export interface DescribedDataset {
  /** Where its rows are, and which of them. */
  readonly entry: DatasetEntry & { readonly path: string }
  /** Gives a row the columns that lowrank knows. */
  readonly convert: (row: Columns) => Columns
  /** The columns that the file names, by what they are to LLaMA-Factory. */
  readonly mapping: ReadonlyMap<string, string>
  /** What errors call that mapping: `columns of "mine" in data/dataset_info.json`. */
  readonly place: string
}

type Columns = Record<string, unknown>
type Fault = (what: string) => DataError

const LARGEST_FILE = 4 * 2 ** 20
const FORMATTINGS = ['alpaca', 'sharegpt', 'openai']
/** Places where lowrank does not look. */
const ELSEWHERE = ['script_url', 'ms_hub_url', 'om_hub_url', 'cloud_file_name']
const KEYS = [
  ...['file_name', 'hf_hub_url', 'formatting', 'ranking', 'subset', 'split', 'folder', 'num_samples'],
  ...['columns', 'tags'],
]
/** Columns by what they are to LLaMA-Factory, with the names that they have where the file says nothing. */
const ALPACA_COLUMNS = { prompt: 'instruction', query: 'input', response: 'output' }
const CHAT_COLUMNS = { messages: 'conversations' }
/** What every row has: the others may be in some rows alone. */
const REQUIRED = ['prompt', 'response', 'messages', 'chosen', 'rejected', 'kto_tag']
/** What says where rows are: other files of this name, as those of the package datasets, have none. */
const LOCATIONS = ['file_name', 'hf_hub_url', ...ELSEWHERE]
const COLUMN_KEYS = [
  ...['prompt', 'query', 'response', 'history', 'messages', 'system', 'tools'],
  ...['chosen', 'rejected', 'kto_tag', 'images', 'videos', 'audios'],
]
const TAGS = {
  role_tag: 'from',
  content_tag: 'value',
  user_tag: 'human',
  assistant_tag: 'gpt',
  observation_tag: 'observation',
  function_tag: 'function_call',
  system_tag: 'system',
}
type Tags = Record<keyof typeof TAGS, string>

/**
 * The data set of this name in the dataset_info.json beside it: `data/mine` is `mine` of `data/dataset_info.json`.
 * Undefined where there is no such file, or where the text may well be something else that it does not name.
 *
 * @throws DataError where the file cannot be read, or where what it has shows that the name is misspelled
 */
export async function findDescribed(path: string): Promise<DescribedDataset | undefined> {
  const file = join(dirname(path), DATASET_INFO)
  const name = basename(path)
  const bytes = await readRegularFileIfThere(file, { where: 'data', limit: LARGEST_FILE })
  if (bytes === undefined || (isDataFile(path) && !bytes.includes(JSON.stringify(name)))) return undefined
  const all = parse(bytes, file)
  if (Object.hasOwn(all, name)) return await read(all, name, file)
  const names = namesOf(all)
  const nearest = nearestName(name, names)
  // What is far from all names may be a data set of the Hub, or a misspelled file.
  if (names.length === 0 || isDataFile(path) || /[*?]/.test(path) || (nearest === undefined && isDatasetId(path)))
    return undefined
  const remedy = nearest === undefined ? 'check the path' : `did you mean ${join(dirname(path), nearest)}?`
  const hub = isDatasetId(path) ? ` For the data set of the Hub of that name write hf://datasets/${path}` : ''
  throw new DataError(
    `[data] expected a data file, or one of ${listNames(names)} of ${file}, got ${describeValue(path)}, which does not exist; ${remedy}${hub}`,
    { file },
  )
}

/** @throws DataError where the file has no data set of this name, or says of it what is not read */
export async function describedIn(file: string, name: string): Promise<DescribedDataset> {
  return await read(await parsed(file), name, file)
}

/** @throws OptionError for a file that describes data sets, given as if it were one */
export async function expectNoDescriptions(file: string): Promise<void> {
  const names = namesOf(await parsed(file).catch(() => ({})))
  const [first] = names
  if (first === undefined) return
  throw new OptionError(
    `[data] expected the name of a data set of ${file}, which describes ${listNames(names)}, got none; give ` +
      `${describeValue(join(dirname(file), first))}, or name beside the path`,
  )
}

/** The rows of `source`, which reads the entry, with the columns that lowrank knows. */
export function convertedRows(source: RowSource, described: DescribedDataset): RowSource {
  return {
    name: source.name,
    check: async (signal) => await source.check?.(signal),
    count: async (signal) => await source.count?.(signal),
    readsOnce: source.readsOnce === true,
    async *rows(context) {
      const lacking = new Map(described.mapping)
      let isEmpty = true
      for await (const { value, origin } of source.rows(context)) {
        const row: unknown = value instanceof Map ? Object.fromEntries(value) : value
        isEmpty = false
        if (lacking.size > 0 && isObject(row)) {
          for (const [key, column] of lacking) if (Object.hasOwn(row, column)) lacking.delete(key)
          // Once a row had the column, its form says what is wrong with a row that has it not.
          const key = REQUIRED.find((each) => lacking.has(each))
          if (key !== undefined) {
            const columns = listNames(Object.keys(row)) || 'no columns'
            const what = `in ${describeOrigin(origin)}, got ${columns}`
            passBadRow(misnamed(described, key, what, origin), context.onBadRow)
            continue
          }
        }
        yield { value: isObject(row) ? described.convert(row) : value, origin }
      }
      const [key] = lacking.keys()
      // A sample may lack what the rows have.
      if (key !== undefined && !isEmpty && described.entry.limit === undefined)
        throw misnamed(described, key, 'in a row, got it in none')
    },
  }
}

function misnamed({ mapping, place }: DescribedDataset, key: string, what: string, origin: RowOrigin = {}): DataError {
  const column = describeValue(mapping.get(key))
  return rowError(origin, `[data] expected the column ${column}, which ${place} gives for ${key}, ${what}; correct it`)
}

/** The data sets that a file describes. */
function namesOf(all: Columns): readonly string[] {
  return Object.keys(all).filter((name) => {
    const each = all[name]
    return isObject(each) && LOCATIONS.some((key) => Object.hasOwn(each, key))
  })
}

async function parsed(file: string): Promise<Columns> {
  return parse(await readRegularFile(file, { where: 'data', limit: LARGEST_FILE }), file)
}

function parse(bytes: Uint8Array, file: string): Columns {
  const fault = (what: string): DataError =>
    new DataError(`[data] expected a JSON object of data sets in ${file}, got ${what}; correct the file`, { file })
  let all: unknown
  try {
    all = JSON.parse(Buffer.from(bytes).toString())
  } catch (error) {
    throw fault(`no JSON (${withoutSecrets(toError(error).message)})`)
  }
  if (isObject(all)) return all
  throw fault(describeValue(all))
}

async function read(all: Columns, name: string, file: string): Promise<DescribedDataset> {
  const given = Object.hasOwn(all, name) ? all[name] : undefined
  const fault: Fault = (what) => new DataError(`[data] expected ${what} in ${file}`, { file })
  if (given === undefined) {
    const names = namesOf(all)
    const nearest = nearestName(name, names)
    const hint = nearest === undefined ? '' : `, where ${describeValue(nearest)} may be meant`
    throw fault(`one of ${listNames(names) || 'its data sets'}, got the name ${describeValue(name)}${hint}`)
  }
  if (!isObject(given)) throw fault(`an object for ${describeValue(name)}, got ${describeValue(given)}`)
  const text = (key: string): string | undefined => {
    const value = given[key]
    if (value === undefined || value === null || typeof value === 'string') return value ?? undefined
    throw fault(`a text for ${key} of ${describeValue(name)}, got ${describeValue(value)}`)
  }
  expectKnown(given, KEYS, `a key of ${describeValue(name)} that is read`, fault)
  const { file_name: local, hf_hub_url: id, num_samples: count, ranking } = given
  if ((local === undefined) === (id === undefined))
    throw fault(`file_name or hf_hub_url for ${describeValue(name)}, got ${local === undefined ? 'neither' : 'both'}`)
  if (count !== undefined && count !== null && !(Number.isInteger(count) && (count as number) > 0))
    throw fault(`a number of rows for num_samples of ${describeValue(name)}, got ${describeValue(count)}`)
  const isHub = local === undefined
  const path = isHub ? `hf://datasets/${text('hf_hub_url')}` : join(dirname(file), text('file_name') as string)
  const [part, subset, split] = [text('folder'), text('subset'), text('split')]
  const isFolder = isHub || (await stat(path).catch(() => undefined))?.isDirectory() === true
  const entry = {
    path,
    ...(subset !== undefined && { name: subset }),
    ...(part !== undefined && { dataDir: part }),
    ...(split !== undefined && (isFolder || split !== 'train') && { split }),
    ...(typeof count === 'number' && { shuffle: true, limit: count }),
  }
  const convert = converter(given, text('formatting') ?? 'alpaca', ranking === true, name, fault)
  const mapping = new Map(Object.entries((given.columns ?? {}) as Record<string, string>))
  return { entry, convert, mapping, place: `columns of ${describeValue(name)} in ${file}` }
}

function converter(
  given: Columns,
  formatting: string,
  isRanked: boolean,
  name: string,
  fault: Fault,
): (row: Columns) => Columns {
  if (!FORMATTINGS.includes(formatting))
    throw fault(`${listNames(FORMATTINGS)} for formatting of ${describeValue(name)}, got ${describeValue(formatting)}`)
  const named = (key: 'columns' | 'tags', known: readonly string[]): Record<string, string> => {
    const value = given[key] ?? {}
    if (!isObject(value) || Object.values(value).some((each) => typeof each !== 'string'))
      throw fault(`an object of names for ${key} of ${describeValue(name)}, got ${describeValue(value)}`)
    expectKnown(value, known, `one of ${listNames(known, known.length)} in ${key} of ${describeValue(name)}`, fault)
    return value as Record<string, string>
  }
  const isAlpaca = formatting === 'alpaca'
  // Where columns are named, those that are not named are not used.
  const columns = {
    ...(given.columns === undefined ? (isAlpaca ? ALPACA_COLUMNS : CHAT_COLUMNS) : {}),
    ...named('columns', COLUMN_KEYS),
  } as Record<string, string | undefined>
  const tags: Tags = { ...TAGS, ...named('tags', Object.keys(TAGS)) }
  return (row) => {
    const at = (key: string): unknown => {
      const column = columns[key]
      return column === undefined || !Object.hasOwn(row, column) ? undefined : row[column]
    }
    const used = new Set(Object.values(columns))
    const rest = Object.fromEntries(Object.entries(row).filter(([column]) => !used.has(column)))
    const answers = isRanked ? ['chosen', 'rejected'] : ['kto_tag']
    const beside: Columns = {}
    for (const key of ['system', 'tools', 'images', 'videos', 'audios', ...answers])
      if (at(key) !== undefined && at(key) !== null) beside[key] = at(key)
    if (isAlpaca) return { ...rest, ...beside, ...alpacaColumns(at, isRanked) }
    const messages = at('messages')
    const message = (turn: unknown): unknown => (isObject(turn) ? chatTurn(turn, tags) : turn)
    const ranked = isRanked ? { chosen: message(beside.chosen), rejected: message(beside.rejected) } : {}
    const conversations = Array.isArray(messages) ? messages.map(message) : messages
    return { ...rest, ...beside, ...ranked, conversations }
  }
}

/** The question is `prompt` and `query` with a line break between; each text is a turn of the chat template. */
function alpacaColumns(at: (key: string) => unknown, isRanked: boolean): Columns {
  const history = at('history')
  const turns = Array.isArray(history)
    ? history.flatMap((pair: unknown) =>
        Array.isArray(pair) ? [said('user', pair[0]), said('assistant', pair[1])] : [pair],
      )
    : []
  const asked = [at('prompt'), at('query')].filter((text) => text !== undefined && text !== null && text !== '')
  // What is no text is refused with the message that it would become.
  const question = asked.every((text) => typeof text === 'string') ? asked.join('\n') : asked[0]
  const messages = [...turns, said('user', question)]
  if (isRanked)
    return { messages, chosen: said('assistant', at('chosen')), rejected: said('assistant', at('rejected')) }
  return { messages: [...messages, said('assistant', at('response'))] }
}

function said(role: string, content: unknown): unknown {
  return { role, content }
}

/** A turn by the names that ShareGPT has. A role that no tag names stays, and is refused by its form if it is none. */
function chatTurn(turn: Columns, tags: Tags): Columns {
  const { [tags.role_tag]: role, [tags.content_tag]: content, ...others } = turn
  const tag = (Object.keys(TAGS) as (keyof Tags)[]).find(
    (key) => key.endsWith('_tag') && !isPart(key) && tags[key] === role,
  )
  return { ...others, from: tag === undefined ? role : TAGS[tag], value: content }
}

function isPart(key: keyof Tags): boolean {
  return key === 'role_tag' || key === 'content_tag'
}

function expectKnown(given: Columns, known: readonly string[], what: string, fault: Fault): void {
  const unknown = Object.keys(given).find((key) => !known.includes(key))
  if (unknown === undefined) return
  if (ELSEWHERE.includes(unknown)) throw fault(`file_name or hf_hub_url, got ${unknown}, which is not read here,`)
  const nearest = nearestName(unknown, known)
  throw fault(`${what}, got ${describeValue(unknown)}${nearest ? ` (did you mean ${nearest}?)` : ''}`)
}
