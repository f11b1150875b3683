/** @file What `lowrank serve` shows once it listens: where, what, and how to ask. */

import type { Paint } from '../progress/terminal.js'
import { harmless } from '../progress/text-width.js'

/** What listens. */
export interface Served {
  readonly url: string
  readonly models: readonly string[]
  /** Tokens of a prompt and its answer together. */
  readonly maxModelLen: number
  readonly hasKeys: boolean
  readonly hasPage: boolean
  readonly hasChat: boolean
}

export function startScreen({ url, models, maxModelLen, hasKeys, hasPage, hasChat }: Served, paint: Paint): string {
  const rows = [
    ['base URL', `${url}/v1`],
    ['models', models.map(harmless).join(', ')],
    ['context', `${maxModelLen.toLocaleString('en')} tokens`],
    ...(hasPage ? [['try it at', `${url}/`]] : []),
    ['API key', hasKeys ? 'needed' : 'none: everybody who reaches this address may ask'],
  ]
  const body = JSON.stringify({
    model: models[0],
    ...(hasChat ? { messages: [{ role: 'user', content: 'Hello!' }] } : { prompt: 'Once upon a time' }),
  })
  const quoted = `'${harmless(body).replaceAll("'", "'\\''")}'`
  const lines = [
    `curl ${url}/v1/${hasChat ? 'chat/completions' : 'completions'} \\`,
    ...(hasKeys ? ['  -H "authorization: Bearer $LOWRANK_API_KEY" \\'] : []),
    `  -H 'content-type: application/json' -d ${quoted}`,
  ]
  const about = rows.map(([name = '', what = '']) => `${paint('dim', name.padEnd(10))} ${what}`)
  const end = paint('dim', 'Ctrl-C ends it once the answers are given.')
  return `${[...about, '', ...lines, '', end].join('\n')}\n`
}
