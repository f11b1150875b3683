/** @file Chat templates against stored renderings of Python: equal, or refused by both. */

import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { parseLosslessJson } from '../../src/lossless-json.js'
import { type ChatMessage, ChatTemplate, type TracedText } from '../../src/tokenizer/chat-template.js'
import { Runtime } from '../../src/tokenizer/jinja/runtime.js'
import { NAMED_TEMPLATES } from '../../src/tokenizer/named-templates.js'

/** What strftime_now told Python. */
const NOW = new Date(2024, 2, 5, 9, 7, 4)

type Spans = [number, number][]

function stored<T>(name: string): T {
  const path = new URL(`../golden/templates/${name}`, import.meta.url)
  return JSON.parse(gunzipSync(readFileSync(path)).toString()) as T
}

/** Spans of the generation tags in code points, as Python counts them. */
function spansOf({ text, spans }: TracedText): Spans {
  const points = (unit: number): number => text.slice(0, unit).replace(/[\ud800-\udbff]/g, '').length
  return (spans ?? []).map(({ start, end }) => [points(start), points(end)])
}

/** Fails for a rendering that is not Python's; thousands of calls of `expect` that hold would take seconds. */
function same(where: string, traced: TracedText, expected: string | null | undefined, spans: Spans): void {
  if (traced.text !== expected) expect(traced.text, where).toBe(expected)
  const marked = spansOf(traced)
  if (JSON.stringify(marked) !== JSON.stringify(spans)) expect(marked, where).toEqual(spans)
}

interface Suite {
  conversations: Record<string, string>
  tools: string
  variables: Record<string, unknown>
  sources: Record<string, string>
  texts: (string | null)[]
  rows: [number, Spans][]
}

/** Whether renderings pause wherever they can, as those of long conversations do now and then. */
const PAUSES = [
  ['at once', false],
  ['with all pauses', true],
] as const

function pausing(pauses: boolean): void {
  beforeEach(() => {
    if (pauses) vi.spyOn(Runtime.prototype, 'isDue', 'get').mockReturnValue(true)
  })
  afterEach(() => {
    vi.restoreAllMocks()
  })
}

/** How many renderings are equal, refused by both, and marked by generation tags. Fails at the first that differs. */
function compared(suite: Suite): { equal: number; refused: number; marked: number } {
  const conversations = Object.entries(suite.conversations).map(
    ([name, json]) => [name, parseLosslessJson(json) as unknown as ChatMessage[]] as const,
  )
  const allTools = parseLosslessJson(suite.tools) as unknown[]
  const counts = { equal: 0, refused: 0, marked: 0 }
  let row = 0
  for (const [name, source] of Object.entries(suite.sources)) {
    const template = tryCompile(source, suite.variables)
    for (const [conversation, messages] of conversations) {
      for (const tools of [undefined, allTools]) {
        for (const addGenerationPrompt of [false, true]) {
          const [number, spans] = suite.rows[row++] as [number, Spans]
          const expected = suite.texts[number]
          const where = `${name} with ${conversation}${tools ? ', tools' : ''}${addGenerationPrompt ? ', prompt' : ''}`
          if (expected === null) {
            expect(() => template().render(messages, { tools, addGenerationPrompt }), where).toThrow('[chat template] ')
            counts.refused++
            continue
          }
          const traced = template().renderTraced(messages, { tools, addGenerationPrompt })
          same(where, traced, expected, spans)
          counts.equal++
          if (spans.length > 0) counts.marked++
        }
      }
    }
  }
  expect(row).toBe(suite.rows.length)
  return counts
}

/** A template, or the error of its source at each use: Python compiles it at each use. */
function tryCompile(source: string, variables: Record<string, unknown>): () => ChatTemplate {
  try {
    const template = new ChatTemplate(source, variables, NOW)
    return () => template
  } catch (error) {
    return () => {
      throw error
    }
  }
}

