/** @file Rendering of chat templates and the variables they see. */

import { describe, expect, it } from 'vitest'
import { ChatTemplate } from '../../src/tokenizer/chat-template.js'
import { CHATML_GENERATION } from '../support/chat-templates.js'

const messages = [
  { role: 'user', content: 'Hi' },
  { role: 'assistant', content: 'Hello' },
]

describe('ChatTemplate', () => {
  it('knows messages, special tokens, tools and further variables', () => {
    const template = new ChatTemplate(
      '{{ bos_token }}{{ messages | length }}{{ tools[0].name if tools else "none" }}{{ thinking }}{{ eos_token }}',
      { bos_token: '<s>', eos_token: '</s>' },
    )
    expect(template.render(messages, { tools: [{ name: 'add' }], variables: { thinking: ' on' } })).toBe(
      '<s>2add on</s>',
    )
    expect(template.render(messages, { tools: [] })).toBe('<s>2none</s>')
  })

  it('tells one date for every row, in English whatever the locale', () => {
    const now = new Date(2024, 2, 5, 9, 7)
    const template = new ChatTemplate("{{ strftime_now('%d %b %Y, %B %A %y-%m %H:%M %% %Q') }}", {}, now)
    expect(template.render(messages)).toBe('05 Mar 2024, March Tuesday 24-03 09:07 % %Q')
  })

  it('counts like Python', () => {
    const template = new ChatTemplate(
      '{{ range(3) | join(",") }} {{ range(1, 4) | join(",") }} {{ range(5, 0, -2) | join(",") }}',
    )
    expect(template.render(messages)).toBe('0,1,2 1,2,3 5,3,1')
  })

  it('passes on what a template says when it refuses, and a syntax error', () => {
    const refusing = new ChatTemplate("{{ raise_exception('Roles must alternate') }}")
    expect(() => refusing.render(messages)).toThrow('[chat template] Roles must alternate')
    expect(() => new ChatTemplate('{% if %}')).toThrow('[chat template] expected a Jinja template, got a syntax error')
  })

  it('finds what generation tags mark, at every kind of white space control', () => {
    const marked = new ChatTemplate(CHATML_GENERATION).renderMarked(messages)
    expect(marked?.text).toBe('<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n')
    expect(marked?.spans.map(({ start, end }) => marked.text.slice(start, end))).toEqual(['Hello<|im_end|>'])
    for (const [open, close] of [
      ['{% generation %}', '{% endgeneration %}'],
      ['{%- generation -%}', '{%- endgeneration -%}'],
    ]) {
      const template = new ChatTemplate(`a \n  ${open}\n {{ messages[1].content }} \n  ${close}\n b`)
      const { text, spans } = template.renderMarked(messages) ?? { text: '', spans: [] }
      expect(text).toBe(template.render(messages))
      expect(spans).toHaveLength(1)
      expect(text.slice(spans[0]?.start, spans[0]?.end).trim()).toBe('Hello')
    }
  })

  it('marks nothing where a template has no generation tags', () => {
    expect(new ChatTemplate('{{ messages[0].content }}').renderMarked(messages)).toBeUndefined()
  })
})
