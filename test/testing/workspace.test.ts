/** @file The loopback workspace itself, asked with plain fetch: authorization, records, errors, faults, clocks. */

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FAULTS } from '../../src/testing/faults.js'
import { invalid, missing, pageOf, type Route } from '../../src/testing/route.js'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'

const ME = '/api/2.0/preview/scim/v2/Me'
const WORDS = ['anna', 'bert', 'cleo', 'dora', 'emil']
const ROUTES: readonly Route[] = [
  { method: 'GET', path: '/api/2.0/words', handle: ({ query }) => ({ json: wordsOf(query) }) },
  { method: 'GET', path: '/api/2.0/text/{path*}', handle: ({ params }) => ({ body: params.path ?? '' }) },
  {
    method: 'POST',
    path: '/api/2.0/words/{word}',
    handle: ({ params, json }) => {
      written.push(`${params.word}=${JSON.stringify(json)}`)
      if (json.isWrong === true) throw invalid('isWrong must be false.')
      if (json.isMissing === true) throw missing('The word does not exist.')
      return { json: { word: params.word } }
    },
  },
  {
    method: 'PUT',
    path: '/api/2.0/raw',
    body: 'raw',
    handle: async ({ body }) => {
      let size = 0
      for await (const piece of body as AsyncIterable<Uint8Array>) size += piece.length
      written.push(`raw ${size}`)
      return { status: 204 }
    },
  },
]
function wordsOf(query: URLSearchParams): object {
  const { items, ...next } = pageOf(WORDS, query, 2)
  return { words: items, ...next }
}

let workspace: LoopbackWorkspace
let written: string[]
beforeEach(async () => {
  written = []
  workspace = await startWorkspace({
    routes: ROUTES,
    clients: [{ clientId: 'robot', clientSecret: 'planted-secret-of-robot' }],
  })
})
afterEach(() => workspace.close())

function ask(path: string, init: RequestInit & { token?: string } = {}): Promise<Response> {
  const { token = workspace.token, ...rest } = init
  return fetch(workspace.url + path, { ...rest, headers: { authorization: `Bearer ${token}`, ...rest.headers } })
}

const failureOf = (answer: Promise<unknown>): Promise<string> =>
  answer.then(
    () => 'no failure',
    (error: Error) => `${error.message}: ${(error.cause as Error | undefined)?.message}`,
  )

