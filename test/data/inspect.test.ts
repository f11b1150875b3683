/** @file What rows look like to training, and the figures of many of them. */

import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import { DataSummarizer, histogram } from '../../src/data/data-summary.js'
import { prepareDataset } from '../../src/data/dataset.js'
import { type InspectedRow, type InspectOptions, inspectDataset } from '../../src/data/inspect.js'
import { tokenTexts } from '../../src/data/token-texts.js'
import { loadTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'

const MODEL = fileURLToPath(new URL('../../models/lowrank-base-5m', import.meta.url))
let tokenizer: Tokenizer
beforeAll(async () => {
  tokenizer = await loadTokenizer(MODEL)
})

const inspect = async (rows: object[], options?: InspectOptions): Promise<InspectedRow[]> => {
  const found: InspectedRow[] = []
  for await (const row of inspectDataset(rows, tokenizer, options)) found.push(row)
  return found
}
/** The learnt text of the first sequence. */
const learntText = ({ sequences: [sequence] }: InspectedRow): string => {
  if (!sequence) return ''
  return tokenTexts(tokenizer, sequence.inputIds)
    .filter((_, at) => (sequence.weights[at] as number) > 0)
    .join('')
}

const CHAT = {
  messages: [
    { role: 'user', content: 'Say one.' },
    { role: 'assistant', content: 'one' },
    { role: 'user', content: 'Say two.' },
    { role: 'assistant', content: 'two' },
  ],
}

describe('inspectDataset', () => {
  it('shows the ids and the mask that prepareDataset makes', async () => {
    const rows = [{ messages: CHAT.messages }, { messages: [...CHAT.messages, ...CHAT.messages] }]
    const { examples } = await prepareDataset(rows, tokenizer, { maxLength: 512 })
    const shown = await inspect(rows, { maxLength: 512 })
    expect(shown.map(({ sequences: [sequence] }) => [...(sequence?.inputIds ?? [])])).toEqual(
      examples.map(({ inputIds }) => [...inputIds]),
    )
    expect(shown.map(({ sequences: [sequence] }) => [...(sequence?.weights ?? [])])).toEqual(
      examples.map(({ labels }) => [...labels].map((label, at) => (at > 0 && label >= 0 ? 1 : 0))),
    )
    expect(shown.map(({ messages }) => messages)).toEqual([4, 8])
  })

  it('marks the answers and what ends them, and nothing of the prompts', async () => {
    const [row] = await inspect([CHAT])
    expect(learntText(row as InspectedRow)).toBe('one<|im_end|>two<|im_end|>')
  })

  it('shows what maxLength cuts away, and counts what is kept', async () => {
    const [row] = await inspect([CHAT], { maxLength: 10 })
    const [sequence] = row?.sequences ?? []
    expect(sequence?.keptTokens).toBe(10)
    expect(sequence?.inputIds.length).toBeGreaterThan(10)
  })

  it('shows rows of other objectives, and says what they are for', async () => {
    const [pair, labelled, prompt] = [
      ...(await inspect([{ prompt: 'q', chosen: ' yes', rejected: ' no' }])),
      ...(await inspect([{ prompt: 'q', completion: ' yes', label: false }])),
      ...(await inspect([{ prompt: 'q' }])),
    ]
    expect(pair).toMatchObject({ objective: 'DPO', sequences: [{ name: 'chosen' }, { name: 'rejected' }] })
    expect(labelled).toMatchObject({ objective: 'KTO', sequences: [{ name: 'bad' }] })
    expect(prompt).toMatchObject({ objective: 'GRPO' })
    expect(learntText(prompt as InspectedRow)).toBe('')
  })

  it('names the row of a defect after it has shown those before', async () => {
    const rows = inspectDataset([CHAT, { messages: 'none' }], tokenizer)
    expect((await rows.next()).value).toMatchObject({ origin: 'row 1' })
    await expect(rows.next()).rejects.toThrow('row 2')
  })

  it('refuses an option that it does not know', async () => {
    await expect(inspect([CHAT], { maxLenght: 3 } as InspectOptions)).rejects.toThrow('did you mean "maxLength"')
  })
})

describe('DataSummarizer', () => {
  it('counts rows, tokens, learnt ones, special ones and what is cut', async () => {
    const summarizer = new DataSummarizer(tokenizer.specialTokens)
    const rows = await inspect([CHAT, CHAT], { maxLength: 10 })
    for (const row of rows) summarizer.add(row)
    const summary = summarizer.summary()
    const tokens = rows[0]?.sequences[0]?.inputIds.length as number
    expect(summary).toMatchObject({
      rows: 2,
      forms: { messages: 2 },
      tokens: 2 * tokens,
      truncatedRows: 2,
      longest: { tokens, origin: 'row 1' },
      messages: [{ from: 4, to: 5, count: 2 }],
    })
    const start = summary.specialTokens.find(({ text }) => text === '<|im_start|>')
    expect(start).toEqual({ text: '<|im_start|>', count: 8, learnt: 0 })
  })

  it('counts a row whose answer is cut away as one without a target', async () => {
    const summarizer = new DataSummarizer(tokenizer.specialTokens)
    for (const row of await inspect([CHAT], { maxLength: 3 })) summarizer.add(row)
    expect(summarizer.summary().rowsWithoutTarget).toBe(1)
  })

  it.each<[number[], [number, number, number][]]>([
    [[], []],
    [[3], [[3, 4, 1]]],
    [
      [3, 3, 5],
      [
        [3, 4, 2],
        [4, 5, 0],
        [5, 6, 1],
      ],
    ],
    [
      [0, 99, 119],
      [
        [0, 10, 1],
        ...[10, 20, 30, 40, 50, 60, 70, 80].map((from): [number, number, number] => [from, from + 10, 0]),
        [90, 100, 1],
        [100, 110, 0],
        [110, 120, 1],
      ],
    ],
  ])('puts %j into bins of a round width', (values, bins) => {
    const counts = new Map<number, number>()
    for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
    expect(histogram(counts).map(({ from, to, count }) => [from, to, count])).toEqual(bins)
  })

  it('never makes more than 13 bins, and loses no value', () => {
    for (const span of [1, 12, 13, 100, 119, 120, 121, 999, 12345, 2 ** 31]) {
      const counts = new Map([7, 7 + span / 2, 7 + span].map((value) => [Math.floor(value), 1]))
      const bins = histogram(counts)
      expect(bins.length).toBeLessThanOrEqual(13)
      expect(bins.reduce((sum, { count }) => sum + count, 0)).toBe(counts.size)
    }
  })
})
