/** @file Pairs of question and answer by a scripted model: what is asked, written, dropped, counted and kept. */

import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { prepareDataset } from '../../src/data/dataset.js'
import { openSource } from '../../src/data/sources/open-source.js'
import { EndpointError } from '../../src/openai/endpoint-error.js'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { generateDataset } from '../../src/transform/generate.js'
import type { GenerateDatasetOptions, GenerateProgress } from '../../src/transform/generate-options.js'
import { planGenerateDataset } from '../../src/transform/generate-plan.js'
import { Turns } from '../../src/turns.js'
import { type Answer, type ChatServer, type SeenChat, startChatServer } from '../support/chat-server.js'

let directory: string
let server: ChatServer
let output: string
beforeEach(async () => {
  vi.stubEnv('OPENAI_API_KEY', '')
  directory = await mkdtemp(join(tmpdir(), 'lowrank-generate-'))
  output = join(directory, 'pairs.jsonl')
  server = await startChatServer(model())
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await server.close()
  await rm(directory, { recursive: true, force: true })
})

const stepOf = ({ body }: SeenChat): string => body.response_format?.json_schema?.name ?? ''
const textIn = (prompt: string): string => /Passage:\n(.*)/.exec(prompt)?.[1] ?? ''
const questionIn = (prompt: string): string => /^Question: (.*)$/m.exec(prompt)?.[1] ?? ''

/** A model that answers each step about the text that it is given; `other` may answer in its place. */
function model(other: (step: string, request: SeenChat) => Answer | undefined = () => undefined): ChatServer['answer'] {
  return (request) => {
    const step = stepOf(request)
    const about = textIn(request.prompt)
    const answers: Record<string, object> = {
      question: { questions: [`What is ${about}?`] },
      judgeQuestion: { feedback: 'fine', score: 9 },
      improveQuestion: { question: `${questionIn(request.prompt)} Really?` },
      answer: { reasoning: `I read ${about}.`, answer: `It is ${about}.` },
      judgeAnswer: { feedback: 'fine', score: 8 },
      improveAnswer: { reasoning: 'Better.', answer: `It is surely ${about}.` },
    }
    return other(step, request) ?? { content: answers[step] }
  }
}

const TEXTS = ['amber', 'basalt', 'chalk', 'dolomite', 'emerald']
const ROWS = TEXTS.map((text, index) => ({ text, page: index + 1, document: 'stones.pdf' }))

const generate = (options: Partial<GenerateDatasetOptions> = {}) =>
  generateDataset({ dataset: ROWS, model: 'm', output, baseUrl: server.baseUrl, maxRetries: 0, ...options })

async function rowsOf(path = output): Promise<Record<string, unknown>[]> {
  const text = await readFile(path, 'utf8')
  return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Record<string, unknown>]))
}

async function failureOf(work: Promise<unknown>): Promise<Error> {
  return await work.then(
    () => expect.fail('expected an error'),
    (error: Error) => error,
  )
}

const stepsAsked = (): string[] => server.requests.map(stepOf)

