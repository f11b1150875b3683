/**
 * @file A Hub that means ill, or a cache that someone prepared: no secret is shown, nothing is endless, no pipe is
 * opened.
 */

import { execFileSync } from 'node:child_process'
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { tokenSearch, withoutToken } from '../../src/http/secret.js'
import { type FetchModelOptions, fetchModel } from '../../src/hub/fetch-model.js'
import { parseLicense, readLicense } from '../../src/hub/license.js'
import { readHubSettings } from '../../src/hub/settings.js'
import { refuse } from '../support/hub-answers.js'
import { FILES, hubCase, ID } from './hub-case.js'

vi.mock('node:timers/promises', () => ({ setTimeout: async () => {} }))

const place = hubCase()
const TOKEN = 'hf_AbCdEfGhIjKlMnOpQrStUvWxYz+/=012345'
const repository = (...path: string[]) => join(place.cache, 'models--org--name', ...path)
const warnings: string[] = []
const onWarning = (warning: Error) => warnings.push(inspect(warning))
process.on('warning', onWarning)
afterEach(() => {
  warnings.length = 0
})

function answer(part: '/revision/' | '/tree/' | '/resolve/', respond: (response: ServerResponse) => void): void {
  place.hub.intercept = ({ path }, response) => {
    if (!path.includes(part)) return false
    respond(response)
    return true
  }
}

const failure = (options: FetchModelOptions = {}): Promise<Error> =>
  fetchModel(ID, '/tried', options).then(
    () => new Error('nothing was thrown'),
    (error: Error) => error,
  )

/** Eight letters of a secret are more than anyone should see. */
function expectNoSecret(text: string): void {
  for (const secret of [TOKEN, encodeURIComponent(TOKEN)])
    for (let at = 3; at + 8 <= secret.length; at++) expect(text).not.toContain(secret.slice(at, at + 8))
}

