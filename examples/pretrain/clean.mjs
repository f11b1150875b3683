// @ts-check
/** @file Text cleaning for the corpus: typography to ASCII, which paragraphs are prose, sentence and row splitting. */

const ENTITIES = /** @type {Record<string, string>} */ ({
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: ' ',
  ndash: '-',
  mdash: ' - ',
  lsquo: "'",
  rsquo: "'",
  ldquo: '"',
  rdquo: '"',
  hellip: '...',
  copy: '(c)',
  para: '',
  shy: '',
  middot: ' ',
  bull: ' ',
  rarr: '->',
  larr: '<-',
})

const PUNCTUATION = /** @type {Record<string, string>} */ ({
  '\u2018': "'",
  '\u2019': "'",
  '\u201a': "'",
  '\u201b': "'",
  '\u2032': "'",
  '`': "'",
  '\u00b4': "'",
  '\u201c': '"',
  '\u201d': '"',
  '\u201e': '"',
  '\u2033': '"',
  '\u00ab': '"',
  '\u00bb': '"',
  '\u2010': '-',
  '\u2011': '-',
  '\u2012': '-',
  '\u2013': '-',
  '\u2014': ' - ',
  '\u2015': ' - ',
  '\u2212': '-',
  '\u2026': '...',
  '\u00a0': ' ',
  '\u2009': ' ',
  '\u200a': ' ',
  '\u202f': ' ',
  '\u3000': ' ',
  '\u00b7': ' ',
  '\u2022': ' ',
  '\u00b6': '',
  '\u00ad': '',
  '\u200b': '',
  '\ufeff': '',
  '\u00e6': 'ae',
  '\u0153': 'oe',
  '\u00c6': 'AE',
})

const STOPWORDS = new Set(
  (
    'the of and to in a is that it for as with was be by on not he his this are or but from at which you they have an ' +
    'had we all their her she if there will can one so its when who no may shall them him what would were has my me ' +
    'i your than then do more been any into out unto our us such some only use used'
  ).split(' '),
)

/** @param {string} text @returns {string} */
export function decodeEntities(text) {
  return text.replace(/&(#x[0-9a-f]+|#\d+|\w+);/gi, (whole, name) => {
    if (name[0] !== '#') return ENTITIES[name] ?? ENTITIES[name.toLowerCase()] ?? whole
    const code = name[1] === 'x' || name[1] === 'X' ? Number.parseInt(name.slice(2), 16) : Number(name.slice(1))
    return code > 0 && code < 0x110000 ? String.fromCodePoint(code) : ''
  })
}

/** One line of ASCII: accents dropped, typographic punctuation replaced, white space single. @param {string} text */
export function normalise(text) {
  return text
    .replace(/\P{ASCII}/gu, (c) => PUNCTUATION[c] ?? c)
    .replace(/`/g, "'")
    .normalize('NFKD')
    .replace(/[\u0300-\u036f]/g, '')
    .replace(/''/g, '"')
    .replace(/--+/g, ' - ')
    .replace(/\s+/g, ' ')
    .replace(/ ([,.;:!?])(?= |$)/g, '$1')
    .trim()
}

/**
 * Whether a normalised paragraph is running English and not a table row, a signature, a list of names or code.
 * @param {string} text @param {number} [minimum] characters
 */
export function isProse(text, minimum = 60) {
  if (text.length < minimum || !/[.?!:]["')]?$/.test(text) || /[^\x20-\x7e]/.test(text)) return false
  const words = text.split(' ')
  let stop = 0
  let plain = 0
  for (const word of words) {
    const bare = word.toLowerCase().replace(/[^a-z]/g, '')
    if (STOPWORDS.has(bare)) stop++
    if (/^["'(]*[A-Za-z][a-z]*(['-][A-Za-z]?[a-z]+)*[)"',.;:?!]*$/.test(word)) plain++
  }
  const symbols = text.replace(/[A-Za-z ,.;:'"!?()-]/g, '').length
  return stop >= 0.2 * words.length && plain >= 0.85 * words.length && symbols <= 0.04 * text.length
}

/** Splits prose after . ? ! before a capital; abbreviations of one letter and of titles do not end a sentence. @param {string} text */
export function sentences(text) {
  const marked = text.replace(/([.?!]["')]?) (?=["'(]?[A-Z])/g, (whole, end, at) => {
    const before = text.slice(Math.max(0, at - 8), at)
    const abbreviation =
      end[0] === '.' && /(^|[ (."])([A-Za-z]|Mr|Mrs|Dr|St|vs|cf|Rev|Esq|Capt|Ps|No|Vol|etc|e\.g|i\.e)$/.test(before)
    return abbreviation ? whole : `${end}\n`
  })
  return marked.split('\n')
}

/**
 * Packs paragraphs, in order, into rows of at most `limit` characters. A longer paragraph is cut between sentences.
 * @param {string[]} paragraphs @param {number} limit @returns {string[]}
 */
export function toRows(paragraphs, limit) {
  /** @type {string[]} */
  const rows = []
  let row = ''
  const add = (/** @type {string} */ piece, /** @type {string} */ joint) => {
    if (row && row.length + joint.length + piece.length > limit) {
      rows.push(row)
      row = ''
    }
    row = row ? row + joint + piece : piece
  }
  for (const paragraph of paragraphs) {
    if (paragraph.length <= limit) add(paragraph, '\n')
    else
      for (const [i, sentence] of sentences(paragraph).entries())
        if (sentence.length <= limit) add(sentence, i === 0 ? '\n' : ' ')
  }
  if (row) rows.push(row)
  return rows
}

/**
 * Every sentence of a row twice, one below the other, as far as `limit` characters go: a small model learns to copy from what it read early
 * where it is worth it, and seldom from prose alone.
 * @param {string} row @param {number} limit @returns {string}
 */
export function echo(row, limit) {
  const twice = row
    .split('\n')
    .flatMap(sentences)
    .map((sentence) => `${sentence}\n${sentence}\n`)
  let text = ''
  for (const pair of twice) {
    if (text.length + pair.length > limit) break
    text += pair
  }
  return text.trimEnd()
}

/** FNV-1a with a final mix: a stable hash, so that the same document is held out on every machine. @param {string} text */
export function hash(text) {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
