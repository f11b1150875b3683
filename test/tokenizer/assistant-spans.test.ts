/** @file The assistant mask: which characters and which tokens of a conversation a model learns. */

import { describe, expect, it } from 'vitest'
import { renderAssistantSpans } from '../../src/tokenizer/assistant-spans.js'
import { type ChatMessage, ChatTemplate } from '../../src/tokenizer/chat-template.js'
import { encodeWithSpans } from '../../src/tokenizer/token-spans.js'
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import * as templates from '../support/chat-templates.js'
import { tinyByteLevelTokenizer, tinySentencePieceTokenizer } from '../support/tiny-tokenizer.js'

function build(chatTemplate: string, eosToken = '</s>', make = tinyByteLevelTokenizer): Tokenizer {
  const files = make({ chatTemplate, eosToken })
  files.config.bos_token = '<|begin_of_text|>'
  return createTokenizer(files.tokenizer, files.config)
}

/** The learnt parts of a conversation, decoded from their tokens, and all of it. */
function learnt(
  tokenizer: Tokenizer,
  messages: ChatMessage[],
  first = 0,
): { parts: string[]; text: string; whole: string } {
  const renderer = new ChatTemplate(tokenizer.chatTemplate as string, tokenizer.templateVariables)
  const { text, spans } = renderAssistantSpans(tokenizer, renderer, messages, {}, first)
  const { ids, ranges } = encodeWithSpans(tokenizer, text, spans)
  expect(ids).toEqual(tokenizer.encode(text, { addSpecialTokens: false }))
  return {
    parts: ranges.map(({ start, end }) => tokenizer.decode(ids.slice(start, end))),
    text,
    whole: tokenizer.decode(ids),
  }
}

const turns: ChatMessage[] = [
  { role: 'user', content: 'What is two?' },
  { role: 'assistant', content: 'one and one' },
  { role: 'user', content: 'And three?' },
  { role: 'assistant', content: 'two and one' },
  { role: 'user', content: 'And four?' },
  { role: 'assistant', content: '\nthree \u{1f680} and one ' },
]
const system: ChatMessage = { role: 'system', content: 'Be brief.' }

const families = [
  { name: 'ChatML', template: templates.CHATML, end: '<|im_end|>', trims: false },
  {
    name: 'ChatML with a default system turn',
    template: templates.CHATML_DEFAULT_SYSTEM,
    end: '<|im_end|>',
    trims: false,
  },
  { name: 'ChatML with generation tags', template: templates.CHATML_GENERATION, end: '<|im_end|>', trims: false },
  { name: 'Llama 3, which trims', template: templates.LLAMA3, end: '<|eot_id|>', trims: true },
  { name: 'Llama 3 with an unasked prompt', template: templates.LLAMA3_ALWAYS_PROMPT, end: '<|eot_id|>', trims: true },
  { name: 'Zephyr', template: templates.ZEPHYR, end: '</s>', trims: false },
]

