/** @file The promises that the quickstart's data makes: size, form, and nothing shared between training and held-out rows. */

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

interface Row {
  prompt: string
  completion: string
}

const DATA = new URL('../../examples/quickstart/data/', import.meta.url)
const read = (name: string): Row[] =>
  readFileSync(new URL(name, DATA), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
const meaning = ({ completion }: Row): string => /Meaning: (.*)/.exec(completion)?.[1] ?? ''

describe('the quickstart data', () => {
  const train = read('train.jsonl')
  const heldout = read('heldout.jsonl')

  it('has at least 600 rows to train on and 200 held out', () => {
    expect(train.length).toBeGreaterThanOrEqual(600)
    expect(heldout.length).toBeGreaterThanOrEqual(200)
  })

  it('shares no prompt and no meaning between any two rows', () => {
    const rows = [...train, ...heldout]
    expect(new Set(rows.map((row) => row.prompt)).size).toBe(rows.length)
    expect(new Set(rows.map(meaning)).size).toBe(rows.length)
  })

  it('gives every row the same form', () => {
    const form = /^Kind: [a-z]+\nMeaning: [\x20-\x7e]{20,100}\nType of: [A-Za-z ]+$/
    for (const { prompt, completion } of [...train, ...heldout]) {
      expect(prompt).toMatch(/^Define: [a-z ]+\n$/)
      expect(completion).toMatch(form)
    }
  })
})