describe.each(PAUSES)('public chat templates, rendered %s,', (_, pauses) => {
  pausing(pauses)

  it('templates of TRL render 20 conversations with and without tools and prompt as Python does, or are refused by both', () => {
    expect(compared(stored<Suite>('trl.json.gz'))).toEqual({ equal: 4800, refused: 960, marked: 2014 })
  })

  it("templates of transformers' tests and tokenizers, vLLM and Unsloth render as Python does, or are refused by both", () => {
    const suite = stored<Suite>('public.json.gz')
    const names = Object.keys(suite.sources)
    const of = (prefix: string): number => names.filter((name) => name.startsWith(prefix)).length
    expect([of('transformers'), of('unsloth'), of('vllm')]).toEqual([31, 34, 58])
    expect(compared(suite)).toEqual({ equal: 6902, refused: 2938, marked: 72 })
  })

  it('templates that lowrank has by name render as Python does, or are refused by both', () => {
    const suite = stored<Suite>('named.json.gz')
    expect(suite.sources).toEqual(NAMED_TEMPLATES)
    expect(compared(suite)).toEqual({ equal: 852, refused: 348, marked: 0 })
  })
})

describe('a named template', () => {
  const trl = stored<Suite>('trl.json.gz')
  const others = stored<Suite>('public.json.gz').sources
  const unsloth = (line: number) => others[`unsloth-2026.3.4/unsloth/chat_templates.py:${line}`]
  const transformers = (file: string) => others[`transformers-${file}`]
  const TEXTS = [
    'plain',
    'system',
    'open',
    'multi',
    'code',
    'blanks',
    'unicode',
    'crlf',
    'empty',
    'two-users',
    'no-user',
  ]
  const WITH_SYSTEM = ['system', 'open', 'empty']
  const ALL = Object.keys(trl.conversations)

  it.each<[keyof typeof NAMED_TEMPLATES, string | undefined, readonly string[], boolean?]>([
    ['chatml', unsloth(105), TEXTS],
    ['llama2', transformers('4.41.2/src/transformers/models/code_llama/tokenization_code_llama.py:460'), ALL],
    ['llama3', trl.sources['llama3.jinja'], ALL],
    ['llama4', transformers('4.51.3/src/transformers/models/llama4/processing_llama4.py:48'), TEXTS],
    ['mistral', others['vllm-0.33.0/examples/tool_chat_template_mistral.jinja'], TEXTS],
    // Without a system message that template writes one of its own, and so do those of Alpaca and Vicuna.
    ['mistral-v7', others['vllm-0.33.0/examples/tool_chat_template_mistral3.jinja'], WITH_SYSTEM],
    ['gemma', trl.sources['gemma3.jinja'], TEXTS],
    ['phi3', trl.sources['phi3.jinja'], TEXTS],
    ['phi4', unsloth(615), TEXTS],
    ['qwen2.5', trl.sources['qwen2_5.jinja'], ALL, true],
    ['qwen3', trl.sources['qwen3.jinja'], ALL, true],
    ['alpaca', unsloth(254), WITH_SYSTEM],
    ['vicuna', unsloth(190), WITH_SYSTEM],
    ['zephyr', unsloth(83), TEXTS],
  ])(
    "prints what the model's own template prints, or refuses what that refuses: %s",
    (name, own, conversations, knowsTools) => {
      const [ours, theirs] = [NAMED_TEMPLATES[name], own as string].map(
        (text) => new ChatTemplate(text, trl.variables, NOW),
      )
      const said = (
        template: ChatTemplate | undefined,
        ...given: Parameters<ChatTemplate['render']>
      ): string | undefined => {
        try {
          return template?.render(...given)
        } catch {
          return undefined
        }
      }
      let printed = 0
      for (const conversation of conversations) {
        const messages = parseLosslessJson(trl.conversations[conversation] as string) as unknown as ChatMessage[]
        for (const tools of knowsTools ? [undefined, parseLosslessJson(trl.tools) as unknown[]] : [undefined]) {
          for (const addGenerationPrompt of [false, true]) {
            const text = said(ours, messages, { tools, addGenerationPrompt })
            expect(text, `${conversation} ${tools !== undefined}`).toBe(
              said(theirs, messages, { tools, addGenerationPrompt }),
            )
            if (text !== undefined) printed++
          }
        }
      }
      expect(printed).toBeGreaterThanOrEqual(2 * WITH_SYSTEM.length)
    },
  )
})