describe('generateDataset', () => {
  it('generateDataset drafts and judges a question and its answer for each row, and keeps where it is from', async () => {
    const file = join(directory, 'chunks.jsonl')
    await writeFile(file, ROWS.map((row) => `${JSON.stringify(row)}\n`).join(''))
    const report = await generate({ dataset: file, reasoningColumn: 'thought' })
    expect(await rowsOf()).toEqual(
      TEXTS.map((text, index) => ({
        question: `What is ${text}?`,
        answer: `It is ${text}.`,
        thought: `I read ${text}.`,
        source: file,
        source_row: index + 1,
        document: 'stones.pdf',
        page: index + 1,
        model: 'm',
        question_score: 9,
        answer_score: 8,
      })),
    )
    expect(report).toEqual({
      output,
      replies: `${output}.replies`,
      read: 5,
      rows: 5,
      skipped: {},
      drafted: 5,
      written: 5,
      dropped: {},
      improved: 0,
      received: { received: 20, reused: 0, malformed: {}, refused: 0 },
      usage: { requests: 20, retries: 0, promptTokens: 2000, completionTokens: 400, estimated: 0, cost: 0 },
    })
  })

  it('what it writes is a data set in both forms, and its other columns do not disturb', async () => {
    const tokenizer = await loadTokenizer(join(import.meta.dirname, '../../models/lowrank-base-5m'))
    await generate()
    expect((await prepareDataset(output, tokenizer)).examples).toHaveLength(5)
    await generate({ form: 'messages', systemPrompt: 'Be brief.' })
    expect((await rowsOf())[0]).toMatchObject({
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'What is amber?' },
        { role: 'assistant', content: 'It is amber.' },
      ],
      page: 1,
    })
  })

  it('generateDataset makes better what is below the threshold, by what the judge said, and writes it once it passes', async () => {
    const scores: Record<string, number> = { 'What is amber?': 3, 'What is amber? Really?': 6 }
    server.answer = model((step, { prompt }) => {
      if (step === 'judgeQuestion')
        return { content: { feedback: 'too vague', score: scores[questionIn(prompt)] ?? 7 } }
      return step === 'judgeAnswer' && !prompt.includes('surely')
        ? { content: { feedback: 'unsure', score: 2 } }
        : undefined
    })
    const report = await generate({ dataset: ROWS.slice(0, 1) })
    expect(await rowsOf()).toMatchObject([
      { question: 'What is amber? Really? Really?', answer: 'It is surely amber.', question_score: 7, answer_score: 8 },
    ])
    expect(report).toMatchObject({ drafted: 1, written: 1, improved: 3 })
    const improving = server.requests.filter((request) => stepOf(request).startsWith('improve'))
    expect(improving.map(({ prompt }) => /What is wrong with it: (.*)/.exec(prompt)?.[1])).toEqual([
      'too vague',
      'too vague',
      'unsure',
    ])
  })

  it('generateDataset drops what stays below the threshold after so many rounds, and counts reconcile', async () => {
    server.answer = model((step, { prompt }) => {
      if (step === 'judgeQuestion' && prompt.includes('basalt')) return { content: { feedback: 'bad', score: 6 } }
      return step === 'judgeAnswer' && prompt.includes('chalk') ? { content: { feedback: 'bad', score: 1 } } : undefined
    })
    const report = await generate({ maxRounds: 1 })
    expect(report).toMatchObject({
      rows: 5,
      drafted: 5,
      written: 3,
      dropped: { 'question below the threshold': 1, 'answer below the threshold': 1 },
      improved: 2,
    })
    expect((await rowsOf()).map(({ question }) => question)).toEqual([
      'What is amber?',
      'What is dolomite?',
      'What is emerald?',
    ])
  })

  it('generateDataset writes the name that was asked for where the endpoint names a path', async () => {
    for (const [name, expected] of [
      ['/srv/m.gguf', 'asked'],
      ['C:\\m.gguf', 'asked'],
      ['m-2026', 'm-2026'],
    ]) {
      const message = { role: 'assistant', content: '{"questions": ["Why?"], "answer": "So."}' }
      server.answer = () => ({ status: 200, body: { model: name, choices: [{ message }] } })
      await generate({ model: 'asked', threshold: 0, fresh: true, dataset: ROWS.slice(0, 1) })
      expect(await rowsOf()).toMatchObject([{ model: expected }])
    }
  })

  it('generateDataset judges nothing with the threshold 0', async () => {
    await generate({ threshold: 0 })
    expect(new Set(stepsAsked())).toEqual(new Set(['question', 'answer']))
    expect(server.requests).toHaveLength(10)
    expect((await rowsOf())[0]).toMatchObject({ question_score: null, answer_score: null })
  })

  it('generateDataset asks another model to judge, at temperature 0, where there is one', async () => {
    await generate({ judgeModel: 'strict', temperature: 0.9 })
    const seen = server.requests.map((request) =>
      [stepOf(request), request.body.model, request.body.temperature].join(),
    )
    expect(new Set(seen)).toEqual(
      new Set(['question,m,0.9', 'judgeQuestion,strict,0', 'answer,m,0.9', 'judgeAnswer,strict,0']),
    )
  })

  it('generateDataset takes several questions for each row, and drops those that are there twice', async () => {
    server.answer = model((step, { prompt }) =>
      step === 'question'
        ? { content: { questions: ['Is it old?', 'is it OLD?', `Why ${textIn(prompt)}?`, 'Where?', 'When?'] } }
        : undefined,
    )
    const report = await generate({ pairsPerRow: 3, dataset: ROWS.slice(0, 2) })
    expect((await rowsOf()).map(({ question }) => question)).toEqual([
      'Is it old?',
      'Why amber?',
      'Where?',
      'Is it old?',
      'Why basalt?',
      'Where?',
    ])
    expect(report).toMatchObject({ drafted: 8, written: 6, dropped: { 'repeated question': 2 } })
  })

  it('generateDataset makes the text of several columns, and leaves out rows without any', async () => {
    const dataset = [
      { name: 'Oak', height: 30 },
      { name: '', height: null },
      { name: 'Elm', height: null },
    ]
    const report = await generate({ dataset, columns: ['name', 'height'] })
    expect(server.requests.filter((request) => stepOf(request) === 'question').map(({ prompt }) => prompt)).toEqual([
      expect.stringContaining('Passage:\nname: Oak\nheight: 30\n'),
      expect.stringContaining('Passage:\nname: Elm\n'),
    ])
    expect(report).toMatchObject({ read: 3, rows: 2, skipped: { 'no text': 1 } })
  })
})

