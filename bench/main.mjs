// @ts-check
/**
 * @file `npm run bench -- step [options]`: measurements, one JSON line each on standard output. With `--peer PYTHON` the same work runs through
 * PyTorch + PEFT (bench/peers) in turn with ours, each in a process of its own, and the ratios are printed pair by pair.
 */

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { step } from './step.mjs'

const USAGE = `usage: npm run bench -- step [--model-shape smollm2-135m|llama-3.2-1b|tiny] [--method lora] [--dtype float32|bfloat16]
         [--batch N] [--seq N] [--warmup N] [--steps N] [--threads N] [--gradient-checkpointing] [--peer PYTHON [--pairs N]]`

const [command, ...args] = process.argv.slice(2)
try {
  if (command !== 'step') throw new Error(`expected a measurement, got ${command ?? 'nothing'}`)
  const peer = takeOption(args, '--peer')
  const pairs = Number(takeOption(args, '--pairs') ?? 3)
  if (peer === undefined) console.log(JSON.stringify(await step(args)))
  else comparePairs(peer, pairs, args)
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : error}\n${USAGE}`)
  process.exitCode = 2
}

/** @param {string} python @param {number} pairs @param {string[]} rest */
function comparePairs(python, pairs, rest) {
  const peerScript = fileURLToPath(new URL('peers/step.py', import.meta.url))
  const self = fileURLToPath(import.meta.url)
  const ratios = []
  for (let pair = 1; pair <= pairs; pair++) {
    const ours = runJson(process.execPath, [self, 'step', ...rest])
    const theirs = runJson(python, [peerScript, ...rest])
    const speed = ours.tokens_per_s.median / theirs.tokens_per_s.median
    ratios.push(speed)
    console.log(
      JSON.stringify({
        pair,
        lowrank: ours,
        peer: theirs,
        tokens_per_s_ratio: speed,
        peak_rss_ratio: ours.peak_rss_mib / theirs.peak_rss_mib,
      }),
    )
  }
  ratios.sort((a, b) => a - b)
  console.error(
    `tokens/s against PyTorch + PEFT: median ${ratios[Math.floor(pairs / 2)]?.toFixed(2)}x, min ${ratios[0]?.toFixed(2)}x, max ${ratios.at(-1)?.toFixed(2)}x`,
  )
}

/** Runs a program and parses the last line that it prints. @param {string} program @param {string[]} programArgs */
function runJson(program, programArgs) {
  const { stdout, status, error } = spawnSync(program, programArgs, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 1 << 26,
  })
  if (error) throw error
  if (status !== 0) throw new Error(`${program} ${programArgs.join(' ')} ended with status ${status}`)
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '')
}

/** Removes an option with its value from the arguments. @param {string[]} list @param {string} name */
function takeOption(list, name) {
  const at = list.indexOf(name)
  return at < 0 ? undefined : list.splice(at, 2)[1]
}