/** What the small templates use that Python has and the interpreter refuses by name. */
const NOT_SUPPORTED = [
  'lipsum, whose text differs from run to run,',
  'printing an object of type Cycler',
  'printing an object of type Joiner',
  'printing an object of type function',
  'printing an object of type generator',
  'the HTML entity &ampamp; in striptags',
  'the HTML entity &hellip; in striptags',
  'the HTML entity &notit; in striptags',
  'the date format %500d',
  'the date format %5f',
  'the date format %5q',
  'the date format %^f',
  'the filter random, whose choice differs from run to run,',
  'the method encode of text',
  'the tag autoescape with a value but false',
]

describe.each(PAUSES)('small templates, rendered %s,', (_, pauses) => {
  pausing(pauses)
  const suite = stored<{
    messages: string
    tools: string
    variables: string
    specialTokens: Record<string, string>
    texts: (string | null)[]
    rows: [string, number, Spans][]
  }>('snippets.json.gz')

  it('give for each filter, test, method, operator and statement what Python gives, or are refused by both', () => {
    const messages = parseLosslessJson(suite.messages) as unknown as ChatMessage[]
    const tools = parseLosslessJson(suite.tools) as unknown[]
    const variables = { ...(parseLosslessJson(suite.variables) as object), ...suite.specialTokens }
    const counts = { equal: 0, refused: 0 }
    const unsupported = new Set<string>()
    for (const [source, number, spans] of suite.rows) {
      const expected = suite.texts[number]
      let traced: TracedText | undefined
      try {
        traced = new ChatTemplate(source, {}, NOW).renderTraced(messages, { tools, variables })
      } catch (error) {
        const { message } = error as Error
        expect(message, source).toMatch(/^\[chat template\] /)
        const what = /^\[chat template\] (.*) is not supported in chat templates here/.exec(message)?.[1]
        if (expected !== null) unsupported.add(what ?? `${source}: ${message}`)
        else counts.refused++
        continue
      }
      same(source, traced, expected, spans)
      counts.equal++
    }
    expect([...unsupported].sort()).toEqual(NOT_SUPPORTED)
    expect(counts.equal).toBeGreaterThan(2500)
    expect(counts.refused).toBeGreaterThan(500)
  })
})

it('powers have the last bit of those that Python computes, or are refused', () => {
  const template = new ChatTemplate('{{ x ** y }}')
  const counts = { equal: 0, refusedByBoth: 0, refusedByName: 0 }
  for (const [x, y, expected] of stored<[string, string, string | null][]>('powers.json.gz')) {
    let power: string
    try {
      power = template.render([], { variables: { x: parseLosslessJson(x), y: parseLosslessJson(y) } })
    } catch (error) {
      if (expected === null) counts.refusedByBoth++
      else {
        expect((error as Error).message, `${x} ** ${y}`).toMatch(
          /raised to the power .* is not|nearly between two floats/,
        )
        counts.refusedByName++
      }
      continue
    }
    if (power !== expected) expect(power, `${x} ** ${y}`).toBe(expected)
    counts.equal++
  }
  expect(counts.equal).toBeGreaterThan(1500)
  expect(counts.refusedByName).toBeLessThan(300)
})

it('a list repeated as often as no machine word tells is refused as in Python', () => {
  const render = (source: string): string => new ChatTemplate(source).render([])
  expect(() => render('{{ 99999999999999999999 * [] }}')).toThrow("cannot fit 'int' into an index-sized integer")
  expect(render('{{ 9223372036854775807 * [] }}')).toBe('[]')
})
