/** @file Duplicates: equal, near and of an evaluation set; counts, memory, and a process that is killed. */

import { spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { NearIndex } from '../../src/data/near-index.js'
import { jaccard, shinglesOf } from '../../src/data/shingles.js'
import { Random } from '../../src/random.js'
import { type DedupeReport, type DedupeRowsOptions, dedupeRows } from '../../src/transform/dedupe.js'
import { isLong } from '../support/long.js'

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lowrank-dedupe-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

type Row = Record<string, unknown>
const rowsOf = async (path: string): Promise<Row[]> =>
  (await readFile(path, 'utf8'))
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Row)

async function dedupe(
  dataset: DedupeRowsOptions['dataset'],
  options: Partial<DedupeRowsOptions> = {},
): Promise<{ report: DedupeReport; rows: Row[] }> {
  const output = join(directory, 'out.jsonl')
  const report = await dedupeRows({ dataset, output, ...options })
  expect(report.read).toBe(report.written + report.equal + report.near + report.contaminated)
  const rows = await rowsOf(output)
  expect(rows).toHaveLength(report.written)
  return { report, rows }
}

/** A text of so many words that no other text has in this order. */
function textOf(random: Random, words: number): string {
  return Array.from({ length: words }, () => `w${random.below(5000)}`).join(' ')
}

/** A text whose similarity to `text` is as near to `target` as single replaced words allow. */
function nearTo(random: Random, text: string, target: number): string {
  const words = text.split(' ')
  const original = shinglesOf(text, 5)
  // The first word stands in one run alone.
  let best = text.replace(/^\S+/, 'first')
  for (let tries = 0; tries < 200; tries++) {
    const next = best.split(' ')
    next[random.below(words.length)] = `x${random.next()}`
    const candidate = next.join(' ')
    if (jaccard(original, shinglesOf(candidate, 5)) < target) break
    best = candidate
  }
  return best
}

describe('equal rows', () => {
  it('the first stays, whatever white space others have; case counts unless it is told not to', async () => {
    const rows = ['One  two', ' One two\n', 'one two', 'One\u00a0two', 'One two three'].map((text, id) => ({
      id,
      text,
    }))
    const options = { columns: ['text'], threshold: false } as const
    const strict = await dedupe(rows, options)
    expect(strict.rows.map(({ id }) => id)).toEqual([0, 2, 3, 4])
    expect(strict.report).toMatchObject({ read: 5, written: 4, equal: 1, near: 0, contaminated: 0, compared: 0 })
    const loose = await dedupe(rows, { ...options, ignoreCase: true })
    expect(loose.rows.map(({ id }) => id)).toEqual([0, 3, 4])
  })

  it('values are told apart, and messages count with all they hold', async () => {
    const message = (content: string): Row => ({ messages: [{ role: 'user', content }] })
    const rows = [
      { a: 'x y', b: 'z' },
      { a: 'x', b: 'y z' },
      { a: '', b: 'q' },
      { a: 'q', b: '' },
      message('hi'),
      message('ho'),
      message('hi'),
    ]
    const { rows: kept } = await dedupe(rows, { threshold: false })
    expect(kept).toEqual(rows.slice(0, 6))
  })

  it('a misspelled column ends the work, since rows without it would all be equal', async () => {
    const output = join(directory, 'misspelled.jsonl')
    const dataset = [{ prompt: 'a' }, { prompt: 'b' }]
    await expect(dedupeRows({ dataset, output, columns: ['promt'] })).rejects.toThrow(
      '[dedupe] expected the column "promt", which columns names, in a row, got it in none; the first row has prompt: correct columns',
    )
    expect(await readdir(directory)).not.toContain('misspelled.jsonl')
  })

  it('objects of a class and without a prototype count with their values', async () => {
    class Turn {
      content: string
      constructor(content: string) {
        this.content = content
      }
    }
    const bare = (content: string): object => Object.assign(Object.create(null) as object, { content })
    const { rows } = await dedupe([{ a: new Turn('x') }, { a: new Turn('y') }, { a: bare('x') }, { a: bare('z') }])
    expect(rows).toEqual([{ a: { content: 'x' } }, { a: { content: 'y' } }, { a: { content: 'z' } }])
  })

  it('the rows that stay and those that are left out need files of their own', async () => {
    const output = join(directory, 'both.jsonl')
    const removed = join(directory, 'x', '..', 'both.jsonl')
    await expect(dedupeRows({ dataset: [{ a: 1 }], output, removed })).rejects.toThrow(
      '[output] expected a file of its own for each output, got ',
    )
  })

  it('no row is lost among as many as fill the table several times', async () => {
    const rows = Array.from({ length: 6000 }, (_, id) => ({ text: `row ${id % 5000}` }))
    const { report } = await dedupe(rows, { threshold: false })
    expect(report).toMatchObject({ read: 6000, written: 5000, equal: 1000 })
  })
})

