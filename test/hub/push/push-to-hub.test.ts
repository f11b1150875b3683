/** @file Pushing to the Hub: one commit with what belongs, whatever fails in between, and nothing else. */

import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { HubError } from '../../../src/hub/hub-error.js'
import type { PushEvent, PushToHubOptions } from '../../../src/hub/push/options.js'
import { pushToHub } from '../../../src/hub/push/push-to-hub.js'
import { refuse, type SeenRequest } from '../../support/hub-answers.js'
import { type FakeHub, startHub } from '../../support/hub-server.js'
import { rejection, temporaryDirectory } from '../../support/tiny-model.js'

const TOKEN = 'hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ012345'
const ID = 'org/support'
let hub: FakeHub
let directory: string

const ADAPTER: Record<string, string> = {
  'adapter_config.json': '{"r": 4}\n',
  'adapter_model.safetensors': 'weights '.repeat(5000),
  'tokenizer.json': '{"version": "1.0"}\n',
  'chat_template.jinja': '{{ messages }}',
  'additional_chat_templates/tool_use.jinja': '{{ tools }}',
  'README.md': '---\nlibrary_name: peft\n---\n# Support\n',
  SHA256SUMS: 'x\n',
}
/** What a checkpoint has beside it, and what lies about. */
const OTHERS: Record<string, string> = {
  'optimizer.safetensors': 'state '.repeat(1000),
  'train.yaml': 'model: /home/me/model\n',
  'notes.txt': 'private',
  '.env': `HF_TOKEN=${TOKEN}`,
}

async function write(folder: string, files: Record<string, string>): Promise<string> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(folder, path, '..'), { recursive: true })
    await writeFile(join(folder, path), content)
  }
  return folder
}

beforeEach(async () => {
  hub = await startHub()
  vi.stubEnv('HF_ENDPOINT', hub.endpoint)
  vi.stubEnv('HF_HUB_OFFLINE', '')
  vi.stubEnv('HF_TOKEN', TOKEN)
  directory = await write(join(temporaryDirectory(), 'adapter'), { ...ADAPTER, ...OTHERS })
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await hub.close()
})

const push = (options: PushToHubOptions = {}) => pushToHub(directory, ID, options)
const texts = (revision?: string): Record<string, string> =>
  Object.fromEntries(
    Object.entries(hub.filesOf(ID, revision) ?? {}).map(([path, content]) => [path, Buffer.from(content).toString()]),
  )
const pushed = (revision?: string): Record<string, string> => {
  const { '.gitattributes': _, ...files } = texts(revision)
  return files
}
/** Puts an answer in place of the first requests that match. */
function failing(times: number, matches: (request: SeenRequest) => boolean, status: number): void {
  let left = times
  hub.intercept = (request, response) => {
    if (left === 0 || !matches(request)) return undefined
    left--
    refuse(response, status, 'Fault', `fault with ${TOKEN}`)
    return true
  }
}
const isCommit = ({ path }: SeenRequest): boolean => path.includes('/commit/')
const isUpload = ({ host, method }: SeenRequest): boolean => host === 'lfs' && method === 'PUT'
const uploads = (): number => hub.requests.filter(isUpload).length

it('makes the repository and brings what belongs into one commit, and nothing else', async () => {
  const events: PushEvent[] = []
  const result = await push({ private: true, onProgress: (event) => void events.push(event) })
  expect(pushed()).toEqual(ADAPTER)
  expect(hub.writes.created).toMatchObject([{ name: 'support', organization: 'org', visibility: 'private' }])
  expect(hub.writes.commits).toMatchObject([{ branch: 'main', title: 'Upload adapter' }])
  expect(result).toMatchObject({ id: ID, url: `${hub.endpoint}/${ID}`, revision: 'main', isNew: true })
  expect(result.files.map(({ path }) => path).sort()).toEqual(Object.keys(ADAPTER).sort())
  const totalBytes = Object.values(ADAPTER).reduce((sum, text) => sum + text.length, 0)
  expect(events[0]).toMatchObject({
    type: 'push',
    id: ID,
    bytes: 0,
    totalBytes,
    files: result.files.map(({ path, size }) => ({ path, size })),
  })
  expect(events.at(-1)).toMatchObject({ bytes: totalBytes, totalBytes })
  // Storage of others gets no token, and what goes there says how long it is.
  for (const { host, authorization } of hub.requests)
    expect(authorization).toBe(host === 'hub' ? `Bearer ${TOKEN}` : undefined)
})

