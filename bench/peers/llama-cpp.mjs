// @ts-check
/**
 * @file `npm run bench -- generate` and `serve` in llama.cpp, through node-llama-cpp: same weights, same prompts, same JSON lines.
 *
 *     node bench/peers/llama-cpp.mjs generate --peer-llama-cpp FOLDER/node_modules --work FOLDER --tokens 64 --rounds 5
 */

import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { askAll } from '../support/load.mjs'
import { readOptions } from '../support/options.mjs'
import { peakRssMib } from '../support/process.mjs'
import { summary } from '../support/report.mjs'

const [command = '', ...args] = process.argv.slice(2)
const options = readOptions(
  {
    'peer-llama-cpp': { help: 'a node_modules folder with node-llama-cpp' },
    work: { help: 'the folder that the measurement made' },
    threads: { type: 'count', help: 'threads that compute' },
    device: { help: 'cpu' },
    dtype: { help: 'of the weights' },
    streams: { type: 'count', list: true, default: [1], help: 'sequences at a time' },
    answers: { type: 'count', default: 1, help: 'answers of each sequence' },
    tokens: { type: 'count', default: 64, help: 'tokens of an answer' },
    rounds: { type: 'count', default: 5, help: 'how often, after one that does not count' },
  },
  args,
)
const folder = join(options.peerLlamaCpp, 'node-llama-cpp')
const { getLlama } = await import(pathToFileURL(join(folder, 'dist', 'index.js')).href)
const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
const work = JSON.parse(readFileSync(join(options.work, 'work.json'), 'utf8'))
const prompt = work.prompts[0].length
const threads = options.threads ?? availableParallelism()
const about = { dtype: work.dtype, prompt, tokens: options.tokens, device: 'cpu', threads }
const versions = { 'node-llama-cpp': version, node: process.versions.node }

const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, logLevel: 'error', maxThreads: threads })
const gguf = readdirSync(work.gguf).find((name) => name.endsWith('.gguf')) ?? ''
const model = await llama.loadModel({ modelPath: join(work.gguf, gguf) })

if (command === 'generate') await generate()
else await serve()
process.exit(0)

async function generate() {
  const context = await createContext(1, options.tokens + 1)
  const ask = asker(context, 1, options.tokens + 1)
  /** @type {number[]} */
  const prefill = []
  /** @type {number[]} */
  const decode = []
  for (let round = 0; round <= options.rounds; round++) {
    const times = [performance.now()]
    await ask(work.prompts[0], () => times.push(performance.now()))
    if (round === 0) continue
    const [start = 0, first = 0] = times
    prefill.push((1000 * prompt) / (first - start))
    decode.push((1000 * (times.length - 2)) / ((times.at(-1) ?? 0) - first))
  }
  emit({
    model_shape: work.model,
    adapter: false,
    prefill_tokens_per_s: summary(prefill),
    decode_tokens_per_s: summary(decode),
  })
}

async function serve() {
  for (const streams of options.streams) {
    const context = await createContext(streams, options.tokens)
    const { answers, rounds } = options
    const figures = await askAll({
      streams,
      answers,
      rounds,
      prompts: work.prompts,
      ask: asker(context, streams, options.tokens),
    })
    await context.dispose()
    emit({ streams, ...figures })
  }
}

/** @param {number} sequences @param {number} tokens */
function createContext(sequences, tokens) {
  const contextSize = prompt + tokens + 8
  return model.createContext({ contextSize, sequences, threads, batchSize: Math.max(512, sequences) })
}

/** Asks for one answer on a sequence that is free. @param {any} context @param {number} sequences @param {number} tokens */
function asker(context, sequences, tokens) {
  const free = Array.from({ length: sequences }, () => context.getSequence())
  return async (/** @type {number[]} */ ids, /** @type {() => void} */ onToken) => {
    const sequence = free.pop()
    let count = 0
    for await (const id of sequence.evaluate(ids, { temperature: 0, yieldEogToken: true })) {
      onToken()
      if (++count === tokens || (command === 'serve' && model.isEogToken(id))) break
    }
    await sequence.clearHistory()
    free.push(sequence)
  }
}

/** @param {Record<string, unknown>} figures */
function emit(figures) {
  console.log(JSON.stringify({ bench: command, ...about, ...figures, peak_rss_mib: peakRssMib(), versions }))
}
