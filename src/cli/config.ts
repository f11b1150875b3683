/**
 * @file Reads the configuration of a run: a YAML file, then `--set key=value`, then flags; and knows where each option
 * came from.
 */

import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { isMap, isNode, isScalar, LineCounter, parseDocument, visit, type YAMLError } from 'yaml'
import { describeKind, describeValue, isSecretName, nearestName } from '../errors.js'
import type { OptionProblem } from '../lowrank-error.js'
import { camelCase } from '../options/spelling.js'
import { errorCode, isMissing, readRegularFile } from '../regular-file.js'
import { currentName } from '../train/options.js'
import { isObject } from '../values.js'
import { keepSecretsOf } from './secrets.js'
import { checkAll, UsageError } from './usage-error.js'

type Config = Record<string, unknown>

/** An option that a flag sets. */
export interface FlagValue {
  /** As typed: `--lr`. */
  readonly flag: string
  /** Where it belongs: `['training', 'learningRate']`. */
  readonly path: readonly string[]
  readonly value: unknown
}

/** The options of a run, as they were spelled. */
export interface Configuration {
  readonly options: Config
  /** The file that was read. */
  readonly file: string | undefined
  /** `line 3 of run.yaml`, `--set lora.r` or `--lr`; undefined for what was not given. */
  originOf(path: readonly string[]): string | undefined
}

/** Larger than any configuration; a model or data set given by mistake is not read. */
const LARGEST_FILE = 1 << 20

/**
 * @param path YAML (and so JSON too); undefined: settings and flags alone.
 * @param settings `training.learningRate=1e-4`: dots lead into the nested parts, values are YAML.
 * @param flags go over settings, as these go over the file.
 * @throws UsageError when the file cannot be read, is not a mapping, or a setting has no `=`; never with a value, which
 * may be a secret.
 */
export async function readConfig(
  path: string | undefined,
  settings: readonly string[] = [],
  flags: readonly FlagValue[] = [],
): Promise<Configuration> {
  const origins = new Map<string, string>()
  // Before the file: `--set lora.r 8` leaves an 8 that would be taken for its name.
  const set = await checkAll(
    'config',
    settings.map((setting) => () => readSetting(setting)),
  )
  const options = path === undefined ? {} : await readYaml(path, origins)
  for (const { flag, path: to, value } of [...set, ...flags]) assign(options, origins, to, value, flag)
  keepSecretsOf(options)
  const originOf = (option: readonly string[]): string | undefined => {
    for (let length = option.length; length > 0; length--) {
      const origin = origins.get(keyOf(option.slice(0, length)))
      if (origin !== undefined) return origin
    }
    return undefined
  }
  return { options, file: path, originOf }
}

/** The message of a problem with where its options came from: `... got 0 (line 3 of run.yaml)`. */
export function withOrigins({ message, options }: OptionProblem, { originOf }: Configuration): string {
  const origins = new Set(options.map(originOf).filter((origin) => origin !== undefined))
  return origins.size === 0 ? message : `${message} (${[...origins].join(', ')})`
}

/** What a configuration holds, and what to do where there is none. */
const OF_RUN = { example: 'options such as "model: DIRECTORY"', remedy: 'lowrank init writes one' }

/**
 * The mapping of a file in YAML or JSON that describes one thing.
 * @param example of what it holds, for the error of a file that holds something else
 * @throws UsageError as {@link readConfig}
 */
export async function readSpec(path: string, example: string): Promise<Record<string, unknown>> {
  const fields = await readYaml(path, new Map(), { example, remedy: 'write it first' })
  keepSecretsOf(fields)
  return fields
}

