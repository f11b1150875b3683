/** @file Hosted commands that are killed: the same once more ends right, and makes and pays nothing twice. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { type LoopbackHosted, startOpenAi, startVertex } from '../../src/testing.js'
import { isLong } from '../support/long.js'
import { temporaryDirectory } from '../support/tiny-model.js'

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const START = { openai: startOpenAi, vertex: startVertex } as const
const CONCURRENCY = 3
const open: LoopbackHosted[] = []

afterEach(async () => {
  for (const service of open.splice(0)) await service.close()
})

function lowrank(service: LoopbackHosted, folder: string, args: readonly string[]): ChildProcess {
  const env = { ...process.env, ...service.env, LOWRANK_STATE: join(folder, 'state') }
  return spawn(process.execPath, [MAIN, 'hosted', ...args], { env, stdio: 'ignore' })
}

/** Holds the request of this number, and kills the command that waits for it. */
async function killAt(service: LoopbackHosted, folder: string, args: readonly string[], skip: number): Promise<void> {
  service.fail({ path: /./, skip, with: { delay: 60_000 } })
  const child = lowrank(service, folder, args)
  const ended = once(child, 'exit')
  await vi.waitFor(() => expect(service.pendingFaults().length === 0 || child.exitCode !== null).toBe(true), {
    interval: 1,
    timeout: 20_000,
  })
  child.kill('SIGKILL')
  await ended
  service.heal()
}

async function succeed(service: LoopbackHosted, folder: string, args: readonly string[]): Promise<void> {
  const [code] = await once(lowrank(service, folder, args), 'exit')
  expect(code).toBe(0)
}

/** Some numbers of requests; all of them in the long series. */
function moments(count: number, some: readonly number[]): readonly number[] {
  return isLong ? Array.from({ length: count }, (_, index) => index) : some
}

describe.each(['openai', 'vertex'] as const)('%s', (provider) => {
  it('goes on after a kill in the middle of training, and of answering', async () => {
    const service = await START[provider]()
    open.push(service)
    const folder = temporaryDirectory()
    const rows = join(folder, 'rows.jsonl')
    const questions = Array.from({ length: 11 }, (_, index) => `What is ${index} squared?`)
    writeFileSync(
      rows,
      questions.map((prompt, index) => `${JSON.stringify({ prompt, completion: `${index * index}` })}\n`).join(''),
    )
    const run = join(folder, 'run')
    const model = provider === 'vertex' ? 'gemini-3.5-flash' : 'gpt-4.1-nano'
    const train = ['train', '--provider', provider, '--model', model, '--dataset', rows, '--output', run]
    train.push('--poll-interval', '1')
    for (const skip of moments(6, [1, 3])) await killAt(service, folder, train, skip)
    await succeed(service, folder, train)
    const made = (path: RegExp): number =>
      service.requests.filter(
        (request) => request.method === 'POST' && request.status === 200 && path.test(request.path),
      ).length
    expect(made(/jobs$/i)).toBe(1)
    expect(made(/\/files$|upload/)).toBe(1)

    const output = join(folder, 'predictions.jsonl')
    const predict = ['predict', run, rows, '--output', output, '--concurrency', String(CONCURRENCY)]
    const journal = `${output}.replies.jsonl`
    const kept = (): number => (existsSync(journal) ? readFileSync(journal, 'utf8').split('\n').length - 1 : 0)
    let isPaid = 0
    for (const skip of moments(8, [5])) {
      const before = kept()
      await killAt(service, folder, predict, skip)
      // What was kept is never asked for again; what was under way when it was killed may be.
      expect(service.paid.length - isPaid).toBeLessThanOrEqual(11 - before)
      isPaid = service.paid.length
    }
    const before = kept()
    await succeed(service, folder, predict)
    expect(service.paid.length - isPaid).toBe(11 - before)
    const lines = readFileSync(output, 'utf8').trim().split('\n')
    expect(lines.map((line) => JSON.parse(line).prediction)).toEqual(questions.map((_, index) => `${index * index}`))
  }, 120_000)
})
