/** @file Finding models: directories go first, Hub ids with and without a revision, and names that are neither. */

import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { resolveModel } from '../../src/checkpoint/resolve-model.js'

const COMMIT = '0123456789abcdef0123456789abcdef01234567'
const OTHER = 'f'.repeat(40)
let root: string

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'lowrank-resolve-'))
  vi.stubEnv('HF_HUB_CACHE', root)
  vi.stubEnv('HF_HUB_OFFLINE', '1')
})

afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(root, { recursive: true, force: true })
})

/** What huggingface_hub leaves of a model, without links. */
async function cache(id: string, revisions: Record<string, string>): Promise<string> {
  const repository = join(root, `models--${id.replace('/', '--')}`)
  for (const [revision, commit] of Object.entries(revisions)) {
    await mkdir(join(repository, 'refs', revision, '..'), { recursive: true })
    await writeFile(join(repository, 'refs', revision), commit)
    const snapshot = join(repository, 'snapshots', commit.trim())
    await mkdir(snapshot, { recursive: true })
    for (const name of ['config.json', 'model.safetensors']) await writeFile(join(snapshot, name), '')
  }
  return join(repository, 'snapshots')
}

describe('resolveModel', () => {
  test('says in words what the system refuses, and takes it for no Hub id', async () => {
    const circle = join(root, 'circle')
    await symlink(circle, circle)
    await expect(resolveModel(circle)).rejects.toThrow(
      `[model] cannot read ${circle}: its links lead round in a circle, or there are too many; remove the link, and put the file itself there (ELOOP)`,
    )
    const long = join(root, 'n'.repeat(300))
    await expect(resolveModel(long)).rejects.toThrow(
      'the path is too long for the file system; check it (ENAMETOOLONG)',
    )
  })

  test('finds the snapshot of a branch, a pull request, a commit, and of an id without an organisation', async () => {
    const snapshots = await cache('org/name', { main: COMMIT, 'refs/pr/1': `${OTHER}\n` })
    const main = { path: join(snapshots, COMMIT), nameOrPath: 'org/name', origin: { revision: COMMIT } }
    const other = { path: join(snapshots, OTHER), nameOrPath: 'org/name', origin: { revision: OTHER } }
    expect(await resolveModel('org/name')).toEqual(main)
    expect(await resolveModel('org/name', { revision: 'refs/pr/1' })).toEqual(other)
    expect(await resolveModel('org/name@refs/pr/1')).toEqual(other)
    expect(await resolveModel(`org/name@${OTHER}`, { revision: OTHER })).toEqual(other)
    await cache('gpt2', { main: COMMIT })
    expect(await resolveModel('gpt2')).toMatchObject({ path: join(root, 'models--gpt2', 'snapshots', COMMIT) })
  })

  test('a directory that exists goes before the Hub, and has no revision', async () => {
    const directory = join(root, 'model')
    await mkdir(directory)
    expect(await resolveModel(directory)).toEqual({ path: directory, nameOrPath: directory, origin: {} })
    expect(await resolveModel('test/checkpoint')).toEqual({
      path: join(process.cwd(), 'test', 'checkpoint'),
      nameOrPath: 'test/checkpoint',
      origin: {},
    })
    await expect(resolveModel(directory, { revision: 'v1' })).rejects.toThrow(
      `[model] expected no revision for a path, got "v1" for ${directory}; remove it, or give a Hub id`,
    )
  })

  test('a model that is nowhere is an error with the places looked at', async () => {
    await expect(resolveModel('org/absent')).rejects.toThrow(
      `[hub] "org/absent" is neither a directory (${join(process.cwd(), 'org', 'absent')}) nor in the Hub cache ` +
        `(${join(root, 'models--org--absent')}, revision main), and HF_HUB_OFFLINE=1 forbids to fetch it;`,
    )
  })

  test('a snapshot that was removed, and a reference that is no commit, are errors', async () => {
    const snapshots = await cache('org/name', { main: COMMIT })
    await rm(join(snapshots, COMMIT), { recursive: true })
    await expect(resolveModel('org/name')).rejects.toThrow(
      `is not complete in the Hub cache: ${join(snapshots, COMMIT)} lacks config.json, model.safetensors, and HF_HUB_OFFLINE=1 forbids`,
    )
    const ref = join(snapshots, '..', 'refs', 'main')
    await writeFile(ref, '../../../elsewhere')
    await expect(resolveModel('org/name')).rejects.toThrow(
      `[hub] expected a commit in ${ref}, got "../../../elsewhere"; remove that file`,
    )
  })

  test('names that are neither, revisions that leave the cache, and files, are errors', async () => {
    const file = join(root, 'model.safetensors')
    await writeFile(file, '')
    const wrong: [string, string | undefined, string][] = [
      [file, undefined, `expected a directory or a .gguf file, got the file ${file}`],
      ['./nowhere', undefined, '[model] there is no directory'],
      ['a/b/c', undefined, '[model] there is no directory'],
      ['..nowhere/x', undefined, '[model] there is no directory'],
      ['a..b/c', undefined, '[model] there is no directory'],
      ['@main', undefined, '[model] there is no directory'],
      ['org/name', '../../x', 'expected a branch, tag or commit for revision, got "../../x"'],
      ['org/name@../../x', undefined, 'expected a branch, tag or commit for revision, got "../../x"'],
      ['org/name@', undefined, 'expected a branch, tag or commit for revision, got ""'],
      ['org/name@v1', 'v2', 'expected one revision, got "org/name@v1" with revision "v2"; remove one'],
      ['/nowhere/model-q4.gguf', undefined, '[model] there is no file /nowhere/model-q4.gguf; check the path'],
      ['', undefined, 'expected a directory or a Hub id for model, got ""'],
    ]
    for (const [id, revision, message] of wrong) await expect(resolveModel(id, { revision })).rejects.toThrow(message)
    await expect(resolveModel(7 as unknown as string)).rejects.toThrow(
      'expected a directory or a Hub id for model, got 7',
    )
  })
})