async function readYaml(path: string, origins: Map<string, string>, { example, remedy } = OF_RUN): Promise<Config> {
  const text = await readText(path, remedy)
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, version: '1.2' })
  const refuse = (what: string): never => {
    throw new UsageError(`[config] expected a readable YAML file, got ${path}: ${what}`)
  }
  // A tag that YAML does not know would be dropped with a warning.
  const [error] = [...document.errors, ...document.warnings]
  if (error) refuse(described(error, lines))
  const changed = firstChanged(document.contents)
  if (changed) refuse(`${changed.what} ${placeOf(changed.offset, lines)}`)
  let value: unknown
  try {
    value = document.toJS({ maxAliasCount: 100 })
  } catch {
    throw new UsageError(
      `[config] expected a readable YAML file, got ${path}: an alias (*name) has no anchor (&name) before it, or too many uses; ` +
        'write the value out, and put quotes around a text that begins with *',
    )
  }
  if (!isObject(value)) {
    const got = value === null ? 'an empty file' : describeKind(value)
    throw new UsageError(`[config] expected ${example} in ${path}, got ${got}`)
  }
  recordLines(document.contents, [], origins, (offset) => `line ${lines.linePos(offset).line} of ${path}`)
  return value
}

/** The text of a file that a person wrote. @throws UsageError saying what else it is */
async function readText(path: string, remedy: string): Promise<string> {
  const refuse = (got: string): never => {
    throw new UsageError(`[config] expected a readable YAML file, got ${path}${got}`)
  }
  if (/\.(?:jsonl|csv|tsv|parquet|arrow)$/i.test(path)) return refuse(', which is data; give it with --dataset')
  if (/\.gguf$/i.test(path)) return refuse(', which is a model; give it with --model')
  let bytes: Uint8Array
  try {
    bytes = await readRegularFile(path, { where: 'config', limit: LARGEST_FILE })
  } catch (error) {
    if (isMissing(error)) {
      const near = await nearestFile(path)
      return refuse(`, which does not exist; ${near ? `did you mean ${near}?` : remedy}`)
    }
    if (errorCode(error) === 'EISDIR' || (await isDirectory(path)))
      return refuse(', which is a directory; a model is given with --model')
    throw new UsageError((error as Error).message)
  }
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff))
    return refuse(' in UTF-16; save it as UTF-8')
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return refuse(', which is not UTF-8; save it as UTF-8')
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false
}

/** The file beside `path` that it is most likely a misspelling of. */
async function nearestFile(path: string): Promise<string | undefined> {
  const names = await readdir(dirname(path)).catch(() => [])
  const configs = names.filter((name) => /\.(?:ya?ml|json)$/i.test(name))
  const stem = basename(path).replace(/\.[^.]*$/, '')
  const name = configs.find((other) => other.replace(/\.[^.]*$/, '') === stem) ?? nearestName(basename(path), configs)
  return name === undefined ? undefined : relative('.', join(dirname(path), name))
}

/** Sentences of the YAML library that quote nothing of the text. */
const QUOTING_NOTHING = new Set([
  'BAD_INDENT',
  'BLOCK_AS_IMPLICIT_KEY',
  'BLOCK_IN_FLOW',
  'COMMENT_SPACE',
  'DUPLICATE_KEY',
  'KEY_OVER_1024_CHARS',
  'MISSING_CHAR',
  'MULTILINE_IMPLICIT_KEY',
  'MULTIPLE_ANCHORS',
  'MULTIPLE_TAGS',
  'TAB_AS_INDENT',
])

/** What is wrong with a YAML text and where, without the text itself, which may hold a token. */
function described({ code, message, pos }: YAMLError, lines: LineCounter): string {
  const what = QUOTING_NOTHING.has(code) ? message : (OWN_WORDS[code] ?? 'No valid YAML')
  return `${what} ${placeOf(pos[0], lines)}`
}

/** Where the library's own sentence quotes the text, or is for programmers. */
const OWN_WORDS: Readonly<Record<string, string>> = {
  TAG_RESOLVE_FAILED: 'A tag (!name) that is not known here; put quotes around a text',
  MULTIPLE_DOCS: 'A second document; remove the --- before it',
  RESOURCE_EXHAUSTION: 'Too many levels within each other',
}

function placeOf(offset: number, lines: LineCounter): string {
  const { line, col } = lines.linePos(offset)
  return `at line ${line}, column ${col}`
}

