/** @file Answers judged by a scripted model: what is asked, read, asked again, counted, paid for and kept. */

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { compareAnswers, judgeAnswers } from '../../src/evaluate/judge.js'
import type { JudgeOptions, JudgeProgress } from '../../src/evaluate/judge-options.js'
import { Rubric } from '../../src/evaluate/judge-rubric.js'
import { type Answer, type ChatServer, type SeenChat, startChatServer } from '../support/chat-server.js'

let directory: string
let server: ChatServer
beforeEach(async () => {
  vi.stubEnv('OPENAI_API_KEY', '')
  directory = await mkdtemp(join(tmpdir(), 'lowrank-judge-'))
  server = await startChatServer(judge())
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await server.close()
  await rm(directory, { recursive: true, force: true })
})

const between = (prompt: string, mark: string): string =>
  new RegExp(`<${mark}>\n([\\s\\S]*?)\n</${mark}>`).exec(prompt)?.[1] ?? ''

/** A judge that gives the number within an answer, and prefers the larger one; `other` may answer in its place. */
function judge(other: (request: SeenChat) => Answer | undefined = () => undefined): ChatServer['answer'] {
  return (request) => {
    const { prompt } = request
    const [score, first, second] = ['answer', 'answer-A', 'answer-B'].map((mark) => Number(between(prompt, mark)))
    const scores = { correctness: score, helpfulness: score, clarity: 10 }
    const winner = first! > second! ? 'A' : first! < second! ? 'B' : 'tie'
    const content = prompt.includes('<answer>') ? { explanation: ' good ', ...scores } : { explanation: 'so', winner }
    return other(request) ?? { content }
  }
}

const options = (more: Partial<JudgeOptions> = {}): JudgeOptions => ({
  model: 'judge-1',
  baseUrl: server.baseUrl,
  maxRetries: 0,
  ...more,
})
const ROWS = [1, 4, 7].map((number) => ({ prompt: `question ${number}`, answer: String(number) }))
const PAIRS = [
  { prompt: 'one', answer: '9', baseAnswer: '3' },
  { prompt: 'two', answer: '2', baseAnswer: '5' },
  { prompt: 'three', answer: '6', baseAnswer: '6' },
]

