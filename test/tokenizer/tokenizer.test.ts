/** @file Loading tokenizers, encoding and decoding, and accepting those of other libraries. */

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { asTokenizer } from '../../src/tokenizer/adapt.js'
import { createTokenizer, loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { CHATML, ZEPHYR } from '../support/chat-templates.js'
import { tinyByteLevelTokenizer, tinySentencePieceTokenizer, writeTinyTokenizer } from '../support/tiny-tokenizer.js'

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lowrank-tokenizer-'))
})

afterEach(async () => {
  await rm(directory, { recursive: true })
})

describe('loadTokenizer', () => {
  it('reads ids, special tokens and the chat template from a directory', async () => {
    await writeTinyTokenizer(directory, tinyByteLevelTokenizer({ chatTemplate: CHATML, bosToken: '<s>' }))
    const tokenizer = await loadTokenizer(directory)
    const ids = tokenizer.encode('The capital of France', { addSpecialTokens: false })
    expect(ids.map((id) => tokenizer.idToToken(id))).toEqual(['The', '\u0120capital', '\u0120of', '\u0120France'])
    expect(tokenizer.bosTokenId).toBe(tokenizer.tokenToId('<s>'))
    expect(tokenizer.eosTokenId).toBe(tokenizer.tokenToId('</s>'))
    expect(tokenizer.padTokenId).toBeUndefined()
    expect(tokenizer.vocabSize).toBe((tokenizer.tokenToId('<|assistant|>') as number) + 1)
    expect(tokenizer.encode('The')).toEqual([tokenizer.bosTokenId, ids[0]])
    expect(tokenizer.applyChatTemplate([{ role: 'user', content: 'Hi' }], { addGenerationPrompt: true })).toBe(
      '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n',
    )
  })

  it('takes chat_template.jinja before tokenizer_config.json and tokens from special_tokens_map.json where that has none', async () => {
    await writeTinyTokenizer(directory, tinyByteLevelTokenizer({ chatTemplate: CHATML, eosToken: null }))
    await writeFile(join(directory, 'chat_template.jinja'), ZEPHYR)
    await writeFile(
      join(directory, 'special_tokens_map.json'),
      JSON.stringify({ eos_token: { content: '<|endoftext|>' } }),
    )
    const tokenizer = await loadTokenizer(directory)
    expect(tokenizer.eosTokenId).toBe(tokenizer.tokenToId('<|endoftext|>'))
    expect(tokenizer.applyChatTemplate([{ role: 'user', content: 'Hi' }])).toBe('<|user|>\nHi<|endoftext|>\n')
  })

  it('reads a configuration with thousands of added tokens, as Gemma 3 has it', async () => {
    const files = tinyByteLevelTokenizer()
    const plain = createTokenizer(files.tokenizer, files.config)
    const properties = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
    const numbers = Array.from({ length: 3000 }, (_, number) => number)
    const added_tokens_decoder = Object.fromEntries(
      numbers.map((number) => [plain.vocabSize + number, { content: `<added${number}>`, ...properties }]),
    )
    const extra_special_tokens = Object.fromEntries(numbers.map((number) => [`extra${number}`, `<extra${number}>`]))
    await writeTinyTokenizer(directory, {
      ...files,
      config: { ...files.config, added_tokens_decoder, extra_special_tokens },
    })
    const tokenizer = await loadTokenizer(directory)
    expect(tokenizer.encode('<added7><added2999><extra0><extra2999>', { addSpecialTokens: false })).toEqual(
      [7, 2999, 3000, 5999].map((number) => plain.vocabSize + number),
    )
    expect(tokenizer.specialTokens.get('<extra2999>')).toBe(plain.vocabSize + 5999)
  })

  it('takes named templates from files before those of tokenizer_config.json, and renders rows with tools with tool_use', async () => {
    const messages = [{ role: 'user', content: 'Hi' }]
    const tools = [{ name: 'add' }]
    const named = { default: 'config {{ messages[0].content }}', tool_use: 'config tools {{ tools[0].name }}' }
    const files = tinyByteLevelTokenizer()
    const asList = Object.entries(named).map(([name, template]) => ({ name, template }))
    for (const chat_template of [named, asList]) {
      await writeTinyTokenizer(directory, { ...files, config: { ...files.config, chat_template } })
      const tokenizer = await loadTokenizer(directory)
      expect(tokenizer.applyChatTemplate(messages)).toBe('config Hi')
      expect(tokenizer.applyChatTemplate(messages, { tools })).toBe('config tools add')
    }
    await writeFile(join(directory, 'chat_template.jinja'), 'file {{ messages[0].content }}')
    // As in transformers, a file takes the place of all that the config says.
    expect((await loadTokenizer(directory)).applyChatTemplate(messages, { tools })).toBe('file Hi')
    await mkdir(join(directory, 'additional_chat_templates'))
    await writeFile(join(directory, 'additional_chat_templates', 'tool_use.jinja'), 'file tools {{ tools[0].name }}')
    await writeFile(join(directory, 'additional_chat_templates', 'notes.txt'), '{% if %}')
    const tokenizer = await loadTokenizer(directory)
    expect(tokenizer.applyChatTemplate(messages)).toBe('file Hi')
    expect(tokenizer.applyChatTemplate(messages, { tools })).toBe('file tools add')
  })

  it('takes a template named default from additional_chat_templates before the others, as transformers does', async () => {
    const messages = [{ role: 'user', content: 'Hi' }]
    await writeTinyTokenizer(directory, tinyByteLevelTokenizer({ chatTemplate: CHATML }))
    await mkdir(join(directory, 'additional_chat_templates'))
    await writeFile(join(directory, 'additional_chat_templates', 'default.jinja'), 'named {{ messages[0].content }}')
    expect((await loadTokenizer(directory)).applyChatTemplate(messages)).toBe('named Hi')
    await writeFile(join(directory, 'chat_template.jinja'), 'single {{ messages[0].content }}')
    expect((await loadTokenizer(directory)).applyChatTemplate(messages)).toBe('named Hi')
  })

  it('refuses files that are not UTF-8, naming them', async () => {
    const latin = (text: string): Buffer => Buffer.from(text, 'latin1')
    const files = tinyByteLevelTokenizer({ chatTemplate: CHATML })
    for (const [name, bytes] of [
      ['chat_template.jinja', latin('caf\xe9 {{ messages[0].content }}')],
      ['chat_template.jinja', Buffer.from('\ufeff{{ messages }}', 'utf16le')],
      ['tokenizer_config.json', latin(JSON.stringify({ ...files.config, chat_template: 'caf\xe9' }))],
      ['tokenizer.json', latin(JSON.stringify({ ...files.tokenizer, 'caf\xe9': 1 }))],
    ] as const) {
      await writeTinyTokenizer(directory, files)
      await writeFile(join(directory, name), bytes)
      await expect(loadTokenizer(directory), name).rejects.toThrow(new RegExp(`UTF-8.*${name}|${name}.*UTF-8`, 's'))
      await rm(join(directory, name))
    }
  })

  it('refuses a conversation without messages, as transformers does', async () => {
    await writeTinyTokenizer(directory, tinyByteLevelTokenizer({ chatTemplate: CHATML }))
    const tokenizer = await loadTokenizer(directory)
    expect(() => tokenizer.applyChatTemplate([], { addGenerationPrompt: true })).toThrow(
      '[chat template] expected at least one message, got none',
    )
  })

  it('takes the template of a processor where there is no other, and refuses templates of other kinds', async () => {
    const files = tinyByteLevelTokenizer()
    await writeTinyTokenizer(directory, files)
    await writeFile(join(directory, 'chat_template.json'), '{"chat_template": "old {{ messages[0].content }}"}')
    expect((await loadTokenizer(directory)).applyChatTemplate([{ role: 'user', content: 'Hi' }])).toBe('old Hi')
    for (const chat_template of [[{ name: 'default' }], [null], { default: 1 }, [['default', 'x']]]) {
      expect(() => createTokenizer(files.tokenizer, { ...files.config, chat_template })).toThrow(
        '[chat template] expected a string, a list of { name, template } or strings by name for chat_template',
      )
    }
  })

  it('understands an end token given as text, as an object and as a list', () => {
    const { tokenizer, config } = tinyByteLevelTokenizer()
    const eos = (eos_token: unknown) => createTokenizer(tokenizer, { ...config, eos_token })
    const id = eos('<|im_end|>').eosTokenId
    expect(id).toBe(eos(null).tokenToId('<|im_end|>'))
    expect(eos({ __type: 'AddedToken', content: '<|im_end|>' }).eosTokenId).toBe(id)
    const listed = eos(['<|im_end|>', { content: '</s>' }])
    expect(listed.eosTokenIds).toEqual([id, listed.tokenToId('</s>')])
    expect(listed.eosTokenId).toBe(id)
    expect(eos(null).eosTokenIds).toEqual([])
  })

  it('chooses the template named default from a list', () => {
    const { tokenizer, config } = tinyByteLevelTokenizer()
    const chat_template = [
      { name: 'tool_use', template: 'no' },
      { name: 'default', template: '{{ messages[0].content }}' },
    ]
    const loaded = createTokenizer(tokenizer, { ...config, chat_template })
    expect(loaded.applyChatTemplate([{ role: 'user', content: 'yes' }])).toBe('yes')
  })

  it('says what to do where tokenizer.json is missing', async () => {
    await expect(loadTokenizer(directory)).rejects.toThrow(
      `[loadTokenizer] expected tokenizer.json in ${directory}, got none; download it from the model's page`,
    )
    await writeFile(join(directory, 'tokenizer.model'), '')
    await expect(loadTokenizer(directory)).rejects.toThrow('tokenizer.model alone cannot be used')
    const missing = join(directory, 'nowhere')
    await expect(loadTokenizer(missing)).rejects.toThrow(`got ${missing}, which cannot be read; check the path`)
  })

  it('names a damaged file and an unknown kind of tokenizer', async () => {
    const path = join(directory, 'tokenizer.json')
    await writeFile(path, '{"model": ')
    await expect(loadTokenizer(directory)).rejects.toThrow(`[loadTokenizer] expected JSON in ${path}`)
    await writeFile(path, '[]')
    await expect(loadTokenizer(directory)).rejects.toThrow(`expected a JSON object in ${path}`)
    await writeFile(path, JSON.stringify({ model: { type: 'Nonsense', vocab: {} } }))
    await expect(loadTokenizer(directory)).rejects.toThrow(
      `[loadTokenizer] expected a tokenizer in tokenizer.json and tokenizer_config.json of ${directory}, got: [tokenizer] expected a model of type BPE, Unigram, WordPiece, WordLevel for tokenizer.json.model, got "Nonsense"`,
    )
  })
})

