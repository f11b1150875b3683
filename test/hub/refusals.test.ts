/**
 * @file What the Hub may refuse, get wrong or make up: each is an error that says what to do, and leaves nothing that
 * looks whole.
 */

import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type FetchModelOptions, fetchModel } from '../../src/hub/fetch-model.js'
import { refuse, sha256 } from '../support/hub-answers.js'
import { rejection } from '../support/tiny-model.js'
import { FILES, hubCase, ID, tree, WEIGHTS } from './hub-case.js'

/** Waits that were asked for, none of which is waited for. */
const waits = vi.hoisted(() => [] as number[])
vi.mock('node:timers/promises', () => ({
  setTimeout: async (milliseconds: number) => {
    waits.push(milliseconds)
  },
}))

const place = hubCase()
const failure = (options: FetchModelOptions = {}, id = ID) => rejection(fetchModel(id, '/tried', options))
/** Blobs and snapshots that a failure left, without what a next attempt goes on from. */
const left = async () =>
  Object.keys(await tree(join(place.cache, 'models--org--name')).catch(() => ({}))).filter(
    (path) => !path.endsWith('.incomplete'),
  )

/** Answers requests for the model itself, its list or a file. */
function answer(part: '/revision/' | '/tree/' | '/resolve/', respond: (response: ServerResponse) => void): void {
  place.hub.intercept = ({ path }, response) => {
    if (!path.includes(part)) return false
    respond(response)
    return true
  }
}

afterEach(() => {
  waits.length = 0
})

describe('what is not there', () => {
  test('a model that nobody sees', async () => {
    expect(await failure({}, 'org/nmae')).toBe(
      `[hub] expected a directory, or a model that ${place.hub.endpoint} shows, got "org/nmae" (HTTP 401, "Repository not found"); check ` +
        `the spelling at ${place.hub.endpoint}/org/nmae; if it is private or gated, set HF_TOKEN to an access token of your account`,
    )
    expect(await failure({ token: 'hf_x' }, 'org/nmae')).toContain(
      'if it is private or gated, use a token that may read it (HF_TOKEN; this one is from the option token)',
    )
    answer('/revision/', (response) => refuse(response, 404, 'RepoNotFound', 'Repository not found'))
    expect(await failure()).toContain('got "org/name" (HTTP 404, "Repository not found")')
  })

  test('a revision', async () => {
    place.hub.put(ID, { files: FILES })
    expect(await failure({ revision: 'v9' })).toBe(
      `[hub] expected a branch, tag or commit of "org/name" for revision, got "v9", which it does not have; ${place.hub.endpoint}/org/name/tree/main ` +
        'lists them',
    )
  })

  test('a file that the list has', async () => {
    const commit = place.hub.put(ID, { files: FILES })
    answer('/resolve/', (response) => refuse(response, 404, 'EntryNotFound', 'Entry not found'))
    expect(await failure()).toMatch(
      new RegExp(
        `^\\[hub\\] expected \\S+ in "org/name" at revision ${commit}, but ${place.hub.endpoint} does not have it \\(HTTP 404, "Entry not found"\\); try again`,
      ),
    )
    expect(await left()).toEqual([])
  })

  test.each<[string, Record<string, string>, string]>([
    [
      'weights in GGUF alone',
      { 'README.md': '', 'q4.gguf': 'x', 'q8.gguf': 'y' },
      'has its weights in GGUF files only: q4.gguf, q8.gguf; fetch one with "hf download org/name q4.gguf" and give the path of that file',
    ],
    [
      'weights in pickles alone',
      { 'config.json': '{}', 'pytorch_model.bin': 'x' },
      'has its weights in pytorch_model.bin only, which is Python pickle; use a model with safetensors',
    ],
    [
      'an adapter',
      { 'adapter_config.json': '{}', 'adapter_model.safetensors': 'x' },
      'is an adapter, not a model: give the model that its adapter_config.json names',
    ],
    [
      'something else',
      { 'README.md': 'x' },
      'has no config.json with model.safetensors or model.safetensors.index.json, only: README.md',
    ],
  ])('%s in place of a model', async (_, files, message) => {
    place.hub.put(ID, { files })
    expect(await failure()).toContain(`[hub] "org/name" ${message}`)
    expect(await left()).toEqual([])
  })
})

