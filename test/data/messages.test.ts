/**
 * @file What data sets write in and beside messages: parts, nulls, tools as text, ShareGPT, weights, and what is
 * refused.
 */

import { describe, expect, it } from 'vitest'
import { type DataRow, recognizeRow } from '../../src/data/row-forms.js'
import { parseLosslessJson } from '../../src/lossless-json.js'

const user = { role: 'user', content: 'Hi' }
const recognized = (row: object): Extract<DataRow, { form: 'messages' }> =>
  recognizeRow(row, { file: 'train.jsonl', line: 7 }) as Extract<DataRow, { form: 'messages' }>
const fail = (row: object, text: string): void =>
  expect(() => recognizeRow(row, { file: 'train.jsonl', line: 7 })).toThrow(text)
const message = (fields: object) => recognized({ messages: [{ ...user, ...fields }] }).messages[0]

describe('content', () => {
  it('content in parts of text is taken in the forms of chat templates, of OpenAI and of Arrow', () => {
    const content = [
      { type: 'text', text: 'a' },
      { type: 'input_text', text: 'b' },
      { type: 'output_text', text: 'c', annotations: [] },
      { type: 'text', text: 'd', image_url: null, input_audio: null },
      { text: 'e' },
      'f',
    ]
    expect(message({ content })?.content).toEqual([...'abcdef'].map((text) => ({ type: 'text', text })))
    expect(message({ content: [] })?.content).toEqual([])
    expect(message({ content: '' })?.content).toBe('')
  })

  it.each([
    [{ type: 'image_url', image_url: { url: 'data:,' } }, '"image_url"'],
    [{ type: 'image', image: 'a.png' }, '"image"'],
    [{ type: 'input_audio', input_audio: {} }, '"input_audio"'],
    [{ type: 'video', video: 'a.mp4' }, '"video"'],
    [{ type: 'file', file: {} }, '"file"'],
    [{ type: 'refusal', refusal: 'No.' }, '"refusal"'],
  ])('content with a part of another kind is refused: %o', (part, type) => {
    fail(
      { messages: [user, { role: 'user', content: [{ type: 'text', text: 'What is this?' }, part] }] },
      `[data] expected parts of text for messages[1].content[1] in train.jsonl:7, got one of type ${type}; only text is ` +
        'trained on: leave the row out or put it into words',
    )
  })

  it('content with a part that has no text, or something beside it, is refused', () => {
    fail(
      { messages: [{ ...user, content: [{ type: 'text' }] }] },
      "expected { type: 'text', text } for messages[0].content[0]",
    )
    fail({ messages: [{ ...user, content: [7] }] }, 'for messages[0].content[0] in train.jsonl:7, got 7')
    fail(
      { messages: [{ ...user, content: [{ type: 'text', text: 'a', colour: 0 }] }] },
      'expected type and text alone for messages[0].content[0] in train.jsonl:7, got "colour" too; remove it',
    )
  })

  it('content beside images in columns or keys of their own is refused', () => {
    fail(
      { messages: [user], images: ['a.png'] },
      '[data] expected rows of text, got images in train.jsonl:7: ["a.png"]',
    )
    fail({ prompt: 'p', completion: 'c', image: {} }, 'expected rows of text, got image in train.jsonl:7')
    fail({ messages: [{ ...user, images: ['a.png'] }] }, 'expected no images in messages[0] of train.jsonl:7')
    expect(recognized({ messages: [user], images: [], image: null }).messages).toEqual([user])
  })
})

describe('a message without content', () => {
  it('is refused by file, row and number, before a template sees it', () => {
    const assistant = { role: 'assistant', content: 'yes' }
    for (const [messages, where] of [
      [[{ role: 'user', content: null }, assistant], 'messages[0] in train.jsonl:7, got {role, content}'],
      [[user, { role: 'assistant' }], 'messages[1] in train.jsonl:7, got {role}'],
      [[user, { role: 'assistant', content: null, weight: 0, tool_calls: [] }], 'messages[1] in train.jsonl:7'],
      [[user, assistant, { role: 'tool', tool_call_id: 'a', content: null }], 'messages[2] in train.jsonl:7'],
      [[{ from: 'human' }, assistant], 'messages[0] in train.jsonl:7, got {from}'],
    ] as const) {
      fail({ messages }, `[data] expected content for ${where}`)
      fail({ messages }, "; write the text of the message, '' where it says nothing, or leave it out")
    }
    fail({ prompt: [{ role: 'user' }], completion: [assistant] }, 'content for prompt[0] in train.jsonl:7')
  })

  it('is fine where it says something else, as an answer that calls a tool or only thinks', () => {
    const calls = { role: 'assistant', content: null, tool_calls: [{ type: 'function', function: { name: 'f' } }] }
    const thinks = { role: 'assistant', reasoning_content: 'so' }
    expect(recognized({ messages: [user, calls, thinks] }).messages.map((message) => Object.keys(message))).toEqual([
      ['role', 'content'],
      ['role', 'tool_calls'],
      ['role', 'reasoning_content'],
    ])
  })
})