describe('the access token', () => {
  const json = (value: unknown) => (response: ServerResponse) => response.end(JSON.stringify(value))
  const commit = 'a'.repeat(40)
  const echoes: [string, Parameters<typeof answer>[0], (response: ServerResponse) => void][] = [
    ['in the message of a refusal', '/revision/', (response) => refuse(response, 403, 'Other', `no: Bearer ${TOKEN}`)],
    [
      'in the message of a file',
      '/resolve/',
      (response) => refuse(response, 418, 'Other', `${'x'.repeat(70)} ${TOKEN}`),
    ],
    ['in the code of a refusal', '/revision/', (response) => refuse(response, 500, TOKEN, 'failed')],
    ['in an address', '/revision/', (response) => refuse(response, 404, 'x', `/?t=${encodeURIComponent(TOKEN)}`)],
    ['in a login page', '/revision/', (response) => response.end(`<html>${'x'.repeat(60)}${TOKEN}`)],
    ['in a login page that is JSON nearly', '/revision/', (response) => response.end(`{"a": ${TOKEN}}`)],
    ['as a commit', '/revision/', json({ sha: TOKEN, siblings: [] })],
    ['as a path', '/revision/', json({ sha: commit, siblings: [{ rfilename: `../${TOKEN}` }] })],
    ['as an object id', '/tree/', json([{ type: 'file', path: 'config.json', size: 1, oid: TOKEN }])],
    ['as a size', '/tree/', json([{ type: 'file', path: 'config.json', size: TOKEN, oid: commit }])],
    [
      'in the address of the next page',
      '/tree/',
      (response) => {
        response.setHeader('link', `<ftp://${encodeURIComponent(TOKEN)}/>; rel="next"`)
        response.end('[]')
      },
    ],
    [
      'in the address of a redirect',
      '/resolve/',
      (response) => response.writeHead(302, { location: `http://[${TOKEN}/` }).end(),
    ],
  ]
  test.each(echoes)(
    'the access token that a Hub echoes %s is not shown by the error, its cause or its stack',
    async (_, part, respond) => {
      place.hub.put(ID, { files: FILES })
      answer(part, respond)
      const error = await failure({ token: TOKEN })
      expect(error.message).toMatch(/^\[hub\] /)
      expectNoSecret(inspect(error, { depth: 20 }))
      expect(error.message.length).toBeLessThan(1000)
    },
  )

  test('the access token that a Hub puts into a card or a configuration is told of, and nothing of the file is kept', async () => {
    for (const path of ['README.md', 'config.json', 'model.safetensors']) {
      const content = Buffer.concat([Buffer.alloc(70_000, 'x'), Buffer.from(TOKEN), Buffer.alloc(9)])
      place.hub.put(ID, { files: { ...FILES, [path]: content } })
      const error = await failure({ token: TOKEN })
      expect(error.message).toContain(
        `${path} of "org/name" from ${place.hub.endpoint} holds the access token from the option token, which only the server can have put there`,
      )
      expectNoSecret(inspect(error, { depth: 20 }))
      for (const name of await readdir(repository('blobs')))
        expect((await readFile(repository('blobs', name))).includes(TOKEN)).toBe(false)
    }
  })

  test('is found across the edges of pieces, however small they are', () => {
    const text = Buffer.from(`before ${TOKEN} after`)
    for (const size of [1, 2, 7, 36, 37, 38, 500]) {
      const isThere = tokenSearch({ value: TOKEN })
      let found = false
      for (let at = 0; at < text.length; at += size) found = isThere(text.subarray(at, at + size)) || found
      expect(found, `pieces of ${size}`).toBe(true)
    }
    expect(tokenSearch({ value: TOKEN })(Buffer.from(TOKEN.slice(1)))).toBe(false)
    expect(tokenSearch(undefined)(text)).toBe(false)
    expect(withoutToken(`a ${TOKEN} b ${encodeURIComponent(TOKEN)}`, { value: TOKEN })).toBe('a *** b ***')
    expect(withoutToken('plain', { value: 'plain' })).toBe('plain')
  })

  test('the access token in what a warning tells, where the cache stands in, is not shown', async () => {
    place.hub.put(ID, { files: FILES })
    await fetchModel(ID, '/tried', { token: TOKEN })
    answer('/revision/', (response) => refuse(response, 500, 'Other', `failed for ${TOKEN}`))
    await fetchModel(ID, '/tried', { token: TOKEN })
    await new Promise((resolve) => setImmediate(resolve))
    expect(warnings.join()).toContain('Using what the Hub cache has of it')
    expectNoSecret(warnings.join())
  })

  test('goes to no other host and scheme, by a redirect or by the address of a next page', async () => {
    place.hub.put(ID, { files: FILES })
    const other = place.hub.endpoint.replace('127.0.0.1', 'localhost')
    for (const part of ['/revision/', '/tree/', '/resolve/'] as const) {
      place.hub.requests.length = 0
      place.hub.intercept = ({ path, authorization }, response) => {
        if (!path.includes(part) || authorization === undefined) return false
        response.writeHead(307, { location: `${other}${path.replace(/ /g, '%20')}` }).end()
        return true
      }
      await fetchModel(ID, '/tried', { token: TOKEN, cacheDir: join(place.cache, part) })
      const asked = place.hub.requests.filter(({ path }) => path.includes(part))
      expect(asked.filter(({ authorization }) => authorization === undefined).length).toBeGreaterThan(0)
      expect(asked[0]?.authorization).toBe(`Bearer ${TOKEN}`)
    }
    let isFirst = true
    place.hub.requests.length = 0
    answer('/tree/', (response) => {
      if (isFirst) response.setHeader('link', `<${other}/api/models/org/name/tree/main?page=2>; rel="next"`)
      isFirst = false
      response.end('[]')
    })
    await failure({ token: TOKEN, cacheDir: join(place.cache, 'pages') })
    expect(
      place.hub.requests.filter(({ path }) => path.includes('/tree/')).map(({ authorization }) => authorization),
    ).toEqual([`Bearer ${TOKEN}`, undefined])
    for (const address of ['file:///etc/passwd', 'data:application/json,[]', 'ftp://127.0.0.1/']) {
      answer('/tree/', (response) => {
        response.setHeader('link', `<${address}>; rel="next"`)
        response.end('[]')
      })
      const { message } = await failure({ token: TOKEN, cacheDir: join(place.cache, 'schemes') })
      // What is no address of the web is no next page.
      expect(message).toContain('but it has nothing; the repository is damaged')
    }
  })

  test('is not asked for in HF_ENDPOINT, which errors show', async () => {
    vi.stubEnv('HF_ENDPOINT', `https://user:${TOKEN}@example.com`)
    const error = await failure()
    expect(error.message).toBe(
      '[hub] expected an address without name and password for HF_ENDPOINT; give the access token in HF_TOKEN',
    )
  })
})

describe('answers in JSON', () => {
  test.each(['/revision/', '/tree/'] as const)(
    'answers in JSON to %s that are small and swell when they are decompressed are refused',
    async (part) => {
      place.hub.put(ID, { files: FILES })
      const bomb = gzipSync(Buffer.alloc(64 * 2 ** 20, ' '))
      expect(bomb.length).toBeLessThan(100_000)
      answer(part, (response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb))
      const before = process.memoryUsage().rss
      expect((await failure()).message).toContain('expected at most 16.0 MiB of JSON, got more')
      expect(process.memoryUsage().rss - before).toBeLessThan(200 * 2 ** 20)
    },
  )

  test('answers in JSON that come too slowly end', async () => {
    // A clock that runs ahead, so that nobody waits: each piece seems to take seconds.
    const now = performance.now.bind(performance)
    let ahead = 0
    vi.spyOn(performance, 'now').mockImplementation(() => {
      ahead += 5000
      return now() + ahead
    })
    place.hub.put(ID, { files: FILES })
    let timer: NodeJS.Timeout | undefined
    answer('/revision/', (response) => {
      timer = setInterval(() => response.write(' '), 5)
    })
    expect((await failure()).message).toMatch(
      /^\[hub\] "org\/name" comes too slowly from http:\S+: \d+ bytes in \d+\.\d s/,
    )
    vi.restoreAllMocks()
    clearInterval(timer)
  })

  test('a list whose pages each come in time, but which goes on and on, ends', async () => {
    vi.stubEnv('HF_HUB_ETAG_TIMEOUT', '0.02')
    place.hub.put(ID, { files: FILES })
    let page = 0
    place.hub.intercept = ({ path }, response) => {
      if (!path.includes('/tree/')) return false
      response.setHeader('link', `<${place.hub.endpoint}/api/models/org/name/tree/main?page=${++page}>; rel="next"`)
      response.write('[')
      setTimeout(() => response.end(']'), 15)
      return true
    }
    expect((await failure()).message).toMatch(
      /expected (all of an answer within 0\.6 s, got a part of it|at most 100 pages)/,
    )
  })
})

