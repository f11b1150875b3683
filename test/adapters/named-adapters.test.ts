/** @file Several adapters on one model: loaded by name, switched, trained, taken off one by one. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import type { LoraOptions } from '../../src/adapters/lora-config.js'
import {
  activeAdapters,
  addAdapter,
  deleteAdapter,
  disableAdapters,
  enableAdapters,
  loadAdapter,
  setAdapter,
} from '../../src/adapters/named-adapters.js'
import type { RawConfig } from '../../src/architecture/config.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { argmax } from '../../src/ops/argmax.js'
import type { Device } from '../../src/tensor/device.js'
import { AdamW } from '../../src/train/adamw.js'
import { testDevices } from '../support/devices.js'
import { TINY_CONFIG, tinyModel } from '../support/tiny-model.js'
import { seededRandom } from '../support/values.js'

const CONFIG: RawConfig = { ...TINY_CONFIG, vocab_size: 67, attention_bias: true }
const BATCH = { inputIds: [[3, 14, 15, 9, 26, 5, 35]] }
const LABELLED = { ...BATCH, labels: BATCH.inputIds }

describe.each(testDevices({ everyLevel: false }))('on $name', ({ open }) => {
  let device: Device
  let model: CausalLM
  let directory: string
  beforeAll(() => {
    device = open()
  })
  afterAll(() => device.close())
  beforeEach(async () => {
    model = await tinyModel({ config: CONFIG, device })
    directory = await mkdtemp(join(tmpdir(), 'lowrank-adapters-'))
  })
  afterEach(async () => {
    model.dispose()
    await rm(directory, { recursive: true, force: true })
  })

  const logitsOf = async (): Promise<Float32Array> => {
    const { logits } = model.forward(BATCH, { logits: true })
    const values = await logits.read()
    logits.dispose()
    return values
  }
  const fill = (adapter: LoraAdapter, seed: number): LoraAdapter => {
    const random = seededRandom(seed)
    for (const parameter of adapter.parameters().values())
      parameter.set(Float32Array.from({ length: parameter.size }, () => 0.3 * random()))
    return adapter
  }
  const add = (name: string, options: LoraOptions = {}, seed = name.length): LoraAdapter =>
    fill(addAdapter(model, name, { r: 3, targetModules: ['q_proj', 'down_proj'], ...options }), seed)
  const live = async (): Promise<number> => {
    await device.sync()
    return device.memory().live
  }

  describe('switching', () => {
    test('gives the very results that each adapter gives alone, and those of the base', async () => {
      const base = await logitsOf()
      const alone: Float32Array[] = []
      for (const [index, targetModules] of [['q_proj'], ['v_proj', 'up_proj']].entries()) {
        const adapter = fill(LoraAdapter.create(model, { r: 2 + index, targetModules }), index)
        alone.push(await logitsOf())
        await adapter.save(join(directory, String(index)))
        adapter.dispose()
      }
      const first = await loadAdapter(model, join(directory, '0'), 'first')
      const second = await loadAdapter(model, join(directory, '1'), 'second')
      expect([first.name, second.name]).toEqual(['first', 'second'])
      expect(activeAdapters(model)).toEqual(['first'])
      expect(await logitsOf()).toEqual(alone[0])
      const before = await live()
      for (const [name, expected] of [
        ['second', alone[1]],
        ['first', alone[0]],
        ['second', alone[1]],
      ] as const) {
        setAdapter(model, name)
        expect(activeAdapters(model)).toEqual([name])
        expect(await logitsOf()).toEqual(expected)
      }
      disableAdapters(model)
      expect(await logitsOf()).toEqual(base)
      setAdapter(model, 'first')
      expect(activeAdapters(model)).toEqual(['first'])
      expect(await logitsOf()).toEqual(base)
      enableAdapters(model)
      expect(await logitsOf()).toEqual(alone[0])
      expect(await live()).toBe(before)
    })

    test('an adapter that is not active adds no op to forward', () => {
      const pairs = (): number => [...model.modules.linears.values()].reduce((sum, { pairs }) => sum + pairs.length, 0)
      add('one')
      expect(pairs()).toBe(4)
      add('two', { targetModules: 'all-linear' })
      expect(pairs()).toBe(4)
      setAdapter(model, 'two')
      expect(pairs()).toBe(14)
      setAdapter(model, ['two', 'one'])
      expect(pairs()).toBe(18)
      disableAdapters(model)
      expect(pairs()).toBe(0)
    })

    test('several active adapters add up as stacked ones do', async () => {
      add('one')
      add('three', { targetModules: ['q_proj', 'v_proj'] })
      setAdapter(model, ['one', 'three', 'one'])
      expect(activeAdapters(model)).toEqual(['one', 'three'])
      const both = await logitsOf()
      deleteAdapter(model, 'one')
      deleteAdapter(model, 'three')
      fill(LoraAdapter.create(model, { r: 3, targetModules: ['q_proj', 'down_proj'] }), 3)
      fill(LoraAdapter.create(model, { r: 3, targetModules: ['q_proj', 'v_proj'] }), 5)
      expect(await logitsOf()).toEqual(both)
    })

    test('backward() of a pass goes to the adapter that was active in it', async () => {
      const gradients = async (adapter: LoraAdapter) =>
        await Promise.all([...adapter.parameters().values()].map((parameter) => parameter.grad.read()))
      const [one, other] = [add('one'), add('other', { r: 5 })]
      model.forward(LABELLED).loss.backward()
      const expected = await gradients(one)
      for (const parameter of one.parameters().values()) parameter.zeroGrad()
      const { loss } = model.forward(LABELLED)
      setAdapter(model, 'other')
      loss.backward()
      expect(await gradients(one)).toEqual(expected)
      expect([...other.parameters().values()].some(({ hasGrad }) => hasGrad)).toBe(false)
    })

    test('a generation goes on with the adapters that it was recorded with', async () => {
      add('one')
      add('two', { targetModules: 'all-linear' })
      const prompt = Int32Array.from([3, 14, 15])
      const steps = 12
      const run = async (switchAt?: number): Promise<number[]> => {
        setAdapter(model, 'one')
        const decoding = model.decoding([prompt], prompt.length + steps, argmax)
        const ids: number[] = []
        for (let step = 0; step < steps; step++) {
          if (step === switchAt) setAdapter(model, 'two')
          ids.push(...(await decoding.next()))
        }
        decoding.dispose()
        return ids
      }
      const expected = await run()
      // After the prompt and a first step the third is recorded.
      expect(await run(3)).toEqual(expected)
      setAdapter(model, 'two')
      expect(await model.generate([...prompt], { maxNewTokens: steps, eosTokenId: [] })).not.toEqual(expected)
    })
  })

  describe('training', () => {
    test('changes the active adapter alone', async () => {
      const [one, two] = [add('one'), add('two')]
      const read = async (adapter: LoraAdapter) =>
        await Promise.all([...adapter.parameters().values()].map((parameter) => parameter.read()))
      setAdapter(model, 'two')
      const [ofOne, ofTwo] = [await read(one), await read(two)]
      const optimizer = new AdamW(two.parameters(), { lr: 1e-2 })
      const losses: number[] = []
      for (let step = 0; step < 5; step++) {
        const { loss } = model.forward(LABELLED)
        losses.push((await loss.read())[0] as number)
        loss.backward()
        optimizer.step()
        optimizer.zeroGrad()
      }
      expect(losses[4]).toBeLessThan(losses[0] as number)
      expect(await read(one)).toEqual(ofOne)
      expect(await read(two)).not.toEqual(ofTwo)
      expect([...one.parameters().values()].some(({ hasGrad }) => hasGrad)).toBe(false)
    })
  })

  describe('names', () => {
    test('are given in order where none is asked for, and are free again after detach()', () => {
      const make = () => LoraAdapter.create(model, { r: 2 })
      const [first, second, third] = [make(), make(), make()]
      expect([first.name, second.name, third.name]).toEqual(['default', 'default_2', 'default_3'])
      second.detach()
      expect(make().name).toBe('default_2')
      second.attach()
      expect(second.name).toBe('default_4')
      expect(activeAdapters(model)).toEqual(['default', 'default_3', 'default_2', 'default_4'])
    })

    test('names cannot be taken twice', async () => {
      const one = add('one')
      await one.save(directory)
      const before = await live()
      const message =
        '[lora] expected a new name for the adapter, got "one", which another has; choose another, or deleteAdapter() that one'
      expect(() => add('one')).toThrow(message)
      await expect(loadAdapter(model, directory, 'one')).rejects.toThrow(message)
      one.detach()
      add('one').dispose()
      one.attach()
      expect(activeAdapters(model)).toEqual(['one'])
      expect(await live()).toBe(before)
    })

    test('names that the model does not have are errors that list those that it has', () => {
      expect(() => setAdapter(model, 'one')).toThrow(
        '[lora] expected the name of an adapter of the model, got "one"; it has none; loadAdapter() first',
      )
      add('one')
      add('two')
      expect(() => setAdapter(model, ['one', 'tow'])).toThrow('got "tow"; it has: one, two')
      expect(() => deleteAdapter(model, 'three')).toThrow('got "three"; it has: one, two')
      expect(() => setAdapter(model, [])).toThrow(
        '[lora] expected the name of an adapter, or several, for setAdapter, got []; disableAdapters() is for none',
      )
      expect(() => LoraAdapter.create(model, {}, { adapterName: '' })).toThrow(
        '[lora] expected a name for adapterName, got ""',
      )
      expect(activeAdapters(model)).toEqual(['one'])
    })
  })

  describe('dispose and detach', () => {
    test('dispose and detach of one adapter leave the other as it is, active or not', async () => {
      const base = await logitsOf()
      const empty = await live()
      const [one, two] = [add('one'), add('two', { r: 6 })]
      const withOne = await logitsOf()
      setAdapter(model, 'two')
      const withTwo = await logitsOf()
      one.detach()
      expect(await logitsOf()).toEqual(withTwo)
      expect(() => setAdapter(model, 'one')).toThrow('it has: two')
      one.attach()
      expect(activeAdapters(model)).toEqual(['two', 'one'])
      setAdapter(model, 'one')
      two.dispose()
      expect(await logitsOf()).toEqual(withOne)
      deleteAdapter(model, 'one')
      expect(await logitsOf()).toEqual(base)
      // Less where the collector found tensors of earlier tests.
      expect(await live()).toBeLessThanOrEqual(empty)
    })
  })

  describe('modulesToSave and bias', () => {
    test('each adapter has its own copy of a saved module, and the active one`s is used', async () => {
      const base = await logitsOf()
      const options = { modulesToSave: ['lm_head'] }
      const one = add('one', options)
      const withOne = await logitsOf()
      const two = add('two', options, 9)
      expect(await logitsOf()).toEqual(withOne)
      setAdapter(model, 'two')
      const name = 'base_model.model.lm_head.weight'
      expect(model.head.weight).toBe(two.parameters().get(name))
      expect(await logitsOf()).not.toEqual(withOne)
      setAdapter(model, 'one')
      expect(model.head.weight).toBe(one.parameters().get(name))
      expect(await logitsOf()).toEqual(withOne)
      expect(() => setAdapter(model, ['one', 'two'])).toThrow(
        '[lora] expected lm_head of the base model, but another adapter has it in its modulesToSave; detach() that one first',
      )
      expect(activeAdapters(model)).toEqual(['one'])
      disableAdapters(model)
      expect(await logitsOf()).toEqual(base)
    })

    test('a copy starts from the base model, not from that of the active adapter', async () => {
      const weight = await model.head.weight.read()
      add('one', { modulesToSave: ['lm_head'] })
      const two = addAdapter(model, 'two', { modulesToSave: ['lm_head'] })
      expect(await two.parameters().get('base_model.model.lm_head.weight')?.read()).toEqual(weight)
    })

    test('one adapter of a model may train biases, as in PEFT', async () => {
      const one = add('one', { bias: 'lora_only' })
      const withOne = await logitsOf()
      const before = await live()
      expect(() => add('two', { bias: 'all' })).toThrow(
        "[lora] expected one adapter with bias on a model, but \"one\" has bias 'lora_only' and \"two\" bias 'all'; detach() or deleteAdapter() one of them, or train with bias 'none'",
      )
      expect(await live()).toBe(before)
      add('other')
      setAdapter(model, 'other')
      const bias = model.modules.linears.get('model.layers.0.self_attn.q_proj')?.bias
      expect(bias).toBe(model.parameters().get('model.layers.0.self_attn.q_proj.bias'))
      setAdapter(model, 'one')
      expect(await logitsOf()).toEqual(withOne)
      one.detach()
      add('two', { bias: 'all' })
      expect(() => one.attach()).toThrow('[lora] expected one adapter with bias on a model')
    })

    test('the bias of a module that another active adapter trains in full is taken', () => {
      add('one', { bias: 'all' })
      add('two', { targetModules: ['v_proj'], modulesToSave: ['q_proj'] })
      expect(() => setAdapter(model, ['one', 'two'])).toThrow(
        '[lora] expected the bias of model.layers.0.self_attn.q_proj of the base model, but another adapter has it in its modulesToSave or bias; detach() that one first',
      )
    })
  })
})
