/** @file The vendors' own clients tune, ask and delete at the loopback services, so that these are not only ours. */

import { createReadStream, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { startAzureOpenAi, startOpenAi, startVertex } from '../../src/testing.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { describeWithPython, runPython } from './python.js'

const SCRIPT = fileURLToPath(new URL('hosted_clients.py', import.meta.url))
const runtimes = process.env.LOWRANK_TEST_RUNTIMES || undefined
if (runtimes === undefined && process.env.LOWRANK_TEST_PEERS === 'required') {
  throw new Error(
    '[test] expected LOWRANK_TEST_RUNTIMES to name a node_modules folder with test/peers/runtimes.txt, got nothing',
  )
}

function rowsOf(isVertex: boolean): string {
  const path = join(temporaryDirectory(), 'rows.jsonl')
  const row = (index: number): object => {
    const [question, answer] = [`What is ${index} squared?`, `${index * index}`]
    if (!isVertex)
      return {
        messages: [
          { role: 'user', content: question },
          { role: 'assistant', content: answer },
        ],
      }
    return {
      contents: [
        { role: 'user', parts: [{ text: question }] },
        { role: 'model', parts: [{ text: answer }] },
      ],
    }
  }
  writeFileSync(path, Array.from({ length: 11 }, (_, index) => `${JSON.stringify(row(index))}\n`).join(''))
  return path
}

describeWithPython('clients of PyPI', () => {
  it.each([
    ['openai', startOpenAi, { status: 'succeeded', events: 5, steps: [3], answer: '36', deleted: [true, true] }],
    [
      'azure',
      startAzureOpenAi,
      { status: 'succeeded', events: 5, steps: [3], answer: '36', deleted: [true, true], state: 'Succeeded' },
    ],
    ['vertex', startVertex, { status: 'JOB_STATE_SUCCEEDED', same: true, answer: '36' }],
  ] as const)(
    'tune, ask and delete at %s',
    async (name, start, expected) => {
      const service = await start()
      try {
        const { code, stdout, stderr } = await runPython([SCRIPT, name, rowsOf(name === 'vertex')], '', service.env)
        expect(code, stderr).toBe(0)
        expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toEqual(expected)
      } finally {
        await service.close()
      }
    },
    120_000,
  )
})

describe.skipIf(runtimes === undefined)("OpenAI's JavaScript client", () => {
  it('tunes, lists all pages of events, asks and deletes', async () => {
    const service = await startOpenAi({ polls: 5 })
    try {
      const { default: OpenAI } = createRequire(join(runtimes as string, 'x.js'))('openai')
      const client = new OpenAI({ baseURL: service.env.OPENAI_BASE_URL, apiKey: service.env.OPENAI_API_KEY })
      const file = await client.files.create({ file: createReadStream(rowsOf(false)), purpose: 'fine-tune' })
      expect((await client.files.waitForProcessing(file.id, { pollInterval: 1 })).status).toBe('processed')
      let job = await client.fineTuning.jobs.create({ model: 'gpt-4.1-nano', training_file: file.id, suffix: 'peer' })
      while (job.status !== 'succeeded') job = await client.fineTuning.jobs.retrieve(job.id)
      const ids: string[] = []
      for await (const event of client.fineTuning.jobs.listEvents(job.id, { limit: 2 })) ids.push(event.id)
      expect(new Set(ids).size).toBe(7)
      const messages = [{ role: 'user', content: 'What is 6 squared?' }]
      const reply = await client.chat.completions.create({ model: job.fine_tuned_model, messages })
      expect(reply.choices[0].message.content).toBe('36')
      expect((await client.models.delete(job.fine_tuned_model)).deleted).toBe(true)
      expect((await client.files.delete(file.id)).deleted).toBe(true)
    } finally {
      await service.close()
    }
  })
})
