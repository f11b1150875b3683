// @ts-check
/** @file The command line of a measurement, from a table of its options: values, `--help`, and an error for everything that is not in the table. */

import { parseArgs } from 'node:util'
import { nearestName } from '../../dist/errors.js'

/**
 * @typedef {object} Option
 * @property {string} help
 * @property {'flag' | 'count' | 'number' | 'text' | 'texts'} [type] default: text; `texts` may be given several times.
 * @property {readonly string[]} [choices] of a text.
 * @property {boolean} [list] a comma list: of counts, or of choices.
 * @property {any} [default] undefined: not given.
 * @property {boolean | PeerName} [peer] the peer's program takes it too, under the same name; a name: the program of that peer alone.
 * @typedef {'peer' | 'peer-llama-cpp'} PeerName the option that names the peer.
 * @typedef {Readonly<Record<string, Option>>} OptionTable
 * @typedef {Record<string, any>} Values by camelCase name.
 */

/** Wrong usage: answered with the help text and exit code 2. */
export class UsageError extends Error {}

/** Options that every measurement has. @type {OptionTable} */
export const COMMON_OPTIONS = {
  threads: { type: 'count', help: 'threads that compute; default: as many as the engine would take', peer: true },
  results: { help: 'folder of the CSV files; default: bench/results' },
  'no-save': { type: 'flag', help: 'append no row to the CSV file' },
  quiet: { type: 'flag', help: 'JSON lines only: no progress and no table' },
}

/** What a measurement may be compared with. @type {Readonly<Record<PeerName, Option>>} */
export const PEERS = {
  peer: { help: 'a Python with bench/peers/requirements.txt: the same work there, in turn with ours, pair by pair' },
  'peer-llama-cpp': {
    help: 'a node_modules folder with node-llama-cpp: the same work there, in turn with ours, pair by pair',
    peer: 'peer-llama-cpp',
  },
}

/** Options of measurements that have a peer. @type {OptionTable} */
export const PEER_OPTIONS = {
  pairs: { type: 'count', default: 3, help: 'how many pairs' },
  'peer-threads': { type: 'count', help: "the peer's threads; default: --threads, else the peer's own choice" },
  'peer-env': { type: 'texts', default: [], help: "NAME=VALUE in the peer's environment; may be repeated" },
}

/** @param {OptionTable} table @param {readonly string[]} args @returns {Values} @throws {UsageError} */
export function readOptions(table, args) {
  const { values, tokens } = parseArgs({
    args: [...args],
    strict: false,
    tokens: true,
    options: Object.fromEntries(
      Object.entries(table).map(([name, { type }]) => [
        name,
        { type: type === 'flag' ? 'boolean' : 'string', multiple: type === 'texts' },
      ]),
    ),
  })
  for (const token of tokens) {
    if (token.kind === 'positional') throw new UsageError(`expected options only, got ${token.value}`)
    if (token.kind !== 'option') continue
    if (!Object.hasOwn(table, token.name)) {
      const nearest = nearestName(token.name, Object.keys(table))
      throw new UsageError(`unknown option ${token.rawName}${nearest ? `; did you mean --${nearest}?` : ''}`)
    }
    const isFlag = table[token.name]?.type === 'flag'
    if (isFlag !== (token.value === undefined))
      throw new UsageError(`expected ${isFlag ? 'no value' : 'a value'} for ${token.rawName}`)
  }
  return Object.fromEntries(
    Object.entries(table).map(([name, option]) => [
      camelCase(name),
      values[name] === undefined ? option.default : readValue(name, option, values[name]),
    ]),
  )
}

/** @param {string} name @param {Option} option @param {any} value */
function readValue(name, option, value) {
  if (option.type === 'flag' || option.type === 'texts') return value
  if (option.list)
    return String(value)
      .split(',')
      .map((item) => readOne(name, option, item))
  return readOne(name, option, value)
}

/** @param {string} name @param {Option} option @param {string} text */
function readOne(name, { type, choices }, text) {
  if (choices && !choices.includes(text))
    throw new UsageError(`expected ${choices.join(', ')} for --${name}, got ${text}`)
  if (type !== 'count' && type !== 'number') return text
  const value = Number(text)
  if (type === 'count' && !(Number.isInteger(value) && value >= 1))
    throw new UsageError(`expected a whole number >= 1 for --${name}, got ${text}`)
  if (text === '' || !Number.isFinite(value)) throw new UsageError(`expected a number for --${name}, got ${text}`)
  return value
}

/** The options that were given or have a default, as arguments again. @param {OptionTable} table @param {Values} values */
export function writeOptions(table, values) {
  return Object.keys(table).flatMap((name) => {
    const value = values[camelCase(name)]
    if (value === undefined || value === false) return []
    if (value === true) return [`--${name}`]
    if (table[name]?.type === 'texts') return value.flatMap((/** @type {string} */ item) => [`--${name}`, item])
    return [`--${name}`, String(value)]
  })
}

/** @param {OptionTable} table */
export function describeOptions(table) {
  return Object.entries(table)
    .map(([name, { type, choices, list, help, default: value }]) => {
      const what = type === 'flag' ? '' : choices ? choices.join(list ? ',' : '|') : type === 'texts' ? 'TEXT' : 'N'
      const shown = value === undefined || type === 'flag' || value.length === 0 ? '' : ` (default ${value})`
      const left = `  --${name} ${what === 'N' && type === undefined ? 'TEXT' : what}`.trimEnd()
      return left.length < 26 ? `${left.padEnd(28)}${help}${shown}` : `${left}\n${' '.repeat(28)}${help}${shown}`
    })
    .join('\n')
}

/** @param {string} name */
export function camelCase(name) {
  return name.replace(/-(.)/g, (_, letter) => letter.toUpperCase())
}
