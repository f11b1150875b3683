/** @file How README and docs/ read: length, width, and turns of phrase that stop a newcomer. */

import { describe, expect, test } from 'vitest'
import { pages, proseOf, readPage } from './pages.js'

/** Patterns of sentences that were found hard to read, and what to write instead. */
const HARD: readonly (readonly [RegExp, string])[] = [
  [
    /(?:^|[.:] )What [a-z]+ (?:of|in|is|are|was|does)\b[^?]*\.(?: |$)/,
    'a sentence without a "what" clause as its subject',
  ],
  [/^Of (?:the|a|an|its)\b/, 'the subject first'],
  [/\bwhoever\b|\bnobody\b/i, 'users, anyone, no one'],
  [/\banew\b|\bfor ever\b/i, 'again, forever'],
  [/\ba text\b/i, 'a string, or text'],
]

test('README has at most 150 lines', () => {
  expect(readPage('README.md').trimEnd().split('\n').length).toBeLessThanOrEqual(150)
})

describe.each(pages())('%s', (page) => {
  // Pages that a script writes say so in a comment.
  const lines = proseOf(page).filter((line) => !line.startsWith('<!--'))

  test('begins with its title and a paragraph that says what it is about', () => {
    const [title = '', first = ''] = lines.filter((line) => line !== '')
    expect(title).toMatch(/^# \S/)
    expect(first).toMatch(/^(?:[A-Z`]|lowrank ).{30,}/)
  })

  test('has no sentence of a kind that is hard to read', () => {
    for (const [index, line] of lines.entries())
      for (const [pattern, better] of HARD)
        if (pattern.test(line)) expect.fail(`${page}:${index + 1} write ${better}: ${line}`)
  })
})

// What a script writes says what the tables of options say, at any length.
const byHand = pages().filter((page) => !readPage(page).includes('<!-- Written by '))

test.each(byHand)('%s keeps its cells short, so that tables fit a window', (page) => {
  for (const [index, line] of proseOf(page).entries()) {
    if (!line.startsWith('|')) continue
    for (const cell of line.split('|'))
      expect(cell.replace(/\]\([^)]*\)/g, ']').trim().length, `${page}:${index + 1} ${cell}`).toBeLessThanOrEqual(160)
  }
})
