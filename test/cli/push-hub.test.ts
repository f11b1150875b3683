/** @file `lowrank push hub` on the loopback Hub: what is listed, what is told, and what is refused. */

import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { REPORT } from '../support/evaluation-report.js'
import { type FakeHub, startHub } from '../support/hub-server.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { inProcess } from './in-process.js'

let hub: FakeHub
let directory: string
beforeEach(async () => {
  hub = await startHub()
  vi.stubEnv('HF_ENDPOINT', hub.endpoint)
  vi.stubEnv('HF_HUB_OFFLINE', '')
  vi.stubEnv('HF_TOKEN', 'hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ012345')
  directory = join(temporaryDirectory(), 'adapter')
  await mkdir(directory)
  for (const [name, text] of Object.entries({
    'adapter_config.json': '{}',
    'adapter_model.safetensors': 'weights',
    'README.md': '# Mine\n',
  }))
    await writeFile(join(directory, name), text)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await hub.close()
})

it('lists what would go up, pushes it, and says that it is there already', async () => {
  const words = ['push', 'hub', directory, 'org/support']
  const list = '  adapter_config.json, 2 B\n  adapter_model.safetensors, 7 B\n  README.md, 7 B\n'
  expect(await inProcess([...words, '--dry-run'])).toMatchObject({
    code: 0,
    stdout: `Would push to org/support:\n${list}`,
  })
  expect(hub.writes.commits).toEqual([])
  const pushed = await inProcess([...words, '--commit-message', 'First'])
  expect(pushed.stderr).toContain(`Pushing to org/support:\n${list}`)
  expect(pushed.stdout).toMatch(/^Pushed to http:\S+\/org\/support as commit [0-9a-f]{40}\n$/)
  expect(hub.writes.commits).toMatchObject([{ title: 'First' }])
  expect((await inProcess(words)).stdout).toMatch(/org\/support has all of it already, in commit [0-9a-f]{40}\n$/)
})

it('lists all that could go up where the Hub cannot be asked, and says so', async () => {
  const words = ['push', 'hub', directory, 'org/support', '--dry-run']
  const list = 'Would push to org/support:\n  adapter_config.json, 2 B\n'
  vi.stubEnv('HF_HUB_OFFLINE', '1')
  const offline = await inProcess(words)
  expect([offline.code, offline.stdout]).toEqual([0, expect.stringContaining(list)])
  expect(offline.stderr).toBe(
    'What org/support has already is not known, so all files are listed: HF_HUB_OFFLINE=1 forbids it\n',
  )
  expect((await inProcess(words.slice(0, -1))).stderr).toContain('HF_HUB_OFFLINE=1 forbids it; unset it')
  vi.stubEnv('HF_HUB_OFFLINE', '')
  vi.stubEnv('HF_ENDPOINT', 'http://127.0.0.1:9')
  const unreachable = await inProcess([...words, '--json'])
  expect(JSON.parse(unreachable.stdout)).toMatchObject({
    isNew: false,
    notAsked: expect.stringContaining('127.0.0.1:9'),
  })
})

it('puts the results of a report into the card before it pushes, and writes JSON for programs', async () => {
  const report = join(directory, '..', 'report.json')
  await writeFile(report, JSON.stringify(REPORT))
  const { stdout } = await inProcess(['push', 'hub', directory, 'org/support', '--evaluation', report, '--json'])
  expect(JSON.parse(stdout)).toMatchObject({ id: 'org/support', isNew: true, revision: 'main' })
  const card = await readFile(join(directory, 'README.md'), 'utf8')
  expect(card).toContain('model-index:')
  expect(Buffer.from(hub.filesOf('org/support')?.['README.md'] ?? '').toString()).toBe(card)
})

it('refuses what names no repository', async () => {
  const { code, stderr } = await inProcess(['push', 'hub', directory, 'support'])
  expect([code, stderr]).toEqual([
    2,
    'error: [push hub] expected OWNER/NAME for NAME, got "support"; name a repository of the Hub\n',
  ])
  expect((await inProcess(['push', 'hub', directory])).stderr).toBe(
    'error: [push hub] expected a directory and a repository, got 1 words; write: push hub DIR OWNER/NAME\n',
  )
})