describe('the loopback workspace', () => {
  test('tells whom a token stands for, and refuses those that it did not issue', async () => {
    const known = await ask(ME)
    expect([known.status, ((await known.json()) as { userName: string }).userName]).toEqual([
      200,
      'someone@example.com',
    ])
    const unknown = await ask(ME, { token: 'dapi-of-another' })
    expect(unknown.status).toBe(403)
    const none = await fetch(workspace.url + ME)
    expect([none.status, await none.json()]).toEqual([
      401,
      {
        error_code: 'UNAUTHENTICATED',
        message: 'Credential was not sent or was of an unsupported type for this API.',
        details: [expect.objectContaining({ request_id: none.headers.get('x-request-id') })],
      },
    ])
  })

  test('gives an OAuth client a token that ends by the clock of the workspace', async () => {
    const login = (secret: string): Promise<Response> =>
      fetch(`${workspace.url}/oidc/v1/token`, {
        method: 'POST',
        headers: { authorization: `Basic ${Buffer.from(`robot:${secret}`).toString('base64')}` },
        body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'all-apis' }),
      })
    expect(await (await login('wrong')).json()).toEqual({
      error: 'invalid_client',
      error_description: 'Client authentication failed',
    })
    const { access_token: token } = (await (await login('planted-secret-of-robot')).json()) as { access_token: string }
    expect(((await (await ask(ME, { token })).json()) as { userName: string }).userName).toBe('robot')
    workspace.state.clockOffset = 3_700_000
    const late = await ask(ME, { token })
    expect([late.status, Math.round((Date.parse(late.headers.get('date') ?? '') - Date.now()) / 100_000)]).toEqual([
      401, 37,
    ])
  })

  test('records requests without their secrets', async () => {
    await ask('/api/2.0/words/x%20y?token=planted-in-query', {
      method: 'POST',
      body: JSON.stringify({ token_value: 'planted-in-json', deep: [{ client_secret: 'planted-deep' }], kept: 1 }),
    })
    await fetch(`${workspace.url}/oidc/v1/token`, {
      method: 'POST',
      body: new URLSearchParams({ scope: 'all-apis', client_secret: 'planted-in-form', grant_type: 'x' }),
    })
    expect(workspace.requests[0]).toMatchObject({
      method: 'POST',
      path: '/api/2.0/words/x%20y',
      status: 200,
      user: 'someone@example.com',
      json: { kept: 1 },
    })
    const text = JSON.stringify(workspace.requests)
    expect(text).not.toContain('planted')
    expect(text).not.toContain(workspace.token)
    expect(text).toContain('Bearer ***')
  })

  test('answers errors in the form of Databricks, and paths that it does not have', async () => {
    const post = async (body: string): Promise<unknown> => {
      const answer = await ask('/api/2.0/words/w', { method: 'POST', body })
      const { error_code, message } = (await answer.json()) as { error_code: string; message: string }
      return [answer.status, error_code, message]
    }
    expect(await post('{"isWrong": true}')).toEqual([400, 'INVALID_PARAMETER_VALUE', 'isWrong must be false.'])
    expect(await post('{"isMissing": true}')).toEqual([404, 'RESOURCE_DOES_NOT_EXIST', 'The word does not exist.'])
    expect(await post('{"isWrong": ')).toEqual([400, 'MALFORMED_REQUEST', 'Could not parse request object.'])
    const nowhere = await ask('/api/9.9/nothing')
    expect([nowhere.status, await nowhere.json()]).toMatchObject([404, { error_code: 'ENDPOINT_NOT_FOUND' }])
  })

  test('meets as many requests with a fault as the rule says, after those that it lets pass', async () => {
    workspace.fail({ method: 'GET', path: /words/, skip: 1, times: 2, with: FAULTS.rateLimited(7) })
    const statuses = []
    for (let index = 0; index < 4; index++) statuses.push((await ask('/api/2.0/words')).status)
    expect([statuses, workspace.pendingFaults()]).toEqual([[200, 429, 429, 200], []])
    workspace.fail({ path: /words/, with: FAULTS.html(502) })
    const html = await ask('/api/2.0/words')
    expect([html.status, html.headers.get('content-type')]).toEqual([502, 'text/html;charset=utf-8'])
    workspace.fail({ path: /words/, with: FAULTS.loginRedirect() })
    expect((await ask('/api/2.0/words', { redirect: 'manual' })).status).toBe(303)
    workspace.fail({ path: /words/, times: 9, with: 'reset' })
    workspace.heal()
    expect((await ask('/api/2.0/words')).status).toBe(200)
  })

  test('ends connections before, within and behind what was asked', async () => {
    const post = (): Promise<Response> => ask('/api/2.0/words/w', { method: 'POST', body: '{"a": 1}' })
    workspace.fail({ path: /words/, with: 'reset' })
    expect([await failureOf(post()), written]).toEqual([expect.stringMatching(/^fetch failed/), []])
    workspace.fail({ path: /words/, with: 'lost-answer' })
    expect([await failureOf(post()), written]).toEqual([expect.stringMatching(/^fetch failed/), ['w={"a":1}']])
    workspace.fail({ path: /raw/, with: { cutRequestAfter: 100_000 } })
    const body = new Uint8Array(3_000_001)
    expect(await failureOf(ask('/api/2.0/raw', { method: 'PUT', body }))).toMatch(/^fetch failed/)
    expect(written).toEqual(['w={"a":1}'])
    workspace.fail({ path: /text/, with: { cutAfter: 5 } })
    const answer = await ask('/api/2.0/text/abcdef/ghi')
    const reader = answer.body!.getReader()
    expect(Buffer.from((await reader.read()).value as Uint8Array).toString()).toBe('abcde')
    expect(await failureOf(reader.read())).toMatch(/^terminated/)
  })

  test('sends empty pages with a token of the next before the real ones', async () => {
    workspace.fail({ path: /words/, with: { emptyPages: 3 } })
    const words: string[] = []
    let pages = 0
    for (let token: string | undefined = ''; token !== undefined; pages++) {
      const page = (await (await ask(`/api/2.0/words?page_token=${token}`)).json()) as {
        words?: string[]
        next_page_token?: string
      }
      words.push(...(page.words ?? []))
      token = page.next_page_token
    }
    expect([words, pages]).toEqual([WORDS, 6])
  })
})
