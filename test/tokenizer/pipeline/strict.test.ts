/**
 * @file What a tokenizer.json or its configuration says is done or refused by name, and none of it ends or hangs the
 * process.
 */

import { describe, expect, test } from 'vitest'
import { mergesOfTokens } from '../../../src/tokenizer/gguf-merges.js'
import { createTokenizer, type Tokenizer } from '../../../src/tokenizer/tokenizer.js'
import { mergeConfigs } from '../../../src/tokenizer/tokenizer-config.js'
import { runAtOnce } from '../../../src/turns.js'
import { tinyByteLevelTokenizer } from '../../support/tiny-tokenizer.js'

const { tokenizer: file, config } = tinyByteLevelTokenizer()
const build = (parts: Record<string, unknown>, more: Record<string, unknown> = {}): Tokenizer =>
  createTokenizer({ ...file, ...parts }, { ...config, ...more })
const split = (Regex: string) => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false })

/** Processor time in milliseconds. */
function timed(work: () => unknown): number {
  const start = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(start)
  return (user + system) / 1000
}

describe('a part that is not understood is refused with its path', () => {
  const model = file.model as Record<string, unknown>
  const mistakes: [parts: Record<string, unknown>, message: string][] = [
    [{ colour: 1 }, 'expected fields of tokenizer.json that are known, got colour'],
    [{ version: '2.0' }, 'expected "1.0" for tokenizer.json.version, got "2.0"'],
    [{ normalizer: { type: 'Rot13' } }, 'for tokenizer.json.normalizer.type, got "Rot13"'],
    [
      { normalizer: { type: 'Sequence', normalizers: [{ type: 'Strip', strip_left: 1, strip_right: true }] } },
      'expected true or false for tokenizer.json.normalizer.normalizers[0].strip_left, got 1',
    ],
    [{ pre_tokenizer: { type: 'Digits' } }, 'tokenizer.json.pre_tokenizer.individual_digits'],
    [{ pre_tokenizer: { ...split('a'), behavior: 'Eaten' } }, 'for tokenizer.json.pre_tokenizer.behavior, got "Eaten"'],
    [
      { pre_tokenizer: { ...split('a'), extra: 1 } },
      'expected fields of tokenizer.json.pre_tokenizer that are known, got extra',
    ],
    [
      { post_processor: { type: 'BertProcessing', sep: ['a', -1], cls: ['b', 0] } },
      'a token with its id for tokenizer.json.post_processor.sep',
    ],
    [
      { decoder: { type: 'Strip', content: 'ab', start: 0, stop: 0 } },
      'expected one character for tokenizer.json.decoder.content',
    ],
    [{ added_tokens: [{ id: 1, content: 'x' }] }, 'tokenizer.json.added_tokens[0].single_word'],
    [{ model: { ...model, dropout: 0.1 } }, 'tokenizer.json.model.dropout, got 0.1'],
    [{ model: { ...model, vocab: { a: 2 ** 32 + 5 } } }, 'tokenizer.json.model.vocab["a"], got 4294967301'],
    [{ model: { ...model, vocab: { a: 1, b: 1 }, merges: [] } }, 'one token for each id'],
    [{ model: { ...model, merges: [['a', 'nothing']] } }, 'tokenizer.json.model.merges[0]'],
    [{ pre_tokenizer: split('(a') }, 'expected a closing parenthesis in the expression "(a"'],
    [{ pre_tokenizer: split('(a)\\1') }, '\\1, which is not supported'],
    [{ pre_tokenizer: split('(?i)\u00e4') }, 'that ignores case, which is not supported'],
    [{ pre_tokenizer: split('a{500}{500}') }, 'whose counts unfold into more'],
    [{ pre_tokenizer: split('('.repeat(5000)) }, 'expected groups nested at most 100 deep'],
  ]
  test.each(mistakes.map(([parts, message]) => ({ parts, message })))('$message', ({ parts, message }) => {
    expect(() => build(parts)).toThrow(message)
  })
})

describe('an expression of a stranger', () => {
  const text = `${'a'.repeat(50_000)}b`
  test.each([
    '(a+)+$',
    '(a|a)*$',
    '(a*)b?c|(?:a|aa)+$',
    'a*a*a*a*a*c',
    '(?=(a+)+$)a',
    '(?<=a{0,200}c)b',
    '(x+x+)+y|a*?c',
    '\\s*a*\\s*$',
  ])(
    '%s finds its matches in 50,000 letters within seconds, or is refused',
    (expression) => {
      let tokenizer: Tokenizer | undefined
      const time = timed(() => {
        try {
          tokenizer = build({
            pre_tokenizer: { type: 'Sequence', pretokenizers: [split(expression), file.pre_tokenizer] },
          })
          tokenizer.encode(text)
        } catch (error) {
          expect((error as Error).message).toMatch(/not supported|bounded number of steps|can be empty/)
        }
      })
      expect(time).toBeLessThan(20_000)
    },
    120_000,
  )

  test('an expression of a stranger that is safe in one part of a choice and not in another is matched right', () => {
    const pieces = build({
      pre_tokenizer: split('(?:ab|a)+?c|a'),
      decoder: null,
      model: { type: 'WordLevel', vocab: { '?': 0, aabc: 1, a: 2 }, unk_token: '?' },
    })
    expect(pieces.encode('aabcaa')).toEqual([1, 2, 2])
  })
})

describe('decode', () => {
  test.each([2 ** 32 + 5, -1, 1.5, Number.NaN])('refuses the id %d', (id) => {
    expect(() => build({}).decode([1, id])).toThrow(
      `[tokenizer] expected token ids from 0 to 2^32 - 1, got ${id} at index 1`,
    )
  })
})

