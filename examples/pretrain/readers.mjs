// @ts-check
/** @file One reader per file format of the packages: each turns a path into documents of raw paragraphs. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join, relative } from 'node:path'
import { gunzipSync, inflateSync } from 'node:zlib'
import { decodeEntities, hash } from './clean.mjs'

/** @typedef {{ id: string, paragraphs: string[] }} Document */

/** @param {string} root @returns {string[]} every regular file below, sorted: the order must not depend on the disk */
function walk(root) {
  if (!statSync(root).isDirectory()) return [root]
  return readdirSync(root, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) =>
      entry.isDirectory() ? walk(join(root, entry.name)) : entry.isFile() ? [join(root, entry.name)] : [],
    )
}

const SKIPPED =
  /<(script|style|nav|header|footer|pre|table|head|svg|math|form|aside|select|button)\b[^>]*>[\s\S]*?<\/\1\s*>/gi
const SKIPPED_BLOCKS =
  /<div\b[^>]*class="[^"]*(highlight|sphinxsidebar|toc|nav|related|footer|literal)[^"]*"[^>]*>[\s\S]*?<\/div>/gi
const BLOCK = /<\/?(p|div|li|dd|dt|dl|ul|ol|h[1-6]|blockquote|section|article|br|hr|body|main|td|tr)\b[^>]*>/gi

/** HTML manuals: paragraphs are what stands between block tags. @param {string} root @param {RegExp} [exclude] @returns {Document[]} */
export function html(root, exclude) {
  return walk(root)
    .filter((file) => /\.html?(\.en)?(\.gz)?$/.test(file) && !exclude?.test(file))
    .filter((file) => !/genindex|search\.html|modindex|py-modindex|license|copyright|LICENSE/.test(file))
    .map((file) => {
      const bytes = readFileSync(file)
      const source = (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8')
      const text = source
        .replace(/<!--[\s\S]*?-->/g, '')
        .replace(SKIPPED, '\0')
        .replace(SKIPPED_BLOCKS, '\0')
        .replace(/<a\b[^>]*class="headerlink"[^>]*>[\s\S]*?<\/a>/gi, '')
        .replace(BLOCK, '\0')
        .replace(/<[^>]*>/g, '')
      return { id: relative(root, file), paragraphs: text.split('\0').map(decodeEntities) }
    })
}

/** SWORD modules: zlib blocks; one document a chapter, cut at the chapter marks or, in commentaries, a block. @param {string} root @returns {Document[]} */
export function sword(root) {
  /** @type {Document[]} */
  const documents = []
  for (const testament of ['ot', 'nt']) {
    for (const kind of ['b', 'c']) {
      const index = join(root, `${testament}.${kind}zs`)
      if (!existsSync(index)) continue
      const blocks = readFileSync(index)
      const data = readFileSync(join(root, `${testament}.${kind}zz`))
      for (let i = 0; i + 12 <= blocks.length; i += 12) {
        const [offset, size] = [blocks.readUInt32LE(i), blocks.readUInt32LE(i + 4)]
        if (size === 0) continue
        const text = inflateSync(data.subarray(offset, offset + size)).toString('utf8')
        for (const [n, part] of text.split(/<chapter n=[^>]*>/).entries()) {
          const paragraphs = part
            .replace(/<note\b[\s\S]*?<\/note>/g, '')
            .replace(/<title\b[\s\S]*?<\/title>/g, '\0')
            .replace(/<(div|milestone|lb?|lg|list|item|chapter|p)\b[^>]*\/?>/g, (tag) =>
              /preverse/.test(tag) ? '' : '\0',
            )
            .replace(/<\/(p|div|item|list)>/g, '\0')
            .replace(/<[^>]*>/g, '')
            .split('\0')
          documents.push({ id: `${testament}-${i / 12}-${n}`, paragraphs: joinVerse(paragraphs.map(decodeEntities)) })
        }
      }
    }
  }
  return documents
}

/** Lines of verse are marked as blocks of their own: glue those that do not end a sentence to the next. @param {string[]} lines */
function joinVerse(lines) {
  /** @type {string[]} */
  const out = []
  let held = ''
  for (const line of lines) {
    const text = line.trim()
    if (!text) continue
    held = held ? `${held} ${text}` : text
    if (/[.?!]["'\u201d\u2019)]*$/.test(text)) {
      out.push(held)
      held = ''
    }
  }
  if (held) out.push(held)
  return out
}

/** Hard-wrapped text: blank lines part paragraphs; indented verse and headings fall to the prose filter. @param {string} text */
function unwrap(text) {
  return text
    .replace(/\r/g, '')
    .split(/\n[ \t]*\n/)
    .map((block) => block.replace(/\n[ \t]*/g, ' '))
}

/** dictd: a gzip of all entries and an index of name, offset and length in base 64. @param {string} stem @returns {Document[]} */
export function dict(stem) {
  const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  const number = (/** @type {string} */ s) => [...s].reduce((n, c) => n * 64 + digits.indexOf(c), 0)
  const text = gunzipSync(readFileSync(`${stem}.dict.dz`))
  const seen = new Set()
  /** @type {Document[]} */
  const documents = []
  for (const line of readFileSync(`${stem}.index`, 'utf8').split('\n')) {
    const [name, offset, length] = line.split('\t')
    if (!length || !name || name.startsWith('00') || seen.has(offset)) continue
    seen.add(offset)
    const at = number(offset ?? '')
    const entry = text
      .subarray(at, at + number(length))
      .toString('utf8')
      .replace(/\{([^}]*)\}/g, '$1')
    documents.push({ id: name, paragraphs: unwrap(entry.replace(/_/g, '')) })
  }
  return documents
}

/** Plain books. One document per about 40 paragraphs, so that whole passages can be held out. @param {string} path @returns {Document[]} */
export function text(path) {
  return passages(basename(path), unwrap(readFileSync(path, 'utf8').replace(/_/g, '')))
}

/** @param {string} name @param {string[]} paragraphs @returns {Document[]} */
function passages(name, paragraphs) {
  const documents = []
  for (let i = 0; i < paragraphs.length; i += 40)
    documents.push({ id: `${name}-${i}`, paragraphs: paragraphs.slice(i, i + 40) })
  return documents
}

/**
 * R's lazy-load data base: zlib blocks after a 4-byte length, each a serialised vector of strings (the lines of a book).
 * A string is the flags word of type 9 (CHARSXP), a big-endian length and the bytes.
 * @param {string} path @returns {Document[]}
 */
export function rdata(path) {
  const bytes = readFileSync(path)
  /** @type {Document[]} */
  const documents = []
  for (let at = 0; at + 6 < bytes.length; at++) {
    if (bytes[at + 4] !== 0x78 || bytes.readUInt16BE(at + 4) % 31 !== 0) continue
    let block
    try {
      block = inflateSync(bytes.subarray(at + 4))
    } catch {
      continue
    }
    if (block.length !== bytes.readUInt32BE(at)) continue
    /** @type {string[]} */
    const lines = []
    for (let i = 0; i + 8 <= block.length; ) {
      const flags = block.readUInt32BE(i)
      const length = block.readInt32BE(i + 4)
      if ((flags & 0xfff00fff) >>> 0 === 9 && length >= 0 && length < 400 && i + 8 + length <= block.length) {
        lines.push(block.toString('utf8', i + 8, i + 8 + length))
        i += 8 + length
      } else i++
    }
    if (lines.length > 1000)
      documents.push(...passages(`book-${documents.length}`, unwrap(lines.join('\n').replace(/_/g, ''))))
  }
  return documents
}

/**
 * WordNet's data files: a line is a synset, `| gloss; "example"; "example"`. One document per 30 synsets.
 * @param {string} root @returns {Document[]}
 */
export function wordnet(root) {
  /** @type {Document[]} */
  const documents = []
  for (const part of ['noun', 'verb', 'adj', 'adv']) {
    /** @type {string[]} */
    let paragraphs = []
    for (const line of readFileSync(join(root, `data.${part}`), 'utf8').split('\n')) {
      const bar = line.indexOf(' | ')
      if (line.startsWith(' ') || bar < 0) continue
      const lemma = (line.split(' ')[4] ?? '').replace(/\(.*\)/, '').replace(/_/g, ' ')
      const { gloss, examples } = parseGloss(line.slice(bar + 3))
      if (/\d/.test(lemma) || /^genus |\bgenus\b/.test(`${lemma} ${gloss}`)) continue
      paragraphs.push([define(lemma, gloss), ...examples.map(sentence)].join(' '))
      if (paragraphs.length === 30) {
        documents.push({ id: `${part}-${documents.length}`, paragraphs })
        paragraphs = []
      }
    }
    documents.push({ id: `${part}-last`, paragraphs })
  }
  return documents
}

/** @param {string} text @returns {{ gloss: string, examples: string[] }} */
export function parseGloss(text) {
  const examples = [...text.matchAll(/"([^"]{20,})"/g)].map((match) => match[1] ?? '')
  const gloss = text
    .replace(/"[^"]*"( - [^;]*)?/g, '')
    .replace(/^\([^)]*\) */, '')
    .replace(/[;,:\s]+$/, '')
    .replace(/;(\s*;)+/g, ';')
    .trim()
  return { gloss, examples }
}

/** @param {string} text */
const sentence = (text) => {
  const trimmed = text.trim()
  return trimmed.charAt(0).toUpperCase() + trimmed.slice(1) + (/[.?!]$/.test(trimmed) ? '' : '.')
}

/** Three ways to say a definition, so that the model learns words and not one template. @param {string} lemma @param {string} gloss */
function define(lemma, gloss) {
  const name = sentence(lemma).slice(0, -1)
  const kind = hash(lemma) % 3
  if (kind === 0) return `${name}: ${gloss}.`
  if (kind === 1) return `The word ${lemma} means ${gloss}.`
  return /^(a|an|the|any|one|some) /.test(gloss) ? `${name} is ${gloss}.` : `${name} is defined as ${gloss}.`
}