describe('nulls', () => {
  it('nulls for absent fields, as Arrow and Parquet give them, are absent', () => {
    const row = {
      messages: [
        { role: 'user', content: 'Hi', name: null, tool_calls: null },
        {
          role: 'assistant',
          content: null,
          name: null,
          tool_calls: [
            { id: null, type: 'function', function: { name: 'f', arguments: { city: 'Paris', unit: null } } },
          ],
        },
      ],
      tools: [
        {
          type: 'function',
          function: { name: 'f', parameters: { properties: { city: { type: 'string' }, n: null } } },
        },
      ],
      chat_template_kwargs: { enable_thinking: true, date_string: null },
      source: null,
    }
    expect(recognized(row)).toEqual({
      origin: { file: 'train.jsonl', line: 7 },
      form: 'messages',
      messages: [
        { role: 'user', content: 'Hi' },
        {
          role: 'assistant',
          tool_calls: [{ type: 'function', function: { name: 'f', arguments: { city: 'Paris' } } }],
        },
      ],
      tools: [{ type: 'function', function: { name: 'f', parameters: { properties: { city: { type: 'string' } } } } }],
      variables: { enable_thinking: true },
      // The null among the arguments: it may have been meant.
      nullArguments: 1,
    })
    expect(row.messages[0]).toHaveProperty('name', null)
  })

  it('nulls in lists stay, and so do all within JSON text', () => {
    const schema = { enum: ['a', null], default: null }
    const given = recognized({ messages: [user], tools: JSON.stringify([{ name: 'f', parameters: schema }]) })
    expect(given.tools).toEqual([{ name: 'f', parameters: schema }])
    expect(given).not.toHaveProperty('nullArguments')
    const objects = recognized({ messages: [user], tools: [{ name: 'f', parameters: schema }] })
    expect(objects.tools).toEqual([{ name: 'f', parameters: { enum: ['a', null] } }])
    expect(objects.nullArguments).toBe(1)
  })

  it('do not take the prototype of an object with them', () => {
    const call = JSON.parse('{"function": {"name": "f", "arguments": {"__proto__": {"polluted": 1}, "x": null}}}')
    const copy = message({ tool_calls: [call] })?.tool_calls as { function: { arguments: object } }[]
    expect(JSON.stringify(copy)).toBe('[{"function":{"name":"f","arguments":{"__proto__":{"polluted":1}}}}]')
    expect(copy[0]?.function.arguments).not.toHaveProperty('polluted')
  })
})

describe('tools', () => {
  it('tools may be JSON text, whole or tool by tool, and keep their numbers and the order of their keys', () => {
    const text = '[{"name": "f", "parameters": {"b": 2.0, "10": 12345678901234567890, "9": null}}]'
    for (const tools of [text, parseLosslessJson(text), [text.slice(1, -1)]]) {
      const [tool] = recognized({ messages: [user], tools }).tools as [
        { name: string; parameters: Map<string, unknown> },
      ]
      expect(tool.name).toBe('f')
      expect([...tool.parameters].slice(0, 2).map(([key, value]) => `${key} ${value}`)).toEqual([
        'b 2.0',
        '10 12345678901234567890',
      ])
      expect(tool.parameters.has('9')).toBe(typeof tools === 'string' || typeof (tools as unknown[])[0] === 'string')
    }
  })

  it('tools that are none are absent', () => {
    for (const tools of ['[]', '', 'null', null, []])
      expect(recognized({ messages: [user], tools })).not.toHaveProperty('tools')
  })

  it('tools that cannot be read are refused, shortly', () => {
    fail({ messages: [user], tools: '[{' }, '[data] expected JSON for tools in train.jsonl:7, got "[{": expected a key')
    fail(
      { messages: [user], tools: '{"name": "f"}' },
      'expected a list for tools in train.jsonl:7, got "{\\"name\\": \\"f\\"}"',
    )
    fail({ messages: [user], tools: [7] }, 'expected an object for tools[0] in train.jsonl:7, got 7')
    try {
      recognized({ messages: [user], tools: `[${'"x",'.repeat(100_000)}` })
      expect.unreachable()
    } catch (error) {
      expect((error as Error).message.length).toBeLessThan(300)
    }
  })

  it('tools called in JSON text are read', () => {
    const calls = [{ type: 'function', function: { name: 'f', arguments: { unit: null } } }]
    expect(message({ tool_calls: JSON.stringify(calls) })?.tool_calls).toEqual(calls)
    fail({ messages: [{ role: 'assistant', refusal: 'No.' }] }, 'expected no refusal in messages[0] of train.jsonl:7')
  })
})

