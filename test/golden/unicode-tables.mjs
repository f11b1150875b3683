/**
 * @file Writes src/tokenizer/pipeline/unicode-data.ts: what the Rust library `tokenizers` takes each character for. Its parts know Unicode in
 * different versions, and none of them in that of Node, so each is asked about every code point. Run: node test/golden/unicode-tables.mjs
 */

import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Tokenizer } from 'tokenizers'

const BARE = {
  version: '1.0',
  truncation: null,
  padding: null,
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: null,
  post_processor: null,
  decoder: null,
  model: { type: 'WordLevel', vocab: { u: 0 }, unk_token: 'u' },
}
const LAST = 0x10ffff
const SURROGATES = [0xd800, 0xe000]
const isScalar = (code) => code < SURROGATES[0] || code >= SURROGATES[1]

const points = []
for (let code = 1; code <= LAST; code++) if (isScalar(code)) points.push(code)

const build = (parts) => Tokenizer.fromString(JSON.stringify({ ...BARE, ...parts }))
const normalize = (normalizer, text) => build({ normalizer }).getNormalizer().normalizeString(text)
const cut = (pre_tokenizer, text) =>
  build({ pre_tokenizer })
    .getPreTokenizer()
    .preTokenizeString(text)
    .map(([piece]) => piece)

/** What a normalizer makes of each character by itself; the bar beside it is a starter that nothing changes. */
function mapEach(normalizer) {
  const made = new Map()
  for (let from = 0; from < points.length; from += 50_000) {
    const part = points.slice(from, from + 50_000).filter((code) => code !== 0x7c)
    const pieces = normalize(normalizer, part.map((code) => `${String.fromCodePoint(code)}|`).join('')).split('|')
    part.forEach((code, at) => {
      made.set(code, pieces[at])
    })
  }
  return made
}

/** Characters that a pre-tokenizer removes. */
function removed(pre_tokenizer) {
  const kept = new Set()
  for (let from = 0; from < points.length; from += 50_000) {
    const text = points
      .slice(from, from + 50_000)
      .map((code) => String.fromCodePoint(code))
      .join('')
    for (const piece of cut(pre_tokenizer, text)) for (const char of piece) kept.add(char.codePointAt(0))
  }
  return points.filter((code) => !kept.has(code))
}

const byExpression = (expression) =>
  removed({ type: 'Split', pattern: { Regex: `${expression}+` }, behavior: 'Removed', invert: false })

/** Isolated pieces of one character, asked in pairs of a letter and the character. */
function wordsOfRegexCrate() {
  const word = []
  const space = []
  for (let from = 0; from < points.length; from += 20_000) {
    const part = points.slice(from, from + 20_000)
    const pieces = cut({ type: 'Whitespace' }, part.map((code) => `a${String.fromCodePoint(code)} `).join(''))
    let at = 0
    for (const code of part) {
      const char = String.fromCodePoint(code)
      const piece = pieces[at++]
      if (piece === `a${char}`) word.push(code)
      else if (pieces[at] === char) at++
      else space.push(code)
    }
  }
  return { word, space }
}

/** Ranges as differences, each start and length in base 36. */
function packSet(codes) {
  const out = []
  let last = 0
  for (let at = 0; at < codes.length; ) {
    let end = at
    const next = (code) => (code + 1 === SURROGATES[0] ? SURROGATES[1] : code + 1)
    while (end + 1 < codes.length && codes[end + 1] === next(codes[end])) end++
    out.push((codes[at] - last).toString(36), (codes[end] - codes[at] + 1).toString(36))
    last = codes[end] + 1
    at = end + 1
  }
  return out.join(' ')
}

/** Runs of code points with the same value: lengths in base 36 behind the value's index. */
function packRuns(valueFor) {
  const out = []
  let value = valueFor(1)
  let length = 1
  for (let code = 1; code <= LAST + 1; code++) {
    const here = code > LAST ? undefined : isScalar(code) ? valueFor(code) : value
    if (here === value) length++
    else {
      out.push(value.toString(36), length.toString(36))
      value = here
      length = 1
    }
  }
  return out.join(' ')
}

const CATEGORIES = 'Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cn'.split(' ')
function categories() {
  const of = new Map()
  CATEGORIES.forEach((name, index) => {
    for (const code of byExpression(`\\p{${name}}`)) of.set(code, index)
  })
  return packRuns((code) => of.get(code))
}

