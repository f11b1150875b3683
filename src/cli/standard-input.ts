/** @file Text from stdin where it is no terminal: in bounds, and with errors that are passed on. */

import { fstatSync } from 'node:fs'
import { LowrankError } from '../lowrank-error.js'
import { readError } from '../regular-file.js'

/** Characters of a text or a line; no model takes a prompt of that length, and a device never ends. */
const LONGEST = 10_000_000

/** The whole of stdin. @throws where it cannot be read, or has no end in sight */
export async function inputText(where: string): Promise<string> {
  let text = ''
  for await (const piece of pieces(where)) {
    text += piece
    expectShort(where, text, 'a text')
  }
  return text
}

/**
 * The lines of stdin without their ends, as they come.
 * @throws where it cannot be read, or a line has no end in sight
 */
export async function* inputLines(where: string): AsyncGenerator<string, void, undefined> {
  let rest = ''
  for await (const piece of pieces(where)) {
    const [first = '', ...others] = piece.split('\n')
    rest += first
    for (const next of others) {
      yield withoutReturn(rest)
      rest = next
    }
    expectShort(where, rest, 'lines')
  }
  if (rest !== '') yield withoutReturn(rest)
}

async function* pieces(where: string): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const decode = (bytes?: Uint8Array): string => {
    try {
      return decoder.decode(bytes, { stream: bytes !== undefined })
    } catch (cause) {
      throw new LowrankError(
        'INVALID_CALL',
        `[${where}] expected UTF-8 text on stdin, got other bytes; convert it to UTF-8`,
        { cause },
      )
    }
  }
  // Node takes a directory for an input that has ended.
  if (fstatSync(0).isDirectory())
    throw new LowrankError('INVALID_CALL', `[${where}] expected text on stdin, got a directory; give a file`)
  try {
    for await (const bytes of process.stdin) yield decode(bytes as Buffer)
  } catch (error) {
    throw readError(where, 'stdin', error)
  }
  yield decode()
}

function withoutReturn(line: string): string {
  return line.endsWith('\r') ? line.slice(0, -1) : line
}

function expectShort(where: string, text: string, what: string): void {
  if (text.length <= LONGEST) return
  throw new LowrankError(
    'INVALID_CALL',
    `[${where}] expected ${what} of at most ${LONGEST.toLocaleString('en')} characters on stdin, got more; give a shorter prompt`,
  )
}