describe('ShareGPT', () => {
  it('is read: from and value, human and gpt, a system column, observations and calls', () => {
    const conversations = [
      { from: 'human', value: 'Weather?' },
      { from: 'function_call', value: '{"name": "weather", "arguments": {"city": "Paris", "days": 2.0}}' },
      { from: 'observation', value: 'sunny' },
      { from: 'gpt', value: 'Sunny.', weight: 1 },
    ]
    const row = recognized({ conversations, system: 'Be brief.', tools: '[{"name": "weather"}]' })
    expect(row.messages.map(({ role, content }) => [role, content])).toEqual([
      ['system', 'Be brief.'],
      ['user', 'Weather?'],
      ['assistant', ''],
      ['tool', 'sunny'],
      ['assistant', 'Sunny.'],
    ])
    type Call = { function: { name: string; arguments: { days: unknown } } }
    const calls = (row.messages[2]?.tool_calls ?? []) as Call[]
    expect(calls.map((call) => [call.function.name, String(call.function.arguments.days)])).toEqual([
      ['weather', '2.0'],
    ])
    expect(row.tools).toEqual([{ name: 'weather' }])
    expect(row.weights).toEqual([undefined, undefined, undefined, undefined, 1])
  })

  it('is taken under the name messages too, and messages under the name conversations', () => {
    expect(recognized({ messages: [{ from: 'human', value: 'Hi' }] }).messages).toEqual([user])
    expect(recognized({ conversations: [user] }).messages).toEqual([user])
  })

  it('ShareGPT with a call that is none, or two system messages that differ, is refused', () => {
    const roles = ['human', 'gpt', 'chatgpt', 'bing', 'bard', 'system', 'function', 'tool', 'user', 'assistant']
    expect(
      recognized({ conversations: roles.map((from) => ({ from, value: 'x' })) }).messages.map(({ role }) => role),
    ).toEqual([
      'user',
      'assistant',
      'assistant',
      'assistant',
      'assistant',
      'system',
      'tool',
      'tool',
      'user',
      'assistant',
    ])
    fail(
      { conversations: [{ from: 'function_call', value: '{"city": "Paris"}' }] },
      'expected { name, arguments } for the value of a function_call for conversations[0] in train.jsonl:7',
    )
    const messages = [{ role: 'system', content: 'a' }, user]
    fail({ messages, system: 'b' }, '[data] expected one system message in train.jsonl:7, got "b" in the column system')
    expect(recognized({ messages, system: 'a' }).messages).toHaveLength(2)
  })
})

