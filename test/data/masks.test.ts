/**
 * @file What is learnt of a conversation, as a round trip: the tokens that the loss counts decode to the answers, to
 * the character, whatever the template and whatever is left out.
 */

import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { IGNORE_INDEX } from '../../src/architecture/ragged-batch.js'
import { chatRenderer } from '../../src/data/chat-renderer.js'
import { type EncodeRowOptions, encodeRow } from '../../src/data/examples.js'
import { NAMED_TEMPLATES } from '../../src/tokenizer/named-templates.js'
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { CHATML, LLAMA3 } from '../support/chat-templates.js'
import { sequenceRow } from '../support/read-rows.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

const trl = JSON.parse(
  gunzipSync(readFileSync(new URL('../golden/templates/trl.json.gz', import.meta.url))).toString(),
) as { sources: Record<string, string> }

function build(chatTemplate: string): Tokenizer {
  const { tokenizer, config } = tinyByteLevelTokenizer({ chatTemplate, bosToken: '<|begin_of_text|>' })
  return createTokenizer(tokenizer, config)
}

/** The text of each run of tokens that is learnt. */
function learnt(chatTemplate: string, row: object, options: Partial<EncodeRowOptions> = {}): string[] {
  const tokenizer = build(chatTemplate)
  const all = { maxLength: 4096, completionOnlyLoss: true, assistantOnlyLoss: true, ...options }
  const { inputIds, labels } = encodeRow(sequenceRow(row, { row: 1 }), tokenizer, chatRenderer(tokenizer), all).example
  const runs: number[][] = []
  let isInside = false
  for (const [at, id] of inputIds.entries()) {
    const isLearnt = labels[at] !== IGNORE_INDEX
    if (isLearnt && !isInside) runs.push([])
    if (isLearnt) runs.at(-1)?.push(id)
    isInside = isLearnt
  }
  return runs.map((run) => tokenizer.decode(run))
}

const user = (content: string) => ({ role: 'user', content })
const assistant = (content: string, more: object = {}) => ({ role: 'assistant', content, ...more })
const answers = ['Paris', ' d\u00e9j\u00e0 vu \u{1f600}', 'one\n\ntwo  three']
const turns = answers.flatMap((answer, index) => [user(`Question ${index}?`), assistant(answer)])

describe('the tokens that are learnt', () => {
  it.each([
    ['ChatML', CHATML, '<|im_end|>', (text: string) => text],
    ['Llama 3', LLAMA3, '<|eot_id|>', (text: string) => text.trim()],
    ['Phi 3', trl.sources['phi3.jinja'] as string, '<|end|>\n', (text: string) => text],
    ['Gemma', trl.sources['gemma.jinja'] as string, '<end_of_turn>\n', (text: string) => text.trim()],
  ])('are exactly the answers with what ends each: %s', (_, template, end, written) => {
    const runs = learnt(template, { messages: turns })
    expect(runs.map((run) => run.replace(/<\/s>$/, '').trimEnd())).toEqual(
      answers.map((answer) => written(answer) + end.trimEnd()),
    )
    expect(learnt(template, { messages: turns }, { trainOnTurns: 'last' })).toEqual(runs.slice(-1))
  })

  const ENDS: Partial<Record<keyof typeof NAMED_TEMPLATES, string>> = {
    chatml: '<|im_end|>',
    llama3: '<|eot_id|>',
    llama4: '<|eot|>',
    gemma: '<end_of_turn>',
    phi3: '<|end|>',
    phi4: '<|im_end|>',
    'qwen2.5': '<|im_end|>',
    qwen3: '<|im_end|>',
  }

  it.each(Object.keys(NAMED_TEMPLATES) as (keyof typeof NAMED_TEMPLATES)[])(
    'are exactly the answers with what ends each in a template by name: %s',
    (name) => {
      const end = ENDS[name] ?? '</s>'
      const options = { trainOnReasoning: false }
      const runs = learnt(NAMED_TEMPLATES[name], { messages: turns }, options).map((run) => run.trim())
      // Blanks round a text stay where a template keeps them, and Phi 3 ends a conversation with another token.
      const expected = answers.map((answer) => `${answer.trim()}${name === 'llama2' ? ' ' : ''}${end}`)
      if (name === 'phi3') expected[2] += '\n</s>'
      expect(runs).toEqual(expected)
    },
  )

  it("trainOnTurns: 'last' learns the last turn of the assistant, whatever weights say of others", () => {
    const last = { trainOnTurns: 'last' } as const
    const more = [...turns, user('Bye')]
    expect(learnt(CHATML, { messages: more }, last)).toEqual([`${answers[2]}<|im_end|>`])
    const weighted = turns.map((turn, index) => (index === 1 ? { ...turn, weight: 1 } : turn))
    expect(learnt(CHATML, { messages: weighted }, last)).toEqual([`${answers[2]}<|im_end|>`])
    const out = turns.map((turn, index) => (index === 5 ? { ...turn, weight: 0 } : turn))
    expect(learnt(CHATML, { messages: out }, last)).toEqual([])
    const row = { prompt: turns.slice(0, 1), completion: turns.slice(1) }
    expect(learnt(CHATML, row, last)).toEqual([`${answers[2]}<|im_end|>`])
    const mapped = [user('a'), { role: 'gpt', content: 'b' }, user('c'), { role: 'gpt', content: 'd' }]
    expect(learnt(CHATML, { messages: mapped }, { ...last, roleMapping: { gpt: 'assistant' } })).toEqual([
      'd<|im_end|>',
    ])
  })
})

