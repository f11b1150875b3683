/** @file Rendering of chat templates and the variables they see. */

import { describe, expect, it, vi } from 'vitest'
import { ChatTemplate } from '../../src/tokenizer/chat-template.js'
import { Runtime } from '../../src/tokenizer/jinja/runtime.js'
import { runAtOnce } from '../../src/turns.js'
import { CHATML, CHATML_GENERATION } from '../support/chat-templates.js'
import { leastProcessorTime } from '../support/processor-time.js'

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

describe('named templates', () => {
  const named = {
    default: 'plain {{ messages[0].content }}',
    tool_use: 'tools {{ tools | length }}{% for m in messages %}{{ m.content }}{% endfor %}',
  }

  it('are chosen by whether there are tools, as transformers chooses', () => {
    const template = new ChatTemplate(named)
    expect(template.render(messages)).toBe('plain Hi')
    expect(template.render(messages, { tools: [{ name: 'add' }] })).toBe('tools 1HiHello')
    // An empty list is a list: transformers asks whether tools are None.
    expect(template.render(messages, { tools: [] })).toBe('tools 0HiHello')
    expect(new ChatTemplate({ default: named.default }).render(messages, { tools: [] })).toBe('plain Hi')
  })

  it('need a default where there are no tools', () => {
    expect(() => new ChatTemplate({ rag: 'x', tool_use: 'y' }).render(messages)).toThrow(
      '[chat template] expected a template named default, got rag, tool_use; set chatTemplate to the text of the one to use',
    )
  })

  it('are compiled at once, and named in errors', () => {
    expect(() => new ChatTemplate({ ...named, rag: '{% if %}' })).toThrow('in the template rag')
  })
})

describe('what a template is given', () => {
  it('has no nulls in messages, and reasoning under both names that templates read', () => {
    const echo = new ChatTemplate('{{ messages | tojson }}')
    const turns = [{ role: 'assistant', content: null, name: undefined, reasoning: 'so', tool_calls: [{ id: null }] }]
    expect(echo.render(turns)).toBe(
      '[{"thinking": "so", "role": "assistant", "reasoning": "so", "tool_calls": [{"id": null}], "reasoning_content": "so"}]',
    )
    const reads = new ChatTemplate('{% for m in messages %}{{ m.content.strip() }}{% endfor %}')
    expect(() => reads.render(turns)).toThrow('messages[0] has no content, which this template reads: write "" there')
    expect(new ChatTemplate('{{ documents is none }}{{ tools is none }}').render(messages)).toBe('TrueTrue')
  })

  it('keeps numbers and the order of keys as Python has them', () => {
    const echo = new ChatTemplate('{{ messages[0].x | tojson }}{{ messages[0].x }}')
    const x = new Map<string, unknown>([
      ['b', 12345678901234567890n],
      ['2', 1.5],
      ['1', 3],
    ])
    expect(echo.render([{ role: 'user', x }])).toBe(
      `{"b": 12345678901234567890, "2": 1.5, "1": 3}{'b': 12345678901234567890, '2': 1.5, '1': 3}`,
    )
  })

  it('is plain data, or is refused with its place', () => {
    const echo = new ChatTemplate('{{ messages }}')
    expect(() => echo.render([{ role: 'user', content: 'a\ud800' }])).toThrow(
      '[chat template] half of a surrogate pair, as in the text of messages[0].content, is not supported',
    )
    expect(() => echo.render([{ role: 'user', when: new Date(0) }])).toThrow(
      'expected plain data in messages[0].when, got an object of class Date',
    )
    expect(() => echo.render(['x' as never])).toThrow('expected { role, content } for messages[0], got string')
    expect(() => echo.render(messages, { tools: ['x'] })).toThrow('expected a JSON schema for tools[0], got string')
    const deep: unknown[] = []
    let inner = deep
    for (let level = 0; level < 100_000; level++) {
      const next: unknown[] = []
      inner.push(next)
      inner = next
    }
    expect(() => echo.render([{ role: 'user', deep }])).toThrow('expected at most 500 levels in messages[0].deep')
  })

  it('what a template is given cannot be changed by the template', () => {
    const turns = [{ role: 'user', content: 'Hi', list: [1] }]
    for (const source of ['{{ messages.append(1) }}', '{{ messages[0].update({}) }}', '{% set messages[0] = 1 %}']) {
      expect(() => new ChatTemplate(source).render(turns)).toThrow('[chat template] ')
    }
    expect(turns).toEqual([{ role: 'user', content: 'Hi', list: [1] }])
  })
})

