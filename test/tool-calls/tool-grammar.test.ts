/** @file Calls that a grammar makes a model write: they are read back as calls whose arguments meet their schemas. */

import { Ajv2020 } from 'ajv/dist/2020.js'
import { beforeAll, describe, expect, it } from 'vitest'

import { readToolCalls } from '../../src/tool-calls/tool-call-reader.js'
import { compileToolGrammar } from '../../src/tool-calls/tool-grammar.js'
import { keepingMarkers, TOOL_SYNTAXES, type ToolSyntaxName, toolSyntaxOf } from '../../src/tool-calls/tool-syntax.js'
import { allowedIds, followed, type RealVocabulary, randomNumbers, realVocabulary } from '../support/grammar.js'

const TOOLS = [
  {
    name: 'get_weather',
    parameters: {
      type: 'object',
      properties: { city: { enum: ['Paris', 'Rome'] }, days: { type: 'integer', minimum: 1, maximum: 9 } },
      required: ['city'],
      additionalProperties: false,
    },
  },
  {
    name: 'add',
    parameters: { properties: { a: { type: 'boolean' } }, required: ['a'], additionalProperties: false },
  },
]

let qwen: RealVocabulary
let gpt2: RealVocabulary

beforeAll(async () => {
  qwen = await realVocabulary('qwen3')
  gpt2 = await realVocabulary('gpt2')
})

/** A random answer, with the text of added tokens. */
function answer(
  mask: { allowed(words: Uint32Array): boolean; accept(id: number): void },
  from: RealVocabulary,
  seed: number,
) {
  const random = randomNumbers(seed)
  const { vocabulary, tokenizer } = from
  const ids: number[] = []
  for (let count = 0; count < 300; count++) {
    const allowed = allowedIds(mask, vocabulary)
    const drawn = allowed[Math.floor(random() * allowed.length)]!
    // There may always be one more call.
    const id = count > 100 ? (allowed.find((one) => vocabulary.eosTokenIds.includes(one)) ?? drawn) : drawn
    mask.accept(id)
    if (vocabulary.eosTokenIds.includes(id)) return tokenizer.decode(ids)
    ids.push(id)
  }
  return `${tokenizer.decode(ids)} without an end`
}

