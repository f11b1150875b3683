/** @file /v1/completions: texts continued, whole and in pieces. */

import { describe, expect, it } from 'vitest'
import { answerIds, errorOf, eventsOf, serveScripted, tokenizer } from './served.js'

const PATH = '/v1/completions'

interface Completion {
  id: string
  object: string
  choices: { index: number; text: string; finish_reason: string | null; logprobs: Record<string, unknown[]> | null }[]
  usage?: object
}

async function completed(response: Promise<Response>): Promise<Completion> {
  return (await (await response).json()) as Completion
}

describe('a completion', () => {
  it('continues a text as it stands, with sixteen tokens where nothing else is asked', async () => {
    const { post, engine } = serveScripted('two three')
    const answer = await completed(post(PATH, { model: 'tiny', prompt: 'one ' }))
    expect([...(engine.requests[0]?.promptIds ?? [])]).toEqual(tokenizer.encode('one '))
    expect(engine.requests[0]?.maxNewTokens).toBe(16)
    expect(answer).toMatchObject({
      id: expect.stringMatching(/^cmpl-/),
      object: 'text_completion',
      choices: [{ index: 0, text: 'two three', finish_reason: 'stop', logprobs: null }],
    })
  })

  it('answers several prompts, texts or ids, in their order', async () => {
    const { post, engine } = serveScripted(({ promptIds }) => answerIds(`${promptIds.length}`))
    for (const prompt of [
      ['one', 'two three four'],
      [tokenizer.encode('one'), tokenizer.encode('two three four')],
    ]) {
      const answer = await completed(post(PATH, { model: 'tiny', prompt, n: 2 }))
      const lengths = ['one', 'two three four'].map((text) => `${tokenizer.encode(text).length}`)
      expect(answer.choices.map(({ index, text }) => [index, text])).toEqual([
        [0, lengths[0]],
        [1, lengths[0]],
        [2, lengths[1]],
        [3, lengths[1]],
      ])
    }
    await post(PATH, { model: 'tiny', prompt: [5, 6, 7] })
    expect([...(engine.requests.at(-1)?.promptIds ?? [])]).toEqual([5, 6, 7])
  })

  it('puts the prompt before the answer with echo, whole and in pieces', async () => {
    const { post } = serveScripted('three')
    const asked = { model: 'tiny', prompt: 'one two ', echo: true }
    expect((await completed(post(PATH, asked))).choices[0]?.text).toBe('one two three')
    const events = await eventsOf(await post(PATH, { ...asked, stream: true }))
    expect(events.pop()).toBe('[DONE]')
    expect((events as Completion[]).map(({ choices }) => choices[0]?.text).join('')).toBe('one two three')
  })

  it('tells log probabilities in the older form', async () => {
    const { post } = serveScripted('one two')
    const { choices } = await completed(post(PATH, { model: 'tiny', prompt: 'x', logprobs: 1 }))
    const logprobs = choices[0]?.logprobs as {
      tokens: string[]
      token_logprobs: number[]
      top_logprobs: Record<string, number>[]
      text_offset: number[]
    }
    expect(logprobs.tokens.join('')).toBe('one two')
    expect(logprobs.token_logprobs).toEqual(logprobs.tokens.map(() => -0.5))
    expect(logprobs.top_logprobs).toEqual(logprobs.tokens.map((token) => ({ [token]: -0.5 })))
    let at = 0
    expect(logprobs.text_offset).toEqual(
      logprobs.tokens.map((token) => {
        at += token.length
        return at - token.length
      }),
    )
  })

  it('names parts of characters by their bytes, none in place of another, and counts characters', async () => {
    const { post } = serveScripted('π two')
    const { choices } = await completed(post(PATH, { model: 'tiny', prompt: 'x', logprobs: 2 }))
    const logprobs = choices[0]?.logprobs as Record<'tokens' | 'text_offset' | 'top_logprobs', unknown[]>
    expect(logprobs.tokens).toEqual(['bytes:\\xcf', 'bytes:\\x80', ' two'])
    expect(logprobs.text_offset).toEqual([0, 0, 1])
    // The id behind that of the byte is that of the next byte.
    expect(logprobs.top_logprobs[0]).toEqual({ 'bytes:\\xcf': -0.5, 'bytes:\\xd0': -1.5 })
  })

  it.each<[object, string, RegExp]>([
    [{ prompt: '' }, 'prompt', /expected a prompt of at least one token, got an empty one/],
    [{ prompt: [] }, 'prompt', /a text, a list of token ids, or a list of either/],
    [{ prompt: [[1], 'x'] }, 'prompt', /a text, a list of token ids, or a list of either/],
    [{ prompt: [512] }, 'prompt', /expected token ids below 512/],
    [{ prompt: [-1] }, 'prompt', /a text, a list of token ids/],
    [{ prompt: Array.from({ length: 17 }, () => 'x') }, 'prompt', /at most 16 answers to a request, got 17 prompts/],
    [{ echo: true, logprobs: 0 }, 'echo', /expected echo without logprobs/],
    [{ best_of: 2 }, 'best_of', /write n/],
    [{ suffix: 'x' }, 'suffix', /does not fill in/],
    [{ messages: [] }, 'messages', /expected a field that this route has/],
  ])('refuses %j by name', async (wrong, param, message) => {
    const { post, engine } = serveScripted('one')
    const error = await errorOf(await post(PATH, { model: 'tiny', prompt: 'x', ...wrong }))
    expect(error).toMatchObject({ status: 400, param })
    expect(error.message).toMatch(message)
    expect(engine.requests).toEqual([])
  })
})
