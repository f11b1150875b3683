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
import { drawSentences, shuffleWords } from './shuffle.mjs'

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
const { examples } = await prepareDataset(values.heldout, tokenizer, { maxLength: 512 })
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
