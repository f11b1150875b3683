/** @file Contents of rows with tools reach the template that is meant for tools in the form that it reads. */

import { describe, expect, it } from 'vitest'
import { chatRenderer } from '../../src/data/chat-renderer.js'
import { encodeRow } from '../../src/data/examples.js'
import { ChatTemplate } from '../../src/tokenizer/chat-template.js'
import { createTokenizer } from '../../src/tokenizer/tokenizer.js'
import { CHATML } from '../support/chat-templates.js'
import { sequenceRow } from '../support/read-rows.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

const STRINGS = CHATML
const PARTS =
  '{% for m in messages %}<|im_start|>{{ m.role }}\n{% for part in m.content %}[{{ part.text }}]{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}'
const tools = [{ type: 'function', function: { name: 'f', parameters: {} } }]
const parts = [
  { type: 'text', text: 'a' },
  { type: 'text', text: 'b' },
]

describe('a template named tool_use', () => {
  it.each([
    ['takes parts, the default one strings', STRINGS, PARTS, 'ab', '[a][b]'],
    ['takes strings, the default one parts', PARTS, STRINGS, '[a][b]', 'ab'],
  ])('%s: each row has its contents as its template reads them', (_, first, toolUse, plain, withTools) => {
    const { tokenizer: json, config } = tinyByteLevelTokenizer()
    const chat_template = [
      { name: 'default', template: first },
      { name: 'tool_use', template: toolUse },
    ]
    const tokenizer = createTokenizer(json, { ...config, chat_template })
    const renderer = chatRenderer(tokenizer)
    const messages = [
      { role: 'user', content: parts },
      { role: 'assistant', content: parts },
    ]
    const options = { maxLength: 512, completionOnlyLoss: true, assistantOnlyLoss: true }
    const text = (row: object) =>
      tokenizer.decode(encodeRow(sequenceRow(row, { row: 1 }), tokenizer, renderer, options).example.inputIds)
    const wanted = (content: string) =>
      `<|im_start|>user\n${content}<|im_end|>\n<|im_start|>assistant\n${content}<|im_end|>\n`
    // In both orders: what was found out of one template is not taken for the other.
    for (const [row, content] of [
      [{ messages }, plain],
      [{ messages, tools }, withTools],
      [{ messages }, plain],
    ] as const)
      expect(text(row)).toBe(wanted(content))
  })

  it('alone is asked about with tools, since it refuses messages without them', () => {
    expect(new ChatTemplate({ tool_use: PARTS }).contentFormOf('user')).toBe('parts')
    expect(new ChatTemplate({ tool_use: STRINGS }).contentFormOf('user', { tools })).toBe('string')
  })
})
