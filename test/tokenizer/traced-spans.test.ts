/**
 * @file The assistant mask of long conversations: linear in their length, and equal to what rendering the conversation
 * up to each turn gives.
 */

import { describe, expect, it } from 'vitest'
import { Random } from '../../src/random.js'
import { renderAssistantSpans } from '../../src/tokenizer/assistant-spans.js'
import { type ChatMessage, type ChatRenderer, ChatTemplate } from '../../src/tokenizer/chat-template.js'
import { findTurn, renderingOf } from '../../src/tokenizer/prefix-spans.js'
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { traceTurns } from '../../src/tokenizer/traced-spans.js'
import { commonBorders } from '../../src/tokenizer/turn-borders.js'
import { runAtOnce } from '../../src/turns.js'
import * as templates from '../support/chat-templates.js'
import { cases } from '../support/long.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

const VARIABLES = { bos_token: '<|begin_of_text|>', eos_token: '</s>' }

function build(chatTemplate: string): Tokenizer {
  const { tokenizer, config } = tinyByteLevelTokenizer({ chatTemplate, eosToken: '</s>' })
  return createTokenizer(tokenizer, config)
}

const REASONING = 4
/**
 * A conversation with the features that the bits of `kind` ask for: a system turn, tool calls, reasoning, its own
 * field.
 */
function conversation(kind: number, exchanges: number): ChatMessage[] {
  const random = new Random(kind)
  const messages: ChatMessage[] = kind & 1 ? [{ role: 'system', content: 'Be brief.' }] : []
  for (let at = 0; at < exchanges; at++) {
    messages.push({ role: 'user', content: `What is ${random.below(99)}?` })
    if (kind & 2 && random.below(3) === 0) {
      const call = { type: 'function', function: { name: 'f', arguments: { a: random.below(9) } } }
      messages.push({ role: 'assistant', content: random.below(2) ? '' : 'calling', tool_calls: [call] })
      messages.push({ role: 'tool', content: 'done' })
    }
    const thought = kind & REASONING && random.below(2) ? '<think>\nhm\n</think>\n\n' : ''
    const own = kind & 8 && random.below(2) ? { reasoning_content: 'hm' } : {}
    messages.push({ role: 'assistant', content: `${thought}${random.below(99)} and\n${random.below(9)} `, ...own })
  }
  return messages
}

/** Writes one answer in another way than all others. */
const ODD = templates.CHATML.replace('<|im_end|>', "' + ('!' if loop.index0 == 27 else '') + '<|im_end|>").replace(
  "'<|im_start|>' + message['role'] + '\\n'",
  "'<|im_start|>' + message['role'] + (' x' if loop.index0 == 31 else '') + '\\n'",
)
/** Collects what it writes, so that nothing is known of where messages stand. */
const COLLECTED = `{% set all = namespace(text='') %}{% for message in messages %}{% set all.text = all.text + '<|im_start|>' +
  message.role + '\\n' + message.content + '<|im_end|>\\n' %}{% endfor %}{{ all.text }}{% if add_generation_prompt %}{{
  '<|im_start|>assistant\\n' }}{% endif %}`

const families: Record<string, string> = { ...templates, ODD, COLLECTED }

