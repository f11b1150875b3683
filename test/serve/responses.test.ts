/** @file /v1/responses: one object, the typed events that build it, and what is refused. */

import { describe, expect, it } from 'vitest'
import { answerIds, errorOf, eventsOf, serveScripted, tokenizer } from './served.js'

const PATH = '/v1/responses'

interface Event {
  type: string
  sequence_number: number
  delta?: string
  response?: Record<string, unknown>
}

describe('a response', () => {
  it('is one object with a message and its tokens', async () => {
    const { post, engine } = serveScripted('the capital is Paris', { engine: { cachedTokens: 2 } })
    const asked = { model: 'tiny', input: 'hello', instructions: 'the system', metadata: { a: 'b' } }
    const response = (await (await post(PATH, asked)).json()) as Record<string, unknown>
    expect(tokenizer.decode(engine.requests[0]?.promptIds ?? [])).toBe(
      '<|im_start|>system\nthe system<|im_end|>\n<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n',
    )
    expect(response).toMatchObject({
      id: expect.stringMatching(/^resp_/),
      object: 'response',
      status: 'completed',
      error: null,
      incomplete_details: null,
      instructions: 'the system',
      metadata: { a: 'b' },
      store: false,
      output: [
        {
          type: 'message',
          role: 'assistant',
          status: 'completed',
          content: [{ type: 'output_text', text: 'the capital is Paris', annotations: [], logprobs: [] }],
        },
      ],
      usage: {
        input_tokens: engine.requests[0]?.promptIds.length,
        input_tokens_details: { cached_tokens: 2 },
        output_tokens: answerIds('the capital is Paris').length,
      },
    })
  })

  it('comes as typed events in their order, numbered, the last one with the whole', async () => {
    const { post } = serveScripted('one two')
    const response = await post(PATH, { model: 'tiny', input: 'hello', stream: true })
    const names = (await response.clone().text()).split('\n').filter((line) => line.startsWith('event: '))
    const events = (await eventsOf(response)) as Event[]
    expect(events.map(({ type }) => `event: ${type}`)).toEqual(names)
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, at) => at))
    const types = events.map(({ type }) => type).filter((type, at, all) => type !== all[at - 1])
    expect(types).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ])
    expect(events.map(({ delta = '' }) => delta).join('')).toBe('one two')
    expect(events.at(-1)?.response).toMatchObject({ status: 'completed', output: [{ content: [{ text: 'one two' }] }] })
    expect(events[0]?.response).toMatchObject({ status: 'in_progress', output: [], usage: null })
  })

  it('is incomplete where it is cut', async () => {
    const { post } = serveScripted('one two three four')
    const asked = { model: 'tiny', input: 'hello', max_output_tokens: 1 }
    const cut = {
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
      output: [{ status: 'incomplete' }],
    }
    expect(await (await post(PATH, asked)).json()).toMatchObject(cut)
    const events = (await eventsOf(await post(PATH, { ...asked, stream: true }))) as Event[]
    expect(events.at(-1)).toMatchObject({ type: 'response.incomplete', response: cut })
  })

  it('has log probabilities where they are included', async () => {
    const { post, engine } = serveScripted('one two')
    const asked = { model: 'tiny', input: 'hello', include: ['message.output_text.logprobs'], top_logprobs: 1 }
    const response = (await (await post(PATH, asked)).json()) as {
      output: { content: { logprobs: { token: string; top_logprobs: unknown[] }[] }[] }[]
    }
    const logprobs = response.output[0]?.content[0]?.logprobs ?? []
    expect(engine.requests[0]?.logprobs).toBe(1)
    expect(logprobs.map(({ token }) => token).join('')).toBe('one two')
    expect(logprobs.every(({ top_logprobs }) => top_logprobs.length === 1)).toBe(true)
  })

  it('takes the items of a conversation', async () => {
    const { post, engine } = serveScripted('one')
    const input = [
      { role: 'user', content: 'one' },
      {
        type: 'message',
        role: 'assistant',
        id: 'msg_1',
        status: 'completed',
        content: [{ type: 'output_text', text: 'two', annotations: [] }],
      },
      { role: 'user', content: [{ type: 'input_text', text: 'three' }] },
    ]
    expect((await post(PATH, { model: 'tiny', input })).status).toBe(200)
    expect(tokenizer.decode(engine.requests[0]?.promptIds ?? [])).toBe(
      '<|im_start|>user\none<|im_end|>\n<|im_start|>assistant\ntwo<|im_end|>\n<|im_start|>user\nthree<|im_end|>\n<|im_start|>assistant\n',
    )
  })

  it('fails by an event of its own', async () => {
    const { post } = serveScripted('one two', {
      engine: {
        beforeToken: () => {
          throw new Error('broken')
        },
      },
    })
    const events = (await eventsOf(await post(PATH, { model: 'tiny', input: 'x', stream: true }))) as Event[]
    expect(events.at(-1)).toMatchObject({
      type: 'response.failed',
      response: { status: 'failed', error: { code: 'server_error' } },
    })
  })

  it.each<[object, string, RegExp]>([
    [{ previous_response_id: 'resp_1' }, 'previous_response_id', /nothing is stored: send the items/],
    [{ background: true }, 'background', /nothing is stored/],
    [{ input: [] }, 'input', /expected at least one item/],
    [{ input: [{ type: 'image_generation_call' }] }, 'input[0].type', /expected message, function_call/],
    [{ input: [{ role: 'tool', content: 'x' }] }, 'input[0].role', /expected user, assistant/],
    [
      { input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'x' }] }] },
      'input[0].content[0]',
      /models read text alone/,
    ],
    [{ top_logprobs: 1 }, 'top_logprobs', /expected include/],
    [{ include: ['file_search_call.results'] }, 'include', /nothing else can be included/],
    [{ n: 2 }, 'n', /expected a field that this route has/],
    [{ truncation: 'auto' }, 'truncation', /shorten the conversation yourself/],
  ])('refuses %j by name', async (wrong, param, message) => {
    const { post, engine } = serveScripted('one')
    const error = await errorOf(await post(PATH, { model: 'tiny', input: 'x', ...wrong }))
    expect(error).toMatchObject({ status: 400, param })
    expect(error.message).toMatch(message)
    expect(engine.requests).toEqual([])
  })
})

