/** @file The commands of examples/documents/README.md, run as they stand there: what they print is what it says. */

import { mkdtempSync, readFileSync, symlinkSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, it } from 'vitest'
import { lowrank } from './run-cli.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
const directory = mkdtempSync(join(tmpdir(), 'lowrank-example-'))
afterAll(() => rm(directory, { recursive: true, force: true }))

/** Commands, each with what the page says that it prints. */
function steps(): { readonly words: string[]; readonly printed: string | undefined }[] {
  const page = readFileSync(join(root, 'examples/documents/README.md'), 'utf8').replace(/^ {3}/gm, '')
  return [...page.matchAll(/```sh\nnpx lowrank ([^\n]*)\n```\n(?:\n```text\n(.*?)```\n)?/gs)].map(
    ([, line = '', printed]) => ({
      words: (line.match(/"[^"]*"|\S+/g) ?? []).map((word) => word.replace(/^"|"$/g, '')),
      printed,
    }),
  )
}

it('the example of documents runs from manuals to an adapter as its page says, and the held-out loss falls', async () => {
  for (const name of ['examples', 'models']) symlinkSync(join(root, name), join(directory, name))
  const losses: number[] = []
  const commands: string[] = []
  for (const { words, printed } of steps()) {
    const { code, stdout, stderr } = await lowrank(words, { cwd: directory })
    expect(code, stderr).toBe(0)
    if (printed !== undefined) expect(stdout).toBe(printed)
    for (const [, loss] of stderr.matchAll(/held-out loss +(\d+\.\d+)/g)) losses.push(Number(loss))
    commands.push(words.slice(0, words[0] === 'data' ? 2 : 1).join(' '))
  }
  expect(commands).toEqual(['data documents', 'data split', 'data check', 'train', 'generate'])
  expect(losses).toHaveLength(4)
  expect(losses).toEqual(losses.toSorted((a, b) => b - a))
  expect(losses.at(-1)).toBeLessThan((losses[0] as number) - 0.2)
})
