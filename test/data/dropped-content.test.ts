/** @file Counting what rows lose to a template, without a look at each of them. */

import { describe, expect, it } from 'vitest'
import { DroppedContent } from '../../src/data/dropped-content.js'
import { type ChatMessage, ChatTemplate, type RenderOptions } from '../../src/tokenizer/chat-template.js'
import { runAtOnce } from '../../src/turns.js'

function counted(source: string, rows: readonly ChatMessage[][]) {
  const template = new ChatTemplate(source)
  let renderings = 0
  const renderer = {
    render(messages: readonly ChatMessage[], options?: RenderOptions) {
      renderings++
      return template.render(messages, options)
    },
  }
  const content = new DroppedContent()
  const counts: Record<string, number> = {}
  for (const messages of rows) {
    for (const { kind } of runAtOnce(content.find(renderer, messages, {}, template.render(messages)))) {
      counts[kind] = (counts[kind] ?? 0) + 1
    }
  }
  return { counts, renderings }
}

const rows = (count: number, system: (row: number) => string): ChatMessage[][] =>
  Array.from({ length: count }, (_, row) => [
    { role: 'system', content: system(row) },
    { role: 'user', content: `question number ${row}` },
  ])

describe('DroppedContent', () => {
  it('counts each row of a shape where the template drops a part by its text', () => {
    const picky = "{% for m in messages %}{% if 'secret' not in m.content %}{{ m.content }}{% endif %}{% endfor %}"
    const made = rows(500, (row) => (row > 20 && row % 7 === 0 ? 'a secret instruction' : 'a plain instruction'))
    const wanted = made.filter(([system]) => String(system?.content).includes('secret')).length
    expect(counted(picky, made).counts).toEqual({ system: wanted })
    const turned = picky.replace('not in', 'in').replace('secret', 'secret')
    expect(counted(`${turned}{{ messages[-1].content }}`, made).counts.system).toBe(500 - wanted)
  })

  it('renders few of the rows again where all of them are treated alike', () => {
    const all = '{% for m in messages %}{{ m.content }};{% endfor %}'
    const none = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }};{% endif %}{% endfor %}"
    const made = rows(1000, (row) => `instruction number ${row}`)
    expect(counted(all, made)).toEqual({ counts: {}, renderings: expect.closeTo(23, -1) as number })
    const lost = counted(none, made)
    expect(lost.counts).toEqual({ system: 1000 })
    expect(lost.renderings).toBeLessThan(60)
  })
})