describe('the assistant mask', () => {
  for (const { name, template, end, trims } of families) {
    for (const withSystem of [false, true]) {
      it(`covers each answer and its end token in ${name}${withSystem ? ', after a system turn' : ''}`, () => {
        const tokenizer = build(template)
        const messages = withSystem ? [system, ...turns] : turns
        const { parts, text, whole } = learnt(tokenizer, messages)
        const answers = turns.filter((turn) => turn.role === 'assistant').map((turn) => turn.content as string)
        expect(parts).toEqual(answers.map((answer) => (trims ? answer.trim() : answer) + end))
        expect(whole).toBe(text)
      })
    }
  }

  it('covers what follows the instruction where the assistant has no header', () => {
    for (const make of [tinyByteLevelTokenizer, tinySentencePieceTokenizer]) {
      const { parts } = learnt(build(templates.LLAMA2, '</s>', make), [system, ...turns.slice(0, 4)])
      // SentencePiece drops the leading space of what it decodes first.
      expect(parts.map((part) => part.trimStart())).toEqual(['one and one </s>', 'two and one </s>'])
    }
  })

  it('works with a SentencePiece tokenizer, whose pieces do not encode as the whole does', () => {
    const { parts } = learnt(build(templates.ZEPHYR, '</s>', tinySentencePieceTokenizer), turns)
    expect(parts.map((part) => part.trim())).toEqual([
      'one and one</s>',
      'two and one</s>',
      'three \u{1f680} and one </s>',
    ])
  })

  it('follows turns that lose their reasoning when another follows', () => {
    const messages = turns.map((turn) =>
      turn.role === 'assistant'
        ? { ...turn, content: `<think>\nhm\n</think>\n\n${(turn.content as string).trim()}` }
        : turn,
    )
    const { parts } = learnt(build(templates.DROPS_REASONING), messages)
    expect(parts).toEqual([
      'one and one<|im_end|>',
      'two and one<|im_end|>',
      '<think>\nhm\n</think>\n\nthree \u{1f680} and one<|im_end|>',
    ])
    const without = learnt(build(templates.DROPS_REASONING), turns.slice(0, 4))
    expect(without.parts).toEqual(['one and one<|im_end|>', '<think>\n\n</think>\n\ntwo and one<|im_end|>'])
  })

  it('finds the content where the prompt begins with what no turn shows', () => {
    const { parts } = learnt(build(templates.PROMPTS_REASONING, '<|endoftext|>'), turns.slice(0, 4))
    expect(parts).toEqual(['one and one<|endoftext|>', 'two and one<|endoftext|>'])
  })

  it('refuses a template that leaves nothing of earlier answers, naming the message and the remedies', () => {
    expect(() => learnt(build(templates.FORGETS), turns)).toThrow(
      /expected to find the assistant turn in message 2, got a template that rewrites earlier turns: .*generation.*assistantOnlyLoss: false/,
    )
    expect(learnt(build(templates.FORGETS), turns.slice(0, 2)).parts).toEqual(['one and one<|im_end|>'])
  })

  it('takes an answer that begins the conversation and answers that follow one another', () => {
    const messages = [
      { role: 'assistant', content: 'hello' },
      { role: 'assistant', content: 'again' },
      { role: 'user', content: 'hello' },
    ]
    expect(learnt(build(templates.CHATML), messages).parts).toEqual(['hello<|im_end|>', 'again<|im_end|>'])
  })

  it('finds an answer that repeats the question or quotes the markup', () => {
    const quote = 'user\nWhat is two?<|im_end|>\n<|im_start|>assistant\n'
    const messages = [
      { role: 'user', content: quote },
      { role: 'assistant', content: quote },
      { role: 'user', content: quote },
      { role: 'assistant', content: 'two' },
    ]
    expect(learnt(build(templates.CHATML), messages).parts).toEqual([`${quote}<|im_end|>`, 'two<|im_end|>'])
  })

  it('leaves out turns before the completion', () => {
    for (const template of [templates.CHATML, templates.CHATML_GENERATION]) {
      expect(learnt(build(template), turns.slice(0, 4), 3).parts).toEqual(['two and one<|im_end|>'])
    }
  })

  it('finds nothing where nobody answers', () => {
    expect(learnt(build(templates.CHATML), turns.slice(0, 1)).parts).toEqual([])
  })
})

describe('encodeWithSpans', () => {
  const span = (text: string, part: string) => ({ start: text.indexOf(part), end: text.indexOf(part) + part.length })

  it('gives a token that crosses the beginning of a span to the span', () => {
    const tokenizer = build(templates.CHATML)
    const text = 'The France'
    const { ids, ranges } = encodeWithSpans(tokenizer, text, [{ start: 6, end: 10 }])
    expect(ids.map((id) => tokenizer.decode([id]))).toEqual(['The', ' France'])
    expect(ranges).toEqual([{ start: 1, end: 2 }])
  })

  it('gives the bytes of a character to the side that it is on', () => {
    const tokenizer = build(templates.CHATML)
    const text = 'hello \u{1f469}\u{1f680} is \u00e9'
    const { ids, ranges } = encodeWithSpans(tokenizer, text, [span(text, '\u{1f680} is'), span(text, '\u00e9')])
    expect(ranges.map(({ start, end }) => tokenizer.decode(ids.slice(start, end)))).toEqual(['\u{1f680} is', '\u00e9'])
  })

  it('takes a word whose pieces change when it goes on', () => {
    for (const make of [tinyByteLevelTokenizer, tinySentencePieceTokenizer]) {
      const tokenizer = build(templates.CHATML, '</s>', make)
      const text = 'the assistants answer'
      for (let cut = 1; cut < text.length; cut++) {
        const { ids, ranges } = encodeWithSpans(tokenizer, text, [{ start: cut, end: text.length }])
        const start = ranges[0]?.start as number
        // Whole tokens before the cut only, and as many of them as there are.
        expect(tokenizer.decode(ids.slice(0, start)).length).toBeLessThanOrEqual(cut)
        expect(tokenizer.decode(ids.slice(0, start + 1)).length).toBeGreaterThan(cut)
      }
    }
  })

  it('refuses a tokenizer whose tokens do not follow the text', () => {
    const tokenizer = build(templates.CHATML)
    const reversing: Tokenizer = {
      ...tokenizer,
      encodeWithOffsets: undefined,
      encode: (text) => tokenizer.encode([...text].reverse().join('')),
    }
    expect(() => encodeWithSpans(reversing, 'abcdefghij', [{ start: 3, end: 6 }])).toThrow(
      '[tokenizer] expected tokens to line up with the text at character 3 ("abc" | "defghij")',
    )
  })
})