describe('contentFormat', () => {
  it.each([
    ['string', CHATML],
    ['string', '{% for m in messages %}{{ m.content }}{% endfor %}'],
    ['string', '{% for m in messages %}{{ m.content | tojson }}{% endfor %}'],
    ['parts', '{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}'],
    ['parts', "{% for m in messages %}{{ m['content'] | map(attribute='text') | join }}{% endfor %}"],
    [
      'parts',
      '{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{{ m.content[0].text }}{% endif %}{% endfor %}',
    ],
    // Refuses every probe: the source decides.
    [
      'parts',
      "{{ raise_exception('no tools') if not tools }}{% for m in messages %}{% set c = m.content %}{% for p in c %}{{ p }}{% endfor %}{% endfor %}",
    ],
    ['string', "{{ raise_exception('no') }}{% for m in messages %}{{ m.content }}{% endfor %}"],
  ])('is %s for %s', (expected, source) => {
    expect(new ChatTemplate(source).contentFormat).toBe(expected)
  })
})

describe('renderTraced', () => {
  it('tells where the loop over messages wrote each of them', () => {
    const traced = new ChatTemplate(CHATML).renderTraced(messages)
    expect(traced.messageOffsets.map((span) => span && traced.text.slice(span.start, span.end))).toEqual([
      '<|im_start|>user\nHi<|im_end|>\n',
      '<|im_start|>assistant\nHello<|im_end|>\n',
    ])
    expect(traced.spans).toBeUndefined()
  })

  it('knows messages in slices and filtered lists, and those that are written twice or not at all', () => {
    const turns = [{ role: 'system', content: 'S' }, ...messages]
    const text = (source: string) => {
      const traced = new ChatTemplate(source).renderTraced(turns)
      return traced.messageOffsets.map((span) => span && traced.text.slice(span.start, span.end))
    }
    expect(text('>{% for m in messages[1:] %}{{ m.content }};{% endfor %}')).toEqual([undefined, 'Hi;', 'Hello;'])
    const filtered =
      "{% set rest = messages | rejectattr('role', 'equalto', 'system') | list %}{% for m in rest %}{{ m.content }}{% endfor %}"
    expect(text(filtered)).toEqual([undefined, 'Hi', 'Hello'])
    const counted = '{% for m in messages %}{% endfor %}{% for m in messages %}{{ m.content }}{% endfor %}'
    expect(text(counted)).toEqual(['S', 'Hi', 'Hello'])
    const twice =
      '{% for m in messages %}{{ m.content }}{% endfor %}{% for m in messages[:1] %}{{ m.content }}{% endfor %}'
    expect(text(twice)).toEqual([undefined, 'Hi', 'Hello'])
    const captured = '{% set x %}{% for m in messages %}{{ m.content }}{% endfor %}{% endset %}{{ x }}'
    expect(text(captured)).toEqual([undefined, undefined, undefined])
  })

  it('refuses generation tags whose offsets would point elsewhere', () => {
    const captured = '{% set x %}{% generation %}{{ messages[1].content }}{% endgeneration %}{% endset %}abc{{ x }}'
    expect(() => new ChatTemplate(captured).renderMarked(messages)).toThrow(
      'keep the tags out of captured or filtered blocks',
    )
  })
})

