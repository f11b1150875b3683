/** @file Forms of rows beside messages, completions, Alpaca and text: what each is read into, and who refuses it. */

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { RowFormName } from '../../src/data/forms/row-form.js'
import { recognizeRow } from '../../src/data/row-forms.js'
import { sequenceRow } from '../support/read-rows.js'

const user = (content: string) => ({ role: 'user', content })
const assistant = (content: string) => ({ role: 'assistant', content })
const system = (content: string) => ({ role: 'system', content })
const read = (row: object, rowForm?: RowFormName): object => {
  const { origin: _, ...content } = recognizeRow(row, { file: 'train.jsonl', line: 7 }, rowForm)
  return content
}
const fail = (row: object, text: string, rowForm?: RowFormName): void =>
  expect(() => recognizeRow(row, { file: 'train.jsonl', line: 7 }, rowForm)).toThrow(text)

describe('rows of texts', () => {
  it.each<[string, object, object]>([
    [
      'Alpaca with a system message and a history',
      { instruction: 'i', input: 'n', output: 'o', system: 's', history: [['q', 'a']] },
      { form: 'messages', messages: [system('s'), user('q'), assistant('a'), user('i\nn'), assistant('o')] },
    ],
    [
      'Alpaca with an empty history',
      { instruction: 'i', output: 'o', system: '', history: [] },
      { form: 'alpaca', instruction: 'i', input: '', output: 'o' },
    ],
    [
      "Dolly's instruction, context and response",
      { instruction: 'i', context: 'c', response: 'r' },
      { form: 'alpaca', instruction: 'i', input: 'c', output: 'r' },
    ],
    [
      "GPTeacher's instruction, input and response",
      { instruction: 'i', input: 'n', response: 'r' },
      { form: 'alpaca', instruction: 'i', input: 'n', output: 'r' },
    ],
    [
      "Open Assistant's INSTRUCTION and RESPONSE",
      { INSTRUCTION: 'i', RESPONSE: 'r' },
      { form: 'alpaca', instruction: 'i', input: '', output: 'r' },
    ],
    [
      'instruction and response with a system message',
      { instruction: 'i', context: 'c', response: 'r', system: 's' },
      { form: 'messages', messages: [system('s'), user('i\nc'), assistant('r')] },
    ],
    [
      'question and answer',
      { question: 'q', answer: 'a' },
      { form: 'messages', messages: [user('q'), assistant('a')] },
    ],
    [
      'a question about a context',
      { article: 'c', question: 'q', answer: 'a' },
      { form: 'messages', messages: [user('q\nc'), assistant('a')] },
    ],
    [
      'a question of a category',
      { category: 'c', question: 'q', answer: 'a' },
      { form: 'messages', messages: [user('q\nc'), assistant('a')] },
    ],
    [
      "OpenOrca's system prompt, question and response",
      { system_prompt: 's', question: 'q', response: 'a' },
      { form: 'messages', messages: [system('s'), user('q'), assistant('a')] },
    ],
    [
      'article and summary',
      { article: 'x', summary: 'y' },
      { form: 'messages', messages: [user('x'), assistant('y')] },
    ],
    [
      "CAMEL's two messages",
      { message_1: 'x', message_2: 'y' },
      { form: 'messages', messages: [user('x'), assistant('y')] },
    ],
    [
      "Metharme's prompt and generation",
      { prompt: 'p', generation: 'g' },
      { form: 'completion', prompt: 'p', completion: 'g' },
    ],
    ['prompt and response', { prompt: 'p', response: 'g' }, { form: 'completion', prompt: 'p', completion: 'g' }],
    [
      'segments',
      {
        segments: [
          { label: false, text: 'a' },
          { label: true, text: 'b' },
        ],
      },
      {
        form: 'segments',
        segments: [
          { text: 'a', isLearnt: false },
          { text: 'b', isLearnt: true },
        ],
      },
    ],
    [
      "Vertex's contents",
      {
        systemInstruction: { role: 'system', parts: [{ text: 's' }] },
        contents: [
          { role: 'user', parts: [{ text: 'q' }] },
          { role: 'model', parts: [{ text: 'a' }] },
        ],
      },
      {
        form: 'messages',
        messages: [
          { role: 'system', content: [{ type: 'text', text: 's' }] },
          { role: 'user', content: [{ type: 'text', text: 'q' }] },
          { role: 'assistant', content: [{ type: 'text', text: 'a' }] },
        ],
      },
    ],
  ])('are read: %s', (_, row, content) => {
    expect(read(row)).toEqual(content)
  })

  it('rows with further columns keep the form that they had before others were known', () => {
    const more = { question: 'q', answer: 'a', response: 'r', context: 'c', input_ids: [1], label: 'x', segments: [] }
    expect(read({ text: 't', ...more })).toMatchObject({ form: 'text' })
    expect(read({ prompt: 'p', completion: 'c', ...more })).toMatchObject({ form: 'completion' })
    expect(read({ instruction: 'i', output: 'o', ...more })).toMatchObject({ form: 'alpaca' })
    expect(read({ messages: [user('a')], ...more })).toMatchObject({ form: 'messages' })
  })

  it('rows of texts that cannot be read are refused by row and place', () => {
    fail(
      { instruction: 'i', output: 'o', history: ['q', 'a'] },
      'expected [question, answer], two strings, for history[0]',
    )
    fail(
      { segments: [{ label: 1, text: 'a' }] },
      'expected { label, text }, true or false and a string, for segments[0]',
    )
    fail({ segments: [] }, 'expected a list of { label, text } for segments in train.jsonl:7, got []')
    fail({ contents: [{ role: 'assistant', parts: [] }] }, "expected 'user' or 'model' for contents[0].role")
    const parts = [{ text: 'a' }, { functionCall: { name: 'f' } }]
    fail({ contents: [{ role: 'user', parts }] }, 'expected { text } alone for contents[0].parts[1] in train.jsonl:7')
  })
})