const SCRIPTS =
  'Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee Chorasmian Common Coptic Cuneiform Cypriot Cypro_Minoan Cyrillic Deseret Devanagari Dives_Akuru Dogra Duployan Egyptian_Hieroglyphs Elbasan Elymaic Ethiopic Georgian Glagolitic Gothic Grantha Greek Gujarati Gunjala_Gondi Gurmukhi Han Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew Hiragana Imperial_Aramaic Inherited Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kawi Kayah_Li Kharoshthi Khitan_Small_Script Khmer Khojki Khudawadi Lao Latin Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian Mahajani Makasar Malayalam Mandaic Manichaean Marchen Masaram_Gondi Medefaidrin Meetei_Mayek Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean Nag_Mundari Nandinagari New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Old_Hungarian Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_Sogdian Old_South_Arabian Old_Turkic Old_Uyghur Oriya Osage Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan Saurashtra Sharada Shavian Siddham SignWriting Sinhala Sogdian Sora_Sompeng Soyombo Sundanese Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangsa Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Toto Ugaritic Unknown Vai Vithkuqi Wancho Warang_Citi Yezidi Yi Zanabazar_Square'.split(
    ' ',
  )
function scripts() {
  const of = new Map()
  SCRIPTS.forEach((name, index) => {
    for (const code of byExpression(`\\p{${name}}`)) of.set(code, index)
  })
  return packRuns((code) => of.get(code) ?? SCRIPTS.indexOf('Unknown'))
}

/**
 * What UnicodeScripts cuts apart: classes by example, 0 for what joins with everything. Each example is put before all characters whose class is
 * still open, with a letter of another class before it, and where the pieces end tells whether the two were cut.
 */
function scriptsToCut() {
  const pre_tokenizer = build({ pre_tokenizer: { type: 'UnicodeScripts' } }).getPreTokenizer()
  const joined = (example, open) => {
    const before = example === 0x61 ? '\u03b1' : 'a'
    const together = new Set()
    for (let from = 0; from < open.length; from += 20_000) {
      const part = open.slice(from, from + 20_000)
      const text = part.map((code) => before + String.fromCodePoint(example, code)).join('')
      const ends = new Set()
      let end = 0
      for (const [piece] of pre_tokenizer.preTokenizeString(text)) {
        end += piece.length
        ends.add(end)
      }
      let at = 0
      for (const code of part) {
        at += 1 + String.fromCodePoint(example).length
        if (!ends.has(at)) together.add(code)
        at += String.fromCodePoint(code).length
      }
    }
    return together
  }
  const classOf = new Map()
  const latin = joined(0x61, points)
  const greek = joined(0x3b1, points)
  for (const code of points) if (latin.has(code) && greek.has(code)) classOf.set(code, 0)
  let open = points.filter((code) => !classOf.has(code))
  for (let index = 1; open.length > 0; index++) {
    const together = joined(open.includes(0x4e00) ? 0x4e00 : open.includes(0xac00) ? 0xac00 : open[0], open)
    for (const code of together) classOf.set(code, index)
    open = open.filter((code) => !together.has(code))
  }
  return packRuns((code) => classOf.get(code))
}

/** Combining classes in their order, 0 for starters: only the order matters, so they are numbered as they sort. */
function combiningClasses() {
  const decompose = build({ normalizer: { type: 'NFD' } }).getNormalizer()
  const swaps = (left, right) => {
    const pair = String.fromCodePoint(left, right)
    return decompose.normalizeString(pair) !== pair
  }
  const nfd = mapEach({ type: 'NFD' })
  const single = points.filter((code) => nfd.get(code) === String.fromCodePoint(code))
  const batch = (pairsOf) => {
    const found = new Set()
    for (let from = 0; from < single.length; from += 50_000) {
      const part = single.slice(from, from + 50_000).filter((code) => code !== 0x7c)
      const pieces = normalize({ type: 'NFD' }, part.map((code) => `${pairsOf(code)}|`).join('')).split('|')
      part.forEach((code, at) => {
        if (pieces[at] !== pairsOf(code)) found.add(code)
      })
    }
    return found
  }
  const above = batch((code) => String.fromCodePoint(code, 0x334))
  const below = batch((code) => String.fromCodePoint(0x345, code))
  const marks = single.filter((code) => above.has(code) || below.has(code))
  const classes = []
  for (const mark of marks) {
    let at = 0
    while (at < classes.length && !swaps(classes[at][0], mark) && swaps(mark, classes[at][0])) at++
    if (at < classes.length && !swaps(classes[at][0], mark)) classes[at].push(mark)
    else classes.splice(at, 0, [mark])
  }
  const of = new Map()
  classes.forEach((codes, index) => {
    for (const code of codes) of.set(code, index + 1)
  })
  return packRuns((code) => of.get(code) ?? 0)
}

/** A character map of SentencePiece, as a double array, with one entry: a becomes b. */
function characterMap() {
  const units = new Uint32Array(0x400)
  units[0] = 0x100 << 10
  units[0x161] = (0x200 << 10) | 0x100 | 0x61
  const blob = Buffer.alloc(4 + 4 * units.length + 2)
  blob.writeUInt32LE(4 * units.length)
  Buffer.from(units.buffer).copy(blob, 4)
  blob.write('b\0', 4 + 4 * units.length)
  return blob.toString('base64')
}

