/**
 * @file Turns of templates that end a conversation in another way than the turns within it: Phi 3, Phi 3.5 and gpt-oss.
 */

import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { renderAssistantSpans } from '../../src/tokenizer/assistant-spans.js'
import { type ChatMessage, type ChatRenderer, ChatTemplate } from '../../src/tokenizer/chat-template.js'
import { createTokenizer } from '../../src/tokenizer/tokenizer.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

const path = new URL('../golden/templates/trl.json.gz', import.meta.url)
const { sources } = JSON.parse(gunzipSync(readFileSync(path)).toString()) as { sources: Record<string, string> }

const SPECIAL = [
  '<|user|>',
  '<|assistant|>',
  '<|end|>',
  '<|start|>',
  '<|channel|>',
  '<|message|>',
  '<|return|>',
  '<|call|>',
]

function tokenizerOf() {
  const files = tinyByteLevelTokenizer({ chatTemplate: '', eosToken: '</s>' })
  const json = files.tokenizer as { added_tokens: { id: number; content: string }[] }
  const first = Math.max(...json.added_tokens.map(({ id }) => id)) + 1
  SPECIAL.filter((content) => !json.added_tokens.some((token) => token.content === content)).forEach(
    (content, index) => {
      const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
      json.added_tokens.push({ id: first + index, content, ...flags })
    },
  )
  return createTokenizer(files.tokenizer, files.config)
}

/** The learnt parts of a conversation, and how many renderings it took to find them. */
function learnt(name: string, messages: ChatMessage[]) {
  const template = new ChatTemplate(sources[name] as string, { eos_token: '</s>', bos_token: '<s>' })
  let renderings = 0
  const renderer: ChatRenderer = {
    render: (given, options) => {
      renderings++
      return template.render(given, options)
    },
    renderTraced: (given, options) => template.renderTraced(given, options),
  }
  const { text, spans } = renderAssistantSpans(tokenizerOf(), renderer, messages)
  return { parts: spans.map(({ start, end }) => text.slice(start, end)), text, renderings }
}

/** What the template that TRL trains with marks. */
function marked(name: string, messages: ChatMessage[]) {
  const template = new ChatTemplate(sources[name] as string, { eos_token: '</s>', bos_token: '<s>' })
  const { text, spans } = template.renderTraced(messages)
  return { parts: (spans ?? []).map(({ start, end }) => text.slice(start, end)), text }
}

const exchange = (turn: number): ChatMessage[] => [
  { role: 'user', content: `question ${turn}` },
  { role: 'assistant', content: `answer ${turn} \u{1f680}` },
]
const short = [0, 1, 2].flatMap(exchange)

describe('turns of a template that ends a conversation in a way of its own', () => {
  it.each(['phi3', 'phi3_5'])('are found in %s, whose end-of-text token stands behind the last turn', (name) => {
    const { parts, text } = learnt(`${name}.jinja`, short)
    const training = marked(`${name}_training.jinja`, short)
    expect(text).toBe(training.text)
    // The training template marks the last token by itself, and the line ends that no model generates.
    expect(parts.map((part) => part.replace('\n</s>', ''))).toEqual(
      training.parts.filter((part) => part !== '</s>').map((part) => part.trimEnd()),
    )
    expect(parts.at(-1)).toBe('answer 2 \u{1f680}<|end|>\n</s>')
  })

  it('are found in gpt-oss, whose last turn ends with another token than those before it', () => {
    const { parts, text } = learnt('gptoss.jinja', short)
    const training = marked('gptoss_training.jinja', short)
    expect(text).toBe(training.text)
    expect(parts).toEqual(training.parts.map((part) => part.replace('<|start|>assistant', '')))
    expect(parts.map((part) => part.slice(-9))).toEqual([
      ' \u{1f680}<|end|>'.slice(-9),
      ' \u{1f680}<|end|>'.slice(-9),
      '|return|>',
    ])
  })

  it('are found in gpt-oss where the thoughts of earlier turns are left out', () => {
    const messages = short.map((message) => {
      return message.role === 'assistant' ? { ...message, thinking: 'let me think' } : message
    })
    const { parts } = learnt('gptoss.jinja', messages)
    expect(parts).toEqual([
      '<|channel|>final<|message|>answer 0 \u{1f680}<|end|>',
      '<|channel|>final<|message|>answer 1 \u{1f680}<|end|>',
      '<|channel|>analysis<|message|>let me think<|end|><|start|>assistant<|channel|>final<|message|>answer 2 \u{1f680}<|return|>',
    ])
  })

  it.each(['phi3', 'gptoss'])('take as many renderings in a long conversation as in a longer one, with %s', (name) => {
    const long = learnt(`${name}.jinja`, Array.from({ length: 50 }, (_, turn) => exchange(turn)).flat())
    const longer = learnt(`${name}.jinja`, Array.from({ length: 200 }, (_, turn) => exchange(turn)).flat())
    expect(long.parts).toHaveLength(50)
    expect(longer.parts).toHaveLength(200)
    expect(longer.parts[150]).toMatch(/answer 150 \u{1f680}<\|end\|>$/u)
    expect(longer.renderings).toBe(long.renderings)
  })
})