describe("a stranger's template", () => {
  it.each([
    [
      '{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}',
      'expected at most 10000000 steps',
    ],
    ['{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}', 'expected at most'],
    ['{{ range(1000000000) }}', 'Range too big'],
    ["{{ 'x' * 1000000000 }}", 'expected at most 16777216 characters'],
    [
      "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
      'at most 16777216 characters',
    ],
    [
      "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
      'at most 16777216 characters',
    ],
    ['{{ [0] * 1000000000 }}', 'steps'],
    ['{% set ns = namespace(l=[0]) %}{% for i in range(99) %}{% set ns.l = ns.l + ns.l %}{% endfor %}', 'steps'],
    [
      "{{ ('a,' * 8000000).split(',') | length }}{{ ('a,' * 8000000).split(',') | length }}{{ ('a,' * 8000000).split(',') | length }}",
      'steps',
    ],
    [
      "{% set ns = namespace(l=[]) %}{% for i in range(999) %}{% set ns.l = ns.l + [('é' * 16000000).replace('é', 'ü')] %}{% endfor %}",
      'steps',
    ],
    ['{{ 9 ** 999999999 }}', 'integers of less digits'],
    [
      '{% set ns = namespace(n=9) %}{% for i in range(99) %}{% set ns.n = ns.n * ns.n %}{% endfor %}',
      'integers of less digits',
    ],
    ["{{ 'x'.center(1000000000) }}", 'characters'],
    ["{{ '%1000000000d' % 1 }}", 'a width of at most'],
    ["{{ '{:1000000000}'.format(1) }}", 'a width of at most'],
    ["{{ 'a'.ljust(99999).replace('', 'b' * 9999) }}", 'characters'],
    [
      "{{ ('a' * 9999999) | list | length }}{{ ('a' * 9999999) | list | length }}{{ ('a' * 9999999) | list | length }}",
      'steps',
    ],
    ['{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}', 'expected at most 200 nested calls'],
    ['{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}', 'expected at most 200 nested calls'],
    [
      '{% set ns = namespace(l=[]) %}{% for i in range(99999) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l }}',
      'less depth',
    ],
    [
      '{% set ns = namespace(l=[]) %}{% for i in range(99) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}',
      'expected at most',
    ],
    [
      '{% set ns = namespace(l=[]) %}{% for i in range(99) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l | tojson }}',
      'expected at most',
    ],
    [
      '{% set ns = namespace(l=[], m=[]) %}{% for i in range(99) %}{% set ns.l = [ns.l, ns.l] %}{% set ns.m = [ns.m, ns.m] %}{% endfor %}{{ ns.l == ns.m }}',
      'expected at most',
    ],
    ["{{ ('x' * 16000000) | tojson }}{{ ('x' * 16000000) | tojson }}", 'characters'],
    ["{{ ('a-' * 6000000) | wordwrap(5) }}", 'steps'],
    ["{{ ('www.a.' * 2000000 ~ '!') | urlize }}", 'less depth'],
    ["{{ ('a b ' * 3000000) | pprint }}", 'steps'],
    [
      "{% set ns = namespace(x=['a' * 400000]) %}{% for i in range(300) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x | pprint }}",
      'steps',
    ],
    ["{{ ('α' * 12000000).title() }}", 'steps'],
  ])('ends with an error: %s', async (source, message) => {
    const render = () => expect(() => new ChatTemplate(source).render(messages)).toThrow(message)
    // Some four seconds for the longest.
    expect(await leastProcessorTime(8000, render)).toBeLessThan(8000)
  })

  it.each([
    ['parentheses', `{{ ${'('.repeat(100_000)}1${')'.repeat(100_000)} }}`],
    ['lists', `{{ ${'['.repeat(100_000)}${']'.repeat(100_000)} }}`],
    ['signs', `{{ ${'-'.repeat(100_000)}1 }}`],
    ['negations', `{{ ${'not '.repeat(100_000)}1 }}`],
    ['attributes', `{{ a${'.a'.repeat(100_000)} }}`],
    ['sums', `{{ 1${'+1'.repeat(100_000)} }}`],
    ['conditions', `{{ 1${' if 1 else 1'.repeat(100_000)} }}`],
    ['blocks', `${'{% if 1 %}'.repeat(100_000)}${'{% endif %}'.repeat(100_000)}`],
    ['filters', `{{ 1${'|abs'.repeat(100_000)} }}`],
  ])("a stranger's template may not nest %s without end", (_, source) => {
    expect(() => new ChatTemplate(source)).toThrow('[chat template] expected at most')
  })

  it.each([
    ['opened comments', '{#'.repeat(200_000)],
    ['opened raw tags', `{% raw %}${'{% '.repeat(200_000)}`],
    ['blanks in tags', `{%${' '.repeat(500_000)}`],
    ['quotes', `{{ ${"'\\".repeat(200_000)}`],
    ['digits', `{{ ${'1_'.repeat(200_000)} }}`],
    ['braces', `{{ '${'{['.repeat(200_000)}'.format(1) }}`],
    ['percents', `{{ '${'%('.repeat(200_000)}' % {} }}`],
  ])('is read in linear time whatever it holds: %s', (_, source) => {
    const begin = process.cpuUsage()
    expect(() => new ChatTemplate(source).render(messages)).toThrow('[chat template] ')
    expect(process.cpuUsage(begin).user).toBeLessThan(4_000_000)
  })

  it('names the line of an error', () => {
    expect(() => new ChatTemplate('a\n{{ b }}\n{{ messages[0].content + 1 }}').render(messages)).toThrow(
      '[chat template] can only concatenate str (not "int") to str (line 3)',
    )
    const parts = [{ role: 'user', content: [{ type: 'text', text: 'x' }] }]
    expect(() => new ChatTemplate(CHATML).render(parts)).toThrow(
      'can only concatenate str (not "list") to str (line 1)',
    )
    expect(() => new ChatTemplate("a\n{% include 'x' %}")).toThrow('the tag include')
  })
})

it('renders 1,600 messages in time that grows with their number alone', () => {
  const template = new ChatTemplate(CHATML)
  const turns = Array.from({ length: 1600 }, (_, index) => ({
    role: index % 2 === 0 ? 'user' : 'assistant',
    content: `message ${index} `.repeat(20),
  }))
  template.renderTraced(turns)
  const begin = process.cpuUsage()
  for (let run = 0; run < 10; run++) expect(template.renderTraced(turns).messageOffsets[1599]).toBeDefined()
  // Some 3 ms each on a quiet machine.
  expect(process.cpuUsage(begin).user).toBeLessThan(1_000_000)
})

