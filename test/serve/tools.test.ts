/** @file Tools and forms of answers: calls whole and in pieces, grammars that hold an answer, and what is refused. */

import { describe, expect, it } from 'vitest'
import type { InferenceRequest } from '../../src/inference/inference-request.js'
import { createServeHandler } from '../../src/serve/handler.js'
import { HERMES_TOKENIZER } from './hermes.js'
import { scriptedEngine } from './scripted-engine.js'
import { CHATML, configuredModel, errorOf, eventsOf, serveScripted } from './served.js'

const CHAT = '/v1/chat/completions'

const tokenizer = HERMES_TOKENIZER

const WEATHER = {
  type: 'function',
  function: {
    name: 'weather',
    description: 'the weather of a city',
    parameters: {
      type: 'object',
      properties: { city: { type: 'string' } },
      required: ['city'],
      additionalProperties: false,
    },
  },
}
const ASKED = { model: 'tiny', messages: [{ role: 'user', content: 'hello' }], tools: [WEATHER] }
const CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'

function serveTools(answer: string | ((request: InferenceRequest) => readonly number[])) {
  const ids = (text: string): number[] => [
    ...tokenizer.encode(text, { addSpecialTokens: false }),
    tokenizer.eosTokenId as number,
  ]
  const engine = scriptedEngine({ answer: typeof answer === 'string' ? () => ids(answer) : answer })
  const handler = createServeHandler(configuredModel(), tokenizer, { engine, modelName: 'tiny' })
  const post = (path: string, body: object): Promise<Response> =>
    handler.fetch(
      new Request(`http://server${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    )
  return { post, engine }
}

interface Delta {
  content?: string
  tool_calls?: { index: number; id?: string; type?: string; function: { name?: string; arguments: string } }[]
}

/** The ids that a mask lets come, the first one that `text` goes on with, until it is all there; then the end. */
function followed(text: string): (request: InferenceRequest) => readonly number[] {
  return ({ mask }) => {
    if (!mask) throw new Error('[test] expected a mask')
    const words = new Uint32Array(16)
    const ids: number[] = []
    const take = (id: number): void => {
      expect(mask.allowed(words)).toBe(true)
      expect([tokenizer.idToToken(id), ((words[id >> 5] as number) >>> (id % 32)) & 1]).toEqual([
        tokenizer.idToToken(id),
        1,
      ])
      mask.accept(id)
      ids.push(id)
    }
    for (const id of tokenizer.encode(text, { addSpecialTokens: false })) take(id)
    take(tokenizer.eosTokenId as number)
    return ids
  }
}

describe('calls of tools', () => {
  it('are read from the syntax of the template, and the prompt lists the tools', async () => {
    const { post, engine } = serveTools(`one moment ${CALL}`)
    const answer = await (await post(CHAT, ASKED)).json()
    expect(answer).toMatchObject({
      choices: [
        {
          message: {
            content: 'one moment',
            tool_calls: [
              {
                id: expect.stringMatching(/^call_\w{24}$/),
                type: 'function',
                function: { name: 'weather', arguments: '{"city": "Paris"}' },
              },
            ],
          },
          finish_reason: 'tool_calls',
        },
      ],
    })
    expect(tokenizer.decode(engine.requests[0]?.promptIds ?? [])).toContain('"name": "weather"')
    expect(engine.requests[0]?.mask).toBeUndefined()
  })

  it('come in pieces that make the same call', async () => {
    const { post } = serveTools(`one moment ${CALL}`)
    const events = await eventsOf(await post(CHAT, { ...ASKED, stream: true }))
    const choices = events
      .slice(0, -1)
      .map((event) => (event as { choices: { delta: Delta; finish_reason: string | null }[] }).choices[0])
    expect(choices.map((choice) => choice?.delta.content ?? '').join('')).toBe('one moment')
    const calls = choices.flatMap((choice) => choice?.delta.tool_calls ?? [])
    expect(calls[0]).toMatchObject({
      index: 0,
      id: expect.any(String),
      type: 'function',
      function: { name: 'weather' },
    })
    expect(calls.map((call) => call.function.arguments).join('')).toBe('{"city": "Paris"}')
    expect(choices.at(-1)?.finish_reason).toBe('tool_calls')
  })

  it('are several where the model makes several', async () => {
    const { post } = serveTools(`${CALL}\n${CALL.replace('Paris', 'Rome')}`)
    const answer = (await (await post(CHAT, ASKED)).json()) as {
      choices: { message: { content: null; tool_calls: { id: string; function: { arguments: string } }[] } }[]
    }
    const { content, tool_calls: calls } = answer.choices[0]?.message ?? { content: null, tool_calls: [] }
    expect(content).toBeNull()
    expect(calls.map((call) => call.function.arguments)).toEqual(['{"city": "Paris"}', '{"city": "Rome"}'])
    expect(new Set(calls.map(({ id }) => id)).size).toBe(2)
  })

  it('what only looks like a call is text, whole and in pieces', async () => {
    const text = 'see <tool_call>\n{"name": 5}\n</tool_call>'
    const { post } = serveTools(text)
    const answer = (await (await post(CHAT, ASKED)).json()) as { choices: { message: Delta; finish_reason: string }[] }
    expect(answer.choices[0]).toMatchObject({
      finish_reason: 'stop',
      message: { content: expect.stringContaining('"name": 5') },
    })
    const events = await eventsOf(await post(CHAT, { ...ASKED, stream: true }))
    const pieces = events
      .slice(0, -1)
      .map((event) => (event as { choices: { delta: Delta }[] }).choices[0]?.delta.content ?? '')
    expect(pieces.join('')).toBe(answer.choices[0]?.message.content)
  })

  it.each<[object]>([
    [{ tool_choice: 'required' }],
    [{ tool_choice: { type: 'function', function: { name: 'weather' } } }],
  ])('are held by a grammar where one must come: %j', async (choice) => {
    const { post } = serveTools(followed(CALL))
    const answer = await (await post(CHAT, { ...ASKED, ...choice })).json()
    expect(answer).toMatchObject({
      choices: [
        { message: { content: null, tool_calls: [{ function: { name: 'weather', arguments: '{"city": "Paris"}' } }] } },
      ],
    })
    const events = await eventsOf(await post(CHAT, { ...ASKED, ...choice, stream: true }))
    const calls = events
      .slice(0, -1)
      .flatMap((event) => (event as { choices: { delta: Delta }[] }).choices[0]?.delta.tool_calls ?? [])
    expect(calls.length).toBeGreaterThan(2)
    expect(calls.map((call) => call.function.arguments).join('')).toBe('{"city": "Paris"}')
  })

  it('are not made where tool_choice is none, and the prompt does not list the tools', async () => {
    const { post, engine } = serveTools(CALL)
    const answer = await (await post(CHAT, { ...ASKED, tool_choice: 'none' })).json()
    expect(answer).toMatchObject({ choices: [{ message: { content: CALL }, finish_reason: 'stop' }] })
    expect(tokenizer.decode(engine.requests[0]?.promptIds ?? [])).not.toContain('weather')
  })

  it('are items of a response, with their results on the way back', async () => {
    const { post, engine } = serveTools(`one moment ${CALL}`)
    const { type, function: described } = WEATHER
    const input = [
      { role: 'user', content: 'hello' },
      { type: 'function_call', call_id: 'call_1', name: 'weather', arguments: '{"city":"Rome"}' },
      { type: 'function_call_output', call_id: 'call_1', output: 'the rain' },
    ]
    const asked = { model: 'tiny', input, tools: [{ type, ...described }] }
    const call = {
      type: 'function_call',
      name: 'weather',
      arguments: '{"city": "Paris"}',
      call_id: expect.stringMatching(/^call_/),
      status: 'completed',
    }
    const output = [{ type: 'message', content: [{ text: 'one moment' }] }, call]
    expect(await (await post('/v1/responses', asked)).json()).toMatchObject({ status: 'completed', output })
    const prompt = tokenizer.decode(engine.requests[0]?.promptIds ?? [])
    expect(prompt).toContain(
      '<|im_start|>assistant\n<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call><|im_end|>\n<|im_start|>tool\nthe rain',
    )
    const events = (await eventsOf(await post('/v1/responses', { ...asked, stream: true }))) as {
      type: string
      arguments?: string
      response?: object
    }[]
    const types = events.map((event) => event.type).filter((name, at, all) => name !== all[at - 1])
    expect(types.slice(4)).toEqual([
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.output_item.added',
      'response.function_call_arguments.delta',
      'response.function_call_arguments.done',
      'response.output_item.done',
      'response.completed',
    ])
    expect(events.at(-1)?.response).toMatchObject({ output })
  })

  it.each<[object, string, RegExp]>([
    [{ tools: [{ type: 'web_search' }] }, 'tools[0].type', /other tools are not done/],
    [{ tools: [{ type: 'function', function: { name: 'a b' } }] }, 'tools[0].function.name', /at most 64 letters/],
    [{ tools: [WEATHER, WEATHER] }, 'tools', /expected each tool once, got weather twice/],
    [
      { tools: [{ ...WEATHER, function: { name: 'x', parameters: 5 } }] },
      'tools[0].function.parameters',
      /expected a JSON schema/,
    ],
    [{ tools: [{ ...WEATHER, function: { name: 'x', colour: 5 } }] }, 'tools[0].function.colour', /expected a field/],
    [{ tool_choice: 'sometimes' }, 'tool_choice', /expected none, auto, required/],
    [
      { tool_choice: { type: 'function', function: { name: 'rain' } } },
      'tool_choice',
      /expected the name of one of the tools/,
    ],
    [{ tools: [], tool_choice: 'required' }, 'tool_choice', /expected tools for this tool_choice/],
    [{ response_format: { type: 'json_object', x: 1 } }, 'response_format.x', /expected nothing/],
    [
      {
        tool_choice: 'required',
        response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'object', not: {} } } },
      },
      'response_format',
      /not/,
    ],
    [
      { tools: [{ ...WEATHER, function: { name: 'x', strict: true, parameters: { type: 'object', if: {} } } }] },
      'tools',
      /if/,
    ],
  ])('refuse %j by name', async (wrong, param, message) => {
    const { post, engine } = serveTools('one')
    const error = await errorOf(await post(CHAT, { ...ASKED, ...wrong }))
    expect(error).toMatchObject({ status: 400, param })
    expect(error.message).toMatch(message)
    expect(engine.requests).toEqual([])
  })

  it('are refused where the chat template prints no tools', async () => {
    expect(CHATML).not.toContain('tools')
    const error = await errorOf(await serveScripted('x').post(CHAT, ASKED))
    expect(error).toMatchObject({ status: 400, param: 'tools' })
    expect(error.message).toContain("expected a chat template that prints tools, but this model's leaves it out")
  })
})

describe('tools beside a form of the answer', () => {
  const SCHEMA = {
    type: 'object',
    properties: { said: { type: 'string' } },
    required: ['said'],
    additionalProperties: false,
  }
  const FORMAT = { type: 'json_schema', json_schema: { name: 'said', schema: SCHEMA, strict: true } }
  const STRICT = { ...WEATHER, function: { ...WEATHER.function, strict: true } }
  const BOTH = { ...ASKED, tools: [STRICT], response_format: FORMAT }
  // In a text of the answer a call is none.
  const JSON_ANSWER = JSON.stringify({ said: CALL })

  it('the answer meets the schema, whole and in pieces, whatever stands in its texts', async () => {
    const { post, engine } = serveTools(followed(JSON_ANSWER))
    const choice = { message: { content: JSON_ANSWER }, finish_reason: 'stop' }
    expect(await (await post(CHAT, BOTH)).json()).toMatchObject({ choices: [choice] })
    expect(tokenizer.decode(engine.requests[0]?.promptIds ?? [])).toContain('"name": "weather"')
    const events = await eventsOf(await post(CHAT, { ...BOTH, stream: true }))
    const deltas = events.slice(0, -1).map((event) => (event as { choices: { delta: Delta }[] }).choices[0]?.delta)
    expect(deltas.map((delta) => delta?.content ?? '').join('')).toBe(JSON_ANSWER)
    expect(deltas.flatMap((delta) => delta?.tool_calls ?? [])).toEqual([])
  })

  it('or it calls tools with arguments that meet theirs, as a response, too', async () => {
    const { post } = serveTools(followed(`${CALL}\n${CALL}`))
    const called = { function: { name: 'weather', arguments: '{"city": "Paris"}' } }
    const choice = { message: { content: null, tool_calls: [called, called] }, finish_reason: 'tool_calls' }
    expect(await (await post(CHAT, BOTH)).json()).toMatchObject({ choices: [choice] })
    const { type, function: described } = STRICT
    const asked = {
      ...{ model: 'tiny', input: 'hello', tools: [{ type, ...described }] },
      text: { format: { type: 'json_schema', name: 'said', schema: SCHEMA } },
    }
    const call = { type: 'function_call', name: 'weather', arguments: '{"city": "Paris"}' }
    expect(await (await post('/v1/responses', asked)).json()).toMatchObject({ output: [call, call] })
  })

  it.each<[string, object, string]>([
    ['text', BOTH, 'a'],
    ['arguments that the tool does not take', BOTH, CALL.replace('city', 'town')],
    ['an answer where a tool must be called', { ...BOTH, tool_choice: 'required' }, JSON_ANSWER],
    ['a call where none may come', { ...BOTH, tool_choice: 'none' }, CALL],
  ])('%s cannot come', async (_, asked, text) => {
    const { post, engine } = serveTools('x')
    await (await post(CHAT, asked)).text()
    const [request] = engine.requests
    expect(() => followed(text)(request!)).toThrow()
  })

  it('tool_choice says whether the calls alone or the schema alone bind', async () => {
    const calling = serveTools(followed(CALL))
    const named = { type: 'function', function: { name: 'weather' } }
    for (const tool_choice of ['required', named])
      expect(await (await calling.post(CHAT, { ...BOTH, tool_choice })).json()).toMatchObject({
        choices: [{ message: { content: null, tool_calls: [{ function: { name: 'weather' } }] } }],
      })
    const answering = serveTools(followed(JSON_ANSWER))
    expect(await (await answering.post(CHAT, { ...BOTH, tool_choice: 'none' })).json()).toMatchObject({
      choices: [{ message: { content: JSON_ANSWER }, finish_reason: 'stop' }],
    })
  })

  it('a strict tool that may be called has its arguments held, and text stays free', async () => {
    const { post, engine } = serveTools(followed(`So: ${CALL}`))
    const asked = { ...ASKED, tools: [STRICT] }
    const message = { content: 'So:', tool_calls: [{ function: { arguments: '{"city": "Paris"}' } }] }
    expect(await (await post(CHAT, asked)).json()).toMatchObject({ choices: [{ message }] })
    await (await post(CHAT, asked)).text()
    const words = new Uint32Array(16)
    expect(engine.requests[1]?.mask?.allowed(words)).toBe(true)
  })
})

describe('the form of an answer', () => {
  const SCHEMA = {
    type: 'object',
    properties: { n: { type: 'integer' } },
    required: ['n'],
    additionalProperties: false,
  }

  it.each<[string, object]>([
    [CHAT, { response_format: { type: 'json_schema', json_schema: { name: 'number', schema: SCHEMA, strict: true } } }],
    [CHAT, { response_format: { type: 'json_object' } }],
  ])('is held by a grammar: %s %j', async (path, format) => {
    const { post } = serveTools(followed('{"n": 17}'))
    const answer = await (await post(path, { model: 'tiny', messages: ASKED.messages, ...format })).json()
    expect(answer).toMatchObject({ choices: [{ message: { content: '{"n": 17}' }, finish_reason: 'stop' }] })
  })

  it('is held in responses and for each of several answers', async () => {
    const { post } = serveTools(followed('{"n": 17}'))
    const text = { format: { type: 'json_schema', name: 'number', schema: SCHEMA } }
    const response = await (await post('/v1/responses', { model: 'tiny', input: 'x', text })).json()
    expect(response).toMatchObject({ output: [{ content: [{ text: '{"n": 17}' }] }], text })
    const format = { type: 'json_schema', json_schema: { name: 'number', schema: SCHEMA } }
    const answer = (await (
      await post(CHAT, { model: 'tiny', messages: ASKED.messages, n: 3, response_format: format })
    ).json()) as { choices: object[] }
    expect(answer.choices).toHaveLength(3)
  })

  it.each<[object, string, RegExp]>([
    [{ type: 'grammar' }, 'response_format.type', /expected text, json_object or json_schema/],
    [{ type: 'json_schema' }, 'response_format.json_schema', /expected \{ name, schema \}/],
    [
      { type: 'json_schema', json_schema: { name: 'x' } },
      'response_format.json_schema.schema',
      /expected a JSON schema/,
    ],
    [
      { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'object', patternProperties: {} } } },
      'response_format',
      /patternProperties/,
    ],
    [
      { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'integer', minimum: 5, maximum: 1 } } },
      'response_format',
      /./,
    ],
  ])('refuses %j by name', async (format, param, message) => {
    const { post, engine } = serveTools('one')
    const error = await errorOf(await post(CHAT, { model: 'tiny', messages: ASKED.messages, response_format: format }))
    expect(error).toMatchObject({ status: 400, param })
    expect(error.message).toMatch(message)
    expect(engine.requests).toEqual([])
  })
})
