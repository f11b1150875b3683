/** @file Calls that a grammar makes a model write: they are read back as calls whose arguments meet their schemas. */

import { Ajv2020 } from 'ajv/dist/2020.js'
import { beforeAll, describe, expect, it } from 'vitest'

import { readToolCalls, ToolCallReader } from '../../src/tool-calls/tool-call-reader.js'
import { compileToolGrammar } from '../../src/tool-calls/tool-grammar.js'
import {
  keepingMarkers,
  TOOL_SYNTAXES,
  type ToolSyntax,
  type ToolSyntaxName,
  toolSyntaxOf,
} from '../../src/tool-calls/tool-syntax.js'
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

/** An answer that is a value or calls, read character by character; a call that breaks off is text. */
function readAsValue(text: string, syntax: ToolSyntax, names: readonly string[]) {
  const reader = new ToolCallReader(syntax, names, 'value')
  const calls: { name: string; arguments: string }[] = []
  let told = ''
  for (const event of [...[...text].flatMap((char) => reader.push(char)), ...reader.end()]) {
    if (event.kind === 'text') told += event.text
    else if (event.kind === 'call') calls.push({ name: event.name, arguments: '' })
    else if (event.kind === 'arguments') calls.at(-1)!.arguments += event.text
    else if (event.kind === 'broken') {
      calls.pop()
      told += event.text
    }
  }
  return { told, calls }
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

  it("text may come beside Llama's calls, but what begins with a brace is a call", async () => {
    const syntax = TOOL_SYNTAXES.llama
    for (const from of [qwen, gpt2]) {
      const grammar = await compileToolGrammar({ syntax, tools: TOOLS, choice: 'auto' }, from.vocabulary)
      const length = (text: string): [number, number] => {
        const ids = from.tokenizer.encode(text)
        return [followed(grammar.start(), ids, from.vocabulary), ids.length + 1]
      }
      const call = '{"name": "get_weather", "parameters": {"city": "Rome"}}'
      for (const text of [
        '',
        'Only text {"a": 1}.',
        ' \n so',
        call,
        `<|python_tag|>${call}`,
        `See: <|python_tag|>${call}`,
      ]) {
        const [allowed, all] = length(text)
        expect(allowed, text).toBe(all)
        const read = readToolCalls(text, syntax, ['get_weather'])
        expect(read.calls, text).toHaveLength(text.includes(call) ? 1 : 0)
      }
      for (const text of ['{"a": 1}', ' {"a": 1}', call.replace('Rome', 'Oslo'), `${call};${call}`, `${call} so`]) {
        const [allowed, all] = length(text)
        expect(allowed, text).toBeLessThan(all)
      }
    }
  })

  it.each<ToolSyntaxName>(['hermes', 'mistral', 'mistral-args'])(
    'an answer in a schema or %s calls: what is drawn is one of the two, and is read as what it is',
    async (name) => {
      const syntax = TOOL_SYNTAXES[name]
      // A text in which a call could be found, and a list, as Mistral's marker begins like one.
      const call = `${syntax.begin}[{"name": "add", "arguments": {"a": true}}]`
      const answers = { type: 'array', items: { enum: ['yes', call] }, minItems: 1, maxItems: 3 }
      const isAnswer = new Ajv2020({ strict: false }).compile(answers)
      const checks = new Map(TOOLS.map((tool) => [tool.name, new Ajv2020({ strict: false }).compile(tool.parameters)]))
      const options = { syntax, tools: TOOLS, choice: 'auto', parallel: false, answer: answers } as const
      for (const from of [qwen, gpt2]) {
        const grammar = await compileToolGrammar(options, from.vocabulary)
        const seen = { answers: 0, calls: 0 }
        for (let seed = 0; seed < 24; seed++) {
          const text = answer(grammar.start(), from, seed)
          const { told, calls } = readAsValue(text, syntax, [...checks.keys()])
          if (calls.length === 0) {
            expect(told).toBe(text)
            expect(isAnswer(JSON.parse(text)), text).toBe(true)
            seen.answers++
          } else {
            expect(told).toBe('')
            expect(calls).toHaveLength(1)
            for (const one of calls) expect(checks.get(one.name)!(JSON.parse(one.arguments)), text).toBe(true)
            seen.calls++
          }
        }
        expect(seen.answers).toBeGreaterThan(0)
        expect(seen.calls).toBeGreaterThan(0)
      }
    },
  )

  it("an answer in a schema or Llama's call, which only the name of a tool tells from JSON", async () => {
    const syntax = TOOL_SYNTAXES.llama
    const tools = [{ name: 'add', strict: false }]
    for (const from of [qwen, gpt2]) {
      const options = { syntax, tools, choice: 'auto', answer: { type: 'object' } } as const
      const grammar = await compileToolGrammar(options, from.vocabulary)
      for (const [text, calls] of [
        ['{"name": "add", "parameters": {"a": 1}}', 1],
        ['<|python_tag|>{"name": "add", "parameters": {}}', 1],
        ['{"name": "Ada", "parameters": {}}', 0],
        ['{"name": "add", "sum": 2}', 0],
        ['{"said": "<|python_tag|>{\\"name\\": \\"add\\", \\"parameters\\": {}}"}', 0],
      ] as const) {
        const ids = from.tokenizer.encode(text)
        expect(followed(grammar.start(), ids, from.vocabulary), text).toBe(ids.length + 1)
        const read = readAsValue(text, syntax, ['add'])
        expect(read.calls, text).toHaveLength(calls)
        expect(read.told).toBe(calls === 1 ? '' : text)
      }
    }
  })

  it('wrong tools are refused', async () => {
    const compile = (more: object): Promise<unknown> =>
      compileToolGrammar({ syntax: TOOL_SYNTAXES.hermes, tools: TOOLS, choice: 'required', ...more }, gpt2.vocabulary)
    await expect(compile({ tools: [] })).rejects.toThrow('[tool calls] expected at least one tool for tools, got none')
    await expect(compile({ tools: [{ name: 'a"b' }] })).rejects.toThrow('for a tool, got "a\\"b"')
    const answered = { syntax: TOOL_SYNTAXES.llama, choice: 'auto', answer: { type: 'object' } }
    await expect(compile(answered)).rejects.toThrow('expected a schema of answers without strict tools, got both')
    await expect(compile({ choice: 'auto', answer: { not: {} } })).rejects.toThrow('at #, got "not"')
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
