/**
 * @file Models from the Hub: which files come, where they lie, what is asked again, and what happens without a network.
 */

import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { DownloadEvent } from '../../src/hub/download-event.js'
import { type FetchModelOptions, fetchModel } from '../../src/hub/fetch-model.js'
import { sha256 } from '../support/hub-answers.js'
import { gitId } from '../support/hub-server.js'
import { rejection } from '../support/tiny-model.js'
import { FILES, hubCase, ID, NEEDED, tree, WEIGHTS, weights } from './hub-case.js'

/** Waits that were asked for, none of which is waited for. */
const waits = vi.hoisted(() => [] as number[])
vi.mock('node:timers/promises', () => ({
  setTimeout: async (milliseconds: number) => {
    waits.push(milliseconds)
  },
}))

const place = hubCase()
const repository = (...path: string[]) => join(place.cache, 'models--org--name', ...path)
const fetch = (options: FetchModelOptions = {}, id = ID) => fetchModel(id, '/tried', options)
const paths = () => place.hub.requests.splice(0).map(({ host, path }) => (host === 'lfs' ? 'LFS' : path.split('?')[0]))

const warnings: string[] = []
vi.spyOn(process, 'emitWarning').mockImplementation((warning) => {
  warnings.push(String(warning))
})
afterEach(() => {
  warnings.length = 0
  waits.length = 0
})

describe('what is fetched', () => {
  test('the files that a model needs, into the layout of huggingface_hub', async () => {
    const commit = place.hub.put(ID, { files: FILES, cardData: { license: 'apache-2.0' } })
    const model = await fetch()
    expect(model).toEqual({ directory: repository('snapshots', commit), commit, license: { id: 'apache-2.0' } })
    const blob = (path: string) => {
      const bytes = Buffer.from(FILES[path] as string)
      return path.endsWith('.safetensors') ? sha256(bytes) : gitId(bytes)
    }
    const links = NEEDED.map((path) => [
      `snapshots/${commit}/${path}`,
      `${path.includes('/') ? '../' : ''}../../blobs/${blob(path)}`,
    ])
    const blobs = NEEDED.map((path) => [`blobs/${blob(path)}`, ''])
    expect(await tree(repository())).toEqual({
      'refs/main': '',
      ...Object.fromEntries(blobs),
      ...Object.fromEntries(links),
    })
    expect(await readFile(repository('refs', 'main'), 'utf8')).toBe(commit)
    for (const path of NEEDED)
      expect(gitId(await readFile(join(model.directory, path)))).toBe(gitId(Buffer.from(FILES[path] as string)))
  })

  test('the second time nothing but what the revision stands for', async () => {
    place.hub.put(ID, { files: FILES })
    await fetch()
    expect(paths().slice(0, 2)).toEqual([
      `/api/models/${ID}/revision/main`,
      expect.stringMatching(`^/api/models/${ID}/tree/[0-9a-f]{40}$`),
    ])
    await fetch()
    expect(paths()).toEqual([`/api/models/${ID}/revision/main`])
  })

  test('nothing for a commit that is there', async () => {
    const commit = place.hub.put(ID, { files: FILES })
    await fetch({ revision: commit })
    // Two questions, a redirect, and one file for the two that hold the same.
    expect(paths()).toHaveLength(2 + 1 + NEEDED.length - 1)
    expect(await fetch({ revision: commit })).toMatchObject({ commit, license: { id: 'apache-2.0' } })
    expect(paths()).toEqual([])
    expect(await tree(repository()).then(Object.keys)).not.toContain(`refs/${commit}`)
  })

  test('only what a snapshot lacks, and only blobs that the cache does not have', async () => {
    const first = place.hub.put(ID, { files: FILES })
    await fetch()
    await rm(repository('snapshots', first, 'merges.txt'))
    paths()
    await fetch()
    expect(paths().slice(2)).toEqual([])
    expect(await readFile(repository('snapshots', first, 'merges.txt'), 'utf8')).toBe(FILES['merges.txt'])

    const second = place.hub.put(ID, { files: { ...FILES, 'config.json': '{"model_type":"gpt2"}' } })
    await fetch()
    expect(paths().slice(2)).toEqual([`/${ID}/resolve/${second}/config.json`])
    expect(await readFile(repository('refs', 'main'), 'utf8')).toBe(second)
    expect(await readFile(repository('snapshots', first, 'config.json'), 'utf8')).toBe(FILES['config.json'])
  })

  test('a file whose link leads nowhere, and a blob of the wrong size, come anew', async () => {
    const commit = place.hub.put(ID, { files: FILES })
    await fetch()
    paths()
    await rm(repository('blobs', sha256(WEIGHTS)))
    await fetch()
    expect(paths().slice(2)).toEqual([`/${ID}/resolve/${commit}/model.safetensors`, 'LFS'])
    await rm(repository('snapshots', commit, 'model.safetensors'))
    await writeFile(repository('blobs', sha256(WEIGHTS)), 'half')
    await fetch()
    expect(sha256(await readFile(repository('snapshots', commit, 'model.safetensors')))).toBe(sha256(WEIGHTS))
  })

  test('the shards that an index names, from a list of several pages', async () => {
    place.hub.pageSize = 3
    const shards = {
      'model-00001-of-00002.safetensors': weights(31, 6),
      'model-00002-of-00002.safetensors': weights(33, 7),
    }
    const { 'model.safetensors': _, ...others } = FILES
    const index = { weight_map: { a: 'model-00002-of-00002.safetensors', b: 'model-00001-of-00002.safetensors' } }
    const commit = place.hub.put(ID, {
      files: {
        ...others,
        ...shards,
        'model.safetensors.index.json': JSON.stringify(index),
        'model-00001-of-00001.safetensors': weights(9, 8),
        'consolidated.safetensors': weights(10, 9),
      },
    })
    const { directory } = await fetch()
    const found = Object.keys(await tree(directory)).sort()
    const expected = [
      ...NEEDED.filter((path) => path !== 'model.safetensors'),
      'model.safetensors.index.json',
      ...Object.keys(shards),
    ]
    expect(found).toEqual(expected.sort())
    expect(paths().filter((path) => path?.includes('/tree/'))).toHaveLength(8)
    await rm(repository('snapshots', commit, 'model-00002-of-00002.safetensors'))
    vi.stubEnv('HF_HUB_OFFLINE', '1')
    expect(await rejection(fetch())).toContain('lacks model-00002-of-00002.safetensors, and HF_HUB_OFFLINE=1 forbids')
    vi.stubEnv('HF_HUB_OFFLINE', '0')
    await fetch()
    expect(await readFile(join(directory, 'model-00002-of-00002.safetensors'))).toEqual(weights(33, 7))
  })

  test('config.json alone where no more is asked for', async () => {
    const commit = place.hub.put(ID, { files: FILES })
    const { directory } = await fetch({ part: 'config' })
    expect(Object.keys(await tree(directory))).toEqual(['config.json'])
    expect(await fetch({ part: 'config', localFilesOnly: true })).toMatchObject({ commit })
    expect(await rejection(fetch({ localFilesOnly: true }))).toContain(
      'lacks model.safetensors, and localFilesOnly forbids to fetch it',
    )
  })
})