describe('adapters while the server runs', () => {
  it('are loaded, listed, asked and unloaded where the server allows it', async () => {
    const { post, get, engine } = serveScripted('one', { admin: true })
    const load = (body: object): Promise<Response> => post('/v1/load_lora_adapter', body)
    expect(await (await load({ lora_name: 'law', lora_path: '/adapters/law' })).json()).toMatchObject({
      id: 'law',
      parent: 'tiny',
    })
    expect((await (await get('/v1/models')).json()) as object).toMatchObject({ data: [{ id: 'tiny' }, { id: 'law' }] })
    await post('/v1/completions', { model: 'law', prompt: 'x' })
    expect(engine.requests[0]?.adapter).toBe('law')
    expect(await errorOf(await load({ lora_name: 'law', lora_path: '/x' }))).toMatchObject({
      status: 400,
      code: 'adapter_exists',
    })
    expect((await load({ lora_name: 'law', lora_path: '/x', load_inplace: true })).status).toBe(200)
    expect(await errorOf(await load({ lora_name: 'tiny', lora_path: '/x' }))).toMatchObject({
      status: 400,
      param: 'lora_name',
    })
    expect(await errorOf(await load({ lora_name: 'no', lora_path: '/nowhere' }))).toMatchObject({
      status: 400,
      param: 'lora_path',
    })
    const unload = (): Promise<Response> => post('/v1/unload_lora_adapter', { lora_name: 'law' })
    expect(await (await unload()).json()).toEqual({ id: 'law', object: 'model', deleted: true })
    expect(await errorOf(await unload())).toMatchObject({ status: 404, code: 'model_not_found' })
  })
})
