/** @file The chat template of a run is saved with what it trained, so that answers are asked for as in training. */

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { saveModel } from '../../src/checkpoint/save-model.js'
import { runTasks } from '../../src/evaluate/run-tasks.js'
import { generateTexts } from '../../src/generation/generate-texts.js'
import { NAMED_TEMPLATES } from '../../src/tokenizer/named-templates.js'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { trainLora } from '../../src/train/train-lora.js'
import { lowrank } from '../cli/run-cli.js'
import { CHATML } from '../support/chat-templates.js'
import { ofType, temporaryDirectory, writeTinyModel } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer, writeTinyTokenizer } from '../support/tiny-tokenizer.js'

const folder = temporaryDirectory()
const at = (...names: string[]) => join(folder, ...names)
const OTHER = "{% for message in messages %}{{ '<|user|>' + message['content'] }}{% endfor %}"
const rows = [
  {
    messages: [
      { role: 'user', content: 'hello' },
      { role: 'assistant', content: 'one two' },
    ],
  },
  {
    messages: [
      { role: 'user', content: 'question' },
      { role: 'assistant', content: 'three' },
    ],
  },
]

async function modelWith(name: string, chatTemplate?: string): Promise<string> {
  const path = await writeTinyModel(at(name))
  await writeTinyTokenizer(path, tinyByteLevelTokenizer(chatTemplate === undefined ? {} : { chatTemplate }))
  return path
}

async function train(model: string, adapter: string, chatTemplate?: string, more: object = {}): Promise<string> {
  const run = await trainLora({
    model,
    dataset: rows,
    device: 'cpu',
    training: { maxSteps: 1, maxLength: 64, ...(chatTemplate !== undefined && { chatTemplate }) },
    ...more,
  })
  await run.adapter?.save(at(adapter))
  run.dispose()
  return at(adapter)
}

it.each([
  ['without a template', undefined],
  ['with another template', OTHER],
])('generate asks with the named template of the run, on a model %s', async (name, own) => {
  const model = await modelWith(name.replaceAll(' ', '-'), own)
  const adapter = await train(model, `adapter of ${name}`, 'chatml')
  expect(await readFile(join(adapter, 'chat_template.jinja'), 'utf8')).toBe(NAMED_TEMPLATES.chatml)
  expect(JSON.parse(await readFile(join(adapter, 'tokenizer_config.json'), 'utf8'))).not.toHaveProperty('chat_template')
  const tokenizer = await loadTokenizer(adapter)
  const text = tokenizer.applyChatTemplate(rows[0]?.messages ?? [])
  expect(text).toContain('<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\none two<|im_end|>')
  const { code, stdout, stderr } = await lowrank(
    ['generate', '--adapter', adapter, '--chat', '--prompt', 'hello', '--max-new-tokens', '2', '--json'],
    { cwd: folder },
  )
  expect({ code, stderr }).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('Tokenizer and chat template are'),
  })
  const prompt = '<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n'
  expect(JSON.parse(stdout)).toMatchObject({ promptTokens: tokenizer.encode(prompt).length })
})

it.each([
  ['without a template', undefined],
  ['with another template', OTHER],
])('sample prompts and tasks are asked with the template of the run, on a model %s', async (name, own) => {
  const model = await modelWith(`sampled ${name}`, own)
  const messages = rows[0]?.messages.slice(0, 1) ?? []
  const run = trainLora({
    model,
    dataset: rows,
    dtype: 'float32',
    samplePrompts: [messages],
    sampleGeneration: { maxNewTokens: 6 },
    evalTasks: [{ type: 'perplexity', dataset: rows, maxLength: 64 }],
    training: { maxSteps: 1, evalSteps: 1, maxLength: 64, learningRate: 0.05, chatTemplate: 'zephyr' },
  })
  const { model: trained, history } = await run
  const [evaluation] = ofType(history, 'evaluate')
  const tokenizer = await loadTokenizer(model)
  const text = '<|user|>\nhello</s>\n<|assistant|>\n'
  const ids = tokenizer.encode(text, { addSpecialTokens: false })
  const [expected] = await generateTexts(trained, tokenizer, [ids], { maxNewTokens: 6, batchSize: 1 })
  expect(evaluation?.samples).toEqual([
    { prompt: 'user: hello', text: expected?.text, finishReason: expected?.finishReason },
  ])
  const task = { type: 'perplexity' as const, dataset: rows, maxLength: 64, chatTemplate: 'zephyr' }
  const [report] = await runTasks(trained, tokenizer, [task])
  const perplexity = report?.metrics.find((metric) => metric.name === 'perplexity')?.scores.model?.value
  expect(evaluation?.metrics?.eval_perplexity_perplexity).toBe(perplexity)
  trained.dispose()
})

it("saves a user's Jinja with checkpoints too, and none where the run has the template of the model", async () => {
  const model = await modelWith('plain', CHATML)
  const jinja = "{% for message in messages %}{{ message['content'] + '</s>' }}{% endfor %}"
  await train(model, 'with-jinja', jinja, { outputDir: at('run') })
  expect(await readFile(at('with-jinja', 'chat_template.jinja'), 'utf8')).toBe(jinja)
  const checkpoint = (await readdir(at('run'))).find((name) => name.startsWith('checkpoint-')) ?? ''
  expect(await readdir(at('run', checkpoint))).toContain('chat_template.jinja')
  expect(await readdir(await train(model, 'own-template'))).not.toContain('tokenizer.json')
})

it('keeps the template through loading, saving and merging', async () => {
  const model = await modelWith('base', OTHER)
  const adapter = await train(model, 'first', 'chatml')
  const loaded = await LoraAdapter.load(await loadModel(model, { device: 'cpu' }), adapter)
  await loaded.save(at('second'))
  await loaded.merge(at('merged'))
  for (const copy of ['second', 'merged'])
    expect((await loadTokenizer(at(copy))).chatTemplate, copy).toBe(NAMED_TEMPLATES.chatml)
  await saveModel(loaded.model, at('model'), { tokenizerFrom: model, chatTemplate: 'zephyr' })
  expect((await loadTokenizer(at('model'))).chatTemplate).toBe(NAMED_TEMPLATES.zephyr)
  loaded.model.dispose()
})

it('saves the template alone where the program gave its own tokenizer', async () => {
  const model = await modelWith('own-tokenizer')
  const adapter = await train(model, 'of-program', 'chatml', { tokenizer: await loadTokenizer(model) })
  const names = await readdir(adapter)
  expect(names).toContain('chat_template.jinja')
  expect(names).not.toContain('tokenizer.json')
})
