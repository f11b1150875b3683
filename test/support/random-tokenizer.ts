/**
 * @file Random tokenizers from a seed: every normalizer, pre-tokenizer, model, post-processor and decoder with random
 * options.
 */

import { wellFormed } from '../../src/tokenizer/pipeline/unicode.js'
import { awkwardText, type Dice } from './awkward-texts.js'

type Json = Record<string, unknown>

const REGEXES = [
  String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
  String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  String.raw`\p{N}{1,3}`,
  '[一-龥぀-ゟ゠-ヿ]+',
  String.raw`\s+`,
  String.raw`\w+|[^\w\s]+`,
  String.raw`\d`,
  '[0-9]+',
  '[A-Za-z]+',
  '(a|b)+?c?',
  String.raw`\bt|\Bl`,
  '^.|.$',
  String.raw`\A.|.\z|.\Z`,
  '(?<=a)b|(?<!a)o',
  '(?>a+)b|a',
  'l++|e*+l|o?+',
  '[[:alpha:]]+',
  '[[:^alpha:][:punct:]]',
  String.raw`[\p{L}&&[^a-z]]+`,
  String.raw`[^\p{L}\p{N}\p{M}]+`,
  String.raw`\p{Han}+|\p{Hiragana}|\p{Cyrillic}+`,
  String.raw`\p{^L}|\P{M}+`,
  String.raw`\h+`,
  String.raw`\R`,
  String.raw`(?m:a.)|(?x) b \s # comment`,
  String.raw`(?i)h\w*|W`,
  String.raw`[\r\n]|\s*[\r\n]+|\x{1F600}|\u0301`,
  String.raw`\.|\-|\[|\]`,
  'a{2}|l{1,}|o{,2}x',
  '(?=[A-Z])',
  'x*',
  '▁',
  '.',
]

const STRINGS = [' ', '▁', 'a', 'll', '\n', '.', '  ', "'", 'é', '\u0301', '👩', '-']
const BEHAVIORS = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous']