describe('answers by themselves', () => {
  it('each has a score by criterion, their mean, and why', async () => {
    const report = await judgeAnswers(
      [{ ...ROWS[0]!, references: ['right', 'also right'] }, ...ROWS.slice(1)],
      options(),
    )
    expect(report.rows.map(({ score }) => score)).toEqual([4, 6, 8])
    expect(report.rows[1]).toEqual({
      score: 6,
      scores: { correctness: 4, helpfulness: 4, clarity: 10 },
      explanation: 'good',
    })
    expect([report.score, report.scores]).toEqual([6, { correctness: 4, helpfulness: 4, clarity: 10 }])
    expect([report.judge, report.criteria, report.scale]).toEqual([
      'judge-1',
      ['correctness', 'helpfulness', 'clarity'],
      { min: 1, max: 10 },
    ])
    expect(report.counts).toEqual({ judged: 3, failed: {}, received: 3, reused: 0, malformed: {}, refused: 0 })
    const [{ prompt, body }] = server.requests as [SeenChat]
    expect(between(prompt, 'prompt')).toBe('question 1')
    expect(between(prompt, 'reference')).toBe('right\n(or)\nalso right')
    expect(between(server.requests[1]!.prompt, 'reference')).toBe('(none is given)')
    expect(body.temperature).toBe(0)
    expect(body.messages[0]).toMatchObject({ role: 'system', content: expect.stringContaining('You judge answers') })
    const { schema } = (body.response_format as unknown as { json_schema: { schema: { required: string[] } } })
      .json_schema
    expect(schema.required).toEqual(['explanation', 'correctness', 'helpfulness', 'clarity'])
  })

  it('a rubric of the user is read from YAML, with its criteria, scale and prompt', async () => {
    const rubric = join(directory, 'rubric.yaml')
    await writeFile(
      rubric,
      'criteria:\n  politeness: It is polite.\nscale: {min: 0, max: 2}\nsystem: ""\nprompt: |\n  {answer} to {prompt}, {{{min}-{max}}}: {criteria}\n',
    )
    server.answer = () => ({ content: '```json\n{"politeness": 2}\n```' })
    const report = await judgeAnswers(ROWS.slice(0, 1), options({ rubric }))
    expect(report.rows).toEqual([{ score: 2, scores: { politeness: 2 }, explanation: '' }])
    expect(server.requests[0]!.body.messages).toEqual([
      { role: 'user', content: '1 to question 1, {0-2}: - politeness: It is polite.\n' },
    ])
  })

  it.each([
    [
      'the YAML is no mapping',
      'prompt',
      'expected a mapping with criteria, scale, system, prompt, pairPrompt for all of it',
    ],
    ['a field is not known', 'critera: {}', 'unknown field "critera" in RUBRIC:1; did you mean criteria?'],
    [
      'the scale has one value',
      'scale: {min: 3, max: 3}',
      'expected a whole number above min (3) for scale.max in RUBRIC:1, got 3',
    ],
    [
      'the scale is no whole number',
      'scale: {min: 0, max: 1.5}',
      'expected a whole number for scale.max in RUBRIC:1, got 1.5',
    ],
    ['the scale is too large', 'scale: {min: 0, max: 500}', 'expected a whole number of at most 100 for scale.max'],
    ['there is no criterion', 'criteria: {}', 'expected at least one criterion, as correctness: What it says is true.'],
    [
      'a criterion is the explanation',
      'criteria: {explanation: x}',
      'expected another name of a criterion for criteria.explanation',
    ],
    [
      'a prompt has no answer',
      'prompt: Judge {prompt}.',
      'expected {answer} within the text for prompt in RUBRIC:1, got "Judge {prompt}."',
    ],
    [
      'a placeholder is not known',
      '\npairPrompt: "{first} {second} {third}"',
      'no other placeholders than {prompt}, {first}, {second}',
    ],
  ])('a rubric is refused where %s', async (_, text, expected) => {
    const rubric = join(directory, 'rubric.yaml')
    await writeFile(rubric, `${text}\n`)
    const error = await Rubric.read(rubric).then(
      () => undefined,
      (reason: Error) => reason,
    )
    expect(error?.message.replaceAll(rubric, 'RUBRIC')).toContain(
      `[judge] ${expected.startsWith('unknown') ? '' : 'expected '}${expected.replace(/^expected /, '')}`,
    )
  })

  it('what cannot be read is asked for again, warmer; what still cannot is counted, and stays a row', async () => {
    const bad = [
      'no JSON at all',
      { correctness: 11, helpfulness: 1, clarity: 1 },
      { correctness: '4', helpfulness: 1, clarity: 1 },
    ]
    server.answer = judge(({ prompt, body }) => {
      const answer = between(prompt, 'answer')
      const attempt = server.requests.filter((seen) => between(seen.prompt, 'answer') === answer).length - 1
      if (answer === '1' && attempt < 2) return { content: attempt === 0 ? '' : { explanation: 'half' } }
      if (answer === '4') return { content: bad[attempt] }
      if (answer === '7' && attempt === 0) return { content: '{"correctness": 7,', finish: 'length' }
      expect(body.temperature).toBe(attempt === 0 ? 0 : 0.7)
      return undefined
    })
    const report = await judgeAnswers(ROWS, options({ seed: 5 }))
    expect(report.rows.map(({ score }) => score)).toEqual([4, null, 8])
    expect(report.rows[1]).toEqual({ score: null, scores: null, explanation: '', failure: 'unparsable' })
    expect(report.score).toBe(6)
    expect(report.counts).toEqual({
      judged: 2,
      failed: { unparsable: 1 },
      received: 8,
      reused: 0,
      malformed: { empty: 1, 'other fields': 3, 'no JSON': 1, 'cut at maxTokens': 1 },
      refused: 0,
    })
    const seeds = server.requests.filter(({ prompt }) => between(prompt, 'answer') === '4').map(({ body }) => body.seed)
    expect(seeds).toEqual([5, 6, 7])
  })

  it('what a judge thought before its JSON is left out', async () => {
    server.answer = () => ({
      content: '<think>{"correctness": 1}</think>{"correctness": 2, "helpfulness": 2, "clarity": 2}',
    })
    expect((await judgeAnswers(ROWS.slice(0, 1), options())).score).toBe(2)
  })

  it('refusals and refused requests are counted, and not asked for again', async () => {
    server.answer = judge(({ prompt }) => {
      const answer = between(prompt, 'answer')
      if (answer === '1') return { content: null, message: { refusal: 'I will not.' } }
      if (answer === '4') return { content: '', finish: 'content_filter' }
      return { status: 422, body: { error: { message: 'too long' } } }
    })
    const report = await judgeAnswers(ROWS, options({ onError: 'skip' }))
    expect(report.rows.map(({ failure }) => failure)).toEqual(['refused', 'refused', 'HTTP 422'])
    expect(report.counts.failed).toEqual({ refused: 2, 'HTTP 422': 1 })
    expect([report.score, report.judge, report.counts.refused]).toEqual([null, null, 2])
    expect(server.requests).toHaveLength(3)
    await expect(judgeAnswers(ROWS.slice(2), options())).rejects.toThrow('HTTP 422')
  })

  it('no rows cost nothing', async () => {
    const report = await judgeAnswers([], options())
    expect([report.score, report.rows, report.usage.requests]).toEqual([null, [], 0])
  })
})