it('makes no second commit of the same content, and sends of another one what changed', async () => {
  const first = await push()
  const again = await push()
  expect(again).toMatchObject({ commit: first.commit, isNew: false })
  expect(again.files.every(({ isSent }) => !isSent)).toBe(true)
  await writeFile(join(directory, 'README.md'), '# Other\n')
  const changed = await push({ commitMessage: 'Say more' })
  expect(changed.files.filter(({ isSent }) => isSent)).toEqual([{ path: 'README.md', size: 8, isSent: true }])
  expect(hub.writes.commits.map(({ title, paths }) => [title, paths.length])).toEqual([
    ['Upload adapter', 7],
    ['Say more', 1],
  ])
  expect(uploads()).toBe(1)
})

it('takes along what include names, and leaves out the rest', async () => {
  await push({ include: ['optimizer.safetensors', 'train.yaml'], pathInRepo: 'runs/1' })
  const expected = {
    ...ADAPTER,
    'optimizer.safetensors': OTHERS['optimizer.safetensors'],
    'train.yaml': OTHERS['train.yaml'],
  }
  expect(pushed()).toEqual(Object.fromEntries(Object.entries(expected).map(([path, text]) => [`runs/1/${path}`, text])))
  expect(await rejection(push({ include: ['none.txt'] }))).toBe(
    `[push] expected files of ${directory} for include, got "none.txt", which is not there; correct it`,
  )
  expect(await rejection(push({ include: ['../secret'] }))).toContain('without ..')
})

it('takes from the output of a run what it has trained, its card and its record', async () => {
  const run = await write(temporaryDirectory(), {
    'log.jsonl': '{}\n',
    'trainer_state.json': '{}',
    'train.yaml': 'x',
    'checkpoint-2/optimizer.safetensors': 'x',
  })
  await write(join(run, 'adapter'), ADAPTER)
  await pushToHub(run, ID)
  expect(pushed()).toEqual({ ...ADAPTER, 'log.jsonl': '{}\n', 'trainer_state.json': '{}' })
})

it('takes every shard of a model, and refuses a directory that holds neither', async () => {
  const model = await write(join(temporaryDirectory(), 'model'), {
    'config.json': '{}',
    'model.safetensors.index.json': '{}',
    'model-00001-of-00002.safetensors': 'one',
    'model-00002-of-00002.safetensors': 'two',
    'optimizer.safetensors': 'state',
  })
  const { files } = await pushToHub(model, ID)
  expect(files.map(({ path }) => path)).toEqual([
    'model.safetensors.index.json',
    'config.json',
    'model-00001-of-00002.safetensors',
    'model-00002-of-00002.safetensors',
  ])
  expect(hub.writes.commits).toMatchObject([{ title: 'Upload model' }])
  const empty = temporaryDirectory()
  expect(await rejection(pushToHub(empty, ID))).toBe(
    `[push] expected the directory of an adapter (adapter_config.json), of a model (config.json) or of a run that is complete, got ${empty}, which has none of them; check the path`,
  )
})

it('pushes to a branch, which it makes, and leaves the others as they are', async () => {
  await push()
  await writeFile(join(directory, 'README.md'), '# Other\n')
  await push({ revision: 'next' })
  expect(texts('next')['README.md']).toBe('# Other\n')
  expect(texts()['README.md']).toBe(ADAPTER['README.md'])
})

it('sends large files in parts', async () => {
  hub.writes.partSize = 7001
  await push()
  expect(uploads()).toBe(6)
  expect(pushed()).toEqual(ADAPTER)
})

it('asks with dryRun what would be sent, and sends nothing', async () => {
  const result = await push({ dryRun: true })
  expect(result).toMatchObject({ commit: undefined, isNew: false })
  expect(result.files).toHaveLength(7)
  expect(hub.requests.every(({ method }) => method === 'GET')).toBe(true)
})

