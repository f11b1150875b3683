// @ts-check
/** @file A server on a model, in a process of its own: `node serve-child.mjs OPTIONS`, a JSON object. Prints its address, serves until stdin ends. */

import { createInferenceEngine, createServeHandler, loadModel, loadTokenizer, serve } from '../../dist/index.js'
import { openDevice } from './engine.mjs'
import { peakRssMib } from './process.mjs'

const { model: path, dtype, streams, ...options } = JSON.parse(process.argv[2] ?? '')
const { device, about } = openDevice(options)
const compute = dtype === 'float32' ? 'float32' : 'bfloat16'
const quantization = dtype === 'nf4' ? 'nf4' : undefined
const model = await loadModel(path, { device, dtype: compute, quantization })
const engine = await createInferenceEngine(model, { maxSequences: streams })
const handler = createServeHandler(model, await loadTokenizer(path), { engine, modelName: 'model' })
const server = await serve(handler, { port: 0 })
console.log(JSON.stringify({ url: server.url, about }))

for await (const _ of process.stdin);
console.log(JSON.stringify({ peak: peakRssMib() }))
await server.close()
model.dispose()
device.close()