/** Characters that join with the one before or behind them into what a reader sees as one: of a short such group only the first is looked up. */
function graphemes() {
  const normalizer = build({
    normalizer: { type: 'Precompiled', precompiled_charsmap: characterMap() },
  }).getNormalizer()
  const attach = []
  const prepend = []
  for (const code of points) {
    const char = String.fromCodePoint(code)
    if (normalizer.normalizeString(`a${char}`) === 'b') attach.push(code)
    if (normalizer.normalizeString(`${char}a\u0301`).endsWith('b\u0301')) prepend.push(code)
  }
  return { attach, prepend }
}

function packMap(map) {
  const out = []
  let last = 0
  for (const [code, text] of [...map].sort((a, b) => a[0] - b[0])) {
    out.push(
      `${(code - last).toString(36)}:${Array.from(text, (char) => (char.codePointAt(0) - code).toString(36)).join(',')}`,
    )
    last = code
  }
  return out.join(' ')
}

const changed = (map) => [...map].filter(([code, text]) => text !== String.fromCodePoint(code))
const codesOf = (entries) => entries.map(([code]) => code).sort((a, b) => a - b)

const lower = changed(mapEach({ type: 'Lowercase' }))
const cleaned = mapEach({
  type: 'BertNormalizer',
  clean_text: true,
  handle_chinese_chars: false,
  strip_accents: false,
  lowercase: false,
})
const unmarked = mapEach({
  type: 'BertNormalizer',
  clean_text: false,
  handle_chinese_chars: false,
  strip_accents: true,
  lowercase: false,
})
const withoutAccents = mapEach({ type: 'StripAccents' })
const emptied = (map) => codesOf([...map].filter(([, text]) => text === ''))
const regexCrate = wordsOfRegexCrate()
const joining = graphemes()

const DATA = {
  CATEGORY_NAMES: CATEGORIES.join(' '),
  CATEGORY_RUNS: categories(),
  SCRIPT_NAMES: SCRIPTS.join(' '),
  SCRIPT_RUNS: scripts(),
  SCRIPT_CUT_RUNS: scriptsToCut(),
  COMBINING_RUNS: combiningClasses(),
  ALPHABETIC: packSet(byExpression('[[:alpha:]]')),
  LOWERCASE: packSet(byExpression('[[:lower:]]')),
  UPPERCASE: packSet(byExpression('[[:upper:]]')),
  WORD: packSet(byExpression('\\w')),
  SPACE: packSet(byExpression('\\s')),
  PUNCT: packSet(byExpression('[[:punct:]]')),
  GRAPH: packSet(byExpression('[[:graph:]]')),
  PRINT: packSet(byExpression('[[:print:]]')),
  REGEX_CRATE_WORD: packSet(regexCrate.word),
  REGEX_CRATE_SPACE: packSet(regexCrate.space),
  WHITE_SPACE: packSet(removed({ type: 'WhitespaceSplit' })),
  NUMERIC: packSet(
    points.filter(
      (
        (set) => (code) =>
          set.has(code)
      )(new Set(numeric())),
    ),
  ),
  PUNCTUATION: packSet(removed({ type: 'Punctuation', behavior: 'Removed' })),
  CLEANED_AWAY: packSet(emptied(cleaned)),
  NONSPACING_MARK: packSet(emptied(unmarked)),
  COMBINING_MARK: packSet(emptied(withoutAccents)),
  CANONICAL: packSet(codesOf(changed(mapEach({ type: 'NFD' })))),
  COMPATIBLE: packSet(codesOf(changed(mapEach({ type: 'NFKD' })))),
  GRAPHEME_ATTACH: packSet(joining.attach),
  GRAPHEME_PREPEND: packSet(joining.prepend),
  LOWER_MAP: packMap(new Map(lower)),
}

function numeric() {
  const out = []
  for (let from = 0; from < points.length; from += 20_000) {
    const part = points.slice(from, from + 20_000)
    const pieces = cut(
      { type: 'Digits', individual_digits: false },
      part.map((code) => `${String.fromCodePoint(code)}a`).join(''),
    )
    const alone = new Set(pieces)
    for (const code of part) if (code !== 0x61 && alone.has(String.fromCodePoint(code))) out.push(code)
  }
  return out
}

const lines = Object.entries(DATA).map(([name, value]) => `export const ${name} =\n  '${value.replaceAll("'", "\\'")}'`)
writeFileSync(
  fileURLToPath(new URL('../../src/tokenizer/pipeline/unicode-data.ts', import.meta.url)),
  `/** @file What the Rust library \`tokenizers\` takes each character for. Written by test/golden/unicode-tables.mjs; \`unicode.ts\` reads it. */\n\n${lines.join('\n\n')}\n`,
)