function pattern(random: Dice, noEmpty = false): Json {
  const regexes = noEmpty ? REGEXES.filter((regex) => !/^\(\?=|^x\*|o\?\+/.test(regex)) : REGEXES
  return random.chance(0.6) ? { Regex: random.pick(regexes) } : { String: random.pick(STRINGS) }
}

/**
 * A character map of SentencePiece with a few entries, as a double array made by hand: byte by byte, each node at a
 * place of its own.
 */
/** A character map of SentencePiece, in base64. */
export function characterMap(random: Dice): string {
  const entries = random.some(
    [
      ['ａ', 'a'],
      ['ﬁ', 'fi'],
      ['\u200b', ' '],
      ['\u00a0', ' '],
      ['\t', ' '],
      ['é', 'e\u0301'],
      ['e\u0301', 'é'],
      ['A', 'a'],
      ['\u00ad', ''],
      ['\u3000', ' '],
      ['\r\n', '\n'],
      ['…', '...'],
      ['①', '1'],
      ['\u0001', ''],
    ],
    1 + random.below(6),
  )
  return doubleArray(new Map(entries as [string, string][]))
}

function doubleArray(entries: ReadonlyMap<string, string>): string {
  let replacements = ''
  const keys = new Map<string, number>()
  for (const [key, value] of entries) {
    keys.set(Buffer.from(key).toString('latin1'), Buffer.byteLength(replacements))
    replacements += `${value}\0`
  }
  const prefixes = [
    ...new Set([...keys.keys()].flatMap((key) => Array.from({ length: key.length }, (_, at) => key.slice(0, at)))),
  ].sort()
  // The children of each prefix lie in a block of 512 of their own: bytes in its first half, the value at its
  // beginning.
  const block = new Map(prefixes.map((prefix, at) => [prefix, 512 * (at + 1)]))
  const leaves = [...keys.keys()].filter((key) => !block.has(key))
  for (const leaf of leaves) block.set(leaf, 512 * (block.size + 1))
  const units = new Uint32Array(512 * (block.size + 2))
  units[0] = (block.get('') as number) << 10
  for (const [prefix, base] of block) {
    if (prefix === '') continue
    const parent = block.get(prefix.slice(0, -1)) as number
    const byte = prefix.charCodeAt(prefix.length - 1)
    const at = parent ^ byte
    units[at] = ((at ^ base) << 10) | (keys.has(prefix) ? 0x100 : 0) | byte
    if (keys.has(prefix)) units[base] = ((1 << 31) | (keys.get(prefix) as number)) >>> 0
  }
  const size = Buffer.alloc(4)
  size.writeUInt32LE(4 * units.length)
  return Buffer.concat([size, Buffer.from(units.buffer), Buffer.from(replacements)]).toString('base64')
}

function normalizer(random: Dice, depth = 0): Json | null {
  if (depth === 0 && random.chance(0.3)) return null
  const type = random.pick([
    'Sequence',
    'Sequence',
    'BertNormalizer',
    'Strip',
    'StripAccents',
    'NFC',
    'NFD',
    'NFKC',
    'NFKD',
    'Lowercase',
    'Nmt',
    'Precompiled',
    'Replace',
    'Prepend',
    'ByteLevel',
  ])
  const flag = (): boolean => random.chance(0.5)
  switch (type) {
    case 'Sequence':
      if (depth > 1) return { type: 'NFC' }
      return { type, normalizers: Array.from({ length: random.below(4) }, () => normalizer(random, depth + 1)) }
    case 'BertNormalizer':
      return {
        type,
        clean_text: flag(),
        handle_chinese_chars: flag(),
        strip_accents: random.pick([null, true, false]),
        lowercase: flag(),
      }
    case 'Strip':
      return { type, strip_left: flag(), strip_right: flag() }
    case 'Precompiled':
      return { type, precompiled_charsmap: characterMap(random) }
    case 'Replace':
      return {
        type,
        pattern: pattern(random, random.chance(0.7)),
        content: random.pick(['', ' ', '▁', 'xy', '\u0301', '👩']),
      }
    case 'Prepend':
      return { type, prepend: random.pick(['▁', ' ', 'xy', 'é']) }
    default:
      return { type }
  }
}

function preTokenizer(random: Dice, depth = 0): Json | null {
  if (depth === 0 && random.chance(0.2)) return null
  const type = random.pick([
    'Sequence',
    'Sequence',
    'ByteLevel',
    'Split',
    'Split',
    'Whitespace',
    'WhitespaceSplit',
    'BertPreTokenizer',
    'Punctuation',
    'Digits',
    'Metaspace',
    'CharDelimiterSplit',
    'UnicodeScripts',
    'FixedLength',
  ])
  const flag = (): boolean => random.chance(0.5)
  switch (type) {
    case 'Sequence':
      if (depth > 1) return { type: 'Whitespace' }
      return { type, pretokenizers: Array.from({ length: random.below(4) }, () => preTokenizer(random, depth + 1)) }
    case 'ByteLevel':
      return { type, add_prefix_space: flag(), trim_offsets: flag(), use_regex: flag() }
    case 'Split':
      return { type, pattern: pattern(random), behavior: random.pick(BEHAVIORS), invert: flag() }
    case 'Punctuation':
      return { type, behavior: random.pick(BEHAVIORS) }
    case 'Digits':
      return { type, individual_digits: flag() }
    case 'Metaspace':
      return {
        type,
        replacement: random.pick(['▁', '_', '▁']),
        prepend_scheme: random.pick(['first', 'never', 'always']),
        split: flag(),
      }
    case 'CharDelimiterSplit':
      return { type, delimiter: random.pick([' ', 'a', '.', '👩', '\n']) }
    case 'FixedLength':
      return { type, length: 1 + random.below(7) }
    default:
      return { type }
  }
}

function byteLetters(text: string): string {
  let next = 256
  const letters = Array.from({ length: 256 }, (_, byte) =>
    String.fromCharCode((byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174 ? byte : next++),
  )
  return Array.from(Buffer.from(text), (byte) => letters[byte]).join('')
}

/**
 * Parts of texts as they may look before a model: as they are, as letters of bytes, lower case, with a mark for spaces.
 */
function vocabulary(random: Dice): string[] {
  const views: ((text: string) => string)[] = [
    (text) => text,
    byteLetters,
    (text) => text.toLowerCase(),
    (text) => text.replaceAll(' ', '▁'),
  ]
  const tokens = new Set<string>()
  const view = random.chance(0.5) ? [random.pick(views)] : views
  for (let count = 0; count < 60; count++) {
    const chars = Array.from(random.pick(view)(wellFormed(awkwardText(random))))
    for (const char of chars) if (random.chance(0.7)) tokens.add(char)
    for (let part = 0; part < 3; part++) {
      const at = random.below(chars.length + 1)
      tokens.add(chars.slice(at, at + 2 + random.below(3)).join(''))
    }
  }
  if (random.chance(0.5)) for (let code = 0x20; code < 0x7f; code++) tokens.add(String.fromCharCode(code))
  for (const char of '▁Ġ _') tokens.add(char)
  tokens.delete('')
  return [...tokens]
}

function bytes(): string[] {
  return Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
}

function model(random: Dice): Json {
  const tokens = vocabulary(random)
  const type = random.pick(['BPE', 'BPE', 'BPE', 'Unigram', 'Unigram', 'WordPiece', 'WordLevel'])
  const ids = (list: readonly string[]): Json => {
    const gap = random.chance(0.1) ? 7 : 0
    return Object.fromEntries([...new Set(list)].map((token, id) => [token, id + gap]))
  }
  const flag = (probability = 0.5): boolean => random.chance(probability)
  switch (type) {
    case 'BPE': {
      const prefix = flag(0.1) ? '##' : null
      const suffix = flag(0.1) ? '</w>' : null
      const withBytes = prefix === null && suffix === null && flag(0.3)
      const known = new Set([
        ...(flag(0.7) ? ['<unk>'] : []),
        ...(withBytes ? bytes().slice(0, flag(0.8) ? 256 : 150) : []),
        ...tokens,
      ])
      if (prefix !== null) for (const token of tokens) known.add(prefix + token)
      if (suffix !== null) for (const token of tokens) known.add(token + suffix)
      const merges: [string, string][] = []
      for (const token of known) {
        const chars = Array.from(token)
        for (let cut = 1; cut < chars.length; cut++) {
          const [left, right] = [chars.slice(0, cut).join(''), (prefix ?? '') + chars.slice(cut).join('')]
          if (known.has(left) && known.has(right) && random.chance(0.8)) merges.push([left, right])
        }
      }
      merges.sort(() => random.next() - 0.5)
      const isText = flag(0.3) && merges.every((pair) => !pair.join('').includes(' '))
      return {
        type,
        dropout: null,
        unk_token: known.has('<unk>') ? '<unk>' : null,
        continuing_subword_prefix: prefix,
        end_of_word_suffix: suffix,
        fuse_unk: flag(),
        byte_fallback: withBytes,
        ignore_merges: flag(0.3),
        vocab: ids([...known]),
        merges: isText ? merges.map((pair) => pair.join(' ')) : merges,
      }
    }
    case 'Unigram': {
      const withBytes = flag(0.5)
      const known = ['<unk>', ...(withBytes ? bytes().slice(0, flag(0.8) ? 256 : 150) : []), ...tokens]
      const scores = [0, -1, -2.5, -3, -7.25, -11]
      return {
        type,
        unk_id: flag(0.9) ? 0 : null,
        vocab: known.map((token) => [token, random.chance(0.5) ? random.pick(scores) : -12 * random.next()]),
        byte_fallback: withBytes,
      }
    }
    case 'WordPiece':
      return {
        type,
        unk_token: '[UNK]',
        continuing_subword_prefix: '##',
        max_input_chars_per_word: random.pick([3, 100]),
        vocab: ids([...(flag(0.9) ? ['[UNK]'] : []), ...tokens, ...tokens.map((token) => `##${token}`)]),
      }
    default:
      return { type, unk_token: '<unk>', vocab: ids([...(flag(0.9) ? ['<unk>'] : []), ...tokens]) }
  }
}

function addedTokens(random: Dice): Json[] {
  const contents = [
    '<s>',
    '</s>',
    '<|x|>',
    '[SEP]',
    '[CLS]',
    '<mask>',
    'hello',
    'Hello',
    'the',
    'a',
    'ab',
    'aab',
    ' ',
    '  ',
    '\n',
    'é',
    '👩',
    '▁a',
    '<0x41>',
    'world hello',
    '漢',
    "don't",
    '.',
    '...',
    '<',
    '<s',
    '<s>x',
  ]
  const chosen = [...new Set(random.some(contents, random.below(7)))]
  return chosen.map((content, at) => ({
    id: 5000 + at,
    content,
    single_word: random.chance(0.25),
    lstrip: random.chance(0.25),
    rstrip: random.chance(0.25),
    normalized: random.chance(0.4),
    special: random.chance(0.5),
  }))
}

function postProcessor(random: Dice, depth = 0): Json | null {
  if (random.chance(0.25) && depth === 0) return null
  const flag = (): boolean => random.chance(0.5)
  const type = random.pick(['TemplateProcessing', 'BertProcessing', 'RobertaProcessing', 'ByteLevel', 'Sequence'])
  switch (type) {
    case 'TemplateProcessing': {
      const special = (id: string): Json => ({ SpecialToken: { id, type_id: 0 } })
      const single = [
        ...(flag() ? [special('<s>')] : []),
        { Sequence: { id: 'A', type_id: 0 } },
        ...(flag() ? [special('</s>')] : []),
      ]
      const tokens = {
        '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] },
        '</s>': { id: '</s>', ids: [2, 3], tokens: ['</s>', ' x '] },
      }
      return { type, single, pair: [...single, { Sequence: { id: 'B', type_id: 1 } }], special_tokens: tokens }
    }
    case 'BertProcessing':
      return { type, sep: ['[SEP]', 2], cls: ['[CLS]', 1] }
    case 'RobertaProcessing':
      return { type, sep: ['</s>', 2], cls: ['<s>', 0], trim_offsets: flag(), add_prefix_space: flag() }
    case 'ByteLevel':
      return { type, add_prefix_space: flag(), trim_offsets: flag(), use_regex: flag() }
    default: {
      if (depth > 0) return { type: 'BertProcessing', sep: ['[SEP]', 2], cls: ['[CLS]', 1] }
      const processors = Array.from({ length: random.below(3) }, () => postProcessor(random, 1) as Json)
      // A template behind a template is one for more sequences than there are.
      const templates = processors.filter((one) => one.type === 'TemplateProcessing')
      return { type, processors: templates.length > 1 ? processors.slice(0, 1) : processors }
    }
  }
}

function decoder(random: Dice, depth = 0): Json | null {
  if (random.chance(0.15) && depth === 0) return null
  const flag = (): boolean => random.chance(0.5)
  const type = random.pick([
    'ByteLevel',
    'ByteFallback',
    'Metaspace',
    'WordPiece',
    'BPEDecoder',
    'CTC',
    'Strip',
    'Replace',
    'Fuse',
    'Sequence',
    'Sequence',
  ])
  switch (type) {
    case 'ByteLevel':
      return { type, add_prefix_space: flag(), trim_offsets: flag(), use_regex: flag() }
    case 'Metaspace':
      return { type, replacement: '▁', prepend_scheme: random.pick(['first', 'never', 'always']), split: flag() }
    case 'WordPiece':
      return { type, prefix: random.pick(['##', 'a']), cleanup: flag() }
    case 'BPEDecoder':
      return { type, suffix: random.pick(['</w>', 'a']) }
    case 'CTC':
      return { type, pad_token: random.pick(['<pad>', 'a']), word_delimiter_token: '|', cleanup: flag() }
    case 'Strip':
      return { type, content: random.pick([' ', 'a', '▁']), start: random.below(3), stop: 0 }
    case 'Replace':
      return { type, pattern: pattern(random), content: random.pick(['', ' ', 'x']) }
    case 'Sequence':
      if (depth > 0) return { type: 'Fuse' }
      return { type, decoders: Array.from({ length: 1 + random.below(4) }, () => decoder(random, 1)) }
    default:
      return { type }
  }
}

/** The contents of a tokenizer.json. */
export function randomTokenizer(random: Dice): Json {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: addedTokens(random),
    normalizer: normalizer(random),
    pre_tokenizer: preTokenizer(random),
    post_processor: postProcessor(random),
    decoder: decoder(random),
    model: model(random),
  }
}
