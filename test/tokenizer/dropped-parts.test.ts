/** @file Finding what a template has no place for. */

import { describe, expect, it } from 'vitest'
import { ChatTemplate, type RenderOptions } from '../../src/tokenizer/chat-template.js'
import { droppedParts } from '../../src/tokenizer/dropped-parts.js'
import { CHATML, ZEPHYR } from '../support/chat-templates.js'

type Messages = Parameters<ChatTemplate['render']>[0]

function dropped(source: string, messages: Messages, options: RenderOptions = {}) {
  const template = new ChatTemplate(source, { eos_token: '</s>' })
  return droppedParts(template, messages, options, template.render(messages, options))
}

const calls = [{ type: 'function', function: { name: 'get_weather', arguments: { city: 'Köln' } } }]
const tools = [{ type: 'function', function: { name: 'get_weather', parameters: {} } }]

describe('droppedParts', () => {
  it('finds nothing where all of a conversation is printed, however it is changed on the way', () => {
    const messages = [
      { role: 'system', content: 'S' },
      { role: 'user', content: '  Which weather is it in Cologne?  ' },
      { role: 'assistant', content: 'answer' },
    ]
    expect(dropped(CHATML, messages)).toEqual([])
    expect(
      dropped(CHATML.replace("message['content']", "message['content'] | upper | replace('E', '*')"), messages),
    ).toEqual([])
    const echo = '{{ messages | tojson }}{{ tools | tojson }}'
    expect(dropped(echo, [...messages, { role: 'assistant', content: '', tool_calls: calls }], { tools })).toEqual([])
  })

  it('names tools, calls, results and system messages that a template passes over', () => {
    const messages = [
      { role: 'system', content: 'You answer in rhymes only.' },
      { role: 'user', content: 'Which weather is it in Cologne?' },
      { role: 'assistant', content: '', tool_calls: calls },
      { role: 'tool', content: '{"celsius": 21.5}' },
      { role: 'assistant', content: 'It is warm.' },
    ]
    expect(dropped(CHATML, messages, { tools })).toEqual([{ kind: 'tools' }, { kind: 'tool_calls', message: 2 }])
    expect(dropped(ZEPHYR, messages)).toEqual([
      { kind: 'tool_calls', message: 2 },
      { kind: 'message', message: 3 },
    ])
    const fetchesAll =
      "{% for m in messages %}{% set text = m.content %}{% if m.role != 'system' and m.tool_calls is not defined %}{{ text }}{% endif %}{% endfor %}"
    expect(dropped(fetchesAll, messages)).toEqual([
      { kind: 'system', message: 0 },
      { kind: 'tool_calls', message: 2 },
    ])
  })

  it('counts reasoning as dropped only where none of it is printed', () => {
    const turns = (place: string) => `{% for m in messages %}${place}{{ m.content }}{% endfor %}`
    const messages = [
      { role: 'user', content: 'Which weather is it?' },
      { role: 'assistant', reasoning_content: 'Looking at the sky first', content: 'It is sunny.' },
      { role: 'user', content: 'And tomorrow, what?' },
      { role: 'assistant', reasoning_content: 'Asking the forecast now', content: 'It will rain.' },
    ]
    expect(dropped(turns(''), messages)).toEqual([
      { kind: 'reasoning', message: 1 },
      { kind: 'reasoning', message: 3 },
    ])
    expect(dropped(turns('{% if loop.last %}{{ m.reasoning_content }}{% endif %}'), messages)).toEqual([])
  })
})
