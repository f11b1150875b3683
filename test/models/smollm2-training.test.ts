/**
 * @file LoRA on SmolLM2-135M-Instruct from GGUF, step by step beside PEFT: the same rows of real text, the same first
 * adapter. Runs where the file is; see CONTRIBUTING.md.
 */

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import { IGNORE_INDEX } from '../../src/architecture/ragged-batch.js'
import { noGrad } from '../../src/autograd/tape.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { type LoadModelOptions, loadModel } from '../../src/checkpoint/load-model.js'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { AdamW } from '../../src/train/adamw.js'
import { SMOLLM2 } from '../support/real-model.js'

interface Row {
  prompt: number[]
  completion: number[]
}

interface Run {
  losses: number[]
  /** Before and after. */
  heldout: [number, number]
}

/** Written by test/golden/smollm2_training.py. */
interface Golden {
  lr: number
  rowsPerStep: number
  train: Row[]
  heldout: Row[]
  runs: Record<'float32' | 'bfloat16' | 'nf4', Run>
}

describe.skipIf(SMOLLM2 === undefined)('LoRA on SmolLM2-135M-Instruct', { timeout: 900_000 }, () => {
  const path = SMOLLM2 as string
  const file = fileURLToPath(new URL('../golden/gguf/smollm2-training.json.gz', import.meta.url))
  const golden: Golden = JSON.parse(gunzipSync(readFileSync(file)).toString())
  const { lr, rowsPerStep } = golden

  test('its rows are those of the quickstart, in the same ids', async () => {
    const tokenizer = await loadTokenizer(path)
    const folder = new URL('../../examples/quickstart/data/', import.meta.url)
    for (const [name, rows] of [
      ['train.jsonl', golden.train],
      ['heldout.jsonl', golden.heldout],
    ] as const) {
      const lines = readFileSync(fileURLToPath(new URL(name, folder)), 'utf8').split('\n')
      rows.forEach((row, i) => {
        const { prompt, completion } = JSON.parse(lines[i] as string)
        const encode = (text: string) => tokenizer.encode(text, { addSpecialTokens: false })
        expect(row).toEqual({ prompt: encode(prompt), completion: [...encode(completion), tokenizer.eosTokenId] })
      })
    }
  })

  test('follows PEFT in float32 step by step, and ends with the same loss on rows that it has not seen', async () => {
    const run = await train({ dtype: 'float32' })
    const { losses, heldout } = golden.runs.float32
    const differences = run.losses.map((loss, step) => Math.abs(loss - (losses[step] as number)))
    expect(Math.max(...differences)).toBeLessThan(1e-3)
    expect(run.losses).toHaveLength(40)
    for (const [i, loss] of run.heldout.entries()) expect(Math.abs(loss - (heldout[i] as number))).toBeLessThan(1e-3)
    // Perplexity 55 to 5.7.
    expect(Math.exp(run.heldout[1])).toBeLessThan(0.2 * Math.exp(run.heldout[0]))
  })

  // bfloat16 rounds activations to 2^-9: runs drift apart, and end in one place.
  test.each([
    ['bfloat16', { dtype: 'bfloat16' }, 0.01],
    ['nf4', { quantization: 'nf4', dtype: 'bfloat16' }, 0.02],
  ] as const)('ends where PEFT does in %s', async (name, options, tolerance) => {
    const run = await train(options)
    const { losses, heldout } = golden.runs[name]
    expect(relative(mean(run.losses.slice(-5)), mean(losses.slice(-5)))).toBeLessThan(tolerance)
    for (const [i, loss] of run.heldout.entries()) expect(relative(loss, heldout[i] as number)).toBeLessThan(tolerance)
    expect(run.heldout[1]).toBeLessThan(0.5 * run.heldout[0])
  })

  async function train(options: LoadModelOptions): Promise<Run> {
    const model = await loadModel(path, options)
    const before = await heldoutLoss(model)
    const adapter = LoraAdapter.create(model, { r: 8, loraAlpha: 16, targetModules: 'all-linear', loraDropout: 0 })
    let index = 0
    for (const [name, parameter] of adapter.parameters())
      if (name.includes('lora_A'))
        parameter.set(uniform(index++, parameter.size, 1 / Math.sqrt(parameter.shape[1] as number)))
    const optimizer = new AdamW(adapter.parameters(), { lr, weightDecay: 0 })
    const losses: number[] = []
    model.train()
    for (let start = 0; start < golden.train.length; start += rowsPerStep) {
      const { loss } = model.forward(batchOf(golden.train.slice(start, start + rowsPerStep)))
      loss.backward()
      optimizer.step({ maxGradNorm: 1 })
      optimizer.zeroGrad()
      losses.push((await loss.read())[0] as number)
      loss.dispose()
    }
    const run: Run = { losses, heldout: [before, await heldoutLoss(model.eval())] }
    model.device.close()
    return run
  }

  /** Mean over all labelled tokens. */
  async function heldoutLoss(model: CausalLM): Promise<number> {
    let [total, tokens] = [0, 0]
    for (let start = 0; start < golden.heldout.length; start += rowsPerStep) {
      const rows = golden.heldout.slice(start, start + rowsPerStep)
      const { loss } = noGrad(() => model.forward(batchOf(rows)))
      const count = rows.reduce((sum, { completion }) => sum + completion.length, 0)
      total += ((await loss.read())[0] as number) * count
      tokens += count
      loss.dispose()
    }
    return total / tokens
  }
})

function batchOf(rows: readonly Row[]): { inputIds: Int32Array; labels: Int32Array; cuSeqlens: number[] } {
  const ids = rows.map(({ prompt, completion }) => [...prompt, ...completion])
  const labels = rows.map(({ prompt, completion }) => [...prompt.map(() => IGNORE_INDEX), ...completion])
  const cuSeqlens = [0]
  for (const row of ids) cuSeqlens.push((cuSeqlens.at(-1) as number) + row.length)
  return { inputIds: Int32Array.from(ids.flat()), labels: Int32Array.from(labels.flat()), cuSeqlens }
}

/** As in smollm2_training.py. */
function uniform(index: number, size: number, bound: number): Float32Array {
  return Float32Array.from(
    { length: size },
    (_, i) => ((Math.imul(index * 2 ** 20 + i, 2654435761) >>> 0) / 2 ** 31 - 1) * bound,
  )
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

function relative(value: number, expected: number): number {
  return Math.abs(value / expected - 1)
}