describe('near rows', () => {
  // The longest texts together are more than the index holds back from its file.
  it.each([
    [20, 300],
    [80, 200],
    [400, 230],
  ])(
    'duplicates planted at 0.8 in texts of %i words are found with recall and precision of at least 0.95',
    async (words, fewTexts) => {
      const count = isLong ? 10 * fewTexts : fewTexts
      const random = new Random(words)
      const originals = Array.from({ length: count }, () => textOf(random, words))
      const planted: { text: string; isNear: boolean }[] = originals.map((text) => ({ text, isNear: false }))
      for (const text of originals) {
        planted.push({ text: nearTo(random, text, 0.8), isNear: true })
        // Below the threshold, and so rows of their own.
        planted.push({ text: nearTo(random, text, 0.6).replace(/\S+ \S+$/, 'y z'), isNear: false })
      }
      const rows = planted.map(({ text }, id) => ({ id, text }))
      const similar = (id: number, original: number): number =>
        jaccard(shinglesOf(planted[original]?.text ?? '', 5), shinglesOf(planted[id]?.text ?? '', 5))
      for (let i = 0; i < count; i++) {
        expect(similar(count + 2 * i, i)).toBeGreaterThanOrEqual(0.8)
        expect(similar(count + 2 * i + 1, i)).toBeLessThan(0.8)
      }
      const removed = join(directory, 'removed.jsonl')
      const { report, rows: kept } = await dedupe(rows, { columns: ['text'], removed })
      const left = new Set(kept.map(({ id }) => id as number))
      const found = planted.map((_, id) => id).filter((id) => !left.has(id))
      const right = found.filter((id) => planted[id]?.isNear)
      expect(right.length / count).toBeGreaterThanOrEqual(0.95)
      expect(right.length / found.length).toBeGreaterThanOrEqual(0.95)
      // The file of the removed rows says which row stays, and how similar it is.
      for (const row of await rowsOf(removed)) {
        const original = (row.removed_for as number) - 1
        expect(row.removed_similarity).toBe(similar(row.id as number, original))
        expect(left.has(original)).toBe(true)
      }
      expect(report.compared).toBeLessThan(20 * count)
    },
  )

  it('no two rows that stay are near to each other, whatever the order', async () => {
    const random = new Random(3)
    const rows = Array.from({ length: 60 }, () => textOf(random, 60)).flatMap((text) => [
      text,
      nearTo(random, text, 0.9),
      nearTo(random, text, 0.75),
    ])
    const { rows: kept } = await dedupe(random.shuffle_(rows.map((text) => ({ text }))))
    const sets = kept.map(({ text }) => shinglesOf(text as string, 5))
    const near = sets.flatMap((first, i) => sets.slice(i + 1).filter((second) => jaccard(first, second) >= 0.8))
    expect(near).toEqual([])
  })

  it('case and punctuation make no difference, and scripts without blanks are compared by characters', async () => {
    const rows = [
      { text: 'The quick brown fox jumps over the lazy dog.' },
      { text: 'the quick brown fox, jumps over the LAZY dog!' },
      { text: '敏捷的棕色狐狸跳过了一只非常懒惰的狗然后跑进了森林里' },
      { text: '敏捷的棕色狐狸跳过了一只非常懒惰的狗然后跑进了森林。' },
      { text: '今天天气很好我们去公园散步吧顺便买一些水果回家' },
      { text: '?!' },
      { text: '!?' },
    ]
    const { rows: kept } = await dedupe(rows)
    expect(kept.map(({ text }) => rows.findIndex((row) => row.text === text))).toEqual([0, 2, 4, 5, 6])
  })

  it('the index finds texts after it has grown, and says what it takes', async () => {
    const index = await NearIndex.open(0.8, directory)
    const random = new Random(9)
    const texts = Array.from({ length: 1000 }, () => shinglesOf(textOf(random, 30), 5))
    for (const text of texts) index.add(text)
    expect(texts.filter((text, id) => index.find(text)?.id !== id)).toEqual([])
    // 32 bands of 6 bytes at a load of 0.35 to 0.7, the part that is not in the file, and 12 bytes for a text.
    expect(index.memory).toBeLessThan(1000 * 32 * 6 * 3 + 2 ** 20 + 4096 * 12)
    index.close()
  })

  it('more memory than allowed ends the work with what to do, and leaves no file', async () => {
    const random = new Random(4)
    const rows = Array.from({ length: 50 }, () => ({ text: textOf(random, 30) }))
    const output = join(directory, 'never.jsonl')
    const refused = dedupeRows({ dataset: rows, output, memory: '1MiB' })
    await expect(refused).rejects.toMatchObject({ code: 'OUT_OF_MEMORY', budget: 2 ** 20 })
    await expect(refused).rejects.toThrow(
      /expected the indexes to fit into memory: 1\.0 MiB, got .* after 1 rows; raise memory/,
    )
    expect((await readdir(directory)).filter((name) => name.startsWith('.') || name === 'never.jsonl')).toEqual([])
  })
})

