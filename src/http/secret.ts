/**
 * @file What a server sends may hold the access token or key that it was sent, in an error, an address or a card. It is
 * taken out where it comes in, before anything of it is cut short or shown. Knows no server.
 */

import { inspect } from 'node:util'

/** What a server was sent and nobody else may see. */
export interface Secret {
  readonly value: string
  /** What the header `authorization` says, where that is not the value as a bearer token. */
  readonly authorization?: string
}

/** One secret, several, or none. */
export type Secrets = Secret | readonly Secret[] | undefined

/** Shorter ones would be found in ordinary text. */
const SHORTEST_TOKEN = 8
const HIDDEN = '***'

/** Text of a server without the token, as it is and as it stands in an address. */
export function withoutToken(text: string, token: Secrets): string {
  let rest = text
  for (const secret of spellings(token)) rest = rest.replaceAll(secret, HIDDEN)
  return rest
}

/** The fewest letters of a token by which somebody could tell it. */
const SHORTEST_PART = 4

/**
 * Text in which a server shows what is left of a token when most of it is masked, as in `sk-ab***wxyz`, without such
 * parts: their beginning and end would still tell one token from another.
 */
export function withoutTokenParts(text: string, token: Secret | undefined): string {
  if (token === undefined || token.value.length < SHORTEST_TOKEN) return withoutToken(text, token)
  const { value } = token
  const begins = (word: string): boolean => word.length >= SHORTEST_PART && value.startsWith(word)
  const ends = (word: string): boolean => word.length >= SHORTEST_PART && value.endsWith(word)
  return withoutToken(text, token)
    .replace(/[\w-]*(?:\*{2,}|\.{2,}|\u2022{2,}|\u2026)[\w-]*/g, (word) => {
      const parts = word.split(/[*.\u2022\u2026]+/)
      const [first = '', last = ''] = [parts[0], parts.at(-1)]
      const isPart = (first !== '' && value.startsWith(first)) || (last !== '' && value.endsWith(last))
      return isPart ? HIDDEN : word
    })
    .replace(/[\w-]+/g, (word) => (begins(word) || ends(word) ? HIDDEN : word))
}

/** The cause of an error, unless printing it would show the token. */
export function causeWithoutToken(cause: unknown, token: Secrets): unknown {
  const shown = inspect(cause, { depth: 6 })
  return spellings(token).some((secret) => shown.includes(secret)) ? undefined : cause
}

/** Says of the pieces of a body, one after the other, whether the token is in them or across their edges. */
export function tokenSearch(token: Secrets): (piece: Uint8Array) => boolean {
  const secrets = spellings(token).map((secret) => Buffer.from(secret))
  const longest = secrets.reduce((most, { length }) => Math.max(most, length), 1)
  let end = Buffer.alloc(0)
  return (piece) => {
    if (secrets.length === 0) return false
    const bytes = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
    const edge = Buffer.concat([end, bytes.subarray(0, longest - 1)])
    const isThere = secrets.some((secret) => edge.includes(secret) || bytes.includes(secret))
    end = Buffer.concat([end, bytes.subarray(Math.max(0, bytes.length - longest + 1))]).subarray(-(longest - 1))
    return isThere
  }
}

function spellings(token: Secrets): string[] {
  const secrets = token === undefined ? [] : 'value' in token ? [token] : token
  const all = secrets.flatMap(({ value, authorization }) => {
    if (value.length < SHORTEST_TOKEN) return []
    return [value, encodeURIComponent(value), ...(authorization?.split(' ').slice(1) ?? [])]
  })
  // A secret that is part of another must not leave the rest of that one behind.
  return [...new Set(all)].sort((a, b) => b.length - a.length)
}
