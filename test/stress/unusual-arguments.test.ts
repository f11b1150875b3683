/**
 * @file Arguments of the public API that no type allows, and calls in an order that nobody should choose: errors by
 * name, nothing half done.
 */

import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { createModel } from '../../src/causal-lm/create-model.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { saveModel } from '../../src/checkpoint/save-model.js'
import { generateText } from '../../src/generation/generate-text.js'
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { rejection, temporaryDirectory, tinyAdapter, tinyModel, writeTinyModel } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

const directory = temporaryDirectory()
const files = tinyByteLevelTokenizer()
const tokenizer = createTokenizer(files.tokenizer, files.config)
let path: string
let model: CausalLM

beforeAll(async () => {
  path = await writeTinyModel(join(directory, 'model'))
  model = await loadModel(path, { dtype: 'float32' })
})
afterAll(() => model.device.close())

const NO_OBJECTS: [string, unknown, string][] = [
  ['null', null, 'null'],
  ['a list', [], '[]'],
  ['a number', 5, '5'],
  ['a function', () => 1, 'a function'],
  ['a map', new Map([['maxNewTokens', 1]]), 'a Map'],
  ['a promise', Promise.resolve({}), 'a Promise; await it'],
]

describe.each(NO_OBJECTS)('%s in place of options', (_, value, shown) => {
  const options = value as object
  const calls: [string, string, () => unknown][] = [
    ['loadModel', 'options', () => loadModel(path, options)],
    ['generate', 'options', () => model.generate([1], options)],
    ['generate', 'options', () => generateText(model, tokenizer, 'a', options)],
    ['lora', 'options', async () => LoraAdapter.create(model, options)],
    ['lora', 'options', async () => LoraAdapter.create(model, {}, options)],
    ['lora', 'options', () => LoraAdapter.load(model, 'nowhere', options)],
    ['saveModel', 'options', () => saveModel(model, 'nowhere', options)],
    ['forward', 'batch', async () => model.forward(options as never)],
    ['createModel', 'config', async () => createModel(options as never)],
  ]

  test('is refused by name', async () => {
    for (const [where, name, call] of calls)
      expect(await rejection(call() as Promise<unknown>)).toBe(
        `[${where}] expected an object for ${name}, got ${shown}`,
      )
  })
})

test('what is no tokenizer is refused by name, and one of transformers.js is taken', async () => {
  for (const other of [null, undefined, 5, {}, new Map()]) {
    expect(await rejection(generateText(model, other as unknown as Tokenizer, 'a'))).toContain(
      '[tokenizer] expected an object with encode (or callable) and decode',
    )
  }
  const foreign = {
    encode: (text: string) => [...tokenizer.encode(text)],
    decode: (ids: number[]) => tokenizer.decode(ids),
  }
  const options = { maxNewTokens: 4, eosTokenId: [] }
  const { ids } = await generateText(model, tokenizer, 'the user', options)
  expect((await generateText(model, foreign, 'the user', options)).ids).toEqual(ids)
})

describe('a signal', () => {
  const reason = new Error('enough')

  test('a signal that is aborted before the call ends it at once, with its reason', async () => {
    const signal = AbortSignal.abort(reason)
    await expect(loadModel(path, { signal })).rejects.toBe(reason)
    await expect(model.generate([1], { signal })).rejects.toBe(reason)
    await expect(model.generate([1], { signal, maxNewTokens: 0 })).rejects.toBe(reason)
    await expect(generateText(model, tokenizer, 'a', { signal })).rejects.toBe(reason)
  })

  test('a signal that is none is refused', async () => {
    expect(await rejection(loadModel(path, { signal: 5 } as object))).toBe(
      '[loadModel] expected an AbortSignal for signal, got 5',
    )
  })
})

test('a model that was disposed is named by what is called on it', async () => {
  const other = await loadModel(path, { dtype: 'float32' })
  const adapter = tinyAdapter(other)
  other.dispose()
  const gone =
    /^\[(lora|saveModel)\] expected a live model, got .*, which was disposed; load it again, or dispose it later$/
  for (const call of [
    async () => LoraAdapter.create(other),
    () => LoraAdapter.load(other, join(directory, 'a')),
    () => saveModel(other, join(directory, 'b')),
    () => adapter.save(join(directory, 'c')),
    () => adapter.merge(join(directory, 'd')),
    () => adapter.mergeAndUnload(),
  ])
    expect(await rejection(call() as Promise<unknown>)).toMatch(gone)
})

test('an adapter that was disposed is not saved', async () => {
  const adapter = tinyAdapter(model)
  adapter.dispose()
  expect(await rejection(adapter.save(join(directory, 'e')))).toBe(
    '[lora] expected an adapter with its weights, got one that was disposed',
  )
})

describe('merging into the loaded model', () => {
  test('waits for no answer: while one is generated it is refused, and the answer is that of model and adapter', async () => {
    const other = await loadModel(path, { dtype: 'float32' })
    const adapter = tinyAdapter(other)
    const options = { maxNewTokens: 20, eosTokenId: [] }
    const expected = await other.generate([1, 2, 3], options)
    const stream = other.stream([1, 2, 3], options)
    const ids = [(await stream.next()).value as number]
    expect(await rejection(adapter.mergeAndUnload())).toBe(
      '[merge] expected a model at rest, but an answer is being generated; wait for its end',
    )
    for await (const id of stream) ids.push(id)
    expect(ids).toEqual(expected)
    await adapter.mergeAndUnload()
    expect(adapter.parameters().size).toBeGreaterThan(0)
    other.dispose()
  })

  test('goes on alone: an answer that begins meanwhile is refused, and one that comes after is not', async () => {
    const other = await loadModel(path, { dtype: 'float32' })
    const adapter = tinyAdapter(other)
    const options = { maxNewTokens: 6, eosTokenId: [] }
    const merging = adapter.mergeAndUnload()
    expect(await rejection(other.generate([1, 2, 3], options))).toContain('an adapter is being merged into them')
    await merging
    expect(await other.generate([1, 2, 3], options)).toHaveLength(6)
    other.dispose()
  })

  test('is possible after an answer that was left or failed', async () => {
    const other = await tinyModel()
    const adapter = tinyAdapter(other)
    for await (const _ of other.stream([1, 2, 3], { eosTokenId: [] })) break
    await expect(
      other.generate([1], {
        onToken: () => {
          throw new Error('mine')
        },
      }),
    ).rejects.toThrow('mine')
    await adapter.mergeAndUnload()
    other.device.close()
  })
})