describe('rows of an evaluation set', () => {
  const question = 'what is the name of the largest lake that lies entirely within one country of the world'
  it('share a run of words with it, and short values give no row away', async () => {
    const rows = [
      { role: 'user', text: `Tell me, ${question.toUpperCase()}?`, answer: 'Lake Michigan' },
      { role: 'user', text: question.split(' ').slice(0, 12).join(' '), answer: 'Lake Michigan' },
      { role: 'user', text: 'Name the six moons of it please', answer: 'Lake Michigan' },
      { role: 'user', text: 'Something else', answer: 'six moons of it please name the' },
    ]
    const evaluation = [
      { role: 'user', text: question, answer: 'Lake Michigan' },
      { role: 'user', text: 'name the six moons of it, please' },
    ]
    const { report, rows: kept } = await dedupe(rows, { evaluation, threshold: false })
    expect(report.contaminated).toBe(2)
    expect(kept).toEqual([rows[1], rows[3]])
    const shorter = await dedupe(rows, { evaluation, threshold: false, ngramSize: 12 })
    expect(shorter.report.contaminated).toBe(3)
  })
})

/** Reads rows, and waits for ever in the middle. Then it is killed, whatever it has written. */
const INTERRUPTED = `
import { dedupeRows } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, '../../dist/index.js')).href)}
const [input, output, stopAt] = process.argv.slice(1)
const { createReadStream } = await import('node:fs')
const { createInterface } = await import('node:readline')
async function* rows() {
  let row = 0
  for await (const line of createInterface({ input: createReadStream(input) })) {
    if (row++ === Number(stopAt)) {
      console.log('in the middle')
      setInterval(() => {}, 1000)
      await new Promise(() => {})
    }
    yield JSON.parse(line)
  }
}
await dedupeRows({ dataset: rows(), output })
`

describe('a process that is killed', () => {
  it('leaves what was there, and the run after it makes the same rows and removes what it left', async () => {
    const place = await mkdtemp(join(directory, 'killed-'))
    const random = new Random(5)
    // More than one piece of output.
    const texts = Array.from({ length: 1500 }, () => textOf(random, 50))
    const lines = [...texts, ...texts.slice(0, 50)].map((text) => JSON.stringify({ text }))
    const input = join(place, 'in.jsonl')
    const output = join(place, 'out.jsonl')
    await writeFile(input, `${lines.join('\n')}\n`)
    await writeFile(output, 'before')
    const child = spawn(process.execPath, ['--input-type=module', '-e', INTERRUPTED, input, output, '1400'])
    const said = await new Promise<string>((resolve) => {
      let text = ''
      for (const stream of [child.stdout, child.stderr])
        stream.on('data', (piece: Buffer) => {
          text += piece
          if (text.includes('\n')) resolve(text)
        })
    })
    expect(said).toBe('in the middle\n')
    const ended = new Promise((resolve) => child.on('exit', (_, signal) => resolve(signal)))
    child.kill('SIGKILL')
    expect(await ended).toBe('SIGKILL')
    expect(await readFile(output, 'utf8')).toBe('before')
    const left = (await readdir(place)).filter((name) => name.startsWith('.'))
    expect(left).toHaveLength(1)
    const whole = await dedupeRows({ dataset: input, output: join(directory, 'whole.jsonl') })
    const again = await dedupeRows({ dataset: input, output })
    expect(again).toEqual({ ...whole, output })
    expect(whole).toMatchObject({ read: 1550, written: 1500, equal: 50 })
    expect(await readFile(output, 'utf8')).toBe(await readFile(join(directory, 'whole.jsonl'), 'utf8'))
    expect((await readdir(place)).sort()).toEqual(['in.jsonl', 'out.jsonl'])
  })
})
