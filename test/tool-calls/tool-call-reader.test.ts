/** @file Calls of tools in answers: whole, in pieces of any size, and what is none. */

import { describe, expect, it } from 'vitest'
import { readToolCalls, type ToolCallEvent, ToolCallReader } from '../../src/tool-calls/tool-call-reader.js'
import { TOOL_SYNTAXES, type ToolSyntaxName } from '../../src/tool-calls/tool-syntax.js'
import { randomNumbers } from '../support/grammar.js'

const NAMES = ['get_weather', 'add']

interface Case {
  readonly syntax: ToolSyntaxName
  readonly answer: string
  readonly text: string
  readonly calls: readonly [name: string, text: string][]
}

const CASES: readonly Case[] = [
  {
    syntax: 'hermes',
    answer: '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>',
    text: '',
    calls: [['get_weather', '{"city": "Paris"}']],
  },
  {
    syntax: 'hermes',
    answer:
      'Let me look.\n\n<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": [2.5e-3, null, {"c": "}\\""}]}}\n</tool_call>\n' +
      '<tool_call>\n{"arguments": {}, "name": "get_weather"}\n</tool_call>\n',
    text: 'Let me look.',
    calls: [
      ['add', '{"a": 1, "b": [2.5e-3, null, {"c": "}\\""}]}'],
      ['get_weather', '{}'],
    ],
  },
  {
    syntax: 'hermes',
    answer: '<tool_call>{"name":"other","arguments":{}}</tool_call> and more < text </tool_call>',
    text: ' and more < text </tool_call>',
    calls: [['other', '{}']],
  },
  {
    syntax: 'hermes',
    answer: '<tool_call>\n{"name": "add", "arguments": {"a": 1}}',
    text: '',
    calls: [['add', '{"a": 1}']],
  },
  {
    syntax: 'llama',
    answer: '{"name": "get_weather", "parameters": {"city": "Paris"}}',
    text: '',
    calls: [['get_weather', '{"city": "Paris"}']],
  },
  {
    syntax: 'llama',
    answer: '<|python_tag|>{"name": "add", "parameters": {"a": 1}}; {"name": "add", "parameters": {"a": 2}}',
    text: '',
    calls: [
      ['add', '{"a": 1}'],
      ['add', '{"a": 2}'],
    ],
  },
  {
    syntax: 'mistral',
    answer:
      '[TOOL_CALLS] [{"name": "add", "arguments": {"a": 1}, "id": "abc123def"}, {"name": "add", "arguments": {}}]',
    text: '',
    calls: [
      ['add', '{"a": 1}'],
      ['add', '{}'],
    ],
  },
  {
    syntax: 'mistral-args',
    answer: 'Well. [TOOL_CALLS]add[ARGS]{"a": 1}[TOOL_CALLS]get_weather[CALL_ID]x1[ARGS]{"city": "Lyon"}',
    text: 'Well.',
    calls: [
      ['add', '{"a": 1}'],
      ['get_weather', '{"city": "Lyon"}'],
    ],
  },
]

/** Answers that hold no call: all of each is text. */
const TEXTS: readonly [ToolSyntaxName, string][] = [
  ['hermes', 'There is no call here, only <tool and <tool_cal'],
  ['hermes', '<tool_call>\n{"name": "add", "arguments": {"a": 1,}}\n</tool_call>'],
  ['hermes', '<tool_call>\n{"name": "add", "arguments": [1]}\n</tool_call>'],
  ['hermes', '<tool_call>\n{"name": "add"}\n</tool_call>'],
  ['hermes', '<tool_call>\n{"name": "add", "arguments": {"a": "cut o'],
  ['hermes', 'a <tool_call>'],
  ['hermes', '<tool_call> <tool_call> nothing'],
  ['llama', '{"name": "Bob", "parameters": {"age": 3}}'],
  ['llama', '{"city": "Paris"}'],
  ['llama', '<|python_tag|>brave_search.call(query="weather")'],
  ['llama', 'Say {"name": "add", "parameters": {}}'],
  ['mistral', '[TOOL_CALLS] [{"name": "add", "arguments": 7}]'],
  ['mistral', '[TOOL_CALLS] []'],
  ['mistral-args', '[TOOL_CALLS]two words{"a": 1}'],
]

describe('calls in an answer', () => {
  it.each(CASES)('the $syntax calls of $answer are read', ({ syntax, answer, text, calls }) => {
    const read = readToolCalls(answer, TOOL_SYNTAXES[syntax], NAMES)
    expect(read).toEqual({ text, calls: calls.map(([name, given]) => ({ name, arguments: given })) })
    for (const call of read.calls) expect(() => JSON.parse(call.arguments) as unknown).not.toThrow()
  })

  it.each(TEXTS)('what is no %s call stays text: %s', (syntax, answer) => {
    expect(readToolCalls(answer, TOOL_SYNTAXES[syntax], NAMES)).toEqual({ text: answer, calls: [] })
  })

  it('pieces of any size give the same', () => {
    const random = randomNumbers(3)
    for (const { syntax, answer, text, calls } of CASES) {
      for (let run = 0; run < 20; run++) {
        const reader = new ToolCallReader(TOOL_SYNTAXES[syntax], NAMES)
        const events: ToolCallEvent[] = []
        for (let at = 0; at < answer.length; ) {
          const length = 1 + Math.floor(random() * 9)
          events.push(...reader.push(answer.slice(at, at + length)))
          at += length
        }
        events.push(...reader.end())
        const told = events.flatMap((event) => (event.kind === 'text' ? [event.text] : [])).join('')
        const args = calls.map((_, index) =>
          events.flatMap((event) => (event.kind === 'arguments' && event.index === index ? [event.text] : [])).join(''),
        )
        expect([told, args]).toEqual([text, calls.map(([, given]) => given)])
      }
    }
  })

  it('arguments come while they are written, and a call that breaks off says what was not told', () => {
    const reader = new ToolCallReader(TOOL_SYNTAXES.hermes, NAMES)
    expect(reader.push('<tool_call>{"name": "add", "arguments": {"a"')).toEqual([
      { kind: 'call', index: 0, name: 'add' },
      { kind: 'arguments', index: 0, text: '{"a"' },
    ])
    expect(reader.push(': 1')).toEqual([{ kind: 'arguments', index: 0, text: ': 1' }])
    expect(reader.push(' x')).toEqual([
      { kind: 'arguments', index: 0, text: ' ' },
      { kind: 'broken', index: 0, text: '<tool_call>{"name": "add", "arguments": {"a": 1 ', rest: '' },
      { kind: 'text', text: 'x' },
    ])
  })

  it('text beside random damage is never lost', () => {
    const random = randomNumbers(11)
    // The ids of calls are not told: answers get their own.
    for (const { syntax, answer } of CASES.filter((one) => !one.answer.includes('"id"'))) {
      for (let run = 0; run < 200; run++) {
        const at = Math.floor(random() * answer.length)
        const damaged = `${answer.slice(0, at)}\u00a7${answer.slice(at + 1)}`
        const { text, calls } = readToolCalls(damaged, TOOL_SYNTAXES[syntax], NAMES)
        const all = text + calls.map((call) => call.name + call.arguments).join('')
        expect(all, damaged).toContain('\u00a7')
        for (const call of calls) expect(() => JSON.parse(call.arguments) as unknown).not.toThrow()
      }
    }
  })
})