describe('what is not allowed', () => {
  test('a gated model names its page and HF_TOKEN', async () => {
    place.hub.put(ID, { files: FILES, gatedFor: ['hf_good'] })
    expect(await failure()).toBe(
      `[hub] "org/name" is gated (HTTP 401): ask for access at ${place.hub.endpoint}/org/name, and set HF_TOKEN to an access token of your account`,
    )
    vi.stubEnv('HF_TOKEN', 'hf_other')
    expect(await failure()).toBe(
      `[hub] "org/name" is gated (HTTP 403): ask for access at ${place.hub.endpoint}/org/name, and use a token that may read it (HF_TOKEN; this ` +
        'one is from HF_TOKEN)',
    )
    expect(await left()).toEqual([])
    expect(waits).toEqual([])
  })

  test('a token that the Hub does not know, or without the right, or that is none', async () => {
    place.hub.put(ID, { files: FILES })
    vi.stubEnv('HF_TOKEN', 'hf_old')
    answer('/revision/', (response) =>
      response.writeHead(401, { 'x-error-message': 'Invalid credentials in Authorization header' }).end(),
    )
    expect(await failure()).toBe(
      `[hub] ${place.hub.endpoint} does not accept the access token from HF_TOKEN; make another at ${place.hub.endpoint}/settings/tokens and set ` +
        'HF_TOKEN to it',
    )
    answer('/revision/', (response) => response.writeHead(403, { 'x-error-message': 'no' }).end())
    expect(await failure()).toBe(
      `[hub] ${place.hub.endpoint} refuses "org/name" (HTTP 403, "no"); see ${place.hub.endpoint}/org/name, and use a token that may read it ` +
        '(HF_TOKEN; this one is from HF_TOKEN)',
    )
    vi.stubEnv('HF_TOKEN', 'hf_\u00e9')
    expect(await failure()).toBe(
      '[hub] expected an access token such as hf_... in HF_TOKEN, got text that is none; correct it',
    )
  })
})

describe('servers that are busy', () => {
  test('are asked again after the time that they name', async () => {
    place.hub.put(ID, { files: FILES })
    const headers = [{ 'retry-after': '7' }, { ratelimit: '"api";r=0;t=9' }, {}]
    answer('/revision/', (response) => {
      const next = headers.shift()
      if (headers.length === 0) place.hub.intercept = undefined
      response.writeHead(429, next).end()
    })
    await fetchModel(ID, '/tried')
    expect(waits).toEqual([7000, 9000, 2000])
  })

  test('are left alone where that is too long', async () => {
    answer('/revision/', (response) => response.writeHead(429, { 'retry-after': '3600' }).end())
    expect(await failure()).toBe(
      `[hub] ${place.hub.endpoint} had too many requests (HTTP 429) for "org/name"; try again in 3600 s; with an access token (HF_TOKEN) the ` +
        'limit is higher',
    )
    answer('/revision/', (response) =>
      response.writeHead(429, { 'retry-after': new Date(Date.now() + 100_000).toUTCString() }).end(),
    )
    expect(await failure({ token: 'hf_x' })).toMatch(/try again in (99|100) s$/)
    expect(waits).toEqual([])
  })

  test.each([500, 502, 503, 504])(
    'servers that are busy and fail with HTTP %d are asked four times in all',
    async (status) => {
      place.hub.put(ID, { files: FILES })
      answer('/revision/', (response) => response.writeHead(status, { 'x-error-message': 'down' }).end())
      expect(await failure()).toBe(
        `[hub] ${place.hub.endpoint} failed at "org/name" (HTTP ${status}, "down"); try again later`,
      )
      expect(waits).toEqual([500, 1000, 2000])
      expect(place.hub.requests).toHaveLength(4)
    },
  )

  test('servers that are busy at a file are asked again as well', async () => {
    place.hub.put(ID, { files: FILES })
    let failures = 2
    place.hub.intercept = ({ host }, response) =>
      host === 'lfs' && failures-- > 0 && Boolean(response.writeHead(500).end())
    const { directory } = await fetchModel(ID, '/tried')
    expect(waits).toEqual([500, 1000])
    expect(await tree(directory)).toHaveProperty('model.safetensors')
  })
})