describe('the format of the output', () => {
  it.each(['pairs.parquet', 'pairs.csv', 'table/'])(
    '%s is what its ending says, and the replies lie beside it',
    async (name) => {
      const report = await generate({ output: join(directory, name) + (name.endsWith('/') ? '/' : '') })
      expect(report.replies).toBe(`${join(directory, name).replace(/\/$/, '')}.replies`)
      const rows: unknown[] = []
      const context = { signal: undefined, turns: new Turns(), onFraction: () => {}, onLineage: () => {} }
      for await (const { value } of openSource(join(directory, name)).rows(context)) rows.push(value)
      expect(rows).toHaveLength(5)
      expect(rows[1]).toMatchObject({ question: 'What is basalt?', answer: 'It is basalt.', document: 'stones.pdf' })
    },
  )

  it('rows that are read are not written over', async () => {
    const file = join(directory, 'pairs.jsonl')
    await writeFile(file, `${JSON.stringify(ROWS[0])}\n`)
    const error = await failureOf(generate({ dataset: file, output: file }))
    expect(error.message).toContain('pairs.jsonl')
    expect(await readFile(file, 'utf8')).toBe(`${JSON.stringify(ROWS[0])}\n`)
    expect(server.requests).toEqual([])
  })
})

describe('replies that are not as asked', () => {
  const REASONING = { reasoning: 'x', answer: 'It is so.' }
  it.each<[string, Answer, string]>([
    ['empty', { content: '' }, 'empty'],
    ['null', { content: null }, 'empty'],
    ['no JSON', { content: 'Sure! Here is the answer: so.' }, 'no JSON'],
    ['half JSON', { content: '{"answer": "It is' }, 'no JSON'],
    ['a list', { content: '["It is so."]' }, 'no JSON'],
    ['another field', { content: { reply: 'It is so.' } }, 'other fields'],
    ['a field of another type', { content: { reasoning: 'x', answer: 7 } }, 'other fields'],
    ['an empty answer', { content: { reasoning: 'x', answer: ' ' } }, 'other fields'],
    ['cut', { content: REASONING, finish: 'length' }, 'cut at maxTokens'],
    ['thought alone', { content: '<think>let me see' }, 'empty'],
    ['thought alone in the answer', { content: { answer: '<think>hm</think>' } }, 'empty'],
  ])('one that is %s is asked for again and counted', async (_, answer, reason) => {
    server.answer = model((step, { number }) => (step === 'answer' && number === 2 ? answer : undefined))
    const report = await generate({ dataset: ROWS.slice(0, 1) })
    expect(await rowsOf()).toMatchObject([{ answer: 'It is amber.' }])
    expect(report.received).toEqual({ received: 5, reused: 0, malformed: { [reason]: 1 }, refused: 0 })
  })

  it('a score that is none is asked for again, and a pair without one is dropped', async () => {
    const scores = [0, 11, 7.5, '8', null]
    server.answer = model((step, { number }) =>
      step === 'judgeQuestion' ? { content: { feedback: '', score: scores[number % 5] } } : undefined,
    )
    expect((await failureOf(generate({ maxAttempts: 5, seed: 100 }))).message).toContain(
      'got none of 30 replies about 5 of 5 rows (25 replies that were other fields, 5 questions dropped: malformed: judgeQuestion)',
    )
    const judging = server.requests.filter(
      ({ prompt, ...seen }) => stepOf({ prompt, ...seen }) === 'judgeQuestion' && prompt.includes('amber'),
    )
    // The same request would mostly get the same reply.
    expect(judging.map(({ body }) => body.seed)).toEqual([100, 101, 102, 103, 104])
    expect(judging.map(({ body }) => body.temperature)).toEqual([0, 0.7, 0.7, 0.7, 0.7])
  })

  it.each<[string, ChatServer['answer'], string, string]>([
    [
      'malformed',
      () => ({ content: 'Sure!' }),
      '15 replies that were no JSON, 5 rows left out: malformed: question',
      'try another model or other prompts, since this one does not write the JSON that it is asked for',
    ],
    [
      'cut',
      () => ({ content: '{"questions": ["W', finish: 'length' }),
      '15 replies that were cut at maxTokens, 5 rows left out: malformed: question',
      'raise maxTokens',
    ],
    [
      'refusals',
      () => ({ content: null, message: { refusal: 'No.' } }),
      '5 replies that refused, 5 rows left out: refused: question',
      'try another model or other prompts',
    ],
    [
      'below the threshold',
      model((step) => (step === 'judgeQuestion' ? { content: { feedback: '', score: 1 } } : undefined)),
      '5 questions dropped: question below the threshold',
      'lower threshold, raise maxRounds, or try another model',
    ],
  ])('replies that are all %s are an error that counts and keeps them, and no file', async (_, answer, why, remedy) => {
    server.answer = answer
    await writeFile(output, 'what was there')
    const { message, ...error } = await failureOf(generate())
    expect(error).toMatchObject({ code: 'ENDPOINT', failure: 'reply' })
    expect(message).toContain(`[generate] expected pairs for ${output}, got none of `)
    expect(message).toContain(` (${why}); look at them in ${output}.replies, and ${remedy}`)
    expect(await readFile(output, 'utf8')).toBe('what was there')
    const kept = (await readFile(`${output}.replies`, 'utf8')).trim().split('\n')
    expect(kept).toHaveLength(server.requests.length)
    // The same call says the same of the same replies, and pays for none.
    expect((await failureOf(generate())).message).toBe(message)
    expect(server.requests).toHaveLength(kept.length)
  })

  it('a row without a question is left out by its reason, and the counts reconcile', async () => {
    server.answer = model((step, { prompt }) => {
      if (step === 'question' && prompt.includes('amber')) return { content: null, message: { refusal: 'No.' } }
      if (step === 'question' && prompt.includes('chalk')) return { content: '', finish: 'content_filter' }
      if (step === 'question' && prompt.includes('emerald')) return { content: 'I would rather not.' }
      return step === 'answer' && prompt.includes('basalt') ? { content: null, message: { refusal: 'No.' } } : undefined
    })
    const { read, rows, skipped, drafted, written, dropped, received } = await generate()
    expect({ read, rows, skipped }).toEqual({
      read: 5,
      rows: 2,
      skipped: { 'refused: question': 2, 'malformed: question': 1 },
    })
    expect({ drafted, written, dropped }).toEqual({ drafted: 2, written: 1, dropped: { 'refused: answer': 1 } })
    expect(received).toMatchObject({ malformed: { 'no JSON': 3 }, refused: 3 })
  })

  it.each<[string, Answer, string]>([
    ['in a field of its own', { content: { answer: 'So.' }, message: { reasoning_content: 'Hm.' } }, 'Hm.'],
    ['in another field', { content: { answer: 'So.' }, message: { reasoning: 'Hm.' } }, 'Hm.'],
    ['before the JSON', { content: '<think>Hm.</think>\n{"answer": "So."}' }, 'Hm.'],
    ['before the JSON, opened by the template', { content: 'Hm.\n</think>\n\n```json\n{"answer": "So."}\n```' }, 'Hm.'],
    ['within the answer', { content: { answer: '<think>Hm.</think>So.' } }, 'Hm.'],
    ['where it was asked for', { content: { reasoning: 'Hm.', answer: 'So.' } }, 'Hm.'],
    [
      'in several places',
      { content: { reasoning: 'B', answer: 'A</think>So.' }, message: { reasoning: 'C' } },
      'C\n\nB\n\nA',
    ],
    ['nowhere, and JSON that speaks of marks', { content: '{"reasoning": "</think>", "answer": "So."}' }, '</think>'],
  ])('what was thought %s does not stand in the answer', async (_, answer, thought) => {
    server.answer = model((step) => (step === 'answer' ? answer : undefined))
    await generate({ dataset: ROWS.slice(0, 1), reasoningColumn: 'thought' })
    expect(await rowsOf()).toMatchObject([{ answer: 'So.', thought }])
    await generate({ dataset: ROWS.slice(0, 1) })
    expect(await readFile(output, 'utf8')).not.toMatch(/Hm|thought|reasoning/)
  })
})

