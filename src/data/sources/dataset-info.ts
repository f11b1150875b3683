/**
 * @file Data sets that a dataset_info.json describes, as LLaMA-Factory has it: where the rows are, which columns they
 * have, and what their roles are called. Rows get the columns that lowrank knows; what is wrong with a row is said by
 * its form.
 */

import { stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { describeValue, listNames, nearestName } from '../../errors.js'
import { DataError } from '../../lowrank-error.js'
import { readRegularFile, readRegularFileIfThere } from '../../regular-file.js'
import { isObject } from '../../values.js'
import type { DatasetEntry } from './dataset-entry.js'
import type { RowSource } from './row-source.js'

export const DATASET_INFO = 'dataset_info.json'

/** A data set of such a file. */
export interface DescribedDataset {
  /** Where its rows are, and which of them. */
  readonly entry: DatasetEntry & { readonly path: string }
  /** Gives a row the columns that lowrank knows. */
  readonly convert: (row: Columns) => Columns
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
 * Undefined where there is no such file, or no such name in it.
 */
export async function findDescribed(path: string): Promise<DescribedDataset | undefined> {
  const file = join(dirname(path), DATASET_INFO)
  const bytes = await readRegularFileIfThere(file, { where: 'data', limit: LARGEST_FILE })
  const name = basename(path)
  if (bytes === undefined || !bytes.includes(JSON.stringify(name))) return undefined
  const all = parse(bytes, file)
  return Object.hasOwn(all, name) ? await read(all, name, file) : undefined
}

/** @throws DataError where the file has no data set of this name, or says of it what is not read */
export async function describedIn(file: string, name: string): Promise<DescribedDataset> {
  return await read(parse(await readRegularFile(file, { where: 'data', limit: LARGEST_FILE }), file), name, file)
}

/** The rows of `source`, which reads the entry, with the columns that lowrank knows. */
export function convertedRows(source: RowSource, { convert }: DescribedDataset): RowSource {
  return {
    name: source.name,
    check: async (signal) => await source.check?.(signal),
    async *rows(context) {
      for await (const { value, origin } of source.rows(context)) {
        const row: unknown = value instanceof Map ? Object.fromEntries(value) : value
        yield { value: isObject(row) ? convert(row) : value, origin }
      }
    },
  }
}

function parse(bytes: Uint8Array, file: string): Columns {
  let all: unknown
  try {
    all = JSON.parse(Buffer.from(bytes).toString())
  } catch {
    // Said below.
  }
  if (isObject(all)) return all
  throw new DataError(`[data] expected a JSON object of data sets in ${file}, got something else`, { file })
}

async function read(all: Columns, name: string, file: string): Promise<DescribedDataset> {
  const given = Object.hasOwn(all, name) ? all[name] : undefined
  const fault: Fault = (what) => new DataError(`[data] expected ${what} in ${file}`, { file })
  if (given === undefined) throw fault(`one of ${listNames(Object.keys(all))}, got the name ${describeValue(name)}`)
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
  return { entry, convert: converter(given, text('formatting') ?? 'alpaca', ranking === true, name, fault) }
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