describe('the mask of a long conversation', () => {
  it.each(Object.keys(families))('is that of the conversation up to each turn: %s', (name) => {
    const template = families[name] as string
    const tokenizer = build(template)
    const renderer = new ChatTemplate(template, VARIABLES)
    let compared = 0
    for (let kind = 0; kind < 16; kind++) {
      const messages = conversation(kind, cases(28, 90))
      let text: string
      try {
        text = renderer.render(messages)
      } catch {
        continue // A conversation that the template refuses.
      }
      const rendering = renderingOf(tokenizer, renderer, messages, { addGenerationPrompt: false }, text)
      const turns = messages.flatMap(({ role }, index) => (role === 'assistant' ? [index] : []))
      const traced = renderer.renderTraced(messages)
      const found = runAtOnce(traceTurns(rendering, turns, traced.messageOffsets))
      if (found === undefined) continue
      for (const turn of turns)
        expect(found.get(turn), `message ${turn} of ${kind}`).toEqual(runAtOnce(findTurn(rendering, turn)))
      compared++
    }
    // Those where turns cannot be told from one another are located one by one.
    const none = ['FORGETS', 'COLLECTED']
    expect(compared > 0).toBe(!none.includes(name))
  })

  it('takes the same number of renderings however long it is', () => {
    for (const template of [templates.CHATML, templates.LLAMA3, templates.DROPS_REASONING]) {
      const tokenizer = build(template)
      const counts = [100, 800].map((exchanges) => {
        const { renderer, rendered } = counting(template)
        const messages = conversation(1, exchanges)
        const { text, spans } = renderAssistantSpans(tokenizer, renderer, messages)
        expect(spans).toHaveLength(exchanges)
        for (const [at, { start, end, message }] of spans.entries()) {
          expect(message).toBe(2 * at + 2)
          const trimmed = String(messages[message ?? 0]?.content).trim()
          expect(text.slice(start, end).replace('<think>\n\n</think>\n\n', '').trim()).toMatch(
            new RegExp(`^${trimmed}\\s*<\\|(im_end|eot_id)\\|>$`),
          )
        }
        return rendered()
      })
      expect(counts[1]).toBe(counts[0])
      expect(counts[0]).toBeLessThan(40)
    }
  })

  it('is located turn by turn where one of them is written in another way, or nothing is known of their places', () => {
    for (const template of [ODD, COLLECTED]) {
      const tokenizer = build(template)
      const { renderer } = counting(template)
      const messages = conversation(0, 28)
      const { text, spans } = renderAssistantSpans(tokenizer, renderer, messages)
      expect(spans).toHaveLength(28)
      for (const { start, end, message = 0 } of spans) {
        const extra = template === ODD && message === 27 ? '!' : ''
        expect(text.slice(start, end)).toBe(`${messages[message]?.content}${extra}<|im_end|>`)
      }
    }
  })
})

function counting(template: string): { renderer: ChatRenderer; rendered: () => number } {
  const inner = new ChatTemplate(template, VARIABLES)
  let count = 0
  const counted =
    <A extends unknown[], R>(work: (...args: A) => R) =>
    (...args: A): R => {
      count++
      return work(...args)
    }
  return {
    renderer: {
      render: counted((messages, options) => inner.render(messages, options)),
      renderTraced: counted((messages, options) => inner.renderTraced(messages, options)),
    },
    rendered: () => count,
  }
}

it('20,000 messages whose places the template hides are refused with what helps, in bounded time', () => {
  const hidden = `{% macro all(list) %}${templates.CHATML.replaceAll('messages', 'list')}{% endmacro %}{{ all(messages) }}`
  const messages = Array.from({ length: 20_000 }, (_, at) => ({
    role: at % 2 ? 'assistant' : 'user',
    content: `${at}`,
  }))
  const tokenizer = build(hidden)
  const renderer = new ChatTemplate(hidden, VARIABLES)
  const begin = process.cpuUsage()
  expect(() => renderAssistantSpans(tokenizer, renderer, messages)).toThrow(
    /hides where it writes the 10000 assistant turns of a conversation of 20000 messages .*; mark them with \{% generation %\}/,
  )
  expect(process.cpuUsage(begin).user).toBeLessThan(5_000_000)
  expect(renderAssistantSpans(tokenizer, renderer, messages.slice(0, 60)).spans).toHaveLength(30)
})

describe('commonBorders', () => {
  it('gives every ending with which the other text begins, longest first', () => {
    const random = new Random(3)
    const word = () => Array.from({ length: random.below(10) }, () => 'ab'[random.below(2)]).join('')
    for (let trial = 0; trial < 3000; trial++) {
      const [text, start] = [word(), word()]
      const expected: number[] = []
      for (let cut = 1; cut < text.length; cut++)
        if (start.startsWith(text.slice(cut))) expected.push(text.length - cut)
      expect([...commonBorders(text, start)], `${text} ${start}`).toEqual(expected)
    }
  })
})
