/**
 * @file Loads a model, makes training steps and prints the most memory that the process had resident, in bytes (VmHWM).
 */

import { readFileSync } from 'node:fs'
import { AdamW, LoraAdapter, loadModel } from '../../dist/index.js'

const { directory, lora, rows, length } = JSON.parse(process.argv[2])
const model = (await loadModel(directory, { dtype: 'float32' })).train()
const adapter = LoraAdapter.create(model, lora)
const optimizer = new AdamW(adapter.parameters())
for (let step = 0; step < 2; step++) {
  const inputIds = Array.from({ length: rows }, (_, row) =>
    Array.from({ length }, (_, i) => (i * (row + step + 3)) % model.config.vocabSize),
  )
  const { loss } = model.forward({ inputIds, labels: inputIds })
  loss.backward()
  optimizer.step()
  optimizer.zeroGrad()
  const [value] = await loss.read()
  if (!Number.isFinite(value)) throw new Error(`expected a finite loss, got ${value}`)
}
const [, kilobytes] = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
process.stdout.write(`${Number(kilobytes) * 1024}\n`)
