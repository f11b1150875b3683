/**
 * @file Whole models against PyTorch + transformers + PEFT: logits, loss, gradients, five optimizer steps, generation.
 * `npm test` takes the lowest level of instructions through one pass in each dtype, and the highest through all; CI and
 * `npm run test:long` take every level through all.
 */

import { copyFileSync, cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import { disableAdapters, enableAdapters, loadAdapter, setAdapter } from '../../src/adapters/named-adapters.js'
import type { ForwardBatch } from '../../src/architecture/batch.js'
import type { Parameter } from '../../src/autograd/parameter.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import type { ComputeDType } from '../../src/tensor/dtype.js'
import type { Nf4Weight } from '../../src/tensor/nf4.js'
import { AdamW } from '../../src/train/adamw.js'
import { testDevices } from '../support/devices.js'
import {
  type GoldenCase,
  type GoldenTensor,
  goldenCases,
  readGolden,
  relativeDifference,
  rowsOf,
} from '../support/golden.js'
import { isThorough } from '../support/long.js'

/** That which training starts from. */
const LOSS_SCALE = 65_536

const opened: CausalLM[] = []
afterEach(() => {
  for (const model of opened.splice(0)) {
    model.dispose()
    model.device.close()
  }
})

const devices = testDevices()
for (const { name: deviceName, open } of devices) {
  const isWhole = isThorough || deviceName === devices.at(-1)?.name
  describe(`on ${deviceName}`, () => {
    for (const golden of goldenCases()) {
      const { info } = golden
      test(`${info.name}: ${info.focus}`, async () => {
        const { model, parameters } = await load(golden, 'float32')
        const expected = await readGolden(golden)
        const batches = microBatches(info.micro_batches, expected)
        let count = 0
        for (const parameter of parameters.values()) count += parameter.size
        expect(count).toBe(info.trainable_parameters)

        // 2e-5 of the largest logit and 1e-6 of the loss: twenty and ten times what float32 in another order of
        // summation gives.
        let loss = 0
        for (const { batch, logits } of batches) {
          const result = model.forward(batch, { logits: true })
          expect(relativeDifference(await result.logits.read(), logits.values)).toBeLessThan(2e-5)
          loss += (await result.loss.read())[0] as number
          result.loss.backward()
        }
        const goldenLoss = expected.get('loss')?.values[0] as number
        expect(Math.abs(loss - goldenLoss) / goldenLoss).toBeLessThan(1e-6)

        // Gradients: 1e-4 of the largest of each tensor; sums over all tokens in another order.
        for (const [name, parameter] of parameters) {
          const gradient = expected.get(`grad.${name}`) as GoldenTensor
          expect(relativeDifference(await parameter.grad.read(), gradient.values), name).toBeLessThan(1e-4)
        }
      })

      test(`${info.name}: in bfloat16`, async () => {
        const { model } = await load(golden, 'bfloat16')
        const expected = await readGolden(golden)
        // bfloat16 keeps 8 bits: one rounding is 0.4 %, a few layers of them a few per cent of the largest logit,
        // differently placed in PEFT, which runs its LoRA branch in float32. The loss averages them out.
        let loss = 0
        for (const { batch, prefix } of microBatches(info.micro_batches, expected)) {
          const result = model.forward(batch, { logits: true })
          const logits = expected.get(`${prefix}bf16.logits`) as GoldenTensor
          expect(relativeDifference(await result.logits.read(), logits.values)).toBeLessThan(0.05)
          loss += (await result.loss.read())[0] as number
        }
        const goldenLoss = (expected.get('bf16.loss') ?? expected.get('loss'))?.values[0] as number
        expect(Math.abs(loss - goldenLoss) / goldenLoss).toBeLessThan(5e-3)
      })

      test(`${info.name}: in float16, its loss scaled`, async () => {
        const { model, parameters } = await load(golden, 'float16')
        const expected = await readGolden(golden)
        // float16 keeps 11 bits, an eighth of bfloat16's error. What is quantised while it loads is rounded before it:
        // weights next to a threshold get other codes than in float32, each an eighth of the largest of its block away.
        const tolerance =
          info.quantization === 'nf4'
            ? { logits: 0.1, loss: 3e-3, gradients: 0.1 }
            : { logits: 5e-3, loss: 2e-4, gradients: 0.01 }
        let loss = 0
        for (const { batch, logits } of microBatches(info.micro_batches, expected)) {
          const result = model.forward(batch, { logits: true, lossScale: LOSS_SCALE })
          expect(relativeDifference(await result.logits.read(), logits.values)).toBeLessThan(tolerance.logits)
          loss += (await result.loss.read())[0] as number
          result.loss.backward()
        }
        const goldenLoss = expected.get('loss')?.values[0] as number
        expect(Math.abs(loss - goldenLoss) / goldenLoss).toBeLessThan(tolerance.loss)
        for (const [name, parameter] of parameters) {
          const gradient = expected.get(`grad.${name}`) as GoldenTensor
          const unscaled = (await parameter.grad.read()).map((value) => value / LOSS_SCALE)
          expect(relativeDifference(unscaled, gradient.values), name).toBeLessThan(tolerance.gradients)
        }
        if (info.quantization === 'nf4') return
        const { prompt, ids } = info.generation
        expect(await model.generate(prompt, { maxNewTokens: ids.length, eosTokenId: [] })).toEqual(ids)
      })

      if (info.quantization === 'nf4') {
        test(`${info.name}: the very bytes of bitsandbytes`, async () => {
          const { model } = await load(golden, 'float32')
          const expected = await readGolden(golden)
          const weights = [...model.parameters()].filter(([, { nf4 }]) => nf4)
          expect(weights.length).toBe([...expected.keys()].filter((name) => name.endsWith('.packed')).length)
          for (const [name, { nf4 }] of weights) {
            const { packed, absmax, nestedAbsmax, offset, code, nestedCode } = nf4 as Nf4Weight
            const of = (part: string): GoldenTensor['values'] | undefined => expected.get(`nf4.${name}.${part}`)?.values
            // The sum behind the mean has another order: the last bits of the offset, and what follows from them, may
            // differ.
            const mean = (await offset?.read())?.[0] as number
            expect(Math.abs(mean / (of('offset')?.[0] as number) - 1), name).toBeLessThan(1e-6)
            expect(relativeDifference((await nestedAbsmax?.read()) ?? [], of('nested_absmax') ?? [])).toBeLessThan(1e-6)
            expect(await model.device.read(packed), name).toEqual(of('packed'))
            expect(await model.device.read(absmax), name).toEqual(of('absmax'))
            expect(await code.read()).toEqual(expected.get('nf4.code')?.values)
            expect(await nestedCode?.read()).toEqual(expected.get('nf4.nested_code')?.values)
          }
        })
      }

      if (!isWhole) continue

      test(`${info.name}: five AdamW steps`, async () => {
        const { model, parameters } = await load(golden, 'float32')
        const expected = await readGolden(golden)
        const batches = microBatches(info.micro_batches, expected)
        const { lr, betas, eps, weight_decay: weightDecay, steps } = info.optimizer
        const optimizer = new AdamW(parameters, { lr, betas, eps, weightDecay })
        for (let step = 0; step < steps; step++) {
          let loss = 0
          for (const { batch } of batches) {
            const result = model.forward(batch)
            loss += (await result.loss.read())[0] as number
            result.loss.backward()
          }
          const goldenLoss = expected.get('losses')?.values[step] as number
          expect(Math.abs(loss - goldenLoss) / goldenLoss, `loss of step ${step}`).toBeLessThan(5e-6)
          optimizer.step()
          optimizer.zeroGrad()
        }
        for (const [name, parameter] of parameters) {
          const value = expected.get(`step5.${name}`) as GoldenTensor
          expect(relativeDifference(await parameter.read(), value.values), name).toBeLessThan(1e-5)
        }
      })

      test(`${info.name}: greedy generation`, async () => {
        const { model } = await load(golden, 'float32')
        const { prompt, ids } = info.generation
        expect(await model.generate(prompt, { maxNewTokens: ids.length, eosTokenId: [] })).toEqual(ids)
      })

      const { secondDirectory } = golden
      if (secondDirectory) {
        test(`${info.name}: switched to the second adapter, to none and back`, async () => {
          const { model, parameters } = await load(golden, 'float32')
          const second = await loadAdapter(model, secondDirectory, 'second')
          const expected = await readGolden(golden)
          const [{ batch, logits }] = microBatches(info.micro_batches, expected) as [MicroBatch]
          const differenceTo = async (name: string | GoldenTensor): Promise<number> => {
            const { values } = typeof name === 'string' ? (expected.get(name) as GoldenTensor) : name
            return relativeDifference(await model.forward(batch, { logits: true }).logits.read(), values)
          }
          expect(await differenceTo(logits)).toBeLessThan(2e-5)
          setAdapter(model, 'second')
          expect(await differenceTo('second.logits')).toBeLessThan(2e-5)
          const { loss } = model.forward(batch)
          const goldenLoss = expected.get('second.loss')?.values[0] as number
          expect(Math.abs(((await loss.read())[0] as number) - goldenLoss) / goldenLoss).toBeLessThan(1e-6)
          loss.backward()
          for (const [name, parameter] of second.parameters()) {
            const gradient = expected.get(`second.grad.${name}`) as GoldenTensor
            expect(relativeDifference(await parameter.grad.read(), gradient.values), name).toBeLessThan(1e-4)
          }
          expect([...parameters.values()].some(({ hasGrad }) => hasGrad)).toBe(false)
          disableAdapters(model)
          expect(await differenceTo('base.logits')).toBeLessThan(2e-5)
          enableAdapters(model)
          setAdapter(model, 'default')
          expect(await differenceTo(logits)).toBeLessThan(2e-5)
        })
      }

      if (info.has_legacy_config) {
        test(`${info.name}: the config as transformers 4 spelled it gives the same bits`, async () => {
          const { model } = await load(golden, 'float32')
          const directory = mkdtempSync(join(tmpdir(), 'lowrank-legacy-'))
          try {
            cpSync(golden.directory, directory, { recursive: true })
            copyFileSync(join(directory, 'config.legacy.json'), join(directory, 'config.json'))
            const { model: legacy } = await load({ ...golden, directory }, 'float32')
            const [first] = microBatches(info.micro_batches, await readGolden(golden))
            const { batch } = first as MicroBatch
            const logits = await model.forward(batch, { logits: true }).logits.read()
            expect(await legacy.forward(batch, { logits: true }).logits.read()).toEqual(logits)
          } finally {
            rmSync(directory, { recursive: true })
          }
        })
      }
    }

    async function load(
      { directory, adapterDirectory, info }: GoldenCase,
      dtype: ComputeDType,
    ): Promise<{ model: CausalLM; parameters: ReadonlyMap<string, Parameter> }> {
      const quantization = info.quantization === 'nf4' ? 'nf4' : undefined
      const model = await loadModel(directory, { device: open(), dtype, quantization })
      expect(model.quantization).toBe(info.quantization && 'nf4')
      opened.push(model)
      if (adapterDirectory) return { model, parameters: (await LoraAdapter.load(model, adapterDirectory)).parameters() }
      for (const parameter of model.parameters().values()) parameter.unfreeze()
      return { model, parameters: model.parameters() }
    }
  })
}

interface MicroBatch {
  batch: ForwardBatch
  logits: GoldenTensor
  prefix: string
}

function microBatches(count: number, tensors: ReadonlyMap<string, GoldenTensor>): MicroBatch[] {
  const prefixes = count === 1 ? [''] : Array.from({ length: count }, (_, i) => `micro${i}.`)
  const get = (name: string): GoldenTensor => tensors.get(name) as GoldenTensor
  const parts = prefixes.map((prefix) => ({
    prefix,
    logits: get(`${prefix}logits`),
    inputIds: rowsOf(get(`${prefix}input_ids`)),
    attentionMask: rowsOf(get(`${prefix}attention_mask`)),
    labels: rowsOf(get(`${prefix}labels`)),
    ...(tensors.has(`${prefix}weights`) && { weights: rowsOf(get(`${prefix}weights`)) }),
  }))
  // The first label of a row has nothing before it that could predict it.
  const numItemsInBatch = parts.reduce((sum, { labels, weights }) => {
    const counts = weights ?? labels.map((row) => row.map((label) => Number(label !== -100)))
    return counts.flatMap((row) => row.slice(1)).reduce((all, count) => all + count, sum)
  }, 0)
  return parts.map(({ prefix, logits, ...batch }) => ({ prefix, logits, batch: { ...batch, numItemsInBatch } }))
}
