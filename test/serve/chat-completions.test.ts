/** @file /v1/chat/completions: answers whole and in pieces, and what is refused. */

import { describe, expect, it } from 'vitest'
import { answerIds, errorOf, eventsOf, serveScripted, tokenizer } from './served.js'

const HELLO = [{ role: 'user', content: 'hello' }]

interface Choice {
  index: number
  delta: { role?: string; content?: string }
  logprobs: { content: { token: string; logprob: number; bytes: number[]; top_logprobs: { token: string }[] }[] } | null
  finish_reason: string | null
}
interface Chunk {
  id: string
  object: string
  model: string
  choices: Choice[]
  usage?: { prompt_tokens: number; completion_tokens: number } | null
}

describe('a chat completion', () => {
  it('is one object with the answer and its tokens', async () => {
    const { post, engine } = serveScripted('the capital is Paris', { engine: { cachedTokens: 3 } })
    const response = await post('/v1/chat/completions', { model: 'tiny', messages: HELLO })
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('application/json')
    const prompt = tokenizer.encode('<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n', {
      addSpecialTokens: false,
    })
    expect([...(engine.requests[0]?.promptIds ?? [])]).toEqual(prompt)
    const completion = answerIds('the capital is Paris').length
    expect(await response.json()).toEqual({
      id: expect.stringMatching(/^chatcmpl-\w{20}$/),
      object: 'chat.completion',
      created: expect.any(Number),
      model: 'tiny',
      system_fingerprint: null,
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'the capital is Paris', refusal: null },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: {
        prompt_tokens: prompt.length,
        completion_tokens: completion,
        total_tokens: prompt.length + completion,
        prompt_tokens_details: { cached_tokens: 3 },
      },
    })
  })

  it('comes in pieces that make the same answer, with the figures at the end where they are asked for', async () => {
    const { post } = serveScripted('one two three')
    const asked = { model: 'tiny', messages: HELLO, stream: true, stream_options: { include_usage: true } }
    const response = await post('/v1/chat/completions', asked)
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    const events = await eventsOf(response)
    expect(events.pop()).toBe('[DONE]')
    const chunks = events as Chunk[]
    expect(chunks[0]?.choices).toEqual([
      { index: 0, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null },
    ])
    const last = chunks.pop()
    expect(last).toMatchObject({ choices: [], usage: { completion_tokens: answerIds('one two three').length } })
    expect(chunks.every(({ usage, object }) => usage === null && object === 'chat.completion.chunk')).toBe(true)
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1)
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe('one two three')
    expect(chunks.map(({ choices }) => choices[0]?.finish_reason).filter(Boolean)).toEqual(['stop'])
  })

  it('has no usage in its pieces where nobody asks for it', async () => {
    const { post } = serveScripted('one')
    const events = await eventsOf(await post('/v1/chat/completions', { model: 'tiny', messages: HELLO, stream: true }))
    expect(events.filter((event) => typeof event === 'object' && 'usage' in (event as object))).toEqual([])
  })

  it('ends before a stop text, of which no part is ever told', async () => {
    for (const stop of ['two thr', ['nine', 'two thr']]) {
      const { post, engine } = serveScripted('one two three four')
      const whole = await post('/v1/chat/completions', { model: 'tiny', messages: HELLO, stop })
      expect(await whole.json()).toMatchObject({
        choices: [{ message: { content: 'one ' }, finish_reason: 'stop' }],
      })
      const events = await eventsOf(
        await post('/v1/chat/completions', { model: 'tiny', messages: HELLO, stop, stream: true }),
      )
      const pieces = (events as Chunk[]).flatMap(
        ({ choices }) => choices?.map(({ delta }) => delta.content ?? '') ?? [],
      )
      expect(pieces.join('')).toBe('one ')
      expect(engine.running.size).toBe(0)
    }
  })

  it('is cut at max_completion_tokens, which goes before max_tokens', async () => {
    const { post, engine } = serveScripted('one two three four')
    const asked = { model: 'tiny', messages: HELLO, max_completion_tokens: 2, max_tokens: 5 }
    const answer = (await (await post('/v1/chat/completions', asked)).json()) as {
      choices: { finish_reason: string }[]
      usage: object
    }
    expect(answer.choices[0]?.finish_reason).toBe('length')
    expect(answer.usage).toMatchObject({ completion_tokens: 2 })
    expect(engine.requests[0]?.maxNewTokens).toBe(2)
  })

  it('where no length is given, it goes as far as the context', async () => {
    const { post, engine } = serveScripted('one')
    await post('/v1/chat/completions', { model: 'tiny', messages: HELLO })
    const [request] = engine.requests
    expect(request?.maxNewTokens).toBe(512 - (request?.promptIds.length ?? 0))
  })

  it('gives several answers, each drawn with a seed of its own', async () => {
    const texts = ['one', 'two two', 'three']
    const { post, engine } = serveScripted(({ sampling }) => answerIds(texts[(sampling?.seed ?? 0) - 7] as string))
    const asked = { model: 'tiny', messages: HELLO, n: 3, seed: 7 }
    const answer = (await (await post('/v1/chat/completions', asked)).json()) as {
      choices: { index: number; message: { content: string } }[]
    }
    expect(answer.choices.map(({ index, message }) => [index, message.content])).toEqual([
      [0, 'one'],
      [1, 'two two'],
      [2, 'three'],
    ])
    expect(engine.requests.map(({ sampling }) => sampling?.seed)).toEqual([7, 8, 9])
    const events = (await eventsOf(await post('/v1/chat/completions', { ...asked, stream: true }))).slice(
      0,
      -1,
    ) as Chunk[]
    const texted = [0, 1, 2].map((index) =>
      events
        .flatMap(({ choices }) =>
          choices.filter((choice) => choice.index === index).map(({ delta }) => delta.content ?? ''),
        )
        .join(''),
    )
    expect(texted).toEqual(texts)
  })

  it('tells log probabilities of the tokens that it tells, and of no others', async () => {
    const { post, engine } = serveScripted('one two three')
    const asked = { model: 'tiny', messages: HELLO, logprobs: true, top_logprobs: 2, stop: 'three' }
    const answer = (await (await post('/v1/chat/completions', asked)).json()) as { choices: Choice[] }
    const content = answer.choices[0]?.logprobs?.content ?? []
    expect(engine.requests[0]?.logprobs).toBe(2)
    // The blank is a part of the token that begins the stop text.
    expect(content.map(({ token }) => token).join('')).toBe('one two')
    expect(content[0]).toMatchObject({ logprob: -0.5, bytes: [...Buffer.from(content[0]?.token ?? '')] })
    expect(content.every(({ top_logprobs }) => top_logprobs.length === 2)).toBe(true)
    const events = (await eventsOf(await post('/v1/chat/completions', { ...asked, stream: true }))).slice(
      0,
      -1,
    ) as Chunk[]
    const streamed = events.flatMap(({ choices }) => choices[0]?.logprobs?.content ?? [])
    expect(streamed).toEqual(content)
  })

  it('tells the bytes of tokens that are parts of characters, the likeliest ones too, whole and in pieces', async () => {
    const text = 'π 😀 two'
    const { post } = serveScripted(text)
    const asked = { model: 'tiny', messages: HELLO, logprobs: true, top_logprobs: 2 }
    const answer = (await (await post('/v1/chat/completions', asked)).json()) as { choices: Choice[] }
    const content = answer.choices[0]?.logprobs?.content ?? []
    expect(Buffer.from(content.flatMap(({ bytes }) => bytes)).toString()).toBe(text)
    // The small vocabulary has both characters as single bytes.
    expect(content.slice(0, 2)).toMatchObject([
      { token: '\\xcf', bytes: [0xcf] },
      { token: '\\x80', bytes: [0x80] },
    ])
    for (const { token, bytes, top_logprobs: top } of content) {
      expect(top[0]).toEqual({ token, bytes, logprob: -0.5 })
      expect((top[1] as { bytes?: number[] }).bytes?.length).toBeGreaterThan(0)
    }
    const events = await eventsOf(await post('/v1/chat/completions', { ...asked, stream: true }))
    const streamed = (events.slice(0, -1) as Chunk[]).flatMap(({ choices }) => choices[0]?.logprobs?.content ?? [])
    expect(streamed).toEqual(content)
  })

  it('hands penalties and biases of tokens on, in a text completion, too', async () => {
    const { post, engine } = serveScripted('one')
    const asked = { model: 'tiny', presence_penalty: -1.5, frequency_penalty: 2, logit_bias: { 7: -100, 0: 0.5 } }
    await post('/v1/chat/completions', { ...asked, messages: HELLO, temperature: 0 })
    await post('/v1/completions', { ...asked, prompt: 'x' })
    const logitBias = new Map([
      [0, 0.5],
      [7, -100],
    ])
    for (const request of engine.requests)
      expect(request).toMatchObject({ presencePenalty: -1.5, frequencyPenalty: 2, logitBias })
    expect(engine.requests).toHaveLength(2)
    await post('/v1/chat/completions', {
      ...asked,
      messages: HELLO,
      presence_penalty: 0,
      frequency_penalty: null,
      logit_bias: {},
    })
    for (const name of ['presencePenalty', 'frequencyPenalty', 'logitBias'])
      expect(engine.requests[2]).not.toHaveProperty(name)
  })

  it('draws as the request says, else as OpenAI does; temperature 0 takes the most likely token', async () => {
    const { post, engine } = serveScripted('one')
    const ask = async (more: object): Promise<unknown> => {
      await post('/v1/chat/completions', { model: 'tiny', messages: HELLO, seed: 3, ...more })
      return engine.requests.at(-1)?.sampling
    }
    const all = { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 3 }
    expect(await ask({})).toEqual(all)
    expect(await ask({ temperature: 0.5, top_p: 0.9, top_k: 7, min_p: 0.1 })).toEqual({
      ...all,
      temperature: 0.5,
      topP: 0.9,
      topK: 7,
      minP: 0.1,
    })
    expect(await ask({ temperature: 0 })).toBeUndefined()
    expect(await ask({ temperature: 0, repetition_penalty: 1.5 })).toMatchObject({
      temperature: 0,
      repetitionPenalty: 1.5,
    })
  })

  it('takes messages in parts, and what developers say as the system', async () => {
    const { post, engine } = serveScripted('one')
    const messages = [
      { role: 'developer', content: 'the system' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'one ' },
          { type: 'text', text: 'two' },
        ],
      },
    ]
    await post('/v1/chat/completions', { model: 'tiny', messages })
    expect(tokenizer.decode(engine.requests[0]?.promptIds ?? [])).toBe(
      '<|im_start|>system\nthe system<|im_end|>\n<|im_start|>user\none two<|im_end|>\n<|im_start|>assistant\n',
    )
  })

  it.each<[object, string | null, RegExp]>([
    [{ messages: undefined }, 'messages', /expected a list of messages for messages, got nothing/],
    [{ messages: [] }, 'messages', /expected at least one message, got none/],
    [{ messages: [{ role: 'king', content: 'x' }] }, 'messages[0].role', /expected one of system, developer/],
    [{ messages: [{ role: 'user', content: 5 }] }, 'messages[0].content', /expected a text or a list of text parts/],
    [
      { messages: [{ role: 'user', content: 'x', colour: 1 }] },
      'messages[0].colour',
      /expected a field that this route has/,
    ],
    [
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }] },
      'messages[0].content[0]',
      /got "image_url"; models read text alone/,
    ],
    [{ messages: [{ role: 'tool', content: 'x' }] }, 'messages[0].tool_call_id', /expected the id of the call/],
    [{ temperature: 3 }, 'temperature', /expected a number of at least 0 and at most 2 for temperature, got 3/],
    [{ temperature: '1' }, 'temperature', /got "1"/],
    [{ n: 0 }, 'n', /expected a whole number of at least 1/],
    [{ n: 17 }, 'n', /expected at most 16 answers to a request, got 17/],
    [{ presence_penalty: 2.5 }, 'presence_penalty', /expected a number of at least -2 and at most 2/],
    [{ frequency_penalty: '1' }, 'frequency_penalty', /expected a number of at least -2 and at most 2/],
    [{ logit_bias: { 5: 101 } }, 'logit_bias', /at most 1024 token ids with numbers from -100 to 100/],
    [{ logit_bias: { the: 1 } }, 'logit_bias', /at most 1024 token ids/],
    [{ logit_bias: { 5000000: 1 } }, 'logit_bias', /expected token ids below \d+ for logit_bias, got 5000000/],
    [{ stop: ['a', 'b', 'c', 'd', 'e'] }, 'stop', /at most 4 texts/],
    [{ top_logprobs: 2 }, 'top_logprobs', /expected logprobs: true with top_logprobs/],
    [{ stream_options: {} }, 'stream_options', /with stream: true alone/],
    [{ audio: { voice: 'x' } }, 'audio', /models write text alone/],
    [{ temprature: 1 }, 'temprature', /did you mean "temperature"\?/],
    [{ max_tokens: 600 }, 'max_tokens', /the context of the model 512/],
  ])('refuses %j by name', async (wrong, param, message) => {
    const { post, engine } = serveScripted('one')
    const error = await errorOf(await post('/v1/chat/completions', { model: 'tiny', messages: HELLO, ...wrong }))
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error', param })
    expect(error.message).toMatch(message)
    expect(engine.requests).toEqual([])
  })

  it('takes null for what is not given, and what is about the books of the sender', async () => {
    const { post } = serveScripted('one')
    const more = {
      temperature: null,
      stop: null,
      n: null,
      user: 'me',
      metadata: { a: 'b' },
      store: true,
      presence_penalty: 0,
    }
    expect((await post('/v1/chat/completions', { model: 'tiny', messages: HELLO, ...more })).status).toBe(200)
  })

  it('refuses a prompt that is longer than the context', async () => {
    const { post } = serveScripted('one')
    const messages = [{ role: 'user', content: 'hello '.repeat(600) }]
    const error = await errorOf(await post('/v1/chat/completions', { model: 'tiny', messages }))
    expect(error).toMatchObject({ status: 400, code: 'context_length_exceeded' })
  })

  it('refuses what the chat template leaves out', async () => {
    const { post } = serveScripted('one')
    const messages = [
      ...HELLO,
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'a', type: 'function', function: { name: 'weather', arguments: '{"city":"Paris"}' } }],
      },
    ]
    const error = await errorOf(await post('/v1/chat/completions', { model: 'tiny', messages }))
    expect(error.status).toBe(400)
    expect(error.message).toMatch(/tool_calls|template/)
  })

  it('asks the adapter that its model names', async () => {
    const { post, engine, get } = serveScripted('one', { engine: { adapters: ['law', 'code'] } })
    for (const [model, adapter] of [
      ['tiny', undefined],
      ['law', 'law'],
      ['tiny:code', 'code'],
    ] as const) {
      const answer = await (await post('/v1/chat/completions', { model, messages: HELLO })).json()
      expect(answer).toMatchObject({ model })
      expect(engine.requests.at(-1)?.adapter).toBe(adapter)
    }
    expect(await errorOf(await post('/v1/chat/completions', { model: 'tiny:x', messages: HELLO }))).toMatchObject({
      status: 404,
      code: 'model_not_found',
      param: 'model',
    })
    const list = (await (await get('/v1/models')).json()) as { data: { id: string; parent: string | null }[] }
    expect(list.data.map(({ id, parent }) => [id, parent])).toEqual([
      ['tiny', null],
      ['law', 'tiny'],
      ['code', 'tiny'],
    ])
    expect(await (await get('/v1/models/law')).json()).toMatchObject({ id: 'law', object: 'model', root: 'tiny' })
    expect((await get('/v1/models/other')).status).toBe(404)
  })
})