describe('answers side by side', () => {
  it('each pair is asked about in both orders', async () => {
    const report = await compareAnswers(PAIRS, options())
    expect(report.rows.map(({ score }) => score)).toEqual([1, 0, 0.5])
    expect(report.rows[0]).toEqual({
      score: 1,
      verdicts: ['answer', 'answer'],
      isConsistent: true,
      explanations: ['so', 'so'],
    })
    expect([report.wins, report.losses, report.ties, report.winRate]).toEqual([1, 1, 1, 0.5])
    expect(report.positionBias).toEqual({ inconsistent: 0, inconsistentShare: 0, first: 2, second: 2 })
    const orders = server.requests.map(({ prompt }) =>
      [between(prompt, 'answer-A'), between(prompt, 'answer-B')].join(),
    )
    expect(orders.sort()).toEqual(['2,5', '3,9', '5,2', '6,6', '9,3'])
  })

  it('a judge that prefers a place makes ties, and its bias is reported', async () => {
    server.answer = judge(({ prompt }) => (prompt.includes('<prompt>\ntwo') ? undefined : { content: { winner: 'A' } }))
    const report = await compareAnswers(PAIRS.slice(0, 2), options())
    expect(report.rows[0]).toMatchObject({ score: 0.5, verdicts: ['answer', 'base'], isConsistent: false })
    expect([report.wins, report.losses, report.ties, report.winRate]).toEqual([0, 1, 1, 0.25])
    expect(report.positionBias).toEqual({ inconsistent: 1, inconsistentShare: 0.5, first: 3, second: 1 })
  })

  it('a pair whose one order has no judgement has none, and is counted', async () => {
    server.answer = judge(({ prompt }) =>
      between(prompt, 'answer-A') === '3' ? { content: { winner: 'C' } } : undefined,
    )
    const report = await compareAnswers(PAIRS.slice(0, 2), options({ maxAttempts: 2 }))
    expect(report.rows[0]).toEqual({
      score: null,
      verdicts: ['answer', null],
      isConsistent: null,
      explanations: ['so', ''],
      failure: 'unparsable',
    })
    expect(report.counts).toMatchObject({ judged: 1, failed: { unparsable: 1 }, malformed: { 'other fields': 2 } })
    expect([report.wins, report.losses, report.ties]).toEqual([0, 1, 0])
  })
})

