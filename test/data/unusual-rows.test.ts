/** @file Rows that mean something else than somebody wants: they are trained on, counted and told of. */

import { describe, expect, it } from 'vitest'
import { prepareDataset } from '../../src/data/dataset.js'
import { dataWarnings } from '../../src/data/report.js'
import { unusualSteps } from '../../src/data/unusual-rows.js'
import { createTokenizer } from '../../src/tokenizer/tokenizer.js'
import { runAtOnce } from '../../src/turns.js'
import { CHATML } from '../support/chat-templates.js'
import { sequenceRow } from '../support/read-rows.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

const unusual = (row: object): readonly string[] => runAtOnce(unusualSteps(sequenceRow(row, { row: 1 })))
const user = (content?: unknown) => ({ role: 'user', content })
const assistant = (content?: unknown, more = {}) => ({ role: 'assistant', content, ...more })
const call = [{ type: 'function', function: { name: 'f', arguments: {} } }]

describe('unusual rows', () => {
  it.each<[string, object, string[]]>([
    ['an answer of nothing', { messages: [user('a'), assistant('')] }, ['emptyAnswer']],
    ['an answer of blanks', { messages: [user('a'), assistant(' \n\u00a0')] }, ['emptyAnswer']],
    ['an answer of empty parts', { messages: [user('a'), assistant([{ type: 'text', text: '' }])] }, ['emptyAnswer']],
    ['an answer of tool calls', { messages: [user('a'), assistant('', { tool_calls: call })] }, []],
    ['an answer of no tool calls', { messages: [user('a'), assistant('', { tool_calls: [] })] }, ['emptyAnswer']],
    ['an answer of reasoning', { messages: [user('a'), assistant('', { reasoning_content: 'hm' })] }, []],
    ['a question of nothing', { messages: [user(''), assistant('b')] }, ['emptyMessage']],
    [
      'a silent tool',
      { messages: [user('a'), assistant('', { tool_calls: call }), { role: 'tool', content: '' }, assistant('b')] },
      [],
    ],
    ['two questions', { messages: [user('a'), user('b'), assistant('c')] }, ['repeatedRole']],
    ['two answers', { messages: [user('a'), assistant('b'), assistant('c')] }, ['repeatedRole']],
    [
      'two tools',
      {
        messages: [
          user('a'),
          assistant('', { tool_calls: call }),
          { role: 'tool', content: '1' },
          { role: 'tool', content: '2' },
        ],
      },
      [],
    ],
    [
      'a conversation',
      { messages: [{ role: 'system', content: 's' }, user('a'), assistant('b'), user('c'), assistant('d')] },
      [],
    ],
    ['messages as prompt and completion', { prompt: [user('a')], completion: [assistant('')] }, ['emptyAnswer']],
    ['an empty completion', { prompt: 'a', completion: '' }, ['emptyAnswer']],
    ['an empty prompt', { prompt: ' ', completion: 'b' }, ['emptyPrompt']],
    ['an empty output', { instruction: 'a', output: '' }, ['emptyAnswer']],
    ['an empty instruction', { instruction: '', input: '', output: 'b' }, ['emptyPrompt']],
    ['an instruction in the input', { instruction: '', input: 'a', output: 'b' }, []],
    ['a text', { text: 'a' }, []],
  ])('are told: %s', (_, row, wanted) => {
    expect(unusual(row)).toEqual(wanted)
  })

  it('are counted by rows, trained on, and warned of', async () => {
    const { tokenizer, config } = tinyByteLevelTokenizer({ chatTemplate: CHATML })
    const rows = [
      { messages: [user('a'), assistant('b')] },
      { messages: [user('a'), user(''), assistant('')] },
      { messages: [user('a'), assistant(''), user('c'), assistant('')] },
    ]
    const { examples, statistics } = await prepareDataset(rows, createTokenizer(tokenizer, config))
    expect(examples.length).toBe(3)
    expect(statistics.unusualRows).toEqual({ emptyAnswer: 2, emptyMessage: 1, repeatedRole: 1 })
    expect(dataWarnings(statistics, 2048)).toEqual([
      {
        code: 'emptyAnswer',
        rows: 2,
        message:
          '2 of 3 rows have an answer without text, which teaches to say nothing; leave them out, or set weight: 0 for the message',
      },
      { code: 'emptyMessage', rows: 1, message: '1 of 3 rows have a message without text; check its content' },
      {
        code: 'repeatedRole',
        rows: 1,
        message:
          '1 of 3 rows have two messages of one role, one after the other; check that none is missing between them',
      },
    ])
    const { statistics: plain } = await prepareDataset(rows.slice(0, 1), createTokenizer(tokenizer, config))
    expect(plain).not.toHaveProperty('unusualRows')
  })

  it('refuse half of a character, as Python does, naming the row', async () => {
    const { tokenizer, config } = tinyByteLevelTokenizer({ chatTemplate: CHATML })
    const built = createTokenizer(tokenizer, config)
    const half = '[data] expected whole characters, got the half of one, \\ud83d, behind '
    const cut = JSON.parse('"x\\ud83d"') as string
    for (const [row, behind] of [
      [{ text: cut }, '"x"'],
      [{ prompt: 'a', completion: cut }, '"ax"'],
      [{ instruction: 'a', output: cut }, ' Response:x"'],
    ] as const) {
      const error = await prepareDataset([row], built).catch((thrown: Error) => thrown)
      expect((error as Error).message).toContain(half)
      expect((error as Error).message).toContain(
        `${behind}; the text was cut within a character: remove it there (in row 1)`,
      )
    }
    await expect(prepareDataset([{ messages: [user('a'), assistant(cut)] }], built)).rejects.toThrow(
      'half of a surrogate pair',
    )
    await expect(prepareDataset([{ text: 'a 🚀' }], built)).resolves.toMatchObject({ statistics: { rows: 1 } })
  })
})