describe('requests at the same time', () => {
  it('rows come in their order, whichever reply comes first, and no more requests are open than said', async () => {
    const order = [3, 0, 4, 1, 2]
    const waiting: { resolve: () => void; rank: number }[] = []
    const scripted = model()
    server.answer = async (request) => {
      const rank = order[TEXTS.indexOf(textIn(request.prompt))] ?? 0
      await new Promise<void>((resolve) => {
        waiting.push({ resolve, rank })
        waiting.sort((a, b) => a.rank - b.rank)
        setImmediate(() => waiting.shift()?.resolve())
      })
      return await scripted(request)
    }
    await generate({ concurrency: 3 })
    expect((await rowsOf()).map(({ question }) => question)).toEqual(TEXTS.map((text) => `What is ${text}?`))
    expect(server.mostOpen).toBeLessThanOrEqual(3)
    expect(server.mostOpen).toBeGreaterThan(1)
  })

  it('equal rows share their replies', async () => {
    const report = await generate({ dataset: [ROWS[0], ROWS[0], ROWS[0]] as object[] })
    expect(server.requests).toHaveLength(4)
    expect(report).toMatchObject({ written: 3 })
  })

  it('progress tells rows, pairs, requests and cost, and ends at all of it', async () => {
    const seen: GenerateProgress[] = []
    await generate({ onProgress: (progress) => seen.push(progress), inputPrice: 1000 })
    const last = seen.at(-1)
    expect(last).toMatchObject({ rows: 5, fraction: 1, pairs: 5, requests: 20 })
    expect(last?.cost).toBeCloseTo(2, 9)
  })
})

