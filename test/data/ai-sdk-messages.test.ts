/** @file Conversations of the AI SDK as rows: what a program sends to a model, and what a page keeps. */

import { describe, expect, it } from 'vitest'
import { type DataRow, recognizeRow } from '../../src/data/row-forms.js'

const origin = { file: 'chats.jsonl', line: 3 }
const messagesOf = (messages: readonly object[]) =>
  (recognizeRow({ id: 'chat', messages }, origin) as Extract<DataRow, { form: 'messages' }>).messages

const call = { id: 'c1', type: 'function', function: { name: 'weather', arguments: { city: 'Rome' } } }
const plain = [
  { role: 'user', content: 'Weather in Rome?' },
  { role: 'assistant', content: 'Let me see.', reasoning_content: 'A tool knows.', tool_calls: [call] },
  { role: 'tool', tool_call_id: 'c1', name: 'weather', content: '{"sun": true}' },
  { role: 'assistant', content: 'Sunny.' },
]

describe('messages of the AI SDK', () => {
  it('those that a program sends become messages of OpenAI', () => {
    const messages = [
      { role: 'user', content: 'Weather in Rome?' },
      {
        role: 'assistant',
        providerOptions: { a: {} },
        content: [
          { type: 'reasoning', text: 'A tool knows.' },
          { type: 'text', text: 'Let me see.' },
          { type: 'tool-call', toolCallId: 'c1', toolName: 'weather', input: { city: 'Rome' } },
        ],
      },
      {
        role: 'tool',
        content: [
          {
            type: 'tool-result',
            toolCallId: 'c1',
            toolName: 'weather',
            output: { type: 'json', value: { sun: true } },
          },
        ],
      },
      { role: 'assistant', content: 'Sunny.' },
    ]
    expect(messagesOf(messages)).toEqual(plain)
  })

  it('those that a page keeps become the same', () => {
    const messages = [
      { id: 'm1', role: 'user', parts: [{ type: 'text', text: 'Weather in Rome?' }] },
      {
        id: 'm2',
        role: 'assistant',
        metadata: { at: 1 },
        parts: [
          { type: 'step-start' },
          { type: 'reasoning', text: 'A tool knows.', state: 'done' },
          { type: 'text', text: 'Let me see.', state: 'done' },
          {
            type: 'tool-weather',
            toolCallId: 'c1',
            state: 'output-available',
            input: { city: 'Rome' },
            output: { sun: true },
          },
          { type: 'step-start' },
          { type: 'source-url', sourceId: 's', url: 'https://example.com' },
          { type: 'text', text: 'Sunny.' },
        ],
      },
    ]
    expect(messagesOf(messages)).toEqual(plain)
  })

  it.each([
    [{ type: 'text', value: 'dry' }, 'dry'],
    [{ type: 'error-text', value: 'no such city' }, 'no such city'],
    [{ type: 'error-json', value: [1] }, '[1]'],
    [{ type: 'execution-denied' }, 'Tool execution denied.'],
    [{ type: 'execution-denied', reason: 'not today' }, 'not today'],
    [
      {
        type: 'content',
        value: [
          { type: 'text', text: 'a' },
          { type: 'text', text: 'b' },
        ],
      },
      'a\nb',
    ],
  ])('a result %o is the text of a tool', (output, content) => {
    const result = { type: 'tool-result', toolCallId: 'c1', toolName: 'weather', output }
    expect(messagesOf([plain[0]!, { role: 'tool', content: [result] }])[1]).toEqual({
      role: 'tool',
      tool_call_id: 'c1',
      name: 'weather',
      content,
    })
  })

  it.each([
    [{ type: 'dynamic-tool', toolName: 'a', state: 'output-error', errorText: 'broken' }, 'broken'],
    [{ type: 'tool-a', state: 'output-denied', approval: { id: 'x', approved: false } }, 'Tool execution denied.'],
    [{ type: 'tool-a', state: 'output-available', output: 'text' }, 'text'],
  ])('a call that ended otherwise has its result, too: %o', (part, content) => {
    const messages = messagesOf([plain[0]!, { role: 'assistant', parts: [{ ...part, toolCallId: 'c', input: {} }] }])
    expect(messages.slice(1)).toEqual([
      {
        role: 'assistant',
        content: '',
        tool_calls: [{ id: 'c', type: 'function', function: { name: 'a', arguments: {} } }],
      },
      { role: 'tool', tool_call_id: 'c', name: 'a', content },
    ])
  })

  it.each([
    [
      { role: 'user', parts: [{ type: 'file', mediaType: 'image/png', url: 'data:,' }] },
      'messages[1].parts[0] in chats.jsonl:3, got one of type "file"',
    ],
    [
      { role: 'assistant', parts: [{ type: 'tool-a', toolCallId: 'c', state: 'input-streaming' }] },
      'got one in the state "input-streaming"',
    ],
    [
      {
        role: 'assistant',
        content: [
          { type: 'reasoning', text: 'a' },
          { type: 'file', data: '' },
        ],
      },
      'messages[1].content[1] in chats.jsonl:3, got one of type "file"',
    ],
    [
      {
        role: 'tool',
        content: [{ type: 'tool-result', toolName: 'a', output: { type: 'content', value: [{ type: 'file' }] } }],
      },
      'messages[1].content[0].output.value[0]',
    ],
  ])('what is no text is refused: %o', (message, text) => {
    expect(() => messagesOf([plain[0]!, message])).toThrow(text)
  })

  it('parts of other makers stay what they are', () => {
    const gemini = { role: 'user', parts: [{ text: 'a' }] }
    expect(messagesOf([gemini])).toEqual([gemini])
    expect(messagesOf([{ role: 'user', content: [{ type: 'text', text: 'a' }] }])).toEqual([
      { role: 'user', content: [{ type: 'text', text: 'a' }] },
    ])
  })
})