describe('trainOnReasoning: false', () => {
  const QWEN3 = trl.sources['qwen3.jinja'] as string
  const off = { trainOnReasoning: false } as const
  const reasoned = [user('2 + 2?'), assistant('It is 4.', { reasoning_content: 'Two and two.\nFour' })]

  it('leaves out reasoning and its marks, and learns the answer with its end', () => {
    expect(learnt(QWEN3, { messages: reasoned })).toEqual([
      '<think>\nTwo and two.\nFour\n</think>\n\nIt is 4.<|im_end|>',
    ])
    for (const messages of [
      reasoned,
      [user('2 + 2?'), assistant('It is 4.', { thinking: '\n Two and two.\nFour ' })],
      [user('2 + 2?'), assistant('<think>\nTwo and two.\nIt is 4.\n</think>\n\nIt is 4.')],
      [user('2 + 2?'), assistant([{ type: 'text', text: '<think>a</think>It is 4.' }] as never)],
    ])
      expect(learnt(QWEN3, { messages }, off)).toEqual(['It is 4.<|im_end|>'])
    // A template that prints what it is given; the blank belongs to the answer's first token.
    expect(learnt(CHATML, { messages: [user('a'), assistant('<think> b </think> c ')] }, off)).toEqual([
      ' c <|im_end|>',
    ])
  })

  it('leaves out the empty thought that a template prints, and nothing where a template prints none', () => {
    const messages = [user('a'), assistant('b')]
    expect(learnt(QWEN3, { messages })).toEqual(['<think>\n\n</think>\n\nb<|im_end|>'])
    expect(learnt(QWEN3, { messages }, off)).toEqual(['b<|im_end|>'])
    expect(learnt(CHATML, { messages: reasoned }, off)).toEqual(['It is 4.<|im_end|>'])
    expect(learnt(CHATML, { messages: turns }, off)).toEqual(learnt(CHATML, { messages: turns }))
  })

  it('leaves out what the template keeps of earlier turns, and learns their answers', () => {
    const more = [...reasoned, user('3 + 3?'), assistant('6', { reasoning_content: 'It is 4.' })]
    expect(learnt(QWEN3, { messages: more }, off)).toEqual(['It is 4.<|im_end|>', '6<|im_end|>'])
  })

  it('learns a call of a tool behind its reasoning', () => {
    const tool_calls = [{ type: 'function', function: { name: 'add', arguments: { a: 2 } } }]
    const messages = [user('2 + 2?'), assistant('', { reasoning_content: 'I call add.', tool_calls })]
    expect(learnt(QWEN3, { messages }, off)).toEqual([
      '<tool_call>\n{"name": "add", "arguments": {"a": 2}}\n</tool_call><|im_end|>',
    ])
  })

  it('leaves out reasoning where everything else is learnt', () => {
    expect(learnt(QWEN3, { messages: reasoned }, { ...off, assistantOnlyLoss: false })).toEqual([
      '<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n',
      'It is 4.<|im_end|>\n',
    ])
  })

  it('works with templates that mark what is generated', () => {
    const training = trl.sources['qwen3_training.jinja'] as string
    expect(learnt(training, { messages: reasoned }, off)[0]).toMatch(/^It is 4\.<\|im_end\|>/)
  })

  it('is refused where a template rewrites the reasoning beyond finding it', () => {
    const upper = CHATML.replace("message['content']", "(message.reasoning_content or '') | upper + message['content']")
    expect(upper).not.toBe(CHATML)
    expect(() => learnt(upper, { messages: reasoned }, off)).toThrow(
      '[data] expected to find reasoning and content of message 2 in the rendered conversation',
    )
  })
})

describe('what is generated by the prompt', () => {
  it('is never learnt, also where it is more than a header', () => {
    const QWEN3 = trl.sources['qwen3.jinja'] as string
    const row = { messages: [user('a'), assistant('b')], chat_template_kwargs: { enable_thinking: false } }
    expect(learnt(QWEN3, row)).toEqual(['b<|im_end|>'])
  })
})

