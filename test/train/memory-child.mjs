/** @file Makes training steps on a model of the given shape and prints the most memory that the process had resident, in bytes (VmHWM). */

import { readFileSync } from 'node:fs'
import { AdamW, createModel, LoraAdapter } from '../../dist/index.js'

const { config, lora, rows, length } = JSON.parse(process.argv[2])
const model = createModel(config, { dtype: 'bfloat16' }).train()
const adapter = LoraAdapter.create(model, lora)
const optimizer = new AdamW(adapter.parameters())
for (let step = 0; step < 2; step++) {
  const inputIds = Array.from({ length: rows }, (_, row) =>
    Array.from({ length }, (_, i) => (i * (row + step + 3)) % config.vocab_size),
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