describe('revisions', () => {
  test('a branch, a tag and a pull request are written where huggingface_hub writes them', async () => {
    const commit = place.hub.put(ID, { files: FILES, revisions: ['main', 'v1.0', 'refs/pr/1', 'feature/x'] })
    for (const revision of ['v1.0', 'refs/pr/1', 'feature/x']) {
      expect(await fetch({ revision })).toMatchObject({ commit })
      expect(await readFile(repository('refs', ...revision.split('/')), 'utf8')).toBe(commit)
      expect(await fetch({ revision, localFilesOnly: true })).toMatchObject({ commit })
    }
    expect(await rejection(fetch({ revision: 'main', localFilesOnly: true }))).toContain(
      `revision main), and localFilesOnly forbids to fetch it; the cache has other revisions of it (feature/x, refs/pr/1, v1.0);`,
    )
  })

  test.each(['', '../x', 'a//b', '.git', 'a..b', 'a\\b', 'a\0b', 'a b', '/etc', 7])(
    '%j is no name of a revision',
    async (revision) => {
      expect(await rejection(fetch({ revision: revision as string }))).toBe(
        `[model] expected a branch, tag or commit for revision, got ${JSON.stringify(revision)}`,
      )
      expect(place.hub.requests).toEqual([])
    },
  )
})

