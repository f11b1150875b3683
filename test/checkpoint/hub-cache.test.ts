/** @file Finding models: directories, the Hub cache under each of its environment variables, and the errors that say how to fetch. */

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { hubCacheDirectory, resolveModel } from '../../src/checkpoint/hub-cache.js'

const COMMIT = '0123456789abcdef0123456789abcdef01234567'
const OTHER = 'f'.repeat(40)
let root: string

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'lowrank-hub-'))
  for (const name of ['HUGGINGFACE_HUB_CACHE', 'HF_HOME', 'XDG_CACHE_HOME']) vi.stubEnv(name, '')
  vi.stubEnv('HF_HUB_CACHE', root)
})

afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(root, { recursive: true, force: true })
})

async function cache(id: string, revisions: Record<string, string>, hub = root): Promise<string> {
  const repository = join(hub, `models--${id.replace('/', '--')}`)
  for (const [revision, commit] of Object.entries(revisions)) {
    await mkdir(join(repository, 'refs', revision, '..'), { recursive: true })
    await writeFile(join(repository, 'refs', revision), commit)
    await mkdir(join(repository, 'snapshots', commit.trim()), { recursive: true })
  }
  return join(repository, 'snapshots')
}

describe('resolveModel', () => {
  test('finds the snapshot of a branch, a pull request, a commit, and of an id without an organisation', async () => {
    const snapshots = await cache('org/name', { main: COMMIT, 'refs/pr/1': `${OTHER}\n` })
    expect(await resolveModel('org/name')).toBe(join(snapshots, COMMIT))
    expect(await resolveModel('org/name', { revision: 'refs/pr/1' })).toBe(join(snapshots, OTHER))
    expect(await resolveModel('org/name', { revision: OTHER })).toBe(join(snapshots, OTHER))
    expect(await resolveModel('gpt2-x', {}).catch(String)).toContain('hf download gpt2-x')
    expect(await resolveModel('gpt2-y').catch(String)).toContain(join(root, 'models--gpt2-y'))
    expect(await resolveModel('gpt2-z', { revision: OTHER }).catch(String)).toContain(`--revision ${OTHER}`)
    await cache('gpt2', { main: COMMIT })
    expect(await resolveModel('gpt2')).toBe(join(root, 'models--gpt2', 'snapshots', COMMIT))
  })

  test('a directory that exists goes before the cache', async () => {
    const directory = join(root, 'model')
    await mkdir(directory)
    expect(await resolveModel(directory)).toBe(directory)
    expect(await resolveModel('test/checkpoint')).toBe(join(process.cwd(), 'test', 'checkpoint'))
  })

  test('a model that is not there is an error with the command that fetches it and the places looked at', async () => {
    await expect(resolveModel('org/absent')).rejects.toThrow(
      `[model] "org/absent" is neither a directory (${join(process.cwd(), 'org', 'absent')}) nor in the Hub cache ` +
        `(${join(root, 'models--org--absent')}, revision main); fetch it with "hf download org/absent"`,
    )
    await cache('org/name', { dev: COMMIT })
    await expect(resolveModel('org/name')).rejects.toThrow('the cache holds other revisions of it (dev); fetch it with')
  })

  test('a snapshot that was removed, and a reference that is no commit, are errors', async () => {
    const snapshots = await cache('org/name', { main: COMMIT })
    await rm(join(snapshots, COMMIT), { recursive: true })
    await expect(resolveModel('org/name')).rejects.toThrow(`${join(snapshots, COMMIT)} is missing; fetch it with`)
    await writeFile(join(snapshots, '..', 'refs', 'main'), '../../../elsewhere')
    await expect(resolveModel('org/name')).rejects.toThrow('expected a commit in')
  })

  test('paths and revisions that leave the cache, and files, are errors', async () => {
    const file = join(root, 'model.safetensors')
    await writeFile(file, '')
    const wrong: [string, string | undefined, string][] = [
      [file, undefined, `expected a directory or a .gguf file, got the file ${file}`],
      ['./nowhere', undefined, '[model] there is no directory'],
      ['a/b/c', undefined, '[model] there is no directory'],
      ['..nowhere/x', undefined, '[model] there is no directory'],
      ['a..b/c', undefined, '[model] there is no directory'],
      ['org/name', '../../x', 'expected a branch, tag or commit for revision, got "../../x"'],
      ['/nowhere/model-q4.gguf', undefined, '[model] there is no file /nowhere/model-q4.gguf; check the path'],
      ['', undefined, 'expected a directory or a Hub id for model, got ""'],
    ]
    for (const [id, revision, message] of wrong) await expect(resolveModel(id, { revision })).rejects.toThrow(message)
    await expect(resolveModel(7 as unknown as string)).rejects.toThrow(
      'expected a directory or a Hub id for model, got 7',
    )
  })
})

test('the cache directory follows the variables of huggingface_hub in its order', () => {
  expect(hubCacheDirectory()).toBe(root)
  vi.stubEnv('HF_HUB_CACHE', '~/hub')
  expect(hubCacheDirectory()).toBe(join(homedir(), 'hub'))
  vi.stubEnv('HF_HUB_CACHE', '')
  expect(hubCacheDirectory()).toBe(join(homedir(), '.cache', 'huggingface', 'hub'))
  vi.stubEnv('XDG_CACHE_HOME', '/cache')
  expect(hubCacheDirectory()).toBe('/cache/huggingface/hub')
  vi.stubEnv('HF_HOME', '/hf')
  expect(hubCacheDirectory()).toBe('/hf/hub')
  vi.stubEnv('HUGGINGFACE_HUB_CACHE', '/old')
  expect(hubCacheDirectory()).toBe('/old')
})