describe('servers that are none of the Hub', () => {
  test('a redirect without end', async () => {
    answer('/revision/', (response) =>
      response.writeHead(302, { location: '/api/models/org/name/revision/main' }).end(),
    )
    expect(await failure()).toMatch(
      /^\[hub\] http:\S+\/api\/models\/org\/name\/revision\/main\?\S+ redirects without end; check HF_ENDPOINT \(http:\S+\) and the proxy/,
    )
    expect(waits).toEqual([])
  })

  test.each<[string, '/revision/' | '/tree/', string, string]>([
    ['a page of a login', '/revision/', '<html>', 'expected JSON, got "<html>"'],
    ['a list that is not JSON', '/tree/', 'not JSON', 'expected JSON, got "not JSON"'],
    ['a list that is none', '/tree/', '{"a":1}', 'expected what the Hub says of a model, got what cannot be read'],
    [
      'a commit that is none',
      '/revision/',
      '{"sha":"../../x","siblings":[]}',
      'expected a commit as sha, got "../../x"',
    ],
    [
      'an answer that says nothing',
      '/revision/',
      'null',
      'expected what the Hub says of a model, got what cannot be read',
    ],
    [
      'an object id that is none',
      '/tree/',
      '[{"type":"file","path":"config.json","size":2,"oid":"../../../x"}]',
      'expected size and object id of "config.json", got 2 and "../../../x"',
    ],
  ])('%s', async (_, part, body, message) => {
    place.hub.put(ID, { files: FILES })
    answer(part, (response) => response.end(body))
    expect(await failure()).toContain(`[hub] asked ${place.hub.endpoint} for "org/name" and ${message}`)
    expect(await left()).toEqual([])
  })

  test('a list that never ends', async () => {
    place.hub.put(ID, { files: FILES })
    answer('/tree/', (response) =>
      response.writeHead(200, { link: `<${place.hub.endpoint}/api/models/org/name/tree/x>; rel="next"` }).end('[]'),
    )
    expect(await failure()).toContain('expected at most 100 pages of files, got more')
  })

  test.each(['../x', '/etc/passwd', 'a/../../b', 'a\\..\\b', 'nul\0byte', 'a//b', ''])(
    'a file named %j',
    async (path) => {
      const refused = `[hub] expected paths inside of the model in the list of files of "org/name", got ${JSON.stringify(path)}; nothing of it is fetched`
      place.hub.put(ID, { files: { ...FILES, [path]: 'x' } })
      expect(await failure()).toContain(refused)
      place.hub.put(ID, { files: FILES })
      answer('/tree/', (response) =>
        response.end(JSON.stringify([{ type: 'file', path, size: 1, oid: 'a'.repeat(40) }])),
      )
      expect(await failure()).toContain(refused)
      expect(await left()).toEqual([])
    },
  )

  test.each(['../x.safetensors', '/x.safetensors', 'x.bin', 7])('an index that names the shard %j', async (shard) => {
    const { 'model.safetensors': _, ...files } = FILES
    place.hub.put(ID, {
      files: { ...files, 'model.safetensors.index.json': JSON.stringify({ weight_map: { a: shard } }) },
    })
    expect(await failure()).toContain(
      `[hub] expected model.safetensors.index.json of "org/name" to name .safetensors files beside it, got ${JSON.stringify(shard)}`,
    )
  })

  test('an index that names a shard which is not there', async () => {
    const { 'model.safetensors': _, ...files } = FILES
    place.hub.put(ID, { files: { ...files, 'model.safetensors.index.json': '{"weight_map":{"a":"b.safetensors"}}' } })
    expect(await failure()).toContain('[hub] expected b.safetensors in the list of files of "org/name" at')
  })

  test('an address that is none', async () => {
    vi.stubEnv('HF_ENDPOINT', 'huggingface.co')
    expect(await failure()).toBe('[hub] expected an http or https address for HF_ENDPOINT, got "huggingface.co"')
  })
})

describe('content that is not what it should be', () => {
  test('content of a file in LFS that is not what it should be is refused', async () => {
    place.hub.put(ID, { files: FILES })
    const other = Buffer.from(WEIGHTS)
    other[5] = (other[5] as number) ^ 1
    place.hub.intercept = ({ host }, response) => host === 'lfs' && Boolean(response.end(other))
    expect(await failure()).toBe(
      `[hub] expected SHA-256 ${sha256(WEIGHTS)} of model.safetensors of "org/name" from ${place.hub.endpoint}, got ${sha256(other)}; nothing of it ` +
        'was kept: try again, and check the proxy or mirror in between',
    )
    expect((await left()).filter((path) => path.includes('safetensors') || path.includes(sha256(WEIGHTS)))).toEqual([])
  })

  test('content of a file in Git that is not what it should be is refused', async () => {
    place.hub.put(ID, { files: FILES })
    place.hub.intercept = ({ path }, response) =>
      path.endsWith('/config.json') && Boolean(response.end('{"model_type":"lxama"}'))
    expect(await failure()).toMatch(
      /^\[hub\] expected Git object id [0-9a-f]{40} of config\.json of "org\/name" from http:\S+, got [0-9a-f]{40}; nothing of it was kept/,
    )
  })

  test('content that is too long is refused', async () => {
    place.hub.put(ID, { files: FILES })
    place.hub.intercept = ({ host }, response) =>
      host === 'lfs' && Boolean(response.end(Buffer.concat([WEIGHTS, WEIGHTS])))
    expect(await failure()).toBe(
      `[hub] expected 100003 bytes of model.safetensors of "org/name" from ${place.hub.endpoint}, got more; try again, and check the proxy or mirror ` +
        'in between',
    )
    expect((await left()).filter((path) => path.includes('safetensors'))).toEqual([])
  })

  test('content that is too short is refused, whatever is asked for', async () => {
    place.hub.put(ID, { files: FILES })
    place.hub.intercept = ({ host }, response) => host === 'lfs' && Boolean(response.end(WEIGHTS.subarray(0, 7)))
    expect(await failure()).toContain('expected 100003 bytes of model.safetensors of "org/name" from')
    expect((await left()).filter((path) => path.includes('safetensors'))).toEqual([])
  })
})