describe('encode and decode', () => {
  const text = "It's 42 \u00e9clairs \u{1f469}\u200d\u{1f680},  two  spaces\n\n\tend "

  it('round-trips any text through bytes, without tidying spaces', () => {
    for (const files of [tinyByteLevelTokenizer(), tinySentencePieceTokenizer()]) {
      const tokenizer = createTokenizer(files.tokenizer, files.config)
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text)
      expect(tokenizer.decode(tokenizer.encode('a , b .'))).toBe('a , b .')
    }
  })

  it('decodes nothing to nothing, leaves unknown ids out and special tokens out when asked', () => {
    const { tokenizer: file, config } = tinyByteLevelTokenizer()
    const tokenizer = createTokenizer(file, config)
    expect(tokenizer.decode([])).toBe('')
    const ids = [...tokenizer.encode('hello'), tokenizer.eosTokenId as number, tokenizer.vocabSize + 3]
    expect(tokenizer.decode(Int32Array.from(ids))).toBe('hello</s>')
    expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe('hello')
    expect(tokenizer.encode('', { addSpecialTokens: false })).toEqual([])
  })

  it('refuses a character that the vocabulary has no token for', () => {
    const { tokenizer: file, config } = tinyByteLevelTokenizer()
    const word = { unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 100 }
    const model = { type: 'WordPiece', vocab: { a: 0 }, ...word }
    const tokenizer = createTokenizer({ ...file, model, pre_tokenizer: null }, config)
    expect(tokenizer.encode('a')).toEqual([0])
    expect(() => tokenizer.encode('b')).toThrow(
      '[tokenizer] expected every token in the vocabulary of the tokenizer, got text that it has none for',
    )
  })

  it('asks for a chat template where there is none', () => {
    const { tokenizer: file, config } = tinyByteLevelTokenizer()
    const tokenizer = createTokenizer(file, config)
    expect(() => tokenizer.applyChatTemplate([{ role: 'user', content: 'Hi' }])).toThrow(
      '[chat template] expected a chat template for messages, got a tokenizer without one',
    )
  })
})

