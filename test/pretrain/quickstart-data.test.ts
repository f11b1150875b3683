/**
 * @file The promises that the rows beside the quickstart make: size, form, and nothing shared between training and
 * held-out rows.
 */

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { temporaryDirectory } from '../support/tiny-model.js'

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

describe('the cards', () => {
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

describe('the reminders', () => {
  const folder = new URL('../../examples/quickstart/reminders/', import.meta.url)
  const rows = (name: string): Row[] =>
    readFileSync(new URL(name, folder), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
  const train = rows('train.jsonl')
  const heldout = rows('heldout.jsonl')
  const tasks = (list: readonly Row[]): Set<string> =>
    new Set(list.map(({ completion }) => JSON.parse(completion).task))

  it('are what their script writes', () => {
    const made = temporaryDirectory()
    execFileSync(process.execPath, [fileURLToPath(new URL('make.mjs', folder)), made])
    for (const name of ['train.jsonl', 'heldout.jsonl'])
      expect(readFileSync(join(made, name), 'utf8')).toBe(readFileSync(new URL(name, folder), 'utf8'))
  })

  it('are 1,200 to train on and 200 held out, no prompt twice and no held-out task among those to train on', () => {
    expect([train.length, heldout.length]).toEqual([1200, 200])
    expect(new Set([...train, ...heldout].map(({ prompt }) => prompt)).size).toBe(1400)
    const trained = tasks(train)
    expect([...tasks(heldout)].filter((task) => trained.has(task))).toEqual([])
    expect(tasks(heldout).size).toBeGreaterThan(30)
  })

  it('say task, day and time in the sentence, and the time on a clock of 24 hours as said', () => {
    const hours = 'twelve one two three four five six seven eight nine ten eleven'.split(' ')
    for (const { prompt, completion } of [...train, ...heldout]) {
      const { task, day, time } = JSON.parse(completion)
      expect(completion).toBe(JSON.stringify({ task, day, time }))
      expect(prompt).toContain(task)
      expect(prompt).toContain(day)
      const [, past, hour, part] =
        /(quarter past|half past|quarter to|)\s?\b(\w+)(?: o'clock)? in the (morning|afternoon|evening)/.exec(prompt) ??
        []
      const spoken = hours.indexOf(hour as string) + (part === 'morning' ? 0 : 12)
      const minutes = { 'quarter past': 15, 'half past': 30, 'quarter to': -15, '': 0 }[past as string] as number
      const [h, m] = time.split(':').map(Number)
      expect(60 * h + m, prompt).toBe(60 * spoken + minutes)
    }
  })

  it('are short enough for the lengths that the quickstart sets', async () => {
    const tokenizer = await loadTokenizer(fileURLToPath(new URL('../../models/lowrank-base-5m', import.meta.url)))
    for (const { prompt, completion } of [...train, ...heldout]) {
      const answer = tokenizer.encode(completion).length
      expect(answer + 1).toBeLessThanOrEqual(48)
      expect(tokenizer.encode(prompt).length + answer + 1).toBeLessThanOrEqual(128)
    }
  })
})
