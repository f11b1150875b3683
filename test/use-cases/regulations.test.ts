/**
 * @file From a folder of PDF documents to a Delta table of chunks, to questions with answers that a model writes, split
 * without a document on both sides, to the conversations that a model learns.
 */

import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DuckDBInstance } from '@duckdb/node-api'
import { beforeAll, expect, it, vi } from 'vitest'
import { prepareDataset } from '../../src/data/dataset.js'
import { writeDelta } from '../../src/data/delta/write-delta.js'
import { loadTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { splitDocuments } from '../../src/transform/documents.js'
import { generateDataset } from '../../src/transform/generate.js'
import { splitRows } from '../../src/transform/split.js'
import { unifySources } from '../../src/transform/unify.js'
import { type ChatServer, startChatServer } from '../support/chat-server.js'
import { valuesOf } from '../support/golden-rows.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { pdfOf } from '../transform/make-documents.js'

const directory = temporaryDirectory()
const at = (...names: string[]): string => join(directory, ...names)

interface Chunk {
  readonly document: string
  readonly chunk: number
  readonly page: number
  readonly text: string
}

let tokenizer: Tokenizer
let chunks: Chunk[]
beforeAll(async () => {
  tokenizer = await loadTokenizer(fileURLToPath(new URL('../../models/lowrank-base-5m', import.meta.url)))
  await mkdir(at('volume'))
  for (let document = 1; document <= 20; document++) {
    const pages = Array.from({ length: 2 }, (_, page) =>
      Array.from({ length: 12 }, (__, line) => ({
        text: `Rule ${document}.${page + 1}.${line} says what a bank reports of loans above ${100 * line}.`,
        size: 10,
      })),
    )
    await writeFile(at('volume', `rule-${String(document).padStart(2, '0')}.pdf`), pdfOf(pages))
  }
  const output = at('chunks.jsonl')
  const options = { documents: at('volume'), tokenizer, output, maxTokens: 200, overlap: 20 }
  expect(await splitDocuments(options)).toMatchObject({ documents: 20, withText: 20, empty: [], pages: 40 })
  chunks = (await valuesOf(output)) as Chunk[]
})

/** The rows of a Delta table by a reader that is not ours: DuckDB, given the files that the log of the table adds. */
async function rowsInDuckDb(table: string): Promise<Record<string, unknown>[]> {
  const log = at(table, '_delta_log')
  const files: string[] = []
  for (const commit of (await readdir(log)).filter((name) => name.endsWith('.json')).sort())
    for (const line of (await readFile(join(log, commit), 'utf8')).trim().split('\n')) {
      const { add } = JSON.parse(line) as { add?: { path: string } }
      if (add) files.push(at(table, decodeURIComponent(add.path)))
    }
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  try {
    const list = files.map((file) => `'${file}'`).join(', ')
    const result = await connection.runAndReadAll(`SELECT * FROM read_parquet([${list}])`)
    return result.getRowObjectsJson() as Record<string, unknown>[]
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}

it('chunks of PDF documents are a Delta table that another reader opens with the same rows', async () => {
  const options = { documents: at('volume'), tokenizer, maxTokens: 200, overlap: 20 }
  const report = await splitDocuments({ ...options, output: `${at('splitted_documents')}/` })
  expect(report.chunks).toBe(chunks.length)
  expect(await valuesOf(at('splitted_documents'))).toEqual(chunks)
  const key = (row: unknown): string => JSON.stringify([(row as Chunk).document, Number((row as Chunk).chunk)])
  const byKey = (given: readonly unknown[]): unknown[] =>
    given.map((row) => [key(row), (row as Chunk).text, Number((row as Chunk).page)]).sort()
  expect(byKey(await rowsInDuckDb('splitted_documents'))).toEqual(byKey(chunks))
})

/** A model that answers each step about the rule that it is shown, and whose third reply is no JSON. */
async function answeringServer(): Promise<ChatServer> {
  let replies = 0
  return await startChatServer(({ prompt, body }) => {
    replies++
    if (replies === 3) return { content: 'I would rather write a poem.' }
    const [rule = 'none'] = /Rule \d+\.\d+\.\d+/.exec(prompt) ?? []
    const answers: Record<string, object> = {
      question: { questions: [`What does ${rule} say?`] },
      judgeQuestion: { feedback: 'fine', score: 9 },
      answer: { reasoning: `The passage has ${rule}.`, answer: `${rule} says what a bank reports.` },
      judgeAnswer: { feedback: 'fine', score: 9 },
    }
    return { content: answers[body.response_format?.json_schema?.name ?? ''] }
  })
}

it('a model writes questions with answers of chunks, which are split 0.9 to 0.1 without a document on both sides, and become two Delta tables', async () => {
  vi.stubEnv('OPENAI_API_KEY', '')
  const server = await answeringServer()
  try {
    const dataset = chunks
      .filter(({ chunk }) => chunk === 1)
      .map(({ document, ...row }) => ({ ...row, document: basename(document) }))
    const { baseUrl } = server
    const report = await generateDataset({ dataset, model: 'm', baseUrl, output: at('qa.jsonl') })
    expect(report).toMatchObject({ read: 20, written: 20, skipped: {}, dropped: {} })
    expect(Object.values(report.received.malformed).reduce((sum, count) => sum + count, 0)).toBe(1)
  } finally {
    await server.close()
    vi.unstubAllEnvs()
  }
  const pairs = (await valuesOf(at('qa.jsonl'))) as { document: string; answer: string; question: string }[]
  for (const { answer } of pairs) expect(answer).toMatch(/^Rule \d+\.1\.\d+ says what a bank reports\.$/)
  const report = await splitRows({
    dataset: at('qa.jsonl'),
    outputDir: at('qa'),
    splits: { train: 0.9, val: 0.1 },
    seed: 42,
    groupBy: 'document',
  })
  const tables = await Promise.all(
    ['train', 'val'].map(async (name) => {
      await writeDelta(report.splits[name]?.path as string, at(`qa_dataset_${name}`))
      return (await valuesOf(at(`qa_dataset_${name}`))) as typeof pairs
    }),
  )
  const [train = [], val = []] = tables
  expect(train.length + val.length).toBe(pairs.length)
  expect(val.length).toBeGreaterThan(0)
  const learnt = new Set(train.map(({ document }) => document))
  expect(val.filter(({ document }) => learnt.has(document))).toEqual([])
  const questions = (rows: typeof pairs): string[] => rows.map(({ question }) => question).sort()
  expect(questions([...train, ...val])).toEqual(questions(pairs))
})

it('questions with answers and a system prompt are learnt as the messages of system, user and assistant', async () => {
  const pairs = [{ question: 'What is reported?', answer: 'Loans above 100.', document: 'rule-01.pdf' }]
  const system = 'Answer by the rules alone.'
  const columns = { system_prompt: { constant: system }, question: 'question', response: 'answer' }
  const mapping = { columns: Object.keys(columns), sources: [{ name: 'qa', columns }] }
  await unifySources({ mapping, datasets: { qa: pairs }, output: at('system.jsonl') })
  const messages = pairs.map(({ question, answer }) => ({
    messages: [
      { role: 'system', content: system },
      { role: 'user', content: question },
      { role: 'assistant', content: answer },
    ],
  }))
  const options = { chatTemplate: 'chatml' }
  const ofColumns = await prepareDataset(at('system.jsonl'), tokenizer, options)
  const ofMessages = await prepareDataset(messages, tokenizer, options)
  const plain = ({ examples }: typeof ofColumns): unknown =>
    examples.map(({ inputIds, labels }) => ({ ids: [...inputIds], labels: [...labels] }))
  expect(plain(ofColumns)).toEqual(plain(ofMessages))
  const [{ inputIds, labels }] = ofMessages.examples as [(typeof ofMessages.examples)[number]]
  expect(tokenizer.decode([...inputIds])).toBe(
    `<|im_start|>system\n${system}<|im_end|>\n<|im_start|>user\nWhat is reported?<|im_end|>\n` +
      '<|im_start|>assistant\nLoans above 100.<|im_end|>\n',
  )
  expect(tokenizer.decode([...inputIds].filter((_, place) => labels[place] !== -100))).toMatch(
    /^Loans above 100\.<\|im_end\|>/,
  )
})