it.each([
  ['an upload that fails', isUpload, 503],
  ['an upload that the storage refuses for now', isUpload, 429],
  ['a batch that fails', ({ path }: SeenRequest) => path.endsWith('/batch'), 500],
  ['a commit that is too much for now', isCommit, 429],
  ['a commit that fails', isCommit, 500],
  ['another commit in between', isCommit, 412],
])('goes on after %s', async (_, matches, status) => {
  failing(1, matches, status)
  await push()
  expect(pushed()).toEqual(ADAPTER)
  expect(hub.writes.commits).toHaveLength(1)
})

it('makes no second commit where the answer to the first was lost', async () => {
  const make = hub.writes.commits
  hub.intercept = (request, response) => {
    if (!isCommit(request)) return undefined
    // The commit is made, and its answer never comes.
    response.end = () => response.destroy()
    return undefined
  }
  const { isNew, commit } = await push()
  expect(make).toHaveLength(1)
  expect([isNew, commit?.length]).toEqual([true, 40])
  hub.intercept = undefined
  expect((await push()).isNew).toBe(false)
})

it('sends an upload again that was cut off', async () => {
  let left = 1
  hub.intercept = (request, response) => {
    if (left === 0 || !isUpload(request)) return undefined
    left--
    response.destroy()
    return true
  }
  const events: PushEvent[] = []
  await push({ onProgress: (event) => void events.push(event) })
  expect(pushed()).toEqual(ADAPTER)
  expect(events.every(({ bytes, totalBytes }) => bytes >= 0 && bytes <= totalBytes)).toBe(true)
})

it.each([
  [
    401,
    /^\[push\] http:\S+ refuses to write to "org\/support" with the token from HF_TOKEN \(HTTP 401, .*\); check the name, and make a token that may write at \S+\/settings\/tokens$/,
  ],
  [
    403,
    /^\[push\] http:\S+ refuses to write to "org\/support" with the token from HF_TOKEN \(HTTP 403, "fault with \*\*\*"\); /,
  ],
  [413, /^\[push\] http:\S+ takes no file so large for "org\/support" \(HTTP 413, "fault with \*\*\*"\)$/],
  [409, /^\[push\] "org\/support" was changed by another commit at the same time \(HTTP 409, .*\); push again$/],
])(
  'rejects where a commit gets HTTP %i, leaves the repository as it was, and shows no token',
  async (status, message) => {
    hub.put(ID, { files: { 'README.md': 'old' } })
    failing(Number.POSITIVE_INFINITY, isCommit, status)
    const error = await push().then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    expect(error).toBeInstanceOf(HubError)
    expect((error as HubError).message).toMatch(message)
    expect((error as HubError).status).toBe(status)
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error as object))).not.toContain(TOKEN)
    expect(pushed()).toEqual({ 'README.md': 'old' })
  },
)

it('says what to do without a token, and without leave to write', async () => {
  hub.writes.writers = ['hf_other']
  const refused = await rejection(push())
  expect(refused).toContain('refuses to write to "org/support" with the token from HF_TOKEN (HTTP 403')
  expect(refused).not.toContain(TOKEN)
  vi.stubEnv('HF_TOKEN', '')
  vi.stubEnv('HF_HOME', temporaryDirectory())
  expect(await rejection(push())).toBe(
    '[push] expected an access token to push to "org/support", got none; set HF_TOKEN to one that may write',
  )
  expect(await rejection(pushToHub(directory, 'support'))).toBe(
    '[push] expected OWNER/NAME for the repository, got "support"; name a repository of the Hub',
  )
  vi.stubEnv('HF_HUB_OFFLINE', '1')
  expect(await rejection(push())).toBe(
    '[push] expected that the Hub may be asked, but HF_HUB_OFFLINE=1 forbids it; unset it',
  )
})

it('ends where it is told to, with the repository as it was', async () => {
  hub.put(ID, { files: { 'README.md': 'old' } })
  const controller = new AbortController()
  hub.intercept = (request) => {
    if (isUpload(request)) controller.abort(new Error('enough'))
    return undefined
  }
  expect(await rejection(push({ signal: controller.signal }))).toBe('enough')
  expect(pushed()).toEqual({ 'README.md': 'old' })
  hub.intercept = undefined
  await push()
  expect(pushed()).toEqual(ADAPTER)
  expect(await readFile(join(directory, 'README.md'), 'utf8')).toBe(ADAPTER['README.md'])
})
