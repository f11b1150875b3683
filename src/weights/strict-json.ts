/** @file Parses JSON that a stranger wrote: bounded in size and depth, no key twice, and errors that name the file. */

import { describeValue } from '../errors.js'
import { ModelError } from '../lowrank-error.js'
import { readRegularFile } from '../regular-file.js'
import { isPlainObject, toError } from '../values.js'

/** A parsed JSON object. */
export type JsonObject = Record<string, unknown>

const MAX_DEPTH = 32

/** Whether `value` is a JSON object, not an array or null. */
export function isJsonObject(value: unknown): value is JsonObject {
  return isPlainObject(value)
}

/**
 * Parses one JSON object from the file at `path`.
 * @throws if it is missing, no file, above 100 MB, not UTF-8, malformed or not an object
 */
export async function readJsonObject(where: string, path: string): Promise<JsonObject> {
  return parseJsonObject(where, path, await readRegularFile(path, { where }))
}

/**
 * Parses one JSON object. A key that occurs twice is an error, because readers disagree about which one counts.
 * @param where the part of the library that reads, for the error message
 * @param source what is read: a path, or a path and a part of the file
 */
export function parseJsonObject(where: string, source: string, bytes: Uint8Array): JsonObject {
  const damaged = (problem: string, cause?: unknown) =>
    new ModelError(`[${where}] ${source} ${problem}; the file is damaged or of another kind: get it again`, { cause })
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (error) {
    throw damaged('is not UTF-8 text', error)
  }
  let value: unknown
  try {
    // Before JSON.parse: values nested a million deep are cheap to write, and expensive to parse and to drop.
    checkDepth(text)
    value = JSON.parse(text)
    checkKeys(text)
  } catch (error) {
    throw damaged(`is not valid JSON (${toError(error).message})`, error)
  }
  if (!isJsonObject(value)) throw damaged(`holds ${describeValue(value)} instead of a JSON object`)
  return value
}

function checkDepth(text: string): void {
  let depth = 0
  walk(text, (character) => {
    if (character === OPEN_OBJECT || character === OPEN_ARRAY) depth++
    else if (character === CLOSE_OBJECT || character === CLOSE_ARRAY) depth--
    if (depth > MAX_DEPTH) throw new Error(`more than ${MAX_DEPTH} levels deep`)
  })
}

/** Expects valid JSON, so that a string before a colon is a key of the innermost object. */
function checkKeys(text: string): void {
  const open: Set<string>[] = []
  walk(text, (character, start, end) => {
    if (character === OPEN_OBJECT || character === OPEN_ARRAY) open.push(new Set())
    else if (character === CLOSE_OBJECT || character === CLOSE_ARRAY) open.pop()
    else if (isKey(text, end)) {
      const key = String(JSON.parse(text.slice(start, end)))
      const keys = open[open.length - 1]
      if (keys?.has(key)) throw new Error(`the key ${describeValue(key)} occurs twice`)
      keys?.add(key)
    }
  })
}

const QUOTE = 34
const BACKSLASH = 92
const COLON = 58
const OPEN_ARRAY = 91
const CLOSE_ARRAY = 93
const OPEN_OBJECT = 123
const CLOSE_OBJECT = 125

/** Calls `visit` for each bracket, and for each string with its bounds (quotes included). */
function walk(text: string, visit: (character: number, start: number, end: number) => void): void {
  for (let at = 0; at < text.length; at++) {
    const character = text.charCodeAt(at)
    if (character === QUOTE) {
      const start = at
      for (at++; at < text.length && text.charCodeAt(at) !== QUOTE; at++) if (text.charCodeAt(at) === BACKSLASH) at++
      visit(character, start, at + 1)
    } else if (
      character === OPEN_ARRAY ||
      character === CLOSE_ARRAY ||
      character === OPEN_OBJECT ||
      character === CLOSE_OBJECT
    ) {
      visit(character, at, at + 1)
    }
  }
}

function isKey(text: string, end: number): boolean {
  let at = end
  while (at < text.length && text.charCodeAt(at) <= 32) at++
  return text.charCodeAt(at) === COLON
}
