// @ts-check
/**
 * @file The word-shuffle test of a base model, and its held-out perplexity.
 *
 *   node examples/pretrain/evaluate.mjs [--model models/lowrank-base-5m] [--heldout out/pretrain/heldout.jsonl] [--count 500]
 *
 * Draws held-out sentences of 8 words or more by seed, shuffles the words of each, and counts how often the model gives
 * the sentence the higher mean log-probability per token. Exits 1 below `--required` (0.95).
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { evaluateLoss, loadModel, loadTokenizer, noGrad, prepareDataset } from '../../dist/index.js'
import { hash, sentences } from './clean.mjs'

const MINIMUM_WORDS = 8
/** Longer sentences would be cut by the model's context. */
const MAXIMUM_CHARACTERS = 600

/** @param {string[]} texts @param {number} count @param {number} seed @returns {string[]} distinct sentences, drawn from all texts alike */
export function drawSentences(texts, count, seed) {
  const all = new Set(
    texts.flatMap((text) => text.replace(/<\|\w+\|>(user|assistant)?/g, '').split('\n')).flatMap(sentences),
  )
  return [...all]
    .filter(
      (text) =>
        text.split(' ').length >= MINIMUM_WORDS && text.length <= MAXIMUM_CHARACTERS && /[.?!]["')]?$/.test(text),
    )
    .sort((a, b) => hash(`${seed}${a}`) - hash(`${seed}${b}`) || (a < b ? -1 : 1))
    .slice(0, count)
}

/** The same words in another order. @param {string} sentence @param {number} seed @returns {string} */
export function shuffleWords(sentence, seed) {
  const words = sentence.split(' ')
  for (let round = 0; ; round++) {
    const order = words
      .map((word, i) => ({ word, key: hash(`${seed}/${round}/${i}/${sentence}`) }))
      .sort((a, b) => a.key - b.key)
      .map(({ word }) => word)
      .join(' ')
    if (order !== sentence) return order
  }
}

async function main() {
  const { values } = parseArgs({
    options: {
      model: { type: 'string', default: 'models/lowrank-base-5m' },
      heldout: { type: 'string', default: 'out/pretrain/heldout.jsonl' },
      count: { type: 'string', default: '500' },
      seed: { type: 'string', default: '1' },
      required: { type: 'string', default: '0.95' },
    },
  })
  const rows = readFileSync(values.heldout, 'utf8').trim().split('\n')
  const texts = rows.map((row) => /** @type {{ text: string }} */ (JSON.parse(row)).text)
  const model = await loadModel(values.model, { device: 'cpu', dtype: 'float32' })
  const tokenizer = await loadTokenizer(values.model)

  /** @param {string} text @returns {Promise<number>} mean log-probability of its tokens after the first */
  const score = async (text) => {
    const ids = [...tokenizer.encode(text)]
    const { loss } = noGrad(() => model.forward({ inputIds: [ids], labels: [ids] }))
    const [value] = await loss.read()
    loss.dispose()
    return -(value ?? Number.NaN)
  }

  const chosen = drawSentences(texts, Number(values.count), Number(values.seed))
  const lost = []
  for (const sentence of chosen) {
    const shuffled = shuffleWords(sentence, Number(values.seed))
    if ((await score(sentence)) <= (await score(shuffled))) lost.push(sentence)
  }
  const share = 1 - lost.length / chosen.length
  const { train: examples } = await prepareDataset(values.heldout, tokenizer, { maxLength: 512 })
  const { perplexity, tokens } = await evaluateLoss(model, examples)
  for (const sentence of lost.slice(0, 10)) console.error(`shuffle preferred: ${sentence}`)
  console.log(
    JSON.stringify({
      sentences: chosen.length,
      aboveShuffle: share,
      heldoutPerplexity: perplexity,
      heldoutTokens: tokens,
    }),
  )
  model.dispose()
  if (chosen.length < Number(values.count) || share < Number(values.required)) process.exitCode = 1
}

if (process.argv[1] && import.meta.filename === process.argv[1]) await main()