describe('renderings in steps', () => {
  const many = Array.from({ length: 4000 }, (_, index) => ({
    role: index % 2 ? 'assistant' : 'user',
    content: `${index}`,
  }))
  const loop = '{% for m in messages %}{{ m.role }}{{ m.content }}{% endfor %}'
  const sources = {
    'a loop': loop,
    'a loop within a loop':
      '{% for _ in range(2) %}{% if loop.first %}{% for m in messages %}{{ m.role }}{% endfor %}{% endif %}{% endfor %}',
    'a loop that finds little':
      "{% for m in messages if m.content == '3999' %}{{ loop.last }}{{ loop.length }}{% endfor %}",
    'a loop in a block that is kept': `{% set text %}${loop}{% endset %}{{ text | upper }}`,
    'a loop in a filtered block': `{% filter upper %}${loop}{% endfilter %}`,
    'a loop in a marked block': `{% generation %}${loop}{% endgeneration %}`,
    'a macro': `{% macro all(messages) %}${loop}{% endmacro %}{{ 'a' ~ (all(messages) | trim) }}{{ all(messages) if messages else '' }}`,
    'a macro that is kept': `{% macro all(list) %}${loop}{% endmacro %}{% set text = [all(messages), 1] %}{{ text[0] }}`,
    'a call block': `{% macro twice() %}{{ caller() }}{{ caller() }}{% endmacro %}{% call twice() %}${loop}{% endcall %}`,
    'all messages, printed':
      '{% for _ in [1] %}{{ messages }}{{ [messages] }}|{{ (messages | string) ~ 1 }}{% endfor %}',
    'all messages within other JSON':
      "{{ {'a': messages, 'b': [[], {}]} | tojson }}{{ [1, messages] | tojson(indent=2, sort_keys=true) }}",
    'a loop in a block with a name': `{% block a %}${loop}{% endblock %}{{ self.a() | upper }}`,
    'macros that call each other':
      '{% macro tree(n) %}{{ n }}{% if n %}{{ tree(n - 1) }}{{ tree(n - 1) }}{% endif %}{% endmacro %}{{ tree(10) }}',
    'a recursive loop':
      '{% for x in [[[messages]]] recursive %}{% if x.role is defined %}{{ x.content }}{% else %}{{ loop(x) }}{% endif %}{% endfor %}',
    'JSON of a long list': '{{ messages | tojson(indent=2) }}',
  }

  it.each(Object.entries(sources))('pause within %s and write the same text', (_, source) => {
    const template = new ChatTemplate(source)
    const steps = template.renderInSteps(many)
    let pauses = 0
    let next = steps.next()
    for (; next.done !== true; next = steps.next()) pauses++
    expect(pauses).toBeGreaterThan(2)
    vi.spyOn(Runtime.prototype, 'isDue', 'get').mockReturnValue(false)
    expect(next.value).toBe(template.render(many))
    vi.restoreAllMocks()
  })

  it('can be interleaved, each with its own state', () => {
    const template = new ChatTemplate(
      '{% macro all(list) %}{% for m in list %}{% set text %}{% filter upper %}{{ m.content }}{% endfilter %}{% endset %}' +
        '{{ loop.index }}{{ text | trim }}{% endfor %}{% endmacro %}{{ all(messages) ~ all(messages | reverse | list) }}',
    )
    const lists = [many, many.map((message) => ({ ...message, content: `${message.content}b` }))]
    const running = lists.map((list) => template.renderInSteps(list))
    const texts: (string | undefined)[] = [undefined, undefined]
    while (texts.includes(undefined)) {
      for (const [index, steps] of running.entries()) {
        const { done, value } = steps.next()
        if (done) texts[index] = value
      }
    }
    expect(texts).toEqual(lists.map((list) => template.render(list)))
  })

  it('copy a message once for several renderings, and twice where it is there twice', () => {
    const template = new ChatTemplate('{% for m in messages %}{{ m.content }},{% endfor %}')
    const copies = new Map<object, unknown>()
    const [a, b] = [
      { role: 'user', content: 'a' },
      { role: 'user', content: 'b' },
    ]
    const traced = runAtOnce(template.traceInSteps([a, b, a], { copies }))
    expect(traced).toMatchObject({
      text: 'a,b,a,',
      messageOffsets: [
        { start: 0, end: 2 },
        { start: 2, end: 4 },
        { start: 4, end: 6 },
      ],
    })
    const known = copies.get(b)
    expect(runAtOnce(template.renderInSteps([b], { copies }))).toBe('b,')
    expect(copies.get(b)).toBe(known)
    // Without them a message that was changed is read again.
    b.content = 'c'
    expect(template.render([b])).toBe('c,')
  })
})
