/** @file A signal while a command makes a data set: it removes what is half written, and ends by that signal. */

import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { temporaryDirectory } from '../support/tiny-model.js'
import { mainScript } from './run-cli.js'
import { endLeftBehind, start } from './running.js'

endLeftBehind()

const folder = temporaryDirectory()

beforeAll(async () => {
  const lines = Array.from({ length: 30_000 }, (_, id) => JSON.stringify({ id, text: `${id} `.repeat(20) }))
  await writeFile(join(folder, 'rows.jsonl'), lines.join('\n'))
})

/** Sends itself the signal as soon as the file for the output is there, under its first name. */
const signalled = (name: string): Record<string, string> => {
  const source = `
    import { readdirSync } from 'node:fs'
    const watch = setInterval(() => {
      if (!readdirSync(${JSON.stringify(folder)}).some((name) => name.includes('.jsonl.lowrank-'))) return
      clearInterval(watch)
      process.kill(process.pid, ${JSON.stringify(name)})
    }, 1)
    watch.unref()`
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(source)}` }
}

describe('a command that makes a data set', () => {
  it.each([
    ['SIGINT', ['convert', 'rows.jsonl', 'out.jsonl']],
    ['SIGTERM', ['dedupe', 'rows.jsonl', '--output', 'out.jsonl']],
  ])('ends by %s and leaves no file behind', async (name, [command = '', input = '', ...rest]) => {
    const words = rest.map((word) => (word.startsWith('--') ? word : join(folder, word)))
    const running = start(
      process.execPath,
      [mainScript, 'data', command, join(folder, input), ...words],
      signalled(name),
    )
    expect(await running.ended).toEqual({ code: null, signal: name })
    expect(running.output()).toBe('')
    expect(await readdir(folder)).toEqual(['rows.jsonl'])
  })
})
