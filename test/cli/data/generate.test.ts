/** @file `lowrank data generate`: what it writes and says, and what it refuses. */

import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ChatServer, startChatServer } from '../../support/chat-server.js'
import { type CliResult, lowrank } from '../run-cli.js'

const KEY = 'key-4f1c8a2b9d7e'

let directory: string
let server: ChatServer
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lowrank-cli-generate-'))
  await writeFile(
    join(directory, 'rows.jsonl'),
    '{"name": "Oak", "note": "tall"}\n{"name": "Elm", "note": "wide"}\n{"name": null}\n',
  )
  server = await startChatServer(({ body, prompt }) => {
    const replies: Record<string, object> = {
      question: { questions: ['What is it?'] },
      judgeQuestion: { feedback: 'vague', score: prompt.includes('Elm') ? 2 : 9 },
      improveQuestion: { question: 'What?' },
      answer: { reasoning: 'r', answer: 'A tree.' },
      judgeAnswer: { feedback: '', score: 9 },
    }
    return { content: replies[body.response_format?.json_schema?.name ?? ''] }
  })
})
afterAll(async () => {
  await server.close()
  await rm(directory, { recursive: true, force: true })
})

const generate = (...args: string[]): Promise<CliResult> =>
  lowrank(['data', 'generate', 'rows.jsonl', '--columns', 'name,note', ...args], {
    cwd: directory,
    env: { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: server.baseUrl },
  })

it('data generate writes pairs, and tells rows, pairs, replies and cost in words and as JSON', async () => {
  const args = ['--model', 'm', '--output', 'pairs.jsonl', '--max-rounds', '1', '--input-price', '1000']
  const { code, stdout, stderr } = await generate(...args, '--keep', 'name', '--extra-body', '{"top_k":1}')
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).toBe(`Wrote 1 of 2 pairs, of 2 of 3 rows, to pairs.jsonl
  1 rows left out: no text
  1 dropped: question below the threshold
  1 made better
  8 requests, 800 tokens there and 160 back, cost 0.80
  Replies are kept in pairs.jsonl.replies
`)
  expect(server.requests[0]).toMatchObject({ headers: { authorization: `Bearer ${KEY}` }, body: { top_k: 1 } })
  expect(JSON.parse(await readFile(join(directory, 'pairs.jsonl'), 'utf8'))).toMatchObject({
    answer: 'A tree.',
    name: 'Oak',
  })
  expect(await readFile(join(directory, 'pairs.jsonl.replies'), 'utf8')).not.toContain(KEY)
  const again = await generate(...args, '--keep', 'name', '--extra-body', '{"top_k":1}', '--json')
  expect(JSON.parse(again.stdout)).toMatchObject({
    written: 1,
    received: { received: 0, reused: 8 },
    usage: { requests: 0 },
  })
})

it('data generate --dry-run tells what it would ask for, and sends nothing', async () => {
  const before = server.requests.length
  const { code, stdout } = await generate('--model', 'm', '--dry-run', '--output-price', '10', '--pairs', '2')
  expect(code).toBe(0)
  expect(stdout).toMatch(
    /^2 rows: 14 requests where all is good at once, 46 where nothing is\n {2}at most about [\d,]+ tokens there and 47,104 back\n {2}at most about 0\.47 in cost\n$/,
  )
  expect(server.requests).toHaveLength(before)
})

it('data generate refuses what is missing or wrong all at once, and shows no key', async () => {
  const { code, stderr } = await generate('--extra-body', '[1]')
  expect(code).toBe(2)
  for (const expected of [
    'expected --model NAME, got none',
    'expected --output FILE, got none',
    'expected a JSON object such as {"top_k":1} for --extra-body, got [1]',
  ])
    expect(stderr).toContain(expected)
  const plan = await generate('--model', 'm', '--dry-run', '--output', 'pairs.docx')
  expect(plan).toMatchObject({ code: 2, stdout: '' })
  expect(plan.stderr).toContain('expected a path that ends in .jsonl')
  server.answer = () => ({ content: 'Sure!' })
  const nothing = await generate('--model', 'talker', '--output', 'nothing.jsonl')
  expect(nothing).toMatchObject({ code: 1, stdout: '' })
  expect(nothing.stderr).toContain('got none of 6 replies about 0 of 3 rows (6 replies that were no JSON, ')
  expect(await readdir(directory)).toContain('nothing.jsonl.replies')
  expect(await readdir(directory)).not.toContain('nothing.jsonl')
  server.answer = () => ({ status: 401, body: { error: { message: `no such key ${KEY}` } } })
  const refused = await generate('--model', 'other', '--output', 'other.jsonl')
  expect(refused.code).toBe(1)
  expect(refused.stderr).toContain('HTTP 401, "no such key ***"')
  expect(refused.stdout + refused.stderr).not.toContain(KEY)
})
