/** @file The page docs/command-line.md, and that help is readable and its examples are right. */

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { COMMANDS, GROUPS } from '../../src/cli/commands.js'
import {
  argumentHelp,
  commandHelp,
  commandUsage,
  flagGroups,
  sentence,
  summaries,
  summariesOf,
} from '../../src/cli/help-text.js'
import { parseWords } from '../../src/cli/parse.js'
import { flagHelp, usageOf } from '../../src/options/flags.js'

const root = new URL('../../', import.meta.url)
const { commandPage } = (await import(new URL('scripts/command-page.mjs', root).href)) as {
  commandPage: (parts: object) => Promise<string>
}

describe('docs/command-line.md', () => {
  it('is what scripts/command-page.mjs makes of the commands', async () => {
    const words = { argumentHelp, commandUsage, flagGroups, sentence, summaries, summariesOf, flagHelp, usageOf }
    expect(readFileSync(new URL('docs/command-line.md', root), 'utf8')).toBe(
      await commandPage({ ...words, COMMANDS, GROUPS }),
    )
  })
})

describe('the help of a command', () => {
  it.each([...COMMANDS.keys()])('%s has lines of at most 80 columns, and examples without mistakes', async (name) => {
    const { command } = await (COMMANDS.get(name) as NonNullable<ReturnType<typeof COMMANDS.get>>)()
    const help = commandHelp(name, command, { columns: 80, paint: (_, text) => text })
    expect(help.split('\n').filter((line) => line.length > 80)).toEqual([])
    for (const { line } of command.examples) {
      const words = line.split(/ (?:[<>|]|&&) /)[0]?.match(/"[^"]*"|\S+/g) ?? []
      const ownName = name.split(' ')
      expect(words.splice(0, ownName.length)).toEqual(ownName)
      expect(parseWords(name, command, words).problems, line).toEqual([])
    }
  })
})
