// @ts-check
/**
 * @file Makes train.jsonl and heldout.jsonl from WordNet: familiar nouns and a small card about each.
 *
 *   node examples/quickstart/data/make.mjs WORDNET_DIR     (usr/share/wordnet of Debian's wordnet-base)
 *
 * A row is { prompt: 'Define: sparrow\n', completion: 'Kind: animal\nMeaning: ...\nType of: ...' }. No two rows share
 * a word or a meaning. One row in five is held out, by hash. The same WordNet gives the same bytes.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hash } from '../../pretrain/clean.mjs'
import { parseGloss } from '../../pretrain/readers.mjs'

/** WordNet's lexicographer files of nouns that are used, in words of every day. @type {Record<string, string>} */
const KINDS = {
  '05': 'animal',
  '06': 'object',
  '08': 'body',
  13: 'food',
  15: 'place',
  18: 'person',
  20: 'plant',
  27: 'substance',
  28: 'time',
}
const ROWS_PER_KIND = 170
/** Meanings that begin alike are left out, so that no held-out row is nearly a row to train on. */
const START = 24

const root = process.argv[2]
if (!root) throw new Error('[make] expected the folder of WordNet, got nothing; run: node make.mjs usr/share/wordnet')

/** @typedef {{ words: string[], file: string, hypernym: string | undefined, gloss: string }} Synset */
/** @type {Map<string, Synset>} */
const synsets = new Map()
for (const line of readFileSync(join(root, 'data.noun'), 'utf8').split('\n')) {
  const bar = line.indexOf(' | ')
  if (line.startsWith(' ') || bar < 0) continue
  const fields = line.slice(0, bar).split(' ')
  const count = Number.parseInt(fields[3] ?? '', 16)
  const words = Array.from({ length: count }, (_, i) => (fields[4 + 2 * i] ?? '').replace(/_/g, ' '))
  const pointer = fields.indexOf('@')
  synsets.set(fields[0] ?? '', {
    words,
    file: fields[1] ?? '',
    hypernym: pointer < 0 ? undefined : fields[pointer + 1],
    gloss: parseGloss(line.slice(bar + 3)).gloss,
  })
}

/** How often a word's sense was met in WordNet's tagged texts. @type {Map<string, number>} */
const counts = new Map()
for (const line of readFileSync(join(root, 'cntlist.rev'), 'utf8').split('\n')) {
  const match = /^([a-z_]+)%1:(\d\d):\S* \d+ (\d+)$/.exec(line)
  if (match)
    counts.set(`${match[1]}/${match[2]}`, Math.max(Number(match[3]), counts.get(`${match[1]}/${match[2]}`) ?? 0))
}

const seen = new Set()
/** @type {Map<string, { word: string, kind: string, meaning: string, parent: string, count: number }[]>} */
const byKind = new Map()
for (const line of readFileSync(join(root, 'index.noun'), 'utf8').split('\n')) {
  const fields = line.trim().split(' ')
  const word = (fields[0] ?? '').replace(/_/g, ' ')
  if (!/^[a-z]{3,14}( [a-z]{3,12})?$/.test(word)) continue
  // The first sense only: a definition of a rarer one would surprise.
  const synset = synsets.get(fields.find((field) => /^\d{8}$/.test(field)) ?? '')
  const kind = synset && KINDS[synset.file]
  const parent = synset?.hypernym && synsets.get(synset.hypernym)?.words[0]
  if (!synset || !kind || !parent || !/^[a-zA-Z ]{3,24}$/.test(parent) || !synset.words.some((w) => w === word))
    continue
  if (!/^[\x20-\x7e]{20,100}$/.test(synset.gloss) || /[();"\d]|genus/.test(synset.gloss) || seen.has(synset.gloss))
    continue
  if (
    /\b(sex|anal\b|anus|slave|negro|offensive|slang|genital|penis|excre|feces|prostitut|kill|murder|nazi|drug|deity|god)/i.test(
      `${word} ${synset.gloss} ${parent}`,
    )
  )
    continue
  seen.add(synset.gloss)
  const rows = byKind.get(kind) ?? []
  byKind.set(kind, rows)
  rows.push({ word, kind, meaning: synset.gloss, parent, count: counts.get(`${fields[0]}/${synset.file}`) ?? 0 })
}

const chosen = [...byKind.values()].flatMap((rows) =>
  rows.sort((a, b) => b.count - a.count || hash(a.word) - hash(b.word)).slice(0, ROWS_PER_KIND),
)
/** @type {Map<string, number>} */
const starts = new Map()
for (const { meaning } of chosen) starts.set(meaning.slice(0, START), (starts.get(meaning.slice(0, START)) ?? 0) + 1)
const distinct = chosen.filter(({ meaning }) => meaning.length >= START && starts.get(meaning.slice(0, START)) === 1)

const isHeldOut = (/** @type {{ word: string }} */ { word }) => hash(word) % 5 === 0
for (const [name, part] of /** @type {const} */ ([
  ['train', distinct.filter((row) => !isHeldOut(row))],
  ['heldout', distinct.filter(isHeldOut)],
])) {
  const rows = part.map(({ word, kind, meaning, parent }) => ({
    prompt: `Define: ${word}\n`,
    completion: `Kind: ${kind}\nMeaning: ${meaning}\nType of: ${parent}`,
  }))
  rows.sort((a, b) => hash(a.prompt) - hash(b.prompt))
  writeFileSync(new URL(`${name}.jsonl`, import.meta.url), rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
  console.log(`${name}: ${rows.length} rows`)
}