describe('an endpoint that fails', () => {
  it.each<[string, Answer]>([
    ['401', { status: 401, body: { error: 'no key' } }],
    ['500', { status: 500 }],
    ['cut', 'cut'],
    ['no reply of a chat', { status: 200, body: '{}' }],
  ])('one with %s ends the work, leaves no output, and keeps what was paid for', async (_, answer) => {
    server.answer = model((step, { prompt }) => (step === 'answer' && prompt.includes('chalk') ? answer : undefined))
    const error = await failureOf(generate())
    expect(error).toBeInstanceOf(EndpointError)
    expect(error.message).toMatch(
      / rows are done, and \d+ replies are kept in .*pairs\.jsonl\.replies: the same call goes on from there$/,
    )
    expect(await readdir(directory)).toEqual(['pairs.jsonl.replies'])
    const paid = server.requests.length - 1
    server.answer = model()
    server.requests.splice(0)
    const report = await generate()
    expect(report.received.reused).toBe(paid)
    expect(server.requests).toHaveLength(20 - paid)
    expect(report).toMatchObject({ written: 5 })
  })

  it('one that refuses what a row holds names the row, or leaves it out and counts it', async () => {
    const answer: Answer = { status: 400, body: { error: { message: 'too many tokens' } } }
    server.answer = model((step, { prompt }) => (step === 'question' && prompt.includes('basalt') ? answer : undefined))
    expect((await failureOf(generate())).message).toContain(
      '"too many tokens"; correct what it says; it was asked about row 2: onError \'skip\' leaves such rows out',
    )
    expect(await generate({ onError: 'skip' })).toMatchObject({
      read: 5,
      rows: 4,
      skipped: { 'HTTP 400': 1 },
      written: 4,
    })
  })

  it('one that never answers ends the work after the timeout, and no file is left', async () => {
    server.answer = () => 'never'
    expect((await failureOf(generate({ timeout: 0.1 }))).message).toContain('within 0.1 s, got none')
    expect(await readdir(directory)).toEqual([])
  })

  it('a signal ends the work with its reason', async () => {
    const controller = new AbortController()
    server.answer = model((step) => {
      if (step !== 'answer') return undefined
      controller.abort(new RangeError('enough'))
      return 'never'
    })
    await expect(generate({ signal: controller.signal })).rejects.toThrow(new RangeError('enough'))
    expect(await readdir(directory)).toEqual(['pairs.jsonl.replies'])
  })
})

