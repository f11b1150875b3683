/** @file `pushToHub` of a run: the saves and the result in a repository of the loopback Hub, under each strategy. */

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest'
import { type TrainLoraOptions, trainLora } from '../../src/index.js'
import { resolveAllOptions } from '../../src/integrations/resolve-options.js'
import { refuse } from '../support/hub-answers.js'
import { type FakeHub, startHub } from '../support/hub-server.js'
import { rejection, temporaryDirectory, tinyRows, writeTinyModel } from '../support/tiny-model.js'

const ID = 'org/support'
const TOKEN = 'hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ012345'
const directory = temporaryDirectory()
let hub: FakeHub
let model: string
let runs = 0
beforeAll(async () => {
  model = await writeTinyModel(join(directory, 'model'))
})
beforeEach(async () => {
  hub = await startHub()
  vi.stubEnv('HF_ENDPOINT', hub.endpoint)
  vi.stubEnv('HF_HUB_OFFLINE', '')
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await hub.close()
})
afterAll(() => vi.unstubAllEnvs())

const options = (more: Partial<TrainLoraOptions>): TrainLoraOptions & { outputDir: string } => ({
  model,
  dataset: tinyRows(6),
  outputDir: join(directory, `run-${++runs}`),
  pushToHub: true,
  hubModelId: ID,
  hubToken: TOKEN,
  lora: { r: 2 },
  ...more,
  training: { maxSteps: 4, saveSteps: 2, loggingSteps: 2, ...more.training },
})
const paths = (): string[] =>
  Object.keys(hub.filesOf(ID) ?? {})
    .filter((path) => path !== '.gitattributes')
    .sort()
const messages = (): string[] => hub.writes.commits.map(({ title }) => title)
const RESULT = [
  'README.md',
  'SHA256SUMS',
  'adapter_config.json',
  'adapter_model.safetensors',
  'log.jsonl',
  'trainer_state.json',
]

it('brings the weights of each save and the result into commits, with equal bytes and no token anywhere', async () => {
  const given = options({ hubPrivateRepo: true })
  const run = await trainLora(given)
  run.dispose()
  expect(messages()).toEqual(['Training in progress, step 2', 'Training in progress, step 4', 'End of training'])
  expect(paths()).toEqual(RESULT)
  expect(hub.writes.created).toMatchObject([{ visibility: 'private' }])
  for (const path of RESULT) {
    const local = await readFile(join(given.outputDir, path).replace(/(?=(?:SHA|adapter_)[^/]*$)/, 'adapter/'))
    expect(Buffer.from(hub.filesOf(ID)?.[path] ?? '').equals(local), path).toBe(true)
  }
  const written = (await readdir(given.outputDir, { recursive: true })).filter((name) =>
    /\.(?:md|yaml|jsonl?)$/.test(name),
  )
  expect(written.length).toBeGreaterThan(5)
  for (const name of written) expect(await readFile(join(given.outputDir, name), 'utf8')).not.toContain(TOKEN)
})

it.each([
  ['end', ['End of training'], []],
  [
    'checkpoint',
    ['Training in progress, step 2', 'Training in progress, step 4', 'End of training'],
    ['last-checkpoint'],
  ],
  [
    'all_checkpoints',
    ['Training in progress, step 2', 'Training in progress, step 4', 'End of training'],
    ['checkpoint-2', 'checkpoint-4'],
  ],
] as const)('pushes by strategy %s what it is to push', async (hubStrategy, expected, folders) => {
  const given = options({ hubStrategy })
  const run = await trainLora(given)
  run.dispose()
  expect(messages()).toEqual(expected)
  const checkpoint = async (name: string): Promise<string[]> =>
    (await readdir(join(given.outputDir, name === 'last-checkpoint' ? 'checkpoint-4' : name))).map(
      (file) => `${name}/${file}`,
    )
  const whole = await Promise.all(folders.map(checkpoint))
  expect(paths()).toEqual([...RESULT, ...whole.flat()].sort())
  if (folders.length > 0) expect(whole.flat().some((path) => /optimizer/.test(path))).toBe(true)
})

it('goes on where a save cannot be pushed, and rejects where the result cannot', async () => {
  hub.intercept = (request, response) => {
    if (!request.path.includes('/commit/') || hub.writes.commits.length > 0) return undefined
    refuse(response, 403, 'Forbidden', `not with ${TOKEN}`)
    return true
  }
  const given = options({})
  const warnings: string[] = []
  const failed = await rejection(
    Promise.resolve(
      trainLora({ ...given, onEvent: (event) => void (event.type === 'warning' && warnings.push(event.message)) }),
    ),
  )
  expect(warnings.filter((message) => message.includes('pushToHub of a save'))).not.toEqual([])
  expect(failed).toContain('refuses to write to "org/support" with the token from the option token (HTTP 403')
  expect(failed + warnings.join()).not.toContain(TOKEN)
  hub.intercept = undefined
  const run = await trainLora({ ...given, resumeFromCheckpoint: true })
  run.dispose()
  expect(messages()).toEqual(['End of training'])
  expect(paths()).toEqual(RESULT)
})

it('finds out before the run whether the token may write, and what the options lack', async () => {
  hub.writes.writers = ['hf_other']
  let steps = 0
  const given = options({ onEvent: ({ type }) => void (type === 'step' && steps++) })
  expect(await rejection(Promise.resolve(trainLora(given)))).toContain('refuses to write to "org/support"')
  expect(steps).toBe(0)
  const { hubModelId: _, ...unnamed } = options({})
  expect(() => resolveAllOptions(unnamed)).toThrow(
    "[train] expected hubModelId for pushToHub, got none; name the repository: hubModelId: 'OWNER/NAME'",
  )
  expect(() => resolveAllOptions({ ...unnamed, hubModelId: 'support' })).toThrow(
    '[train] expected OWNER/NAME for hubModelId, got "support"; name a repository of the Hub',
  )
  expect(() => resolveAllOptions({ ...options({}), hubStrategy: 'never' })).toThrow('hubStrategy')
})