/** The first thing of which JavaScript would make something else without a word. */
function firstChanged(contents: unknown): { what: string; offset: number } | undefined {
  let found: { what: string; offset: number } | undefined
  const stop = (what: string, { range }: { range?: readonly number[] | null | undefined }): symbol => {
    found = { what, offset: range?.[0] ?? 0 }
    return visit.BREAK
  }
  if (!isNode(contents)) return undefined
  visit(contents, {
    Pair: (_, { key }) => {
      if (!isScalar(key) || key.value === null) {
        return stop('A key that is no text', isNode(key) ? key : {})
      }
      if (key.value === '<<' && key.type === 'PLAIN') return stop('A merge key (<<); write the options out', key)
      return undefined
    },
    Scalar: (_, node) => {
      const { value, source = '' } = node
      if (typeof value !== 'number' || Number.isSafeInteger(value) || !/^[-+]?\d+$/.test(source)) return undefined
      return stop('A whole number of more than 9007199254740991; put quotes around it', node)
    },
  })
  return found
}

function recordLines(
  node: unknown,
  path: readonly string[],
  origins: Map<string, string>,
  lineAt: (offset: number) => string,
): void {
  if (!isMap(node)) return
  for (const { key, value } of node.items) {
    if (!isScalar(key) || !key.range) continue
    const inner = [...path, String(key.value)]
    origins.set(keyOf(inner), lineAt(key.range[0]))
    recordLines(value, inner, origins, lineAt)
  }
}

function readSetting(setting: string): FlagValue {
  const at = setting.indexOf('=')
  const keys = at < 0 ? setting : setting.slice(0, at)
  const path = keys.split('.')
  if (at < 0 || !/^[\w-]+$/.test(path[0] as string) || path.some((key) => key === '' || key === '__proto__')) {
    // Without a key the whole may be a secret.
    const isShown = /^[\w.]{0,80}$/.test(keys) && (at >= 0 || !/token|secret|password|key/i.test(keys))
    const got = isShown ? describeValue(at < 0 ? keys : `${keys}=`) : 'another text'
    throw new UsageError(`[config] expected key=value for --set, got ${got}; for example --set lora.r=8`)
  }
  const flag = `--set ${path.join('.')}`
  const document = parseDocument(setting.slice(at + 1), { prettyErrors: false })
  let value: unknown
  try {
    if (document.errors.length + document.warnings.length > 0 || firstChanged(document.contents)) throw new Error()
    value = document.toJS({ maxAliasCount: 100 })
  } catch {
    throw new UsageError(
      `[config] expected a YAML value in ${flag}=..., got a text that is none; put quotes around a text with : # [ ] { } & * ! | > or % in it`,
    )
  }
  return { flag, path, value }
}

/** Puts a value where `path` leads, over what is there under any spelling. */
function assign(
  config: Config,
  origins: Map<string, string>,
  path: readonly string[],
  value: unknown,
  origin: string,
): void {
  let part = config
  const spelled: string[] = []
  for (const key of path.slice(0, -1)) {
    const name = spelling(part, spelled, key)
    spelled.push(name)
    if (!Object.hasOwn(part, name) || part[name] === null) part[name] = {}
    const next = part[name]
    if (!isObject(next)) {
      const got = isSecretName(key) ? describeKind(next) : describeValue(next)
      throw new UsageError(`[config] expected ${key} to hold options for ${origin}, got ${got}`)
    }
    part = next
  }
  const name = spelling(part, spelled, path.at(-1) as string)
  part[name] = value
  const at = keyOf([...spelled, name])
  for (const key of origins.keys()) if (key.startsWith(`${at}.`)) origins.delete(key)
  origins.set(at, origin)
}

/**
 * The key as the file spells it, in camelCase, snake_case or an older name, so that a setting replaces what the file
 * says.
 */
function spelling(part: Config, path: readonly string[], key: string): string {
  return Object.keys(part).find((existing) => nameOf(path, existing) === nameOf(path, key)) ?? key
}

/** The name that an option has here. */
function nameOf(path: readonly string[], key: string): string {
  return currentName(path[0], camelCase(key))
}

function keyOf(path: readonly string[]): string {
  return path.map((key, index) => nameOf(path.slice(0, index), key)).join('.')
}