describe('cost', () => {
  const PRICES = { inputPrice: 1000, outputPrice: 0, maxTokens: 10 }

  it('a cap without any price is refused before anything is sent, since nothing would ever reach it', async () => {
    const error = await failureOf(generate({ maxCost: 1 }))
    expect(error).toMatchObject({ name: 'OptionError' })
    expect(error.message).toContain('[generate] expected inputPrice or outputPrice above 0 where maxCost is given')
    expect(server.requests).toEqual([])
    expect(await readdir(directory)).toEqual([])
  })

  it('a cap ends the work before it is passed, and a higher one goes on without paying twice', async () => {
    const error = await failureOf(generate({ ...PRICES, maxCost: 3 }))
    expect(error).toMatchObject({ code: 'ENDPOINT', failure: 'cost' })
    expect(error.message).toContain('[endpoint] expected the next request within maxCost (3), but ')
    const first = server.requests.length
    expect(first * 0.1).toBeLessThanOrEqual(3)
    expect(first).toBeGreaterThan(0)
    const report = await generate({ ...PRICES, maxCost: 10 })
    expect(server.requests).toHaveLength(20)
    expect(report.usage).toMatchObject({ requests: 20 - first })
    // It is the cost of all of it, in both runs.
    expect(report.usage.cost).toBeCloseTo(2, 9)
  })

  it('a plan tells the requests and the most that they can cost before any is sent', async () => {
    const options = {
      dataset: ROWS,
      model: 'm',
      baseUrl: server.baseUrl,
      inputPrice: 1,
      outputPrice: 2,
      maxTokens: 100,
    }
    const plan = await planGenerateDataset({ ...options, pairsPerRow: 2, maxRounds: 1 })
    expect(server.requests).toEqual([])
    // A question; and for each of two pairs a judgement, an answer and its judgement, and a round more of both.
    expect(plan).toMatchObject({ rows: 5, leastRequests: 5 * 7, mostRequests: 5 * (1 + 2 * 7) })
    expect(plan.completionTokens).toBe(75 * 100)
    expect(plan.cost).toBeCloseTo((plan.promptTokens + 2 * plan.completionTokens) / 1e6, 12)
    server.answer = model((step) =>
      step === 'judgeQuestion' || step === 'judgeAnswer' ? { content: { feedback: 'no', score: 6 } } : undefined,
    )
    const asked = await generate({ ...options, maxRounds: 1, threshold: 6 })
    expect(asked.usage.requests).toBe(20)
    const unjudged = await planGenerateDataset({ ...options, threshold: 0 })
    expect(unjudged).toMatchObject({ leastRequests: 10, mostRequests: 10 })
  })
})

