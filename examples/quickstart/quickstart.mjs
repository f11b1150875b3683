// @ts-check
/**
 * @file `npm run quickstart`: fine-tunes the model that the repository ships on the data that it ships, and shows that it worked. In order: perplexity
 * and answers before, LoRA training, perplexity and answers after, and the saved adapter loaded again in a fresh process.
 */

import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  createProgress,
  evaluateLoss,
  LoraAdapter,
  loadModel,
  loadTokenizer,
  prepareDataset,
  trainLora,
} from '../../dist/index.js'

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '../..')
const MODEL = join(root, 'models/lowrank-base-5m')
const TRAIN = join(here, 'data/train.jsonl')
const HELD_OUT = join(here, 'data/heldout.jsonl')
const OUTPUT = join(root, 'out/quickstart')
const ADAPTER = join(OUTPUT, 'adapter')

// Tokens; definitions are far shorter.
const MAX_LENGTH = 256
// The least that perplexity has to fall for the run to count as a success.
const REQUIRED_FALL = 0.2
// Evaluation in another process sums the same numbers: they agree to the last digits of float32.
const REPRODUCTION_TOLERANCE = 1e-4

if (process.argv[2] === '--perplexity-of-saved-adapter') {
  const { model, tokenizer, heldOut } = await open()
  await LoraAdapter.load(model, ADAPTER)
  console.log((await perplexity(model, tokenizer, heldOut)).toPrecision(12))
} else {
  process.exitCode = await main()
}

async function main() {
  const begin = performance.now()
  rmSync(OUTPUT, { recursive: true, force: true })
  const { model, tokenizer, heldOut } = await open()
  const shown = [3, 57, 120].map((row) => /** @type {{ prompt: string, completion: string }} */ (heldOut[row]))
  say(`\nThe model ${show(MODEL)} before training: held-out perplexity of ${heldOut.length} completions`)
  const before = await perplexity(model, tokenizer, heldOut)
  const answersBefore = await answers(model, tokenizer, shown)
  model.dispose()
  say(`  ${before.toFixed(3)}\n`)

  const progress = createProgress()
  const run = await trainLora({
    model: MODEL,
    dataset: TRAIN,
    lora: { r: 16, loraAlpha: 32, targetModules: 'all-linear' },
    training: {
      numTrainEpochs: 2,
      learningRate: 3e-3,
      perDeviceTrainBatchSize: 16,
      maxLength: MAX_LENGTH,
      saveStrategy: 'no',
    },
    onEvent: progress.onEvent,
  }).finally(progress.stop)

  const after = await perplexity(run.model, run.tokenizer, heldOut)
  const answersAfter = await answers(run.model, run.tokenizer, shown)
  await run.adapter.save(ADAPTER)
  run.dispose()
  const fall = 1 - after / before
  say(`\nHeld-out perplexity ${before.toFixed(3)} -> ${after.toFixed(3)} (${(100 * fall).toFixed(1)} % lower)\n`)
  shown.forEach(({ prompt, completion }, i) => {
    say(`  ${prompt.trim()}`)
    say(`    before     ${oneLine(answersBefore[i])}`)
    say(`    after      ${oneLine(answersAfter[i])}`)
    say(`    reference  ${oneLine(completion)}\n`)
  })

  const again = perplexityInFreshProcess()
  const difference = Math.abs(again - after) / after
  say(
    `Adapter saved in ${show(ADAPTER)}; a fresh process that loads it gets perplexity ${again.toFixed(3)} (relative difference ${difference.toExponential(1)})`,
  )
  say(`All of it took ${((performance.now() - begin) / 1000).toFixed(0)} s.`)
  if (!(fall >= REQUIRED_FALL))
    return fail(
      `expected perplexity to fall by at least ${100 * REQUIRED_FALL} %, it fell by ${(100 * fall).toFixed(1)} %`,
    )
  if (!(difference <= REPRODUCTION_TOLERANCE))
    return fail(
      `expected the saved adapter to reproduce the perplexity to ${REPRODUCTION_TOLERANCE}, got ${again} after ${after}`,
    )
  const [example] = shown
  say(`
Next:
  npx lowrank generate --model ${show(MODEL)} --adapter ${show(ADAPTER)} --prompt $'${example?.prompt.replaceAll('\n', '\\n')}'
  npx lowrank train examples/quickstart/train.yaml      the same run from a configuration file: point it at your own rows
  npx lowrank doctor                                    what the engine found on this machine
  README.md                                             your own model and data from TypeScript`)
  return 0
}

async function open() {
  const model = await loadModel(MODEL)
  const tokenizer = await loadTokenizer(MODEL)
  const heldOut = readFileSync(HELD_OUT, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  return { model, tokenizer, heldOut }
}

/**
 * exp of the mean cross-entropy per completion token.
 * @param {import('../../dist/index.js').CausalLM} model
 * @param {import('../../dist/index.js').Tokenizer} tokenizer
 * @param {object[]} rows
 */
async function perplexity(model, tokenizer, rows) {
  const { examples } = await prepareDataset(rows, tokenizer, {
    maxLength: 256,
    vocabSize: model.config.vocabSize,
  })
  return (await evaluateLoss(model, examples, { batchSize: 32 })).perplexity
}

/**
 * @param {import('../../dist/index.js').CausalLM} model
 * @param {import('../../dist/index.js').Tokenizer} tokenizer
 * @param {{ prompt: string }[]} rows
 */
async function answers(model, tokenizer, rows) {
  const texts = []
  for (const { prompt } of rows) {
    const ids = await model.generate(tokenizer.encode(prompt), { maxNewTokens: 48, eosTokenId: tokenizer.eosTokenIds })
    texts.push(tokenizer.decode(ids, { skipSpecialTokens: true }))
  }
  return texts
}

function perplexityInFreshProcess() {
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [fileURLToPath(import.meta.url), '--perplexity-of-saved-adapter'],
    { encoding: 'utf8' },
  )
  if (status !== 0) throw new Error(`the fresh process ended with status ${status}: ${stderr}`)
  return Number(stdout)
}

/** @param {string | undefined} text */
function oneLine(text) {
  const line = (text ?? '').trim().replace(/\s+/g, ' ')
  return line.length > 150 ? `${line.slice(0, 147)}...` : line
}

/** @param {string} path */
function show(path) {
  return relative(process.cwd(), path) || '.'
}

/** @param {string} text */
function say(text) {
  console.log(text)
}

/** @param {string} reason */
function fail(reason) {
  console.error(`quickstart failed: ${reason}`)
  return 1
}
