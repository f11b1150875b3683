/** @file Pushes to the Hub whose process is killed at some request: the next one completes, with one commit in all. */

import { spawn } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { pushToHub } from '../../../src/hub/push/push-to-hub.js'
import { Random } from '../../../src/random.js'
import { type SeenRequest, sha256 } from '../../support/hub-answers.js'
import { type FakeHub, startHub } from '../../support/hub-server.js'
import { cases } from '../../support/long.js'
import { temporaryDirectory } from '../../support/tiny-model.js'

const library = pathToFileURL(fileURLToPath(new URL('../../../dist/hub/push/push-to-hub.js', import.meta.url))).href
const TOKEN = 'hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ012345'
const KILLS = cases(3, 20)
const SEED = Number(process.env.LOWRANK_KILL_SEED ?? Date.now() % 1_000_000)
/** Objects that are larger go in parts. */
const PART_SIZE = 100_000

let hub: FakeHub
beforeEach(async () => {
  hub = await startHub()
  hub.writes.partSize = PART_SIZE
  vi.stubEnv('HF_ENDPOINT', hub.endpoint)
  vi.stubEnv('HF_HUB_OFFLINE', '')
  vi.stubEnv('HF_TOKEN', TOKEN)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await hub.close()
})

type Files = Readonly<Record<string, string>>

/** A model of its own, so that no object is there from another round: one goes in parts, one whole. */
function filesOf(round: number): Files {
  return {
    'config.json': `{ "round": ${round} }`,
    'model.safetensors.index.json': '{}',
    'model-00001-of-00002.safetensors': `weights of ${round} `.repeat(20_000),
    'model-00002-of-00002.safetensors': `more of ${round} `.repeat(5000),
    'README.md': `# Round ${round}\n`,
  }
}

async function write(directory: string, files: Files): Promise<string> {
  await mkdir(directory)
  for (const [path, text] of Object.entries(files)) await writeFile(join(directory, path), text)
  return directory
}

/** What the repository has beside what it is made with; undefined where it is not there. */
function pushed(id: string): Files | undefined {
  const there = hub.filesOf(id)
  if (there === undefined) return undefined
  const { '.gitattributes': _, ...files } = there
  return Object.fromEntries(Object.entries(files).map(([path, content]) => [path, Buffer.from(content).toString()]))
}

/** Kills a push some milliseconds after one of its requests has come. @returns whether it had not ended before */
async function killed(directory: string, id: string, request: number, pause: number): Promise<boolean> {
  const call = `pushToHub(${JSON.stringify(directory)}, ${JSON.stringify(id)})`
  const program = `import { pushToHub } from ${JSON.stringify(library)}\nawait ${call}`
  const env = { ...process.env, HF_ENDPOINT: hub.endpoint, HF_HUB_OFFLINE: '', HF_TOKEN: TOKEN }
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let seen = 0
  hub.intercept = () => {
    seen++
    if (seen !== request) return undefined
    if (pause === 0) child.kill('SIGKILL')
    else void sleep(pause).then(() => child.kill('SIGKILL'))
    return undefined
  }
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  const signal = await new Promise((resolve) => child.on('close', (_code, by) => resolve(by)))
  hub.intercept = undefined
  expect(errors, `seed ${SEED}`).toBe('')
  return signal === 'SIGKILL'
}

const isUpload = ({ host, method }: SeenRequest): boolean => host === 'lfs' && method === 'PUT'

it('completes a push that was killed, and has every byte once, in one commit', { timeout: 120_000 }, async () => {
  const random = new Random(SEED)
  const folder = temporaryDirectory()
  await pushToHub(await write(join(folder, 'whole'), filesOf(-1)), 'org/whole')
  const requests = hub.requests.length
  // It asks for the repository, makes it, uploads one object in four parts and one whole, and commits.
  expect(requests).toBeGreaterThan(10)
  let kills = 0
  for (let round = 0; kills < KILLS; round++) {
    const where = `round ${round}, seed ${SEED}`
    expect(round, where).toBeLessThan(3 * KILLS)
    const [id, files] = [`org/killed-${round}`, filesOf(round)]
    const directory = await write(join(folder, String(round)), files)
    const commits = () => hub.writes.commits.filter((commit) => commit.id === id)
    // Early, late and in between; some are killed twice.
    for (let life = random.below(2); life >= 0 && kills < KILLS; life--) {
      const stretch = requests / Math.min(KILLS, 5)
      const request = 1 + Math.floor(stretch * ((kills % 5) + random.below(1000) / 1000))
      if (await killed(directory, id, Math.min(request, requests), random.below(2) * random.below(8))) kills++
      // All of it, or nothing.
      const there = pushed(id)
      if (commits().length === 0) expect(there ?? {}, where).toEqual({})
      else expect([there, commits().length], where).toEqual([files, 1])
    }
    const objects = Object.values(files).map((text) => sha256(Buffer.from(text)))
    const before = new Set(objects.filter((oid) => hub.hasObject(oid)))
    const from = hub.requests.length
    const { files: answered } = await pushToHub(directory, id)
    expect(pushed(id), where).toEqual(files)
    expect(answered.map(({ path }) => path).sort(), where).toEqual(Object.keys(files).sort())
    expect(
      commits().map(({ paths }) => [...paths].sort()),
      where,
    ).toEqual([Object.keys(files).sort()])
    expect(
      hub.writes.created.filter(({ name }) => `org/${name}` === id),
      where,
    ).toHaveLength(1)
    // What had arrived before the kill is not sent again.
    const again = hub.requests.slice(from).filter(isUpload)
    expect(
      again.filter(({ path }) => before.has(path.split('/')[1] ?? '')),
      where,
    ).toEqual([])
    expect(await pushToHub(directory, id), where).toMatchObject({ isNew: false })
    expect(commits(), where).toHaveLength(1)
  }
  expect(kills).toBe(KILLS)
})
