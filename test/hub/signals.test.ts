/**
 * @file Signals while a model comes from the Hub, as processes: nothing cut is taken for whole, and the next run goes
 * on from it.
 */

import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { mainScript } from '../cli/run-cli.js'
import { busyAt, endLeftBehind, onTerminal, press, type Running, shownAtEnd, start } from '../cli/running.js'
import { type SeenRequest, sha256 } from '../support/hub-answers.js'
import { temporaryDirectory, tinyRows, writeTinyModel } from '../support/tiny-model.js'
import { hubCase, ID } from './hub-case.js'

endLeftBehind()

const folder = temporaryDirectory()
const place = hubCase()
const files: Record<string, Buffer> = {}
let weights: Buffer
let half: number

beforeAll(async () => {
  const directory = await writeTinyModel(join(folder, 'model'))
  for (const name of await readdir(directory)) files[name] = await readFile(join(directory, name))
  weights = files['model.safetensors'] as Buffer
  half = Math.floor(weights.length / 2)
  const lines = tinyRows(12).map((row) => `${JSON.stringify(row)}\n`)
  await writeFile(join(folder, 'rows.jsonl'), lines.join(''))
})

beforeEach(() => {
  place.hub.put(ID, { files })
})

const blobs = (): string => join(place.cache, 'models--org--name', 'blobs')
/** Files of the weights in the cache: the blob, and parts of it with their sizes. */
async function weightFiles(): Promise<{ isWhole: boolean; parts: number[] }> {
  const names = (await readdir(blobs()).catch(() => [])).filter((name) => name.startsWith(sha256(weights)))
  const parts = names.filter((name) => name.endsWith('.incomplete'))
  const sizes = await Promise.all(parts.map(async (name) => (await stat(join(blobs(), name))).size))
  return { isWhole: names.includes(sha256(weights)), parts: sizes }
}

/** Half of the weights, and then nothing. */
function sendHalf({ range }: SeenRequest, response: ServerResponse): true {
  if (range) throw new Error(`[test] expected no range, got ${range}`)
  response.writeHead(200, { 'content-length': weights.length })
  response.write(weights.subarray(0, half))
  return true
}

const isWeights = ({ host }: SeenRequest): boolean => host === 'lfs'
let count = 0
const train = (env: Record<string, string> = {}): Running => {
  const flags = ['--model', ID, '--dataset', join(folder, 'rows.jsonl'), '--output', join(folder, `out-${count++}`)]
  return start(process.execPath, [mainScript, 'train', ...flags, '--max-steps', '2', '--json'], env)
}

/** The cache is as good as ever: a run without faults ends, with weights that are whole, `ranges` asked for. */
async function expectToGoOn(ranges: (string | undefined)[]): Promise<void> {
  place.hub.intercept = undefined
  place.hub.requests.length = 0
  const running = train()
  expect(await running.ended, running.output()).toEqual({ code: 0, signal: null })
  expect(place.hub.requests.filter(isWeights).map(({ range }) => range)).toEqual(ranges)
  expect((await readFile(join(blobs(), sha256(weights)))).equals(weights)).toBe(true)
  expect(await weightFiles()).toEqual({ isWhole: true, parts: [] })
}

/** Until half of the weights is on the disk. */
const halfIsThere = () =>
  vi.waitFor(async () => expect((await weightFiles()).parts).toEqual([half]), { timeout: 120_000, interval: 20 })

describe('a run whose model is on its way', () => {
  it.each([
    ['the Hub is asked what the revision is', /\/api\/models\/.*\/revision\//],
    ['the Hub is asked for the list of files', /\/api\/models\/.*\/tree\//],
  ])('ends by the first Ctrl-C while %s, with nothing in the cache', async (_, path) => {
    const asked = new Promise<void>((resolve) => {
      place.hub.intercept = (request) => {
        if (!path.test(request.path)) return false
        resolve()
        return true
      }
    })
    const running = train()
    await asked
    process.kill(running.pid, 'SIGINT')
    expect(await running.ended).toEqual({ code: null, signal: 'SIGINT' })
    expect(await weightFiles()).toEqual({ isWhole: false, parts: [] })
    await expectToGoOn([undefined])
  })

  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('keeps what came before %s, and ends in order', async (name) => {
    place.hub.intercept = (request, response) => isWeights(request) && sendHalf(request, response)
    const running = train()
    await halfIsThere()
    process.kill(running.pid, name)
    expect(await running.ended).toEqual({ code: 1, signal: null })
    expect(running.output()).toContain('error: stopped before the first step; what was fetched of the model is kept\n')
    expect(await weightFiles()).toEqual({ isWhole: false, parts: [half] })
    expect(await readdir(blobs())).toContain(`${sha256(weights)}.lowrank.incomplete`)
    await expectToGoOn([`bytes=${half}-`])
  })

  it('ends by the second Ctrl-C while JavaScript is busy, and by kill -9, and goes on from what came', async () => {
    place.hub.intercept = (request, response) => isWeights(request) && sendHalf(request, response)
    const busy = train(busyAt('stdout', '"type":"download"'))
    await busy.shows('BUSY')
    expect(await press(busy, () => process.kill(busy.pid, 'SIGINT'))).toBeGreaterThan(1)
    expect(await busy.ended).toEqual({ code: null, signal: 'SIGINT' })
    const killed = train()
    await halfIsThere()
    killed.child.kill('SIGKILL')
    await killed.ended
    expect((await weightFiles()).isWhole).toBe(false)
    await expectToGoOn([`bytes=${half}-`])
  })

  it('leaves no bar on the terminal when Ctrl-C ends a command that fetches it', async () => {
    place.hub.intercept = (request, response) => isWeights(request) && sendHalf(request, response)
    const running = onTerminal(['generate', '--model', ID, '--prompt', 'one'], {})
    await halfIsThere()
    await running.shows('\u2591')
    await press(running, () => running.child.stdin?.write('\u0003'))
    expect(await shownAtEnd(running)).toBe('code 130')
    await expectToGoOn([`bytes=${half}-`])
  })

  it('ends by the first Ctrl-C while a command without a result of its own fetches it', async () => {
    place.hub.intercept = (request, response) => isWeights(request) && sendHalf(request, response)
    const running = start(process.execPath, [mainScript, 'generate', '--model', ID, '--prompt', 'one'], {})
    await halfIsThere()
    process.kill(running.pid, 'SIGINT')
    expect(await running.ended).toEqual({ code: null, signal: 'SIGINT' })
    expect(await weightFiles()).toEqual({ isWhole: false, parts: [half] })
    await expectToGoOn([`bytes=${half}-`])
  })
})