describe('rowForm', () => {
  it('reads rows as the form that it names', () => {
    const row = { instruction: 'i', input: 'n', output: 'o', reflection: 'r', corrected: 'c' }
    expect(read(row)).toMatchObject({ form: 'alpaca', output: 'o', ignoredColumns: ['reflection', 'corrected'] })
    expect(read(row, 'reflection')).toEqual({ form: 'alpaca', instruction: 'i', input: 'n', output: 'o\n\nr\n\nc' })
    expect(read({ instruction: 'i', input: 'n', output: 'o' }, 'alpacaMessages')).toEqual({
      form: 'messages',
      messages: [user('i\nn'), assistant('o')],
    })
    expect(read({ text: 't', label: 'spam' }, 'classification')).toEqual({
      form: 'classification',
      text: 't',
      label: 'spam',
    })
    const both = { prompt: 'p', completion: 'c', text: 't' }
    expect(read(both, 'text')).toMatchObject({ form: 'text', text: 't' })
  })

  it('names the columns of the form that a row lacks', () => {
    fail(
      { prompt: 'p' },
      '[data] expected the columns question and answer, question and response, article and summary, or message_1 and ' +
        'message_2 of rowForm "questionAnswer" in train.jsonl:7, got prompt',
      'questionAnswer',
    )
  })
})

