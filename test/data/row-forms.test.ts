/** @file Recognising what a row is by its columns, and what is refused of them. */

import { describe, expect, it } from 'vitest'
import { recognizeRow } from '../../src/data/row-forms.js'

describe('recognizeRow', () => {
  const messages = [{ role: 'user', content: 'Hi' }]

  it('knows each form by its columns and ignores others', () => {
    const form = (row: object) => recognizeRow(row, { row: 1 }).form
    expect(form({ messages, source: 'x' })).toBe('messages')
    expect(form({ prompt: 'p', completion: 'c' })).toBe('completion')
    expect(form({ prompt: messages, completion: [{ role: 'assistant', content: 'c' }] })).toBe('conversation')
    expect(form({ instruction: 'i', input: '', output: 'o', text: 'all of it' })).toBe('alpaca')
    expect(form({ text: 't', messages: null })).toBe('text')
  })

  it('treats a missing and a null Alpaca input as empty', () => {
    for (const row of [
      { instruction: 'i', output: 'o' },
      { instruction: 'i', input: null, output: 'o' },
    ]) {
      expect(recognizeRow(row, { row: 1 })).toEqual({
        origin: { row: 1 },
        form: 'alpaca',
        instruction: 'i',
        input: '',
        output: 'o',
      })
    }
  })

  it('keeps tools and template variables', () => {
    const row = { messages, tools: [{ name: 'add' }], chat_template_kwargs: { enable_thinking: false } }
    expect(recognizeRow(row, { row: 1 })).toMatchObject({
      tools: [{ name: 'add' }],
      variables: { enable_thinking: false },
    })
    expect(() => recognizeRow({ messages, tools: { name: 'add' } }, { row: 1 })).toThrow(
      '[data] expected a list for tools in row 1, got {name}',
    )
  })

  it('names the row and the columns found where none fit', () => {
    expect(() => recognizeRow({ ask: 'q', reply: 'a' }, { file: 'train.jsonl', line: 17 })).toThrow(
      '[data] expected the columns messages, conversations, prompt and completion, instruction and output, or text in ' +
        "train.jsonl:17, got ask, reply; rename the columns, or map them, as with columns: { prompt: 'question', " +
        "completion: 'answer' } (--set training.columns.prompt=question)",
    )
    expect(() => recognizeRow({ promt: 'q', completion: 'a' }, { row: 2 })).toThrow(
      'got promt, completion; did you mean prompt for "promt"?',
    )
    expect(() => recognizeRow({ prompt: 'p', completion: null }, { row: 3 })).toThrow(
      "got prompt, completion (null: completion); write values in place of null, or leave out such rows with onError: 'skip'",
    )
    expect(() => recognizeRow({ ask: 'q', reply: null }, { row: 3 })).toThrow('(null: reply); rename the columns')
    expect(() => recognizeRow({}, { row: 3 })).toThrow('in row 3, got no columns')
  })

  it('names the row and the column of a wrong type', () => {
    const fail = (row: object, text: string) => expect(() => recognizeRow(row, { row: 9 })).toThrow(text)
    fail({ text: 5 }, '[data] expected a string for text in row 9, got 5')
    fail({ messages: [] }, '[data] expected a list of messages for messages in row 9, got []')
    fail({ messages: [{ content: 'x' }] }, 'expected { role, content } with a string for role for messages[0] in row 9')
    fail({ messages: [null] }, 'for messages[0] in row 9, got null')
    fail(
      { messages: [{ role: 'user', content: 5 }] },
      'expected a string or a list of parts for messages[0].content in row 9, got 5',
    )
    fail(
      { prompt: 'p', completion: messages },
      'expected two strings or two lists of messages for prompt and completion in row 9',
    )
    fail({ instruction: 'i', output: 'o', input: 3 }, 'expected a string for input in row 9, got 3')
  })
})