describe('what judging costs', () => {
  it('tokens are counted by the prices of a million', async () => {
    const report = await judgeAnswers(ROWS, options({ inputPrice: 2, outputPrice: 10 }))
    // 100 and 20 tokens each.
    expect(report.usage).toMatchObject({ requests: 3, retries: 0, promptTokens: 300, completionTokens: 60 })
    expect(report.usage.cost).toBeCloseTo((300 * 2 + 60 * 10) / 1e6, 12)
  })

  it('maxCost ends the work before it is passed, names what is kept, and the next call goes on from there', async () => {
    const replies = join(directory, 'judge.replies')
    const rows = Array.from({ length: 12 }, (_, i) => ({
      prompt: 'p',
      answer: String(1 + (i % 9)),
      references: [`${i}`],
    }))
    const prices = { replies, concurrency: 2, maxTokens: 50, inputPrice: 1, outputPrice: 1 }
    const error = await judgeAnswers(rows, options({ ...prices, maxCost: 0.003 })).then(
      () => expect.fail('expected an error'),
      (reason: Error) => reason,
    )
    expect(error.message).toMatch(/expected the next request within maxCost \(0.003\)/)
    expect(error.message).toContain(`replies are kept in ${replies}: the same call goes on from there`)
    const asked = server.requests.length
    expect(asked).toBeGreaterThan(0)
    expect(asked).toBeLessThan(12)
    const report = await judgeAnswers(rows, options(prices))
    expect(server.requests).toHaveLength(12)
    expect(report.counts).toMatchObject({ judged: 12, received: 12 - asked, reused: asked })
    // All of it, whichever run paid.
    expect(report.usage.cost).toBeCloseTo((12 * 120) / 1e6, 12)
  })

  it('a busy endpoint (429) is asked again, and no reply is lost', async () => {
    let busy = 2
    server.answer = judge(() => (busy-- > 0 ? { status: 429, headers: { 'retry-after': '0' } } : undefined))
    const report = await judgeAnswers(ROWS, options({ maxRetries: 6 }))
    expect(report.counts.judged).toBe(3)
    expect(report.usage).toMatchObject({ requests: 5, retries: 2 })
  })

  it('concurrency says how many requests are open, and progress is told', async () => {
    let waiting: (() => void)[] = []
    server.answer = async (request) => {
      await new Promise<void>((resolve) => {
        waiting.push(resolve)
        if (waiting.length === 3) for (const go of waiting.splice(0)) go()
      })
      return judge()(request)
    }
    waiting = []
    const rows = Array.from({ length: 9 }, (_, i) => ({ prompt: `p${i}`, answer: '5' }))
    const told: JudgeProgress[] = []
    await judgeAnswers(rows, options({ concurrency: 3, onProgress: (progress) => told.push(progress) }))
    expect(server.mostOpen).toBe(3)
    expect(told.map(({ rows }) => rows)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(told.at(-1)).toEqual({ rows: 9, totalRows: 9, requests: 9, cost: 0 })
  })

  it('a signal ends the work, and what was paid for is kept', async () => {
    const replies = join(directory, 'judge.replies')
    const controller = new AbortController()
    server.answer = judge(({ number }) => {
      if (number < 1) return undefined
      controller.abort(new Error('enough'))
      return 'never'
    })
    await expect(judgeAnswers(ROWS, options({ replies, concurrency: 1, signal: controller.signal }))).rejects.toThrow(
      'enough',
    )
    server.answer = judge()
    const report = await judgeAnswers(ROWS, options({ replies }))
    expect(report.counts).toMatchObject({ judged: 3, received: 2, reused: 1 })
    // Another rubric is another question.
    const other = await judgeAnswers(ROWS, options({ replies, rubric: { system: 'Judge.' } }))
    expect(other.counts).toMatchObject({ received: 3, reused: 0 })
    const fresh = await judgeAnswers(ROWS, options({ replies, fresh: true }))
    expect(fresh.counts).toMatchObject({ received: 3, reused: 0 })
  })

  it('a process that is killed pays twice for no more than was open, and gives the same report', async () => {
    const replies = join(directory, 'judge.replies')
    const rows = Array.from({ length: 8 }, (_, i) => ({ prompt: `p${i}`, answer: String(i), baseAnswer: '4' }))
    await writeFile(
      join(directory, 'input.json'),
      JSON.stringify({ rows, options: options({ replies, concurrency: 2 }) }),
    )
    let child: ChildProcess | undefined
    const run = async (): Promise<{ code: number | NodeJS.Signals | null; stdout: string }> => {
      const script = fileURLToPath(new URL('judge-child.mjs', import.meta.url))
      child = spawn(process.execPath, [script, join(directory, 'input.json')])
      let stdout = ''
      child.stdout?.on('data', (piece) => {
        stdout += piece
      })
      const code = await new Promise<number | NodeJS.Signals | null>((resolve) =>
        child?.on('close', (exit, signal) => resolve(signal ?? exit)),
      )
      return { code, stdout }
    }
    server.answer = judge(({ number }) => {
      if (number === 6) child?.kill('SIGKILL')
      return number >= 6 ? 'never' : undefined
    })
    expect((await run()).code).toBe('SIGKILL')
    server.answer = judge()
    const { code, stdout } = await run()
    expect(code).toBe(0)
    const report = JSON.parse(stdout) as Awaited<ReturnType<typeof compareAnswers>>
    expect(report.rows.map(({ score }) => score)).toEqual([0, 0, 0, 0, 0.5, 1, 1, 1])
    // Both orders of the tie are one request.
    expect(server.requests.length).toBeLessThanOrEqual(15 + 2)
    expect(report.counts.reused).toBeGreaterThanOrEqual(4)
    const lines = (await readFile(replies, 'utf8')).trimEnd().split('\n')
    expect(lines).toHaveLength(15)
    // Not even the mark of the killed run is left.
    expect((await readdir(directory)).sort()).toEqual(['input.json', 'judge.replies'])
  })

  it('wrong options and rows are named', async () => {
    await expect(judgeAnswers(ROWS, options({ modle: 'x' } as object))).rejects.toThrow(
      '[judge] unknown option "modle"; did you mean "model"?',
    )
    await expect(judgeAnswers(ROWS, options({ maxCost: 1 }))).rejects.toThrow(
      '[judge] expected inputPrice or outputPrice above 0 where maxCost is given, got maxCost 1 and no price; give the prices of a million ' +
        'tokens, or leave maxCost out',
    )
    await expect(judgeAnswers(ROWS, options({ fresh: true }))).rejects.toThrow(
      '[judge] expected replies where fresh is true, got nothing; leave fresh out',
    )
    await expect(judgeAnswers([{ prompt: 'p' } as never], options())).rejects.toThrow(
      '[judge] expected text for answer of row 0, got undefined; give { prompt, answer } for each row',
    )
    await expect(compareAnswers(ROWS as never, options())).rejects.toThrow(
      '[judge] expected text for baseAnswer of row 0, got undefined; give { prompt, answer, baseAnswer } for each row',
    )
    await expect(judgeAnswers('rows' as never, options())).rejects.toThrow(
      '[judge] expected a list of rows, got "rows"',
    )
  })
})
