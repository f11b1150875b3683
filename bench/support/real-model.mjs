// @ts-check
/** @file A real model for a measurement, and the folder that its files and prompts lie in, for both sides. */

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { exportModel, loadModel, saveModel } from '../../dist/index.js'
import { UsageError } from './options.mjs'
import { randomIds, uniform } from './random.mjs'

/** The option of measurements that take a real model. @type {import('./options.mjs').OptionTable} */
export const MODEL_OPTION = {
  model: { help: 'a directory or GGUF file of an instruct model; default: the one of LOWRANK_TEST_MODELS' },
}

/** @type {import('./options.mjs').OptionTable} */
export const WORK_OPTION = {
  work: {
    help: 'folder for the weights and the prompts, kept; default: a new one, removed at the end',
    peer: 'peer-llama-cpp',
  },
}

/** How llama.cpp holds what we hold in that dtype: 16 bits as they are, 4 bits a weight in blocks of 32. */
const GGUF_TYPES = /** @type {const} */ ({ float32: 'F32', bfloat16: 'BF16', nf4: 'Q4_0' })

/**
 * What both sides read, in work.json.
 * @typedef {object} Work
 * @property {string} model its name
 * @property {number} vocabSize
 * @property {string} dtype of the weights
 * @property {string} gguf the file of llama.cpp, where it was made
 * @property {number[][]} prompts
 */

/** @throws {UsageError} where there is none. */
export function defaultModel() {
  const folder = process.env.LOWRANK_TEST_MODELS
  if (folder) return join(folder, 'SmolLM2-135M-Instruct.Q4_1.gguf')
  throw new UsageError('expected --model, or the folder of the test models in LOWRANK_TEST_MODELS')
}

/**
 * Calls `body` with that folder, or with one that is removed at the end.
 * @template T @param {string | undefined} given @param {string} name @param {(folder: string) => Promise<T>} body @returns {Promise<T>}
 */
export async function withFolder(given, name, body) {
  const folder = given ?? mkdtempSync(join(tmpdir(), `lowrank-${name}-`))
  try {
    mkdirSync(folder, { recursive: true })
    return await body(folder)
  } finally {
    if (given === undefined) rmSync(folder, { recursive: true })
  }
}

/**
 * Calls `body` with `work` set to a folder that holds the weights as a checkpoint in bfloat16 (`model`), for llama.cpp as a GGUF file too, and
 * `count` prompts of random ids (work.json). What a kept folder has already is not made again.
 * @param {import('./options.mjs').Values} options @param {number} count @param {(options: import('./options.mjs').Values) => Promise<void>} body
 */
export function withModelFiles(options, count, body) {
  const { dtype, prompt, peerLlamaCpp } = options
  return withFolder(options.work, 'bench', async (work) => {
    const { model, vocabSize } = existsSync(join(work, 'work.json')) ? readWork(work) : await saveWeights(options, work)
    const type = GGUF_TYPES[/** @type {keyof typeof GGUF_TYPES} */ (dtype)]
    const gguf = join(work, type)
    if (peerLlamaCpp !== undefined && !existsSync(gguf)) {
      const lines = ['One line is enough to compare.']
      await exportModel({ model: join(work, 'model'), format: 'gguf', type, output: gguf, lines })
    }
    const random = uniform(23)
    const prompts = Array.from({ length: count }, () => randomIds(random, prompt, vocabSize))
    writeFileSync(join(work, 'work.json'), JSON.stringify({ model, vocabSize, dtype, gguf, prompts }))
    await body({ ...options, work })
  })
}

/** @param {import('./options.mjs').Values} options @param {string} work */
async function saveWeights({ model: path = defaultModel() }, work) {
  const model = await loadModel(path, { device: 'cpu', dtype: 'bfloat16' })
  await saveModel(model, join(work, 'model'), { tokenizerFrom: path })
  const { vocabSize } = model.config
  model.dispose()
  return { model: basename(path), vocabSize }
}

/** @param {string} work @returns {Work} */
export function readWork(work) {
  return JSON.parse(readFileSync(join(work, 'work.json'), 'utf8'))
}
