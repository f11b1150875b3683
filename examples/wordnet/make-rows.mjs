// @ts-check
/**
 * @file Makes rows to train and evaluate on of WordNet 3.0, as the Debian package dict-wn holds it: definitions of words, and words whose
 * part of speech is asked for. No word and no definition of the held-out rows is among those that are trained on.
 *
 *   apt-get download dict-wn && dpkg -x dict-wn_*.deb wordnet
 *   node examples/wordnet/make-rows.mjs wordnet/usr/share/dictd/wn.dict.dz
 */

import { readFile, writeFile } from 'node:fs/promises'
import { gunzipSync } from 'node:zlib'

const PARTS = { n: 'noun', v: 'verb', adj: 'adjective', adv: 'adverb' }
const SIZES = { train: 400, definitions: 150, parts: 200 }
const SEED = 42

/** @typedef {{ word: string, part: string, definition: string }} Entry */

const [path] = process.argv.slice(2)
if (path === undefined) throw new Error('expected the path of wn.dict.dz, got nothing; see the top of this file')
const entries = shuffled(usable(gunzipSync(await readFile(path)).toString('utf8')))

const taken = new Set()
const parts = Object.values(PARTS)
const heldOutDefinitions = take(SIZES.definitions, () => true)
const heldOutParts = parts.flatMap((part) => take(SIZES.parts / parts.length, (entry) => entry.part === part))
const trainDefinitions = take(SIZES.train, () => true)
const trainParts = parts.flatMap((part) => take(SIZES.train / parts.length, (entry) => entry.part === part))

await write('train.jsonl', shuffled([...trainDefinitions.map(definitionRow), ...trainParts.map(partRow)]))
await write('definitions.jsonl', heldOutDefinitions.map(definitionRow))
await write('parts-of-speech.jsonl', shuffled(heldOutParts).map(partRow))

/** @param {Entry} entry */
function definitionRow({ word, part, definition }) {
  return { prompt: `Word: ${word} (${part})\nDefinition:`, completion: ` ${definition}` }
}

/** @param {Entry} entry */
function partRow({ word, part, definition }) {
  return { prompt: `Word: ${word}\nDefinition: ${definition}\nPart of speech:`, completion: ` ${part}` }
}

/**
 * The first entries that nothing has taken, neither their word nor their definition.
 * @param {number} count
 * @param {(entry: Entry) => boolean} isWanted
 */
function take(count, isWanted) {
  const found = []
  for (const entry of entries) {
    if (found.length === count) break
    if (!isWanted(entry) || taken.has(entry.word) || taken.has(entry.definition)) continue
    taken.add(entry.word).add(entry.definition)
    found.push(entry)
  }
  return found
}

/**
 * The first sense of each part of speech of single words, without examples and synonyms.
 * @param {string} text
 * @returns {Entry[]}
 */
function usable(text) {
  const found = []
  for (const block of text.split(/\n(?=\S)/)) {
    const [word = '', ...lines] = block.split('\n')
    if (!/^[a-z]{3,14}$/.test(word)) continue
    const senses = lines
      .map((line) => line.trim())
      .join(' ')
      .split(/(?=\b(?:n|v|adj|adv) 1: )/)
    for (const sense of senses) {
      const [, part, meaning] = /^(n|v|adj|adv) (?:1: )(.*?)(?: \d+: .*)?$/.exec(sense.trim()) ?? []
      const definition = meaning
        ?.replace(/;? ".*$/, '')
        .replace(/ \[(?:syn|ant):.*$/, '')
        .trim()
      if (part === undefined || definition === undefined || definition.length < 15 || definition.length > 90) continue
      if (/[^\x20-\x7e]|[{}[\]]/.test(definition)) continue
      found.push({ word, part: PARTS[/** @type {keyof typeof PARTS} */ (part)], definition })
    }
  }
  return found
}

/**
 * Another order, the same each time.
 * @template T
 * @param {readonly T[]} items
 */
function shuffled(items) {
  let state = SEED
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
  const made = [...items]
  for (let last = made.length - 1; last > 0; last--) {
    const other = Math.floor(next() * (last + 1))
    const kept = /** @type {T} */ (made[last])
    made[last] = /** @type {T} */ (made[other])
    made[other] = kept
  }
  return made
}

/**
 * @param {string} name
 * @param {readonly object[]} rows
 */
async function write(name, rows) {
  await writeFile(new URL(name, import.meta.url), rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
}
