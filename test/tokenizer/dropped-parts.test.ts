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

  const USERS_ONLY = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }};{% endif %}{% endfor %}"

  it('tells a part that is left out from the same text in another place, and short texts too', () => {
    const messages = [
      { role: 'user', content: 'first question' },
      { role: 'system', content: 'the same sentence' },
      { role: 'user', content: 'the same sentence' },
      { role: 'tool', content: 'ok' },
    ]
    expect(dropped(USERS_ONLY, messages)).toEqual([
      { kind: 'system', message: 1 },
      { kind: 'message', message: 3 },
    ])
    const short = '{% for m in messages %}{{ m.content }}{% endfor %}'
    expect(dropped(short, [{ role: 'system', content: 'S' }, ...messages])).toEqual([])
  })

  it('finds every part that is left out, however many there are between those that are printed', () => {
    const messages = Array.from({ length: 200 }, (_, turn) => ({
      role: turn % 2 ? 'user' : 'note',
      content: `text ${turn}`,
    }))
    const found = dropped(USERS_ONLY, messages)
    expect(found.map(({ message }) => message)).toEqual(Array.from({ length: 100 }, (_, turn) => 2 * turn))
  })

  it('counts calls and tools as printed where only their arguments or descriptions are', () => {
    const messages = [
      { role: 'user', content: 'x' },
      { role: 'assistant', content: '', tool_calls: calls },
      { role: 'assistant', content: '', tool_calls: [{ function: { name: 'f', arguments: '{"a": 1}' } }] },
    ]
    const described = [{ type: 'function', function: { name: 'get_weather', description: 'Weather of a city' } }]
    const prints =
      '{% for t in tools or [] %}{{ t.function.description }}{% endfor %}' +
      '{% for m in messages %}{{ m.content }}{% for c in m.tool_calls %}{{ c.function.arguments }}{% endfor %}{% endfor %}'
    expect(dropped(prints, messages, { tools: described })).toEqual([])
    expect(dropped(prints.replace('arguments', 'id'), messages, { tools })).toEqual([
      { kind: 'tools' },
      { kind: 'tool_calls', message: 1 },
      { kind: 'tool_calls', message: 2 },
    ])
  })

  it('counts a part as kept where the template cuts its end off, or only looks at it', () => {
    const messages = [
      { role: 'system', content: 'be brief' },
      { role: 'user', content: 'What is the weather?' },
    ]
    const cuts = '{% for m in messages %}{{ m.content[:4] }}{% endfor %}'
    expect(dropped(cuts, messages)).toEqual([])
    const looks = '{% for m in messages %}{{ m.content if loop.last else m.content|length }}{% endfor %}'
    expect(dropped(looks, messages)).toEqual([])
  })

  it('names nothing as left out where the template refuses every other text', () => {
    const strict =
      "{% for m in messages %}{% if 'other0text' in m.content %}{{ raise_exception('no') }}{% endif %}{% if loop.last %}{{ m.content }}{% endif %}{% endfor %}"
    const messages = [
      { role: 'system', content: 'something else' },
      { role: 'user', content: 'What is the weather?' },
    ]
    // Each other text is refused, so that nothing is known to be left out.
    expect(dropped(strict, messages)).toEqual([])
  })
})
