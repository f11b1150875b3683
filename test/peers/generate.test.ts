/** @file Questions and answers by a real small model behind a real server: llama.cpp with SmolLM2-135M. */

import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { generateDataset } from '../../src/transform/generate.js'
import { SMOLLM2 } from '../support/real-model.js'
import { describeWithPython, startPython } from './python.js'

const TEXT =
  'GNU grep searches files for lines that match a pattern. The option -i ignores upper and lower case. The option -c prints how ' +
  'many lines of each file match, in place of the lines.'

const describeWithModel = SMOLLM2 === undefined ? describe.skip : describeWithPython

describeWithModel('pairs by a model that llama.cpp serves', { timeout: 600_000 }, () => {
  let directory: string
  let server: ChildProcessWithoutNullStreams
  let baseUrl: string
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'lowrank-peers-generate-'))
    server = startPython([fileURLToPath(new URL('chat_server.py', import.meta.url)), SMOLLM2 as string])
    server.stderr.resume()
    const [address] = (await once(server.stdout, 'data')) as [Buffer]
    baseUrl = `${address.toString().trim()}/v1`
  })
  afterAll(async () => {
    const ended = once(server, 'close')
    server.stdin.end()
    await ended
    await rm(directory, { recursive: true, force: true })
  })

  it('each reply is the JSON that was asked for, counts reconcile, and another run makes the same file without a request', async () => {
    const output = join(directory, 'pairs.jsonl')
    const options = {
      dataset: [{ text: TEXT, page: 1 }],
      model: 'smollm2',
      baseUrl,
      output,
      // Any score passes: a model of this size judges by chance.
      threshold: 1,
      maxTokens: 120,
      maxAttempts: 6,
      temperature: 0.3,
      // Without it a model of this size says the same until it is cut.
      extraBody: { repeat_penalty: 1.3 },
      seed: 1,
      timeout: 300,
      reasoningColumn: 'thought',
    }
    const report = await generateDataset(options)
    const { read, rows, skipped, drafted, written, dropped, received, usage } = report
    const sum = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0)
    expect(read).toBe(1)
    expect(drafted).toBe(1)
    expect(rows + sum(skipped)).toBe(read)
    expect(written + sum(dropped)).toBe(drafted)
    // The server holds the model to the schema, so that a reply is wrong only where it is cut.
    expect(Object.keys(received.malformed).filter((reason) => reason !== 'cut at maxTokens')).toEqual([])
    expect(received.received).toBe(usage.requests)
    expect(usage).toMatchObject({ retries: 0, estimated: 0 })
    expect(usage.promptTokens).toBeGreaterThan(100)
    expect(usage.completionTokens).toBeGreaterThan(10)
    const bytes = await readFile(output, 'utf8')
    for (const line of bytes.split('\n').filter((text) => text !== '')) {
      const row = JSON.parse(line) as { question: string; answer: string; question_score: number; page: number }
      expect(row.question.length * row.answer.length).toBeGreaterThan(0)
      expect(row.question_score).toBeGreaterThanOrEqual(1)
      expect(row.page).toBe(1)
    }
    const again = await generateDataset(options)
    expect(again).toMatchObject({ written, usage: { requests: 0 }, received: { reused: received.received } })
    expect(await readFile(output, 'utf8')).toBe(bytes)
  })
})
