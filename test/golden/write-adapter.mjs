/**
 * @file Writes what check_adapter.py compares: an adapter made by lowrank, its B not zero, and the logits that lowrank computes with it.
 * Uses the built package (npm run build).
 *
 *     node test/golden/write-adapter.mjs MODEL_DIR OUT_DIR ['{"r": 4, "targetModules": ["q_proj"]}']
 */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { LoraAdapter, loadModel } from '../../dist/index.js'

const [modelDirectory, outDirectory, options = '{"r": 5, "loraAlpha": 7}'] = process.argv.slice(2)
if (!modelDirectory || !outDirectory) {
  process.stderr.write('usage: node test/golden/write-adapter.mjs MODEL_DIR OUT_DIR [LORA_OPTIONS_AS_JSON]\n')
  process.exit(2)
}

const model = await loadModel(modelDirectory, { dtype: 'float32' })
const adapter = LoraAdapter.create(model, JSON.parse(options))
for (const [name, parameter] of adapter.parameters()) {
  // A fresh B is zero, and a module trained in full equals the base: neither would show.
  if (!name.includes('lora_A')) parameter.set((await parameter.read()).map((value, i) => value + 0.2 * Math.sin(i)))
}
await adapter.save(outDirectory)

// Rows of 11 and 7 tokens, padded on the right.
const [rows, cols] = [2, 11]
const inputIds = Array.from({ length: rows }, (_, r) =>
  Array.from({ length: cols }, (_, c) => (r === 1 && c >= 7 ? 0 : (3 + 17 * r + 7 * c) % model.config.vocabSize)),
)
const attentionMask = inputIds.map((row, r) => row.map((_, c) => (r === 1 && c >= 7 ? 0 : 1)))
const logits = await model.forward({ inputIds, attentionMask }, { logits: true }).logits.read()

const tensors = [
  ['logits', 'F32', [rows, cols, model.config.vocabSize], logits],
  ['input_ids', 'I32', [rows, cols], Int32Array.from(inputIds.flat())],
  ['attention_mask', 'I32', [rows, cols], Int32Array.from(attentionMask.flat())],
]
let at = 0
const header = {}
for (const [name, dtype, shape, values] of tensors) {
  header[name] = { dtype, shape, data_offsets: [at, at + values.byteLength] }
  at += values.byteLength
}
const json = Buffer.from(JSON.stringify(header))
const length = Buffer.alloc(8)
length.writeBigUInt64LE(BigInt(json.length))
await writeFile(
  join(outDirectory, 'logits.safetensors'),
  Buffer.concat([length, json, ...tensors.map(([, , , values]) => Buffer.from(values.buffer))]),
)