describe('asTokenizer', () => {
  const { tokenizer: file, config } = tinyByteLevelTokenizer({ chatTemplate: CHATML })
  const own = createTokenizer(file, config)
  const vocab = Array.from({ length: own.vocabSize }, (_, id) => own.idToToken(id))
  const encode = (text: string, options: Record<string, unknown>): number[] =>
    own.encode(text, { addSpecialTokens: options.add_special_tokens !== false })
  const interfaceOf = {
    model: { vocab },
    special_tokens: ['<|im_end|>'],
    eos_token: '</s>',
    decode: (ids: number[], options: Record<string, unknown>) =>
      own.decode(ids, { skipSpecialTokens: options.skip_special_tokens === true }),
  }

  it('keeps a tokenizer of its own as it is', () => {
    expect(asTokenizer(own)).toBe(own)
  })

  it('wraps an object with encode, decode and a template text', () => {
    const tokenizer = asTokenizer({ ...interfaceOf, encode, chat_template: CHATML })
    expect(tokenizer.encode('the user')).toEqual(own.encode('the user'))
    expect(tokenizer.decode(own.encode('the user'))).toBe('the user')
    expect(tokenizer.decode([])).toBe('')
    expect(tokenizer.eosTokenId).toBe(own.eosTokenId)
    expect(tokenizer.vocabSize).toBe(own.vocabSize)
    expect(tokenizer.specialTokens.get('<|im_end|>')).toBe(own.tokenToId('<|im_end|>'))
    expect(tokenizer.applyChatTemplate([{ role: 'user', content: 'Hi' }])).toBe('<|im_start|>user\nHi<|im_end|>\n')
  })

  it('calls one of version 2, whose encode takes a second text, and finds its tokens in its settings', () => {
    const { eos_token: _, ...rest } = interfaceOf
    const callable = Object.assign((text: string, options: Record<string, unknown>) => encode(text, options), {
      ...rest,
      encode: (text: string, pair: unknown) => [...own.encode(text), ...own.encode(pair as string)],
      _tokenizer_config: { eos_token: { content: '</s>', lstrip: false }, bos_token: null },
    })
    const tokenizer = asTokenizer(callable)
    expect(tokenizer.encode('the user')).toEqual(own.encode('the user'))
    expect([tokenizer.bosTokenId, tokenizer.eosTokenId]).toEqual([undefined, own.eosTokenId])
    expect(tokenizer.eosTokenIds).toEqual([own.eosTokenId])
  })

  it('wraps a callable that returns nested or big integer ids and renders by itself', () => {
    const nested = Object.assign(
      (text: string, options: Record<string, unknown>) => ({ input_ids: [encode(text, options)] }),
      {
        ...interfaceOf,
        apply_chat_template: (_: unknown, options: Record<string, unknown>) => `rendered ${options.tokenize}`,
      },
    )
    expect(asTokenizer(nested).encode('the user')).toEqual(own.encode('the user'))
    expect(asTokenizer(nested).applyChatTemplate([])).toBe('rendered false')
    const big = {
      ...interfaceOf,
      encode: (text: string) => ({ data: BigInt64Array.from(own.encode(text).map(BigInt)) }),
    }
    expect(asTokenizer(big).encode('the user')).toEqual(own.encode('the user'))
  })

  it('refuses what cannot encode', () => {
    expect(() => asTokenizer({ decode: () => '' })).toThrow('[tokenizer] expected an object with encode')
  })
})