describe('access tokens', () => {
  const authorizations = () => place.hub.requests.splice(0).map(({ host, authorization }) => `${host} ${authorization}`)

  test('go to the Hub and not to where it redirects', async () => {
    place.hub.put(ID, { files: { 'config.json': '{}', 'model.safetensors': WEIGHTS }, gatedFor: ['hf_secret'] })
    vi.stubEnv('HF_TOKEN', ' hf_secret\n')
    await fetch()
    const seen = authorizations()
    expect(seen.filter((line) => line.startsWith('hub')).every((line) => line === 'hub Bearer hf_secret')).toBe(true)
    expect(seen.filter((line) => line.startsWith('lfs'))).toEqual(['lfs undefined'])
  })

  test('come from the option, from HF_TOKEN, then from the file in HF_HOME, and not at all where that is forbidden', async () => {
    place.hub.put(ID, { files: FILES })
    await mkdir(place.home)
    await writeFile(join(place.home, 'token'), 'hf_file\n')
    await fetch()
    expect(authorizations()[0]).toBe('hub Bearer hf_file')
    vi.stubEnv('HF_TOKEN', 'hf_environment')
    await fetch()
    expect(authorizations()).toEqual(['hub Bearer hf_environment'])
    await fetch({ token: 'hf_option' })
    expect(authorizations()).toEqual(['hub Bearer hf_option'])
    vi.stubEnv('HF_HUB_DISABLE_IMPLICIT_TOKEN', '1')
    await fetch()
    expect(authorizations()).toEqual(['hub undefined'])
  })
})

describe('without a network', () => {
  test('what the cache has is used without a request', async () => {
    const commit = place.hub.put(ID, { files: FILES })
    await fetch()
    paths()
    vi.stubEnv('HF_HUB_OFFLINE', 'yes')
    expect(await fetch()).toEqual({ directory: repository('snapshots', commit), commit, license: { id: 'apache-2.0' } })
    expect(paths()).toEqual([])
    expect(warnings).toEqual([])
  })

  test('what it does not have is an error that names the place and the remedy', async () => {
    vi.stubEnv('HF_HUB_OFFLINE', '1')
    expect(await rejection(fetch())).toBe(
      `[hub] "org/name" is neither a directory (/tried) nor in the Hub cache (${repository()}, revision main), and HF_HUB_OFFLINE=1 ` +
        'forbids to fetch it; fetch it without HF_HUB_OFFLINE=1, or with "hf download org/name"',
    )
    expect(await rejection(fetch({ revision: 'v2' }))).toContain('with "hf download org/name --revision v2"')
    expect(place.hub.requests).toEqual([])
  })

  test('a Hub that does not answer leaves what the cache has, with a warning', async () => {
    const commit = place.hub.put(ID, { files: FILES })
    await fetch()
    place.hub.intercept = (_, response) => Boolean(response.destroy())
    expect(await fetch()).toMatchObject({ commit })
    expect(warnings).toEqual([
      `[hub] cannot get "org/name" from ${place.hub.endpoint}: other side closed; check the connection, and HF_ENDPOINT if it is set. ` +
        `Using what the Hub cache has of it: ${repository('snapshots', commit)}`,
    ])
    expect(waits).toEqual([])
    vi.stubEnv('ALL_PROXY', 'http://proxy:3128')
    expect(await fetch()).toMatchObject({ commit })
    expect(warnings.pop()).toContain('. ALL_PROXY is not read: set HTTPS_PROXY where a proxy is in between')
    vi.stubEnv('ALL_PROXY', '')
    vi.stubEnv('HF_HUB_ETAG_TIMEOUT', '0.05')
    place.hub.intercept = () => true
    expect(await fetch()).toMatchObject({ commit })
    expect(warnings[1]).toContain('nothing came for 0.05 s')
    place.hub.intercept = (_, response) => Boolean(response.writeHead(503).end())
    expect(await fetch()).toMatchObject({ commit })
    expect(warnings[2]).toContain('failed at "org/name" (HTTP 503); try again later')
    expect(await rejection(fetch({ revision: 'other' }))).toContain('(HTTP 503)')
  })
})

describe('progress', () => {
  test('events tell of all bytes before they come, and end when they are there', async () => {
    const commit = place.hub.put(ID, { files: FILES })
    const events: DownloadEvent[] = []
    await fetch({ onEvent: (event) => events.push(event) })
    const totalBytes = NEEDED.reduce((sum, path) => sum + Buffer.from(FILES[path] as string).length, 0)
    const common = { type: 'download', model: ID, revision: commit, files: NEEDED.length, totalBytes }
    expect(events[0]).toEqual({ ...common, bytes: 0 })
    expect(events.at(-1)).toEqual({ ...common, bytes: totalBytes })
    for (const [index, { bytes }] of events.slice(1).entries())
      expect(bytes).toBeGreaterThanOrEqual(events[index]!.bytes)
    events.length = 0
    await fetch({ onEvent: (event) => events.push(event) })
    expect(events).toEqual([])
  })
})

describe('a directory that cannot be written', () => {
  test('is as good as another where all files are there', async () => {
    const commit = place.hub.put(ID, { files: FILES })
    await fetch()
    await rm(repository('refs'), { recursive: true })
    await writeFile(repository('refs'), 'not a directory')
    expect(await fetch()).toMatchObject({ commit })
  })
})