describe('sizes', () => {
  const listed = (path: string, size: number): void => {
    place.hub.put(ID, { files: FILES })
    place.hub.intercept = ({ path: asked }, response) => {
      if (!asked.includes('/tree/')) return false
      const entries = Object.keys(FILES).map((name) => ({
        type: 'file',
        path: name,
        size: name === path ? size : Buffer.from(FILES[name] as string).length,
        oid: 'a'.repeat(40),
      }))
      response.end(JSON.stringify(entries))
      return true
    }
  }

  test('sizes of files that are read whole are bounded before they are fetched', async () => {
    listed('tokenizer.json', 10 ** 12)
    expect((await failure()).message).toBe(
      `[hub] expected at most 95.4 MiB for tokenizer.json of "org/name" from ${place.hub.endpoint}, got 931.3 GiB; get the model from a source that you trust`,
    )
    expect(place.hub.requests.filter(({ path }) => path.includes('/resolve/'))).toEqual([])
  })

  test('sizes of a card that is huge leave it where it is', async () => {
    const files = { ...FILES, 'README.md': Buffer.alloc(3_000_000, '-') }
    const commit = place.hub.put(ID, { files })
    await fetchModel(ID, '/tried')
    expect(await readdir(repository('snapshots', commit))).not.toContain('README.md')
  })
})

describe('a licence', () => {
  test('a licence of another length or with other letters than a licence has is none', () => {
    expect(parseLicense({ license: 'apache-2.0' })).toEqual({ id: 'apache-2.0' })
    expect(parseLicense({ license: 'x'.repeat(501) })).toBeUndefined()
    expect(parseLicense({ license: new Array(1000).fill('mit') })).toBeUndefined()
    expect(parseLicense({ license: 'mit\u001b[2J' })).toBeUndefined()
    expect(parseLicense({ license: 'other', license_name: 'a\nb', license_link: `https://x/?${TOKEN}` })).toEqual({
      id: 'other',
    })
  })

  test('a licence in a header of megabytes, and in one whose aliases would fill the memory, is not looked for', async () => {
    await mkdir(place.home, { recursive: true })
    const lists = Array.from({ length: 12 }, (_, n) => `a${n}: &a${n} [${new Array(9).fill(n ? `*a${n - 1}` : 'x')}]`)
    for (const header of ['license: mit\n'.padEnd(1_000_000, '#'), `${lists.join('\n')}\nlicense: *a11`]) {
      await writeFile(join(place.home, 'README.md'), `---\n${header}\n---\n`)
      expect(await readLicense(place.home)).toBeUndefined()
    }
  })
})

describe('pipes and devices in the cache', () => {
  test.each([
    ['refs/main', (commit: string) => `refs/main${commit.slice(40)}`],
    ['the index of a snapshot', (commit: string) => `snapshots/${commit}/model.safetensors.index.json`],
  ])('pipes and devices in the cache in place of %s are refused by name', async (name, pathOf) => {
    const commit = place.hub.put(ID, { files: FILES })
    const path = repository(pathOf(commit))
    await mkdir(join(path, '..'), { recursive: true })
    if (name !== 'refs/main') {
      await mkdir(repository('refs'), { recursive: true })
      await writeFile(repository('refs', 'main'), commit)
      await writeFile(join(path, '..', 'config.json'), '{}')
    }
    execFileSync('mkfifo', [path])
    expect((await failure({ localFilesOnly: true })).message).toBe(
      `[hub] expected ${path} to be a file, got a pipe; give the path of a regular file`,
    )
  })

  test('pipes and devices in the cache in place of a card and of the file of the token are passed over', async () => {
    await mkdir(place.home, { recursive: true })
    await symlink('/dev/zero', join(place.home, 'README.md'))
    execFileSync('mkfifo', [join(place.home, 'token')])
    expect(await readLicense(place.home)).toBeUndefined()
    expect((await readHubSettings({})).token).toBeUndefined()
  })
})

test('a patience that timers cannot count is the longest that they can', async () => {
  vi.stubEnv('HF_HUB_DOWNLOAD_TIMEOUT', '1e12')
  vi.stubEnv('HF_HUB_ETAG_TIMEOUT', 'Infinity')
  const { pieceTimeout, answerTimeout } = await readHubSettings({})
  expect([pieceTimeout, answerTimeout]).toEqual([2e9, 2e9])
  expect(pieceTimeout).toBeLessThan(2 ** 31)
})