describe('rows of token ids', () => {
  it('are read with labels and masks, padding left out, from lists and from typed arrays', () => {
    const row = { input_ids: [9, 5, 6, 7], labels: [-100, -100, 6, 7], attention_mask: [0, 1, 1, 1] }
    const content = { form: 'tokens', inputIds: Int32Array.of(5, 6, 7), labelled: Uint8Array.of(0, 1, 1) }
    expect(read(row)).toEqual(content)
    expect(
      read({ input_ids: BigInt64Array.of(5n, 6n), completion_mask: [false, true], token_type_ids: [0, 0] }),
    ).toEqual({ form: 'tokens', inputIds: Int32Array.of(5, 6), completionMask: Uint8Array.of(0, 1) })
    expect(read({ input_ids: [5], assistant_masks: [1] })).toEqual({
      form: 'tokens',
      inputIds: Int32Array.of(5),
      assistantMask: Uint8Array.of(1),
    })
  })

  it('are refused by row where a value is none', () => {
    fail({ input_ids: 'text' }, 'expected a list of token ids for input_ids in train.jsonl:7, got "text"')
    fail({ input_ids: [1, 2.5] }, 'expected a whole number for input_ids[1] in train.jsonl:7, got 2.5')
    fail({ input_ids: [1, 2], labels: [1] }, 'expected 2 values for labels in train.jsonl:7, as input_ids has, got 1')
    fail({ input_ids: [1, 2], labels: [1, 3] }, 'expected -100 or the id 2 for labels[1] in train.jsonl:7, got 3')
    fail({ input_ids: [1], assistant_masks: [2] }, 'expected 0 or 1 for assistant_masks[0] in train.jsonl:7, got 2')
    fail({ input_ids: [1, 2, 3], attention_mask: [1, 0, 1] }, 'expected 0 at the ends of attention_mask alone')
    fail({ input_ids: [1, 2], seq_lengths: [1, 1] }, 'expected one sequence for each row, got seq_lengths of 2')
  })
})

