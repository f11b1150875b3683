/** @file Rules about what one row says. */

import type { ChatMessage } from '../../tokenizer/chat-template.js'
import type { CheckedRow, Look } from './rule.js'

/** Shorter answers stand in their questions by good right: names, numbers, choices. */
const LEAST_LEAKED = 40

/** Names of secrets, and how these are written. Each begins with letters of its own, so that a search is quick. */
const SECRETS: readonly (readonly [name: string, pattern: RegExp])[] = [
  ['a private key', /-----BEGIN (?:[A-Z]+ ){0,3}PRIVATE KEY-----/],
  ['an AWS access key', /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/],
  ['a GitHub token', /\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{50})/],
  ['a Hugging Face token', /\bhf_[A-Za-z0-9]{30}/],
  ['an API key', /\bsk-(?:[a-z]{3,5}-)?[A-Za-z0-9_-]{32}/],
  ['a Slack token', /\bxox[abprs]-[A-Za-z0-9-]{20}/],
  ['a Google API key', /\bAIza[A-Za-z0-9_-]{35}/],
]

/** Names that RFC 2606 keeps for examples are nobody's. */
const EMAIL =
  /[A-Za-z0-9._%+-]{1,64}@(?!(?:[A-Za-z0-9-]{1,63}\.){0,5}(?:example\.(?:com|net|org)|example|test|invalid)(?![.-]*[A-Za-z0-9]))[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,5}\.[A-Za-z]{2,24}\b/

/** The first text of a row of which something is found. */
function eachText(find: (text: string) => string | undefined): Look {
  return {
    row({ texts }) {
      for (const text of [...texts.system, ...texts.own]) {
        const found = find(text)
        if (found !== undefined) return found
      }
      return undefined
    },
  }
}

export function emptyAnswer(): Look {
  return {
    row: ({ inspected }) => (inspected.unusual.includes('emptyAnswer') ? 'the answer has no words' : undefined),
  }
}

export function droppedContent(): Look {
  return {
    row({ inspected: { dropped } }) {
      const kinds = new Set(dropped.map(({ kind }) => kind))
      return kinds.size === 0 ? undefined : `left out: ${[...kinds].join(', ')}`
    },
  }
}

export function roleOrder(): Look {
  return {
    row(row) {
      for (const content of row.contents) {
        const found = 'messages' in content ? wrongOrder(content.messages, row) : undefined
        if (found !== undefined) return found
      }
      return undefined
    },
  }
}

function wrongOrder(messages: readonly ChatMessage[], { row, inspected }: CheckedRow): string | undefined {
  const isSystem = ({ role }: ChatMessage): boolean => role === 'system' || role === 'developer'
  const begin = messages.findIndex((message) => !isSystem(message))
  if (messages[begin]?.role === 'assistant') return 'begins with the assistant'
  const late = messages.findIndex((message, at) => at > begin && begin >= 0 && isSystem(message))
  if (late > 0) return `message ${late + 1} is the system's`
  if (inspected.unusual.includes('repeatedRole')) return 'one role speaks twice in a row'
  const last = messages.at(-1)?.role
  return row.form === 'prompt' || last === 'assistant' ? undefined : `ends with ${last ?? 'nothing'}`
}

export function replacementCharacter(): Look {
  return eachText((text) => {
    const at = text.indexOf('\ufffd')
    return at < 0 ? undefined : `U+FFFD at character ${at + 1} of a text`
  })
}

/** The mark of a file that became part of a text. */
export const BYTE_ORDER_MARK = '\ufeff'

export function byteOrderMark(): Look {
  return eachText((text) => (text.startsWith(BYTE_ORDER_MARK) ? 'a text begins with U+FEFF' : undefined))
}

export function carriageReturn(): Look {
  return eachText((text) => (text.includes('\r\n') ? 'lines end with CR LF' : undefined))
}

/** Says what it is, and never shows it. */
export function secret(): Look {
  return eachText((text) => SECRETS.find(([, pattern]) => pattern.test(text))?.[0])
}

export function emailAddress(): Look {
  return eachText((text) => (text.includes('@') && EMAIL.test(text) ? 'an e-mail address' : undefined))
}

export function leakedAnswer(): Look {
  return {
    row({ texts }) {
      const isLeaked = texts.turns.some(({ asked, answer }) => {
        const wanted = answer.trim()
        return wanted.length >= LEAST_LEAKED && asked.some((text) => text.includes(wanted))
      })
      return isLeaked ? 'the whole answer stands in its prompt' : undefined
    },
  }
}