describe('weights', () => {
  it('weights of 0 and 1 are known by the names that data sets use, and leave the message', () => {
    const answer = (fields: object) => recognized({ messages: [user, { role: 'assistant', content: 'a', ...fields }] })
    for (const fields of [{ weight: 0 }, { train: false }, { loss: 0 }, { masked: true }]) {
      expect(answer(fields)).toMatchObject({ weights: [undefined, 0] })
      expect(answer(fields).messages[1]).toEqual({ role: 'assistant', content: 'a' })
    }
    expect(answer({ weight: 1, masked: false }).weights).toEqual([undefined, 1])
    expect(answer({ weight: 0.5, loss_scale: 0.5 }).weights).toEqual([undefined, 0.5])
    expect(
      recognized(parseLosslessJson('{"messages":[{"role":"assistant","content":"a","weight":0.0}]}') as object).weights,
    ).toEqual([0])
    for (const fields of [{}, { weight: null, train: null }]) expect(answer(fields)).not.toHaveProperty('weights')
  })

  it('weights of other values, or that contradict each other, are refused', () => {
    const answer = { role: 'assistant', content: 'a' }
    const number = 'expected a number of at least 0, or true or false, for messages[0]'
    fail({ messages: [{ ...answer, weight: -0.5 }] }, `${number}.weight in train.jsonl:7, got -0.5`)
    fail({ messages: [{ ...answer, masked: 2 }] }, `${number}.masked in train.jsonl:7, got 2`)
    fail({ messages: [{ ...answer, weight: '0' }] }, `${number}.weight in train.jsonl:7, got "0"`)
    fail(
      { messages: [{ ...answer, weight: 1, train: false }] },
      'expected one answer to whether messages[0] in train.jsonl:7 is learnt',
    )
    const range =
      '{ begin_offset, end_offset, train } behind the one before and within the content for messages[0].train_detail[0]'
    for (const wrong of [
      { begin_offset: 0 },
      { begin_offset: 0, end_offset: 1 },
      { begin_offset: 0, end_offset: 0, train: 1 },
      7,
    ])
      fail({ messages: [{ ...answer, train_detail: [wrong] }] }, range)
  })

  it('weights of parts, and of ranges of characters, are counted from the beginning of the content', () => {
    const parts = (fields: object) =>
      recognized({ messages: [{ role: 'assistant', ...fields }] }).parts?.[0]?.map(({ start, end, weight }) => [
        start,
        end,
        weight,
      ])
    const content = [
      { type: 'text', text: 'abc', weight: 0 },
      { type: 'text', text: 'de' },
      { type: 'text', text: 'f', train: true },
    ]
    expect(parts({ content })).toEqual([
      [0, 3, 0],
      [5, 6, 1],
    ])
    expect(message({ content })?.content).toEqual(['abc', 'de', 'f'].map((text) => ({ type: 'text', text })))
    const detail = [
      { begin_offset: 1, end_offset: 2, train: true },
      { begin_offset: 3, end_offset: 3, train: false },
    ]
    // Offsets are characters, as Python has them, and the last belongs to the range.
    expect(parts({ content: 'a\u{1f600}bcd', train_detail: detail })).toEqual([
      [0, 1, 0],
      [1, 4, 1],
      [4, 5, 0],
      [5, 6, 0],
    ])
  })
})

describe('what would be lost', () => {
  it('is refused where it matters', () => {
    expect(() =>
      recognizeRow({ instruction: 'i', output: 'o', system: 's' }, { file: 'train.jsonl', line: 7 }, 'alpaca'),
    ).toThrow('expected no column system in train.jsonl:7, got "s"; the Alpaca prompt')
    fail(
      { messages: [user], chat_template_kwargs: { messages: [] } },
      'expected variables of the template for chat_template_kwargs',
    )
    fail({ messages: [new Map([['10', 'x']])] }, 'expected names as keys for messages[0] in train.jsonl:7')
  })

  it('is named where it does not', () => {
    expect(recognized({ messages: [user], id: 7, source: 'x', tools: [], note: null }).ignoredColumns).toEqual([
      'id',
      'source',
    ])
    expect(recognizeRow({ text: 't', label: 1 }, { row: 1 })).toMatchObject({ ignoredColumns: ['label'] })
    expect(recognizeRow({ instruction: 'i', output: 'o', system: '', history: [] }, { row: 1 }).form).toBe('alpaca')
  })
})

describe('a message', () => {
  it('a message with an empty list of tool calls has none', () => {
    for (const none of [[], '', 'null', null]) {
      expect(message({ tool_calls: none })).toEqual(user)
    }
  })

  it.each(['text', 'value'])(
    'a message with its text under %s beside a role is refused, since no template would print it',
    (key) => {
      fail(
        { messages: [{ role: 'user', [key]: 'Hi' }] },
        `[data] expected role and content for messages[0] in train.jsonl:7, got ${key} in place of content; rename it`,
      )
    },
  )
})

describe("OpenAI's older functions", () => {
  it('are tools, and calls of them tool calls', () => {
    const row = {
      messages: [user, { role: 'assistant', content: null, function_call: { name: 'f', arguments: '{"a": 1}' } }],
      functions: [{ name: 'f', parameters: {} }],
      parallel_tool_calls: false,
    }
    expect(recognized(row)).toEqual({
      origin: { file: 'train.jsonl', line: 7 },
      form: 'messages',
      messages: [
        user,
        { role: 'assistant', tool_calls: [{ type: 'function', function: { name: 'f', arguments: '{"a": 1}' } }] },
      ],
      tools: [{ type: 'function', function: { name: 'f', parameters: {} } }],
    })
    fail(
      { messages: [{ role: 'assistant', function_call: { arguments: '{}' } }] },
      'expected { name, arguments } for the value of a function_call for messages[0] in train.jsonl:7',
    )
    fail({ messages: [user], parallel_tool_calls: 'no' }, 'expected true or false for parallel_tool_calls')
  })
})
