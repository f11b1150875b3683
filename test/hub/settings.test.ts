/** @file What the environment says about the Hub, read as huggingface_hub reads it. */

import { homedir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { hubCacheDirectory, readHubSettings } from '../../src/hub/settings.js'

const NAMES = [
  ...['HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE', 'HF_HOME', 'XDG_CACHE_HOME', 'HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN'],
  ...[
    'HF_TOKEN_PATH',
    'HF_HUB_OFFLINE',
    'TRANSFORMERS_OFFLINE',
    'HF_ENDPOINT',
    'HF_HUB_ETAG_TIMEOUT',
    'HF_HUB_DOWNLOAD_TIMEOUT',
  ],
]

beforeEach(() => {
  for (const name of NAMES) vi.stubEnv(name, '')
})

afterEach(() => {
  vi.unstubAllEnvs()
})

test('the cache directory follows the variables of huggingface_hub in its order', async () => {
  const { cacheDir } = await readHubSettings({})
  expect(cacheDir).toBe(hubCacheDirectory())
  expect(hubCacheDirectory()).toBe(join(homedir(), '.cache', 'huggingface', 'hub'))
  vi.stubEnv('XDG_CACHE_HOME', '/cache')
  expect(hubCacheDirectory()).toBe('/cache/huggingface/hub')
  vi.stubEnv('HF_HOME', '/hf')
  expect(hubCacheDirectory()).toBe('/hf/hub')
  vi.stubEnv('HUGGINGFACE_HUB_CACHE', '/old')
  expect(hubCacheDirectory()).toBe('/old')
  vi.stubEnv('HF_HUB_CACHE', '~/hub')
  expect(hubCacheDirectory()).toBe(join(homedir(), 'hub'))
  vi.stubEnv('HF_HUB_CACHE', `$XDG_CACHE_HOME/x/\${HF_HOME}/$NOT_SET_ANYWHERE`)
  expect(hubCacheDirectory()).toBe('/cache/x/hf/$NOT_SET_ANYWHERE')
  expect(await readHubSettings({ cacheDir: '/given' })).toMatchObject({ cacheDir: '/given' })
})

test('the rest has the defaults of huggingface_hub', async () => {
  vi.stubEnv('HF_HOME', '/nowhere')
  expect(await readHubSettings({})).toEqual({
    endpoint: 'https://huggingface.co',
    cacheDir: '/nowhere/hub',
    token: undefined,
    offline: undefined,
    answerTimeout: 10_000,
    pieceTimeout: 10_000,
  })
  vi.stubEnv('HF_ENDPOINT', 'http://mirror:8080/hf/')
  vi.stubEnv('TRANSFORMERS_OFFLINE', 'true')
  vi.stubEnv('HF_HUB_ETAG_TIMEOUT', '3')
  vi.stubEnv('HF_HUB_DOWNLOAD_TIMEOUT', 'many')
  vi.stubEnv('HUGGING_FACE_HUB_TOKEN', 'hf_old')
  expect(await readHubSettings({})).toEqual({
    endpoint: 'http://mirror:8080/hf',
    cacheDir: '/nowhere/hub',
    token: { value: 'hf_old', source: 'HUGGING_FACE_HUB_TOKEN' },
    offline: 'TRANSFORMERS_OFFLINE=1',
    answerTimeout: 3000,
    pieceTimeout: 10_000,
  })
})