describe('a grammar of calls', () => {
  it.each<ToolSyntaxName>(['hermes', 'llama', 'mistral', 'mistral-args'])(
    'the %s calls that are drawn under it are calls, whatever vocabulary writes them',
    async (name) => {
      const syntax = TOOL_SYNTAXES[name]
      const checks = new Map(TOOLS.map((tool) => [tool.name, new Ajv2020({ strict: false }).compile(tool.parameters)]))
      for (const from of [qwen, gpt2]) {
        const grammar = await compileToolGrammar({ syntax, tools: TOOLS, choice: 'required' }, from.vocabulary)
        const seen = new Set<string>()
        for (let seed = 0; seed < 12; seed++) {
          const text = answer(grammar.start(), from, seed)
          const read = readToolCalls(text, syntax, checks.keys())
          expect(read.text, text).toBe('')
          expect(read.calls.length, text).toBeGreaterThan(0)
          for (const call of read.calls) {
            seen.add(call.name)
            expect(checks.get(call.name)!(JSON.parse(call.arguments)), text).toBe(true)
          }
        }
        expect([...seen].sort()).toEqual(['add', 'get_weather'])
      }
    },
  )

  it('one call alone where calls are not parallel', async () => {
    const options = { syntax: TOOL_SYNTAXES.hermes, tools: [TOOLS[1]!], choice: 'required', parallel: false } as const
    const call = '<tool_call>\n{"name": "add", "arguments": {"a": true}}\n</tool_call>'
    const isWhole = async (from: RealVocabulary, text: string, parallel: boolean) => {
      const grammar = await compileToolGrammar({ ...options, parallel }, from.vocabulary)
      const ids = from.tokenizer.encode(text)
      return followed(grammar.start(), ids, from.vocabulary) === ids.length + 1
    }
    expect(await isWhole(qwen, call, false)).toBe(true)
    expect(await isWhole(qwen, `${call}\n${call}`, true)).toBe(true)
    expect(await isWhole(qwen, `${call}\n${call}`, false)).toBe(false)
    expect(await isWhole(gpt2, `Hello ${call}`, true)).toBe(false)
  })

  it('text may come beside calls, but what begins as a call is one', async () => {
    for (const from of [qwen, gpt2]) {
      const options = { syntax: TOOL_SYNTAXES.hermes, tools: TOOLS, choice: 'auto' } as const
      const grammar = await compileToolGrammar(options, from.vocabulary)
      const length = (text: string): [number, number] => {
        const ids = from.tokenizer.encode(text)
        return [followed(grammar.start(), ids, from.vocabulary), ids.length + 1]
      }
      const call = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>'
      for (const text of ['', 'Only text <tool>.', call, `Let me see.\n${call}`, `${call}\n${call} Done. <tool`]) {
        const [allowed, all] = length(text)
        expect(allowed, text).toBe(all)
      }
      for (const text of ['<tool_call>\nHello', call.replace('Rome', 'Oslo'), call.replace('</tool_call>', '')]) {
        const [allowed, all] = length(text)
        expect(allowed, text).toBeLessThan(all)
      }
    }
  })

  it('wrong tools are refused', async () => {
    const compile = (more: object): Promise<unknown> =>
      compileToolGrammar({ syntax: TOOL_SYNTAXES.hermes, tools: TOOLS, choice: 'required', ...more }, gpt2.vocabulary)
    await expect(compile({ tools: [] })).rejects.toThrow('[tool calls] expected at least one tool for tools, got none')
    await expect(compile({ tools: [{ name: 'a"b' }] })).rejects.toThrow('for a tool, got "a\\"b"')
    await expect(compile({ syntax: TOOL_SYNTAXES.llama, choice: 'auto' })).rejects.toThrow('leave out strict')
    const tools = [{ name: 'a', parameters: { not: {} } }]
    await expect(compile({ tools })).rejects.toThrow('expected keywords that are supported at #, got "not"')
  })
})

describe('the syntax of a chat template', () => {
  it.each([
    ['{% for tool in tools %}<tool_call>{% endfor %}', 'hermes'],
    ['{% for tool in tools %}[TOOL_CALLS]{% endfor %}', 'mistral'],
    ['{% for tool in tools %}[TOOL_CALLS]x[ARGS]{% endfor %}', 'mistral-args'],
    ['{% if tools %}<|python_tag|>{% endif %}', 'llama'],
    ['{% if tools %}Environment: ipython {"name": "parameters": {% endif %}', 'llama'],
    ['{% if tools %}<tool_call><function=a>{% endif %}', undefined],
    ['{{ messages }}<tool_call>', undefined],
  ])('the template %s means %s', (chatTemplate, name) => {
    expect(toolSyntaxOf({ chatTemplate })?.name).toBe(name)
  })

  it('the template for tools counts where there are several', () => {
    expect(
      toolSyntaxOf({ chatTemplate: { default: '{{ messages }}', tool_use: '{{ tools }}<tool_call>' } })?.name,
    ).toBe('hermes')
    expect(toolSyntaxOf(qwen.tokenizer)?.name).toBe('hermes')
    expect(toolSyntaxOf({})).toBeUndefined()
  })

  it('decoded text keeps the markers of the syntax and drops other special tokens', () => {
    const { tokenizer } = gpt2
    const end = tokenizer.eosTokenId!
    const syntax = { ...TOOL_SYNTAXES.hermes, markers: ['<|endoftext|>'] }
    const ids = [...tokenizer.encode('a'), end]
    expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe('a')
    expect(keepingMarkers(tokenizer, syntax).decode(ids, { skipSpecialTokens: true })).toBe('a<|endoftext|>')
    expect(keepingMarkers(tokenizer, TOOL_SYNTAXES.hermes)).toBe(tokenizer)
  })
})