describe('the configuration', () => {
  const added = (content: string, more: object = {}) => ({
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
    ...more,
  })
  // No token of the file, so that its id is the next one behind the vocabulary and the file's own.
  const plain = build({})
  const next = plain.vocabSize

  test('adds tokens of added_tokens_decoder in the order of their ids, and those named that are unknown', () => {
    const tokenizer = build(
      {},
      {
        added_tokens_decoder: { 900: added('<B>'), 800: added('<A>', { lstrip: true }) },
        pad_token: '<P>',
        additional_special_tokens: ['<Q>', { content: '<R>', rstrip: true }],
      },
    )
    expect(['<A>', '<B>', '<P>', '<Q>', '<R>'].map((text) => tokenizer.tokenToId(text))).toEqual(
      [0, 1, 2, 3, 4].map((at) => next + at),
    )
    expect(tokenizer.encode('hello <A><R> ')).toEqual([...plain.encode('hello'), next, next + 4])
    expect(tokenizer.padTokenId).toBe(next + 2)
    expect(tokenizer.specialTokens.get('<Q>')).toBe(next + 3)
  })

  test.each(['extra_special_tokens', 'model_specific_special_tokens'])(
    'adds the tokens of %s, which templates know by their names',
    (name) => {
      const tokenizer = build({}, { [name]: { image_token: '<I>', audio_token: '<J>' } })
      expect(tokenizer.encode('<I><J>')).toEqual([next, next + 1])
      expect(tokenizer.decode([next], { skipSpecialTokens: true })).toBe('')
      expect(tokenizer.templateVariables).toMatchObject({ image_token: '<I>', audio_token: '<J>' })
    },
  )

  test('changes the properties of tokens of the file', () => {
    const tokenizer = build({}, { added_tokens_decoder: { 1: added('</s>', { lstrip: true }) } })
    expect(tokenizer.encode('hello </s>')).toEqual([...plain.encode('hello'), plain.tokenToId('</s>')])
  })

  test('gives way to special_tokens_map.json, unless it lists the added tokens', () => {
    expect(mergeConfigs({ pad_token: 'a' }, { pad_token: 'b', eos_token: null })).toEqual({ pad_token: 'b' })
    const listed = { pad_token: 'a', added_tokens_decoder: {} }
    expect(mergeConfigs(listed, { pad_token: 'b' })).toEqual(listed)
  })

  test('tidies decoded text when it says so, but not that of BPE', () => {
    const words = {
      decoder: { type: 'WordPiece', prefix: '##', cleanup: false },
      model: { type: 'WordLevel', vocab: { a: 0, ',': 1, '?': 2 }, unk_token: '?' },
    }
    const tidy = { clean_up_tokenization_spaces: true }
    expect(build(words).decode([0, 1, 0])).toBe('a , a')
    expect(build(words, tidy).decode([0, 1, 0])).toBe('a, a')
    expect(build({}, tidy).decode(plain.encode('a , a'))).toBe('a , a')
  })

  test('the configuration that asks for what is not supported is refused', () => {
    for (const name of ['split_special_tokens', 'fix_mistral_regex']) {
      expect(() => build({}, { [name]: true })).toThrow(`tokenizer_config.json.${name}, got true`)
    }
    const qwen = { tokenizer_class: 'Qwen2Tokenizer', add_prefix_space: true }
    expect(() => build({}, qwen)).toThrow('false for Qwen2Tokenizer')
    expect(() => build({}, { added_tokens_decoder: { x: added('<A>') } })).toThrow('ids as keys')
  })
})

describe('long things take time that grows with their length', () => {
  test('added tokens of 20,000 letters that nearly match everywhere', () => {
    const content = `${'a'.repeat(20_000)}b`
    const token = {
      id: 0,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: false,
    }
    const tokenizer = build({ added_tokens: [token, { ...token, content: 'aa' }] })
    const text = 'a'.repeat(200_000)
    let ids: number[] = []
    expect(
      timed(() => {
        ids = tokenizer.encode(text)
      }),
    ).toBeLessThan(5000)
    expect(new Set(ids)).toEqual(new Set([tokenizer.tokenToId('aa')]))
    expect(ids.length).toBe(100_000)
    expect(tokenizer.encode(content)).toEqual([tokenizer.tokenToId(content)])
  })

  test('the merges of tokens of 20,000 letters', () => {
    const long = Array.from({ length: 200 }, (_, at) => `${'ab'.repeat(10_000)}${at}`)
    const tokens = ['a', 'b', 'ab', ...long, `${long[3]}a`, `ab${long[7]}`, `\u{1f600}${'x'}`, '\u{1f600}', 'x']
    const scores = tokens.map((_, at) => -at)
    let merges: (readonly [string, string])[] = []
    expect(
      timed(() => {
        merges = runAtOnce(mergesOfTokens(tokens, scores, () => true))
      }),
    ).toBeLessThan(5000)
    expect(merges).toEqual([
      ['a', 'b'],
      [long[3], 'a'],
      ['ab', long[7]],
      ['\u{1f600}', 'x'],
    ])
  })

  test('a word of 300,000 letters, without a full stack', () => {
    const word = 'the'.repeat(100_000)
    const tokenizer = build({
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    })
    let ids: number[] = []
    expect(
      timed(() => {
        ids = tokenizer.encode(word)
      }),
    ).toBeLessThan(10_000)
    expect(tokenizer.decode(ids)).toBe(word)
  })
})