describe('rows of other objectives', () => {
  const completion = (text: string) => ({ form: 'completion', prompt: 'p', completion: text })
  const conversation = (...messages: object[]) => ({
    form: 'conversation',
    promptMessages: messages.length - 1,
    messages,
  })
  const pair = (chosen: object, rejected: object) => ({ form: 'preference', chosen, rejected })
  const chat = pair(conversation(user('p'), assistant('c')), conversation(user('p'), assistant('r')))
  const withSystem = pair(
    conversation(system('s'), user('p'), assistant('c')),
    conversation(system('s'), user('p'), assistant('r')),
  )
  const cases: [string, object, object, string][] = [
    ['TRL, texts', { prompt: 'p', chosen: 'c', rejected: 'r' }, pair(completion('c'), completion('r')), 'DPO'],
    ['TRL, messages', { prompt: [user('p')], chosen: [assistant('c')], rejected: [assistant('r')] }, chat, 'DPO'],
    [
      'TRL, texts that hold their prompt',
      { chosen: 'It is blue.', rejected: 'It is red.' },
      pair(
        { form: 'completion', prompt: 'It is', completion: ' blue.' },
        { form: 'completion', prompt: 'It is', completion: ' red.' },
      ),
      'DPO',
    ],
    [
      'TRL, messages that hold their prompt',
      { chosen: [user('p'), assistant('c')], rejected: [user('p'), assistant('r')] },
      chat,
      'DPO',
    ],
    [
      'UltraFeedback',
      { prompt: 'p', chosen: [user('p'), assistant('c')], rejected: [user('p'), assistant('r')] },
      chat,
      'DPO',
    ],
    ['a text and lists of answers', { prompt: 'p', chosen: [assistant('c')], rejected: [assistant('r')] }, chat, 'DPO'],
    [
      'OpenAI',
      {
        input: { messages: [user('p')], tools: [], parallel_tool_calls: true },
        preferred_output: [assistant('c')],
        non_preferred_output: [assistant('r')],
      },
      chat,
      'DPO',
    ],
    [
      'LLaMA-Factory, ShareGPT',
      {
        conversations: [{ from: 'human', value: 'p' }],
        chosen: { from: 'gpt', value: 'c' },
        rejected: { from: 'gpt', value: 'r' },
        system: 's',
      },
      withSystem,
      'DPO',
    ],
    [
      'LLaMA-Factory, Alpaca',
      { instruction: 'p', input: '', chosen: 'c', rejected: 'r', system: 's', history: [] },
      withSystem,
      'DPO',
    ],
    [
      'Axolotl, argilla',
      { system: 's', instruction: 'p', chosen_response: 'c', rejected_response: 'r' },
      withSystem,
      'DPO',
    ],
    ['Axolotl, icr', { system: 's', input: 'p', chosen: 'c', rejected: 'r' }, withSystem, 'DPO'],
    ['Axolotl, intel', { system: 's', question: 'p', chosen: 'c', rejected: 'r' }, withSystem, 'DPO'],
    ['Axolotl, prompt_pairs', { system: 's', prompt: 'p', chosen: 'c', rejected: 'r' }, withSystem, 'DPO'],
    [
      'TRL, a labelled answer',
      { prompt: 'p', completion: 'c', label: false },
      { form: 'labelled', answer: completion('c'), label: false },
      'KTO',
    ],
    [
      'LLaMA-Factory, a labelled conversation',
      {
        conversations: [
          { from: 'human', value: 'p' },
          { from: 'gpt', value: 'c' },
        ],
        kto_tag: true,
      },
      { form: 'labelled', answer: { form: 'messages', messages: [user('p'), assistant('c')] }, label: true },
      'KTO',
    ],
    [
      'LLaMA-Factory, a labelled instruction',
      { instruction: 'i', output: 'o', kto_tag: false },
      { form: 'labelled', answer: { form: 'alpaca', instruction: 'i', input: '', output: 'o' }, label: false },
      'KTO',
    ],
    [
      'TRL, labelled steps',
      { prompt: 'p', completions: ['a', 'b'], labels: [true, false] },
      { form: 'stepwise', prompt: 'p', completions: ['a', 'b'], labels: [true, false] },
      'a process reward model',
    ],
    ['TRL, a prompt alone', { prompt: 'p' }, { form: 'prompt', prompt: 'p' }, 'GRPO'],
    [
      'TRL, messages of a prompt alone',
      { prompt: [user('p')] },
      { form: 'prompt', prompt: { messages: [user('p')] } },
      'GRPO',
    ],
  ]

  it.each(cases)('are read: %s', (_, row, content) => {
    expect(read(row)).toEqual(content)
  })

  it.each(cases)(
    'are refused by supervised fine-tuning, which names the one that they are for: %s',
    (_, row, __, of) => {
      expect(() => sequenceRow(row, { file: 'train.jsonl', line: 7 })).toThrow(
        new RegExp(
          `^\\[sft\\] expected rows of texts or conversations to learn, got .* in train\\.jsonl:7, which are for ${of}; `,
        ),
      )
    },
  )

  it('rows that the page of forms shows for other objectives are read, and refused by supervised fine-tuning', () => {
    const page = readFileSync(new URL('../../docs/row-forms.md', import.meta.url), 'utf8')
    const shown = [...page.matchAll(/```json\n(.*)\n```/g)].map(([, row = '']) => JSON.parse(row) as object)
    expect(shown.map((row) => recognizeRow(row, { row: 1 }).form)).toEqual([
      'preference',
      'preference',
      'labelled',
      'stepwise',
      'prompt',
    ])
    for (const row of shown) expect(() => sequenceRow(row, { row: 1 })).toThrow('[sft] ')
  })

  it("OpenAI's prompts for reinforcement, and classes, are named by rowForm", () => {
    const row = { messages: [user('p')], reference_answer: '4' }
    expect(read(row, 'prompt')).toEqual({
      form: 'prompt',
      prompt: { messages: [user('p')] },
      ignoredColumns: ['reference_answer'],
    })
    expect(() => sequenceRow(row, { row: 1 }, 'prompt')).toThrow(
      'got prompts without an answer in row 1, which are for GRPO',
    )
    expect(() => sequenceRow({ text: 't', label: 1 }, { row: 1 }, 'classification')).toThrow('sequence classification')
  })

  it('rows of other objectives that are not whole are refused by row and column', () => {
    fail({ prompt: 'p', completions: ['a'], labels: [] }, 'expected a label for each of 1 completions in train.jsonl:7')
    fail({ prompt: 'p', completions: 'a', labels: [] }, 'expected a list of strings for completions in train.jsonl:7')
    fail({ prompt: 'p', chosen: 'c', rejected: 5 }, 'for prompt and rejected in train.jsonl:7, got "p" and 5')
    fail({ prompt: 'p', chosen: [assistant('c')], rejected: 'r' }, 'for prompt and chosen in train.jsonl:7')
    fail(
      { input: 'p', preferred_output: [], non_preferred_output: [] },
      'expected { messages, tools } for a preference',
    )
  })
})