describe('kept replies', () => {
  it('a plan refuses an output that could not be written', async () => {
    const plan = (path: string) => planGenerateDataset({ dataset: ROWS, model: 'm', output: path })
    expect((await failureOf(plan(join(directory, 'pairs.docx')))).message).toContain(
      'for output, or in / for a Delta table, got ',
    )
    expect(await plan(join(directory, 'pairs.parquet'))).toMatchObject({ rows: 5 })
  })

  it('kept replies make the same rows again without a request, whatever the address, and are paid for again when told to', async () => {
    await generate({ seed: 1 })
    const bytes = await readFile(output)
    await server.close()
    const again = await generate({ seed: 1 })
    expect(again.received).toMatchObject({ received: 0, reused: 20 })
    expect(await readFile(output)).toEqual(bytes)
    server = await startChatServer(model())
    expect((await generate({ seed: 1, fresh: true })).received).toMatchObject({ received: 20, reused: 0 })
  })

  it('a last line without an end is dropped, and its reply is asked for again', async () => {
    await generate()
    const path = `${output}.replies`
    const lines = (await readFile(path, 'utf8')).split('\n')
    for (const cut of [1, 50, (lines[19]?.length ?? 0) - 1]) {
      server.requests.splice(0)
      await writeFile(path, `${lines.slice(0, 19).join('\n')}\n${lines[19]?.slice(0, cut)}`)
      expect((await generate()).received).toMatchObject({ received: 1, reused: 19 })
      expect((await readFile(path, 'utf8')).split('\n')).toHaveLength(21)
    }
  })

  it('a line that is no reply is refused by its number, and nothing of the file is changed', async () => {
    await generate()
    const path = `${output}.replies`
    await appendFile(path, '{"key": "x"}\n')
    const bytes = await readFile(path)
    await expect(generate()).rejects.toThrow(
      `[generate] expected a reply of an earlier run in ${path}:21, got "{\\"key\\": \\"x\\"}"`,
    )
    expect(await readFile(path)).toEqual(bytes)
  })

  it('two runs do not work on one file at the same time', async () => {
    server.answer = async (request) => {
      expect((await failureOf(generate())).message).toContain(
        `[generate] expected ${output}.replies for this run alone, but process ${process.pid}`,
      )
      return await model()(request)
    }
    await generate({ dataset: ROWS.slice(0, 1) })
    expect(await readdir(directory)).toEqual(['pairs.jsonl', 'pairs.jsonl.replies'])
  })

  it('another prompt, model or temperature is another request', async () => {
    await generate()
    for (const other of [{ model: 'n' }, { temperature: 0 }, { maxTokens: 9 }, { extraBody: { top_k: 1 } }]) {
      server.requests.splice(0)
      await generate(other)
      expect(server.requests.length).toBeGreaterThan(0)
    }
  })
})

describe('prompts of a file', () => {
  it('prompts of a file stand in place of ours, with columns of the row', async () => {
    const file = join(directory, 'prompts.yaml')
    await writeFile(
      file,
      'system: ""\nquestion: |\n  Passage:\n  {text}\n  Page {page} of {document}. JSON {{"questions": []}}\n',
    )
    await generate({ prompts: file, dataset: ROWS.slice(0, 1) })
    const [first] = server.requests
    expect(first?.body.messages).toEqual([
      { role: 'user', content: 'Passage:\namber\nPage 1 of stones.pdf. JSON {"questions": []}\n' },
    ])
  })

  it.each([
    ['qestion: x', 'unknown field "qestion" in FILE:1; did you mean question?'],
    ['question: "{text"', 'expected placeholders such as {column} for question in FILE:1'],
    ['question: [1]', 'expected text for question in FILE:1, got [1]'],
  ])('a file of prompts that says %s is refused', async (text, expected) => {
    const file = join(directory, 'prompts.yaml')
    await writeFile(file, text)
    expect((await failureOf(generate({ prompts: file }))).message).toContain(expected.replace('FILE', file))
  })

  it('a column that no row has is refused, and a row without a value is left out', async () => {
    expect((await failureOf(generate({ prompts: { question: '{text} {pge}' } }))).message).toContain(
      'expected the column "pge", which prompts names, in a row, got it in none',
    )
    const dataset = [...ROWS, { text: 'flint', page: null }]
    expect(await generate({ dataset, prompts: { system: 'Page {page}.' } })).toMatchObject({
      read: 6,
      skipped: { 'no value for page': 1 },
    })
  })
})

describe('options of generateDataset', () => {
  it.each<[Partial<GenerateDatasetOptions>, string]>([
    [{ keep: ['answer'] }, 'expected another column than pairs have for keep, got "answer"'],
    [{ reasoningColumn: 'page' }, 'expected another column than pairs have for reasoningColumn, got "page"'],
    [{ systemPrompt: 'x' }, "expected form 'messages' where systemPrompt is given"],
    [
      { columns: ['txt'] },
      'expected the column "txt", which columns names, in a row, got it in none; the first row has text, page',
    ],
    [{ threshold: 11 }, 'expected a whole number of at least 0 and at most 10 for threshold, got 11'],
    [{ output: 'x.txt' }, 'expected a path that ends in'],
  ])('options such as %j are refused before a request is sent', async (options, expected) => {
    expect((await failureOf(generate(options))).message).toContain(expected)
    expect(server.requests).toEqual([])
  })
})
