// @ts-check
/**
 * @file `npm run quickstart`: teaches the model that the repository ships to turn a reminder into JSON, and counts what it gets right. In order:
 * answers to held-out prompts before, LoRA training, answers after, and the saved adapter loaded again in a fresh process.
 */

import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createProgress, LoraAdapter, loadModel, loadTokenizer, trainLora } from '../../dist/index.js'
import { lossChart } from './loss-chart.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '../..')
const MODEL = join(root, 'models/lowrank-base-5m')
const TRAIN = join(here, 'reminders/train.jsonl')
const HELD_OUT = join(here, 'reminders/heldout.jsonl')
const OUTPUT = join(root, 'out/quickstart')
const ADAPTER = join(OUTPUT, 'adapter')

// Tokens. A prompt has some 25, the JSON some 35.
const MAX_LENGTH = 128
const LONGEST_ANSWER = 48
const PROMPTS_AT_ONCE = 50
const SHOWN = 4
// Characters of an answer that are shown, so that the line fits a terminal of 80 columns.
const SHOWN_WIDTH = 66
// The share of held-out answers that have to be right for the run to count as a success.
const REQUIRED = 0.5

/** @typedef {{ prompt: string, completion: string }} Row */

if (process.argv[2] === '--answers-of-saved-adapter') {
  const { model, tokenizer, heldOut } = await open()
  await LoraAdapter.load(model, ADAPTER)
  console.log(JSON.stringify(await answer(model, tokenizer, heldOut)))
} else {
  process.exitCode = await main()
}

async function main() {
  const begin = performance.now()
  rmSync(OUTPUT, { recursive: true, force: true })
  const { model, tokenizer, heldOut } = await open()
  say(`\nBefore training, ${show(MODEL)} answers ${heldOut.length} held-out prompts ...`)
  const before = await answer(model, tokenizer, heldOut)
  model.dispose()
  say(`  ${countRight(before, heldOut)} of ${heldOut.length} right\n`)

  /** @type {number[]} */
  const losses = []
  const progress = createProgress()
  const run = await trainLora({
    model: MODEL,
    dataset: TRAIN,
    lora: { r: 16, loraAlpha: 32, targetModules: 'all-linear' },
    training: {
      numTrainEpochs: 4,
      learningRate: 2e-3,
      perDeviceTrainBatchSize: 8,
      gradientAccumulationSteps: 1,
      maxLength: MAX_LENGTH,
      loggingSteps: 50,
      saveStrategy: 'no',
    },
    onEvent: (event) => {
      if (event.type === 'step') losses.push(event.loss)
      progress.onEvent(event)
    },
  }).finally(progress.stop)
  say('\nTraining loss (lower is better), on a logarithmic scale')
  for (const line of lossChart(losses)) say(`  ${line}`)

  const after = await answer(run.model, run.tokenizer, heldOut)
  await run.adapter.save(ADAPTER)
  run.dispose()
  const right = countRight(after, heldOut)
  say(
    `\nRight answers to held-out prompts: ${countRight(before, heldOut)} of ${heldOut.length} before, ${right} after training.`,
  )
  say(`No training row has their tasks. The first ${SHOWN}:\n`)
  heldOut.slice(0, SHOWN).forEach(({ prompt, completion }, i) => {
    say(`  ${prompt.trim()}`)
    say(`    before  ${oneLine(before[i])}`)
    say(`    after   ${oneLine(after[i])}${after[i] === completion ? '  right' : `  wrong, expected ${completion}`}\n`)
  })

  const again = answersInFreshProcess()
  const same = again.filter((text, i) => text === after[i]).length
  say(
    `Adapter saved in ${show(ADAPTER)}.\nA fresh process that loads it answers ${same} of ${after.length} prompts the same.`,
  )
  say(`All of it took ${((performance.now() - begin) / 1000).toFixed(0)} s.`)
  if (right < REQUIRED * heldOut.length)
    return fail(`expected at least ${100 * REQUIRED} % of the answers to be right, got ${right} of ${heldOut.length}`)
  if (same !== after.length)
    return fail(`expected the saved adapter to give the same answers, got ${same} of ${after.length}`)
  const [example] = heldOut
  say(`
Next:
  Ask it yourself
    npx lowrank generate --model ${show(MODEL)} \\
      --adapter ${show(ADAPTER)} \\
      --prompt $'${example?.prompt.replaceAll('\n', '\\n')}'
  Repeat the run from a configuration file; then put your own rows into it
    npx lowrank train examples/quickstart/train.yaml
  See what the engine found on this machine
    npx lowrank doctor
  Read README.md: your own model and rows, from TypeScript`)
  return 0
}

async function open() {
  const model = await loadModel(MODEL)
  const tokenizer = await loadTokenizer(MODEL)
  const lines = readFileSync(HELD_OUT, 'utf8').trim().split('\n')
  const heldOut = lines.map((line) => /** @type {Row} */ (JSON.parse(line)))
  return { model, tokenizer, heldOut }
}

/**
 * What the model takes for the likeliest answer to each prompt.
 * @param {import('../../dist/index.js').CausalLM} model
 * @param {import('../../dist/index.js').Tokenizer} tokenizer
 * @param {readonly Row[]} rows
 */
async function answer(model, tokenizer, rows) {
  /** @type {string[]} */
  const texts = []
  for (let first = 0; first < rows.length; first += PROMPTS_AT_ONCE) {
    const prompts = rows.slice(first, first + PROMPTS_AT_ONCE).map(({ prompt }) => [...tokenizer.encode(prompt)])
    const options = { maxNewTokens: LONGEST_ANSWER, eosTokenId: tokenizer.eosTokenIds }
    for (const ids of await model.generate(prompts, options))
      texts.push(tokenizer.decode(ids, { skipSpecialTokens: true }))
  }
  return texts
}

/** An answer is right when it is the expected text to the letter. @param {readonly string[]} answers @param {readonly Row[]} rows */
function countRight(answers, rows) {
  return rows.filter(({ completion }, i) => answers[i] === completion).length
}

/** @returns {string[]} */
function answersInFreshProcess() {
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [fileURLToPath(import.meta.url), '--answers-of-saved-adapter'],
    { encoding: 'utf8' },
  )
  if (status !== 0) throw new Error(`the fresh process ended with status ${status}: ${stderr}`)
  return JSON.parse(stdout)
}

/** @param {string | undefined} text */
function oneLine(text) {
  const line = (text ?? '').trim().replace(/\s+/g, ' ')
  return line.length > SHOWN_WIDTH ? `${line.slice(0, SHOWN_WIDTH - 3)}...` : line
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