describe('weights', () => {
  /** What each learnt token counts, by its text. */
  function weights(row: object, options: Partial<EncodeRowOptions> = {}): [text: string, weight: number][] | undefined {
    const tokenizer = build(CHATML)
    const all = { maxLength: 4096, completionOnlyLoss: true, assistantOnlyLoss: true, ...options }
    const { example } = encodeRow(sequenceRow(row, { row: 1 }), tokenizer, chatRenderer(tokenizer), all)
    const { inputIds, labels } = example
    if (example.weights === undefined) return undefined
    const found: [string, number][] = []
    for (const [at, weight] of example.weights.entries()) {
      expect(weight > 0).toBe(labels[at] !== IGNORE_INDEX)
      const last = found.at(-1)
      const text = tokenizer.decode([inputIds[at] as number])
      if (last?.[1] === weight) last[0] += text
      else found.push([text, weight])
    }
    return found
  }

  it('weights of messages are those of all their tokens, the end included, and multiply those of rows and of parts', () => {
    const messages = [user('a'), assistant('one', { weight: 0.25 }), user('b'), assistant('two')]
    const prompt = (text: string) => `<|im_start|>user\n${text}<|im_end|>\n<|im_start|>assistant\n`
    expect(weights({ messages })).toEqual([
      [prompt('a'), 0],
      ['one<|im_end|>', 0.25],
      [`\n${prompt('b')}`, 0],
      ['two<|im_end|>', 1],
      ['\n', 0],
    ])
    expect(weights({ messages: messages.slice(0, 2), row_weight: 2 })).toEqual([
      [prompt('a'), 0],
      ['one<|im_end|>', 0.5],
      ['\n', 0],
    ])
    const parts = [{ text: 'one', weight: 3 }, { text: ' two' }]
    expect(weights({ messages: [user('a'), assistant(parts as never, { weight: 0.5 })] })).toEqual([
      [prompt('a'), 0],
      ['one', 1.5],
      [' two<|im_end|>', 0.5],
      ['\n', 0],
    ])
    expect(weights({ messages: messages.slice(0, 2) }, { assistantOnlyLoss: false })).toEqual([
      [prompt('a'), 1],
      ['one<|im_end|>', 0.25],
      ['\n', 1],
    ])
    expect(weights({ messages: messages.slice(2), row_weight: 1 })).toBeUndefined()
  })

  it('weights of rows and of their token ids are read, and refused by row where they are none', () => {
    const tokens = { input_ids: [5, 6, 7], labels: [-100, 6, 7], token_weights: [9, 0.5, 1], row_weight: 0.5 }
    const { example } = encodeRow(sequenceRow(tokens, { row: 1 }), build(CHATML), undefined, {
      maxLength: 9,
      completionOnlyLoss: true,
      assistantOnlyLoss: true,
    })
    expect([...(example.weights ?? [])]).toEqual([0, 0.25, 0.5])
    const fail = (row: object, text: string) => expect(() => sequenceRow(row, { row: 1 })).toThrow(text)
    fail({ text: 'a', row_weight: -1 }, '[data] expected a number of at least 0 for row_weight in row 1, got -1')
    fail({ input_ids: [1], token_weights: [1, 2] }, 'expected a list of 1 numbers, as input_ids has, for token_weights')
    fail({ input_ids: [1], token_weights: ['1'] }, 'expected a number of at least 0 for token_weights[0] in row 1')
    // A column of another name may mean anything.
    expect(sequenceRow({ text: 'a', weight: 3 }, { row: 1 })).toMatchObject({ ignoredColumns: ['weight'] })
  })
})

describe('parts of an answer', () => {
  it('parts of an answer that are left out are not learnt, and all else of the turn is', () => {
    const content = [
      { type: 'text', text: 'The user is rude. ', weight: 0 },
      { type: 'text', text: 'Good day.' },
    ]
    expect(learnt(CHATML, { messages: [user('Yo'), assistant(content as never)] })).toEqual(['Good day.<|im_end|>'])
  })

  it('parts of train_detail are learnt where it says so, and so is the end of the turn', () => {
    const detail = [
      { begin_offset: 0, end_offset: 3, train: true },
      { begin_offset: 4, end_offset: 8, train: false },
    ]
    const row = { messages: [user('count'), assistant('one\ntwo three four', { train_detail: detail })] }
    expect(learnt(CHATML, row)).toEqual(['one\n', '<|im_end|>'])
    expect(learnt(LLAMA3, row)).toEqual(['one\n', '<|eot_id|>'])
  })
})
