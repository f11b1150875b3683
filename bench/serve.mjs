// @ts-check
/**
 * @file `lowrank serve` under load: so many clients at a time, each of which streams one answer after another by OpenAI's /v1/completions. What
 * all of them get per second, and how long the first token of an answer takes.
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { DEVICE_OPTION, ISA_OPTION } from './support/engine.mjs'
import { askAll } from './support/load.mjs'
import { MODEL_OPTION, readWork, WORK_OPTION, withModelFiles } from './support/real-model.mjs'

const CHILD = fileURLToPath(new URL('support/serve-child.mjs', import.meta.url))

/** @type {import('./main.mjs').Bench} */
export const bench = {
  summary: 'A server under load: tokens/s of one stream and of several, and the time to the first token.',
  options: {
    ...DEVICE_OPTION,
    ...ISA_OPTION,
    ...MODEL_OPTION,
    ...WORK_OPTION,
    dtype: {
      choices: ['float32', 'bfloat16', 'nf4'],
      default: 'bfloat16',
      help: 'of the weights; nf4 computes in bfloat16, and is Q4_0 in llama.cpp',
    },
    streams: { type: 'count', list: true, default: [1, 8], help: 'clients at a time', peer: true },
    prompt: { type: 'count', default: 64, help: 'tokens of a prompt' },
    tokens: { type: 'count', default: 64, help: 'tokens of an answer, at most', peer: true },
    answers: { type: 'count', default: 4, help: 'answers that each client asks for, one after the other', peer: true },
    rounds: { type: 'count', default: 3, help: 'how often, after one that does not count', peer: true },
  },
  peer: {
    names: ['peer-llama-cpp'],
    keys: ['dtype', 'streams', 'prompt', 'tokens'],
    figures: ['tokens_per_s', 'first_token_p50_ms', 'first_token_p99_ms', 'peak_rss_mib'],
    options: {},
    around: withPrompts,
  },
  run: (options, report) => withPrompts(options, (complete) => measure(complete, report)),
}

/** Every prompt is asked for once: none is found in a cache. @param {import('./support/options.mjs').Values} options @param {(options: import('./support/options.mjs').Values) => Promise<void>} body */
function withPrompts(options, body) {
  const { streams, answers, rounds } = options
  return withModelFiles(options, Math.max(...streams) * answers * (rounds + 1), body)
}

/** @param {import('./support/options.mjs').Values} options @param {import('./support/report.mjs').Report} report */
async function measure(options, report) {
  const { streams: counts, dtype, prompt, tokens, answers, rounds, work } = options
  const { prompts } = readWork(work)
  report.progress('starting the server')
  for (const streams of counts) {
    const given = {
      model: join(work, 'model'),
      dtype,
      streams,
      threads: options.threads,
      device: options.device,
      isa: options.isa,
    }
    const child = spawn(process.execPath, [CHILD, JSON.stringify(given)], { stdio: ['pipe', 'pipe', 'inherit'] })
    const ended = once(child, 'exit')
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    /** @returns {Promise<any>} */
    const nextLine = async () => {
      const { value, done } = await lines.next()
      if (done) throw new Error('expected a line from the server, but it ended')
      return JSON.parse(value)
    }
    const { url, about } = await nextLine()
    const ask = (/** @type {number[]} */ ids, /** @type {() => void} */ onToken) => complete(url, ids, tokens, onToken)
    const figures = await askAll({
      streams,
      answers,
      rounds,
      prompts,
      ask,
      onRound: (round) => report.progress(`${streams} streams: round ${round} of ${rounds}`),
    })
    child.stdin.end()
    const { peak } = await nextLine()
    await ended
    report.add({ dtype, streams, prompt, tokens, ...about, ...figures, peak_rss_mib: peak })
  }
  report.finish({
    streams: (m) => `${m.streams} ${m.dtype}`,
    'tokens/s': (m) => m.tokens_per_s,
    'first token ms (p50)': (m) => m.first_token_p50_ms,
    'first token ms (p99)': (m) => m.first_token_p99_ms,
    'peak MiB': (m) => m.peak_rss_mib,
  })
}

/**
 * Streams one answer. @param {string} url @param {number[]} prompt @param {number} tokens @param {() => void} onToken
 * @throws where the server refuses
 */
async function complete(url, prompt, tokens, onToken) {
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'model', prompt, max_tokens: tokens, temperature: 0, stream: true, logprobs: 0 }),
  })
  if (!response.ok || !response.body) throw new Error(`expected an answer of the server, got ${await response.text()}`)
  const decoder = new TextDecoder()
  let rest = ''
  for await (const piece of response.body) {
    const events = (rest + decoder.decode(piece, { stream: true })).split('\n\n')
    rest = events.pop() ?? ''
    for (const event of events) {
      if (event === 'data: [DONE]') return
      const { choices } = JSON.parse(event.slice('data: '.length))
      for (const _ of choices[0]?.logprobs?.tokens ?? []) onToken()
    }
  }
  throw new Error('expected the end of the stream, but the connection ended before it')
}
