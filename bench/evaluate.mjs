// @ts-check
/**
 * @file What an evaluation asks of a model: the likelihood of a few labels after each of many prompts, and an answer to each of many prompts. The
 * peer is transformers on the same weights and ids, in the fastest of its dtypes and batch sizes.
 */

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generateTexts, loadModel, loadTokenizer, saveModel, scoreContinuations } from '../dist/index.js'
import { DEVICE_OPTION, openDevice } from './support/engine.mjs'
import { peakRssMib } from './support/process.mjs'
import { uniform } from './support/random.mjs'
import { defaultModel, MODEL_OPTION, withFolder } from './support/real-model.mjs'
import { summary } from './support/report.mjs'

const LABELS = [' positive', ' negative', ' neutral', ' mixed']
const WORDS =
  'the a this that film book meal hotel phone train service staff room story battery screen was is seemed felt became very quite hardly rather good bad slow fast kind rude clean dirty long short and but so yet because although we they nobody everyone liked expected found lost paid waited returned after before during without again never always'.split(
    ' ',
  )
const INSTRUCTION = `You read what customers write and name the opinion in one word. Answer positive where the writer is content, negative where
the writer is not, neutral where there is no opinion, and mixed where there are both. Do not explain your answer, and do not repeat the text.
Text: The room was clean and the staff were kind, we will come again.
Opinion: positive
Text: We waited for an hour, and the meal was cold when it came.
Opinion: negative
Text: The train leaves at nine from the second platform.
Opinion: neutral
Text: The story is good, but the book is far too long.
Opinion: mixed
`
const SYSTEM = `You are an assistant of a travel agency. You answer questions about hotels, trains and restaurants in short, friendly sentences. You say
so where you do not know something, you never invent prices or times of departure, and you end each answer with one useful suggestion that
fits the question. You write in plain words, without lists and without headings.`

/** @type {import('./main.mjs').Bench} */
export const bench = {
  summary: 'An evaluation: rows/s of labels by likelihood, and of generated answers.',
  options: {
    ...DEVICE_OPTION,
    ...MODEL_OPTION,
    rows: { type: 'count', default: 1000, help: 'prompts of each kind', peer: true },
    tokens: { type: 'count', default: 32, help: 'tokens of an answer', peer: true },
    instruction: { choices: ['shared', 'none'], default: 'shared', help: 'what all prompts begin with', peer: true },
    dtype: { choices: ['float32', 'bfloat16'], help: 'what to compute in; default: that of loadModel' },
    rounds: { type: 'count', default: 3, help: 'how often, after one of few rows that does not count', peer: true },
    work: { help: 'folder for the weights and the ids, kept; default: a new one, removed at the end', peer: true },
  },
  peer: {
    keys: ['task', 'rows', 'tokens', 'instruction'],
    figures: ['rows_per_s', 'peak_rss_mib'],
    options: {
      'peer-dtypes': {
        list: true,
        choices: ['float32', 'bfloat16'],
        default: ['float32', 'bfloat16'],
        help: 'the dtypes that the peer tries',
        peer: true,
      },
      'peer-batches': {
        type: 'count',
        list: true,
        default: [8, 16, 32, 64, 128],
        help: 'the batch sizes that the peer tries',
        peer: true,
      },
    },
    around: withFiles,
  },
  run: (options, report) => withFiles(options, (complete) => evaluate(complete, report)),
}

/** @param {import('./support/options.mjs').Values} options @param {import('./support/report.mjs').Report} report */
async function evaluate(options, report) {
  const { rows, tokens, instruction, dtype, rounds, work } = options
  const { device, about } = openDevice(options)
  const model = await loadModel(join(work, 'model'), { device, dtype })
  const tokenizer = await loadTokenizer(join(work, 'model'))
  /** @type {{ labels: number[][], contexts: number[][], prompts: number[][] }} */
  const { labels, contexts, prompts } = JSON.parse(readFileSync(join(work, 'ids.json'), 'utf8'))
  const tasks = {
    likelihood: async (/** @type {number} */ count) => {
      const items = contexts
        .slice(0, count)
        .flatMap((context) => labels.map((continuation) => ({ context, continuation })))
      await scoreContinuations(model, items)
    },
    answers: async (/** @type {number} */ count) => {
      await generateTexts(model, tokenizer, prompts.slice(0, count), { maxNewTokens: tokens, eosTokenId: [] })
    },
  }
  for (const [task, run] of Object.entries(tasks)) {
    /** @type {number[]} */
    const figures = []
    await run(Math.min(rows, 64))
    for (let round = 1; round <= rounds; round++) {
      report.progress(`${task}: round ${round} of ${rounds}`)
      const start = performance.now()
      await run(rows)
      figures.push((1000 * rows) / (performance.now() - start))
    }
    report.add({
      task,
      rows,
      tokens,
      instruction,
      dtype: model.dtype,
      ...about,
      rows_per_s: summary(figures),
      peak_rss_mib: peakRssMib(),
    })
  }
  report.finish({
    task: (m) => `${m.task} ${m.dtype}`,
    rows: (m) => m.rows,
    'rows/s': (m) => m.rows_per_s,
    'peak MiB': (m) => m.peak_rss_mib,
  })
  device.close()
}

/**
 * Runs `body` with `work` set to a folder that holds the weights, in bfloat16 for both sides, and the ids of all prompts.
 * @param {import('./support/options.mjs').Values} options @param {(options: import('./support/options.mjs').Values) => Promise<void>} body
 */
function withFiles(options, body) {
  return withFolder(options.work, 'evaluate', async (work) => {
    await writeFiles(options, work)
    await body({ ...options, work })
  })
}

/** @param {import('./support/options.mjs').Values} options @param {string} work */
async function writeFiles({ model: path = defaultModel(), rows, instruction }, work) {
  const model = await loadModel(path, { device: 'cpu', dtype: 'bfloat16' })
  await saveModel(model, join(work, 'model'), { tokenizerFrom: path })
  model.dispose()
  const tokenizer = await loadTokenizer(path)
  const isShared = instruction === 'shared'
  const random = uniform(17)
  const sentence = () => {
    const words = Array.from(
      { length: 8 + Math.floor(32 * random()) },
      () => WORDS[Math.floor(random() * WORDS.length)],
    )
    return `${words.join(' ')}.`
  }
  const contexts = Array.from({ length: rows }, () =>
    tokenizer.encode(`${isShared ? INSTRUCTION : ''}Text: ${sentence()}\nOpinion:`),
  )
  const system = isShared ? [{ role: 'system', content: SYSTEM }] : []
  const prompts = Array.from({ length: rows }, () => {
    const messages = [...system, { role: 'user', content: `What do you say to this? ${sentence()}` }]
    return tokenizer.encode(tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true }), {
      addSpecialTokens: false,
    })
  })
  const labels = LABELS.map((label) => tokenizer.encode(label, { addSpecialTokens: false }))
  writeFileSync(join(work, 'ids.json'), JSON.stringify({ labels, contexts, prompts }))
}
