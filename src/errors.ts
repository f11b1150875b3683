/**
 * @file How error messages are worded: values shown short, misspelled names answered with the nearest valid one. Knows
 * no folder.
 */

import { OptionError } from './lowrank-error.js'

const SHOWN = 80
const LOOKED_AT = 4096
const SHOWN_ITEMS = 8

/** A value as an error message shows it: close to JSON, and never long, whatever a hostile file holds. */
export function describeValue(value: unknown): string {
  if (typeof value === 'string') {
    // A string may be as large as a file; only its beginning matters.
    const text = withoutSecrets(value.slice(0, LOOKED_AT))
    return JSON.stringify(text.length > SHOWN ? `${text.slice(0, SHOWN)}...` : text)
  }
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'bigint') return shorten(`${value}n`)
  if (typeof value !== 'object' || value === null) return String(value)
  if (ArrayBuffer.isView(value)) return `${value.constructor.name} of ${value.byteLength} bytes`
  if (!Array.isArray(value)) {
    // Such objects have no keys of their own: they would look empty.
    const [, box] = /^\[object (Map|Set|Date|RegExp|Promise)\]$/.exec(Object.prototype.toString.call(value)) ?? []
    const keys = [...(value instanceof Map ? value.keys() : Object.keys(value))].slice(0, SHOWN_ITEMS)
    if (box !== undefined && keys.length === 0) return `a ${box}`
    return shorten(withoutSecrets(`${box === undefined ? '' : `a ${box} `}{${keys.map(String).join(', ')}}`))
  }
  const items = value.slice(0, SHOWN_ITEMS).map((item) => (Array.isArray(item) ? '[...]' : describeValue(item)))
  return shorten(`[${items.join(', ')}${value.length > SHOWN_ITEMS ? ', ...' : ''}]`)
}

/** What a value is, without showing it: for secrets. */
export function describeKind(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'string') return value.trim() === '' ? 'an empty text' : 'a text'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** Whether an option or key of this name, in camelCase or joined by - or _, holds a secret. */
export function isSecretName(name: string): boolean {
  return /^(?:access|api|auth|hf|hub|huggingface|huggingfacehub|huggingfacehubapi|read|secret|write)?(?:token|key|secret|password)$/.test(
    comparable(name),
  )
}

/** Whether an environment variable of this name may hold a secret of any program. */
export function isSecretVariable(name: string): boolean {
  return /(?:TOKEN|SECRET|PASSWORD|CREDENTIALS|KEY)$/i.test(name)
}

/** Access tokens by the forms that their makers gave them. */
const TOKENS =
  /\b(?:(?:hf|api_org)_(?:[a-z]{16,}|(?=[a-z]*[A-Z0-9])[A-Za-z0-9]{8,})|gh[a-z]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|sk-[\w-]{16,}|dapi[0-9a-f]{16,})/g
/**
 * Name and password in an address, and what its query calls a secret. In `uc://c.s.t@v3` a table stands before the @.
 */
const IN_ADDRESS = /(?<=(?<!\buc):\/\/)[^\s/@]+(?=@)|(?<=[?&][\w-]*(?:token|key|secret|signature|password)=)[^&\s"']+/gi
const HIDDEN = '***'

/**
 * A text in which secrets are `***`.
 * @param known secrets that have no form by which they could be told
 */
export function withoutSecrets(text: string, known: readonly string[] = []): string {
  let shown = text
  // Shorter ones are words that stand elsewhere too.
  for (const secret of known) if (secret.length >= 4) shown = shown.replaceAll(secret, HIDDEN)
  return shown.replace(TOKENS, HIDDEN).replace(IN_ADDRESS, HIDDEN)
}

/** Names for an error message: the first few, and how many more there are. */
export function listNames(names: readonly string[], most = SHOWN_ITEMS): string {
  const shown = names.slice(0, most).map((name) => shorten(name))
  return names.length > most ? `${shown.join(', ')} and ${names.length - most} more` : shown.join(', ')
}

/** The member of `valid` that `name` is most likely a misspelling of, or undefined when none is near. */
export function nearestName(name: string, valid: readonly string[]): string | undefined {
  const wanted = comparable(name)
  let best: string | undefined
  let bestDistance = Number.POSITIVE_INFINITY
  for (const candidate of valid) {
    const distance = editDistance(wanted, comparable(candidate))
    // Up to a third of the letters may differ; one more error in a long name is still a typing error, in a short one
    // another word.
    if (distance < bestDistance && distance <= Math.max(1, Math.ceil(Math.max(wanted.length, candidate.length) / 3))) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/**
 * The error for an option that does not exist: `[where] unknown option "lorAlpha"; did you mean "loraAlpha"? ...`.
 * @param shortNames what some options are called elsewhere, as on the command line, and their names here
 */
export function unknownOption(
  where: string,
  name: string,
  validNames: readonly string[],
  shortNames: ReadonlyMap<string, string> = new Map(),
): Error {
  const nearest = shortNames.get(name) ?? nearestName(name, validNames)
  const hint = nearest === undefined ? '' : ` did you mean "${nearest}"?`
  return new OptionError(
    `[${where}] unknown option ${describeValue(name)};${hint} valid options: ${listNames(validNames, validNames.length)}`,
  )
}

/** @throws unless `value` has its values by name, which lists, maps and promises do not. */
export function expectObject(where: string, name: string, value: unknown): void {
  const isOther = Array.isArray(value) || value instanceof Map || value instanceof Set || value instanceof Promise
  if (typeof value === 'object' && value !== null && !isOther) return
  const hint = value instanceof Promise ? '; await it' : ''
  const kind = isOther && !Array.isArray(value) ? `a ${(value as object).constructor.name}` : describeValue(value)
  throw new OptionError(`[${where}] expected an object for ${name}, got ${kind}${hint}`)
}

/** What no file system goes beyond. */
const LONGEST_PATH = 4096

/** @throws unless `value` is text that a path can be. */
export function expectPath(where: string, name: string, value: unknown): void {
  if (typeof value === 'string' && value !== '' && value.length <= LONGEST_PATH && !value.includes('\0')) return
  const bounds =
    typeof value === 'string' && value.length > LONGEST_PATH ? ` of at most ${LONGEST_PATH} characters` : ''
  throw new OptionError(`[${where}] expected a path${bounds} for ${name}, got ${describeValue(value)}`)
}

/** Spelling differences that nobody means: letter case, and how words are joined. */
function comparable(name: string): string {
  return name.slice(0, SHOWN).toLowerCase().replace(/[-_]/g, '')
}

/** Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`. */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replace = last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      row[j] = Math.min(replace, last[j]! + 1, row[j - 1]! + 1)
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      if (swapped) row[j] = Math.min(row[j]!, beforeLast[j - 2]! + 1)
    }
    beforeLast = last
    last = row
  }
  return last[b.length]!
}

/** A text whose ends matter no more than its beginning, not longer than a line or two. */
export function shorten(text: string): string {
  return text.length > 2 * SHOWN ? `${text.slice(0, 2 * SHOWN)}...` : text
}
