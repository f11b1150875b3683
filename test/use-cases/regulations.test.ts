/**
 * @file From a folder of PDF documents to a Delta table of chunks, to questions with answers that are split without a
 * document on both sides, to the conversations that a model learns.
 */

import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DuckDBInstance } from '@duckdb/node-api'
import { beforeAll, expect, it } from 'vitest'
import { prepareDataset } from '../../src/data/dataset.js'
import { writeDelta } from '../../src/data/delta/write-delta.js'
import { loadTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { splitDocuments } from '../../src/transform/documents.js'
import { splitRows } from '../../src/transform/split.js'
import { unifySources } from '../../src/transform/unify.js'
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

it('questions with answers are split 0.9 to 0.1 without a document on both sides, and become two Delta tables', async () => {
  const pairs = chunks.flatMap(({ document, chunk, text }) =>
    [1, 2].map((number) => ({
      question: `Question ${number} of ${chunk}?`,
      answer: text.slice(0, 40),
      document,
      chunk,
    })),
  )
  const report = await splitRows({
    dataset: pairs,
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
  expect(new Set([...train, ...val].map((row) => JSON.stringify(row)))).toEqual(
    new Set(pairs.map((row) => JSON.stringify(row))),
  )
})

it('questions with answers and a system prompt are learnt as the messages of system, user and assistant', async () => {
  const pairs = [{ question: 'What is reported?', answer: 'Loans above 100.', document: 'rule-01.pdf' }]
  const system = 'Answer by the rules alone.'
  const columns = { system_prompt: { constant: system }, question: 'question', response: 'answer' }
  const mapping = { columns: Object.keys(columns), sources: [{ name: 'qa', columns }] }
  await unifySources({ mapping, datasets: { qa: pairs }, output: at('qa.jsonl') })
  const messages = pairs.map(({ question, answer }) => ({
    messages: [
      { role: 'system', content: system },
      { role: 'user', content: question },
      { role: 'assistant', content: answer },
    ],
  }))
  const options = { chatTemplate: 'chatml' }
  const ofColumns = await prepareDataset(at('qa.jsonl'), tokenizer, options)
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
