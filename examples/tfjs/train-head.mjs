/**
 * @file Trains a head of TensorFlow.js on a frozen layer of lowrank. The task: tell the part of speech of a word by its
 * definition. The features: the mean of the word vectors of a small model, through one layer of it, which is in NF4 and
 * gets LoRA factors. TensorFlow.js trains the factors and the head.
 *
 * `node examples/tfjs/train-head.mjs [FOLDER/any.js]`: where TensorFlow.js is installed, by default here.
 */

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { loadModel, loadTokenizer } from '../../dist/index.js'
import { createTfjsOps } from '../../dist/tfjs.js'

const tf = createRequire(process.argv[2] ?? import.meta.url)('@tensorflow/tfjs')

const pathOf = (path) => fileURLToPath(new URL(`../../${path}`, import.meta.url))
const MODEL = pathOf('models/lowrank-base-5m')
const RANK = 8

/** Rows of the file, in an order that mixes the classes. */
const rows = readFileSync(pathOf('examples/wordnet/parts-of-speech.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line))
const classes = [...new Set(rows.map(({ completion }) => completion))].sort()

const tokenizer = await loadTokenizer(MODEL)
const model = await loadModel(MODEL, { dtype: 'float32', quantization: 'nf4' })
const ops = createTfjsOps(tf)

// The vectors of all tokens [V, D], as a tensor of TensorFlow.js.
const vectors = ops.fromTensor(model.parameters().get('model.embed_tokens.weight').value)
const layer = model.modules.linears.get('model.layers.0.mlp.gate_proj')

/** The mean vector of each text, [N, D]. */
function meanVectors(texts) {
  return tf.tidy(() => {
    const means = texts.map((text) => tf.mean(tf.gather(vectors, tokenizer.encode(text)), 0))
    return tf.mul(tf.stack(means), 16)
  })
}

const features = meanVectors(rows.map(({ prompt }) => prompt.replace('\nPart of speech:', '')))
const labels = tf.oneHot(
  rows.map(({ completion }) => classes.indexOf(completion)),
  classes.length,
)
const half = rows.length / 2
const [trainX, testX] = tf.split(features, [half, half])
const [trainY, testY] = tf.split(labels, [half, half])

// As PEFT begins: a at random, b zero, so that the layer starts as it is.
const a = tf.variable(tf.randomNormal([RANK, layer.inFeatures], 0, 1 / Math.sqrt(layer.inFeatures), 'float32', 1))
const b = tf.variable(tf.zeros([layer.outFeatures, RANK]))
const head = tf.variable(tf.randomNormal([layer.outFeatures, classes.length], 0, 0.02, 'float32', 2))

/** [N, D] -> [N, classes]. */
function logitsOf(x) {
  return tf.matMul(tf.relu(ops.loraLinear(x, layer.weight.nf4, a, b, { scale: 2 })), head)
}

function accuracy(x, y) {
  const [right] = tf.tidy(() =>
    tf.mean(tf.cast(tf.equal(tf.argMax(logitsOf(x), 1), tf.argMax(y, 1)), 'float32')).dataSync(),
  )
  return Math.round(100 * right)
}

/** The mean cross-entropy of the labels. */
function lossOf(x, y) {
  const logits = logitsOf(x)
  const logProbs = tf.sub(logits, tf.logSumExp(logits, 1, true))
  return tf.neg(tf.mean(tf.sum(tf.mul(logProbs, y), 1)))
}

const before = accuracy(testX, testY)
const optimizer = tf.train.adam(0.003)
let loss
for (let step = 0; step < 60; step++) {
  loss?.dispose()
  loss = optimizer.minimize(() => lossOf(trainX, trainY), true, [a, b, head])
  if (step % 20 === 0) console.log(`step ${step}: loss ${loss.dataSync()[0].toFixed(3)}`)
}
console.log(`accuracy on ${half} unseen words: ${before} % before, ${accuracy(testX, testY)} % after`)

ops.dispose()
model.dispose()
