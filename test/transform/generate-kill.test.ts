/** @file `lowrank data generate` is killed in the middle, and run again. */

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { environment, mainScript } from '../cli/run-cli.js'
import { type ChatServer, type SeenChat, startChatServer } from '../support/chat-server.js'
import { cases } from '../support/long.js'

const CONCURRENCY = 3
const ROWS = 12
/** A question, its judgement, an answer and its judgement. */
const NEEDED = 4 * ROWS

let directory: string
let server: ChatServer
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lowrank-generate-kill-'))
  const lines = Array.from({ length: ROWS }, (_, id) => `${JSON.stringify({ text: `stone ${id}`, page: id })}\n`)
  await writeFile(join(directory, 'rows.jsonl'), lines.join(''))
})
afterEach(async () => {
  await server.close()
  await rm(directory, { recursive: true, force: true })
})

/** The same answer to the same prompt. */
function contentOf({ body, prompt }: SeenChat): object {
  const about = /stone \d+/.exec(prompt)?.[0]
  const replies: Record<string, object> = {
    question: { questions: [`What is ${about}?`] },
    judgeQuestion: { feedback: '', score: 10 },
    answer: { reasoning: '', answer: `It is ${about}.` },
    judgeAnswer: { feedback: '', score: 10 },
  }
  return replies[body.response_format?.json_schema?.name ?? ''] ?? {}
}

function start(): ChildProcess {
  const args = ['data', 'generate', 'rows.jsonl', '--model', 'm', '--output', 'out/pairs.jsonl']
  const flags = ['--base-url', server.baseUrl, '--concurrency', String(CONCURRENCY), '--json']
  return spawn(process.execPath, [mainScript, ...args, ...flags], { cwd: directory, env: environment() })
}

const ended = (child: ChildProcess): Promise<NodeJS.Signals | number | null> =>
  new Promise((resolve) => child.on('close', (code, signal) => resolve(signal ?? code)))

/** Answers, and kills the program at the request of that number: before its reply, or right behind it. */
async function killAt(number: number, isAnswered: boolean): Promise<void> {
  const until = server.requests.length + number
  let child: ChildProcess | undefined
  server.answer = (request) => {
    if (request.number === until) {
      if (!isAnswered) {
        child?.kill('SIGKILL')
        return 'never'
      }
      setImmediate(() => child?.kill('SIGKILL'))
    }
    return { content: contentOf(request) }
  }
  child = start()
  expect(await ended(child)).toBe('SIGKILL')
}

test('a run that is killed, again and again, ends with the same rows, and pays twice for no more than was open', async () => {
  server = await startChatServer((request) => ({ content: contentOf(request) }))
  const kills = [
    { at: 1, isAnswered: false },
    { at: 9, isAnswered: true },
    ...Array.from({ length: cases(0, 8) }, (_, i) => ({ at: 2 + (i % 3), isAnswered: i % 2 === 0 })),
  ]
  for (const { at, isAnswered } of kills) {
    await killAt(at, isAnswered)
    // Nothing has the name of the result before it is whole.
    const names = await readdir(join(directory, 'out'))
    expect(names.filter((name) => !name.startsWith('.'))).toEqual(['pairs.jsonl.replies'])
  }
  server.answer = (request) => ({ content: contentOf(request) })
  const child = start()
  let stdout = ''
  child.stdout?.on('data', (piece) => {
    stdout += piece
  })
  expect(await ended(child)).toBe(0)
  const report = JSON.parse(stdout) as { written: number; received: { received: number; reused: number } }
  expect(report.written).toBe(ROWS)
  expect(report.received.received + report.received.reused).toBe(NEEDED)
  expect(report.received.reused).toBeGreaterThan(0)
  expect(server.requests.length).toBeGreaterThanOrEqual(NEEDED)
  expect(server.requests.length).toBeLessThanOrEqual(NEEDED + CONCURRENCY * kills.length)
  const rows = (await readFile(join(directory, 'out/pairs.jsonl'), 'utf8')).trimEnd().split('\n')
  expect(rows.map((row) => (JSON.parse(row) as { question: string }).question)).toEqual(
    Array.from({ length: ROWS }, (_, id) => `What is stone ${id}?`),
  )
  // Neither half a file nor the mark of a killed run is left.
  expect((await readdir(join(directory, 'out'))).sort()).toEqual(['pairs.jsonl', 'pairs.jsonl.replies'])
})
