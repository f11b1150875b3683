/**
 * @file From PDF documents in a volume to a table of chunks in Unity Catalog, to a table of conversations, to a run
 * that trains on it and records its version; and what was made is removed. A loopback workspace stands for Databricks.
 */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { clean } from '../../src/databricks/clean.js'
import { syncDirectory } from '../../src/databricks/client/files/sync.js'
import { readTable } from '../../src/databricks/client/read-table.js'
import { listTables } from '../../src/databricks/client/unity-catalog.js'
import { pushDataset } from '../../src/databricks/push/push-dataset.js'
import { trainLora } from '../../src/index.js'
import { FIRST_WAREHOUSE } from '../../src/testing/warehouses.js'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { splitDocuments } from '../../src/transform/documents.js'
import { splitRows } from '../../src/transform/split.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { pdfOf } from '../transform/make-documents.js'

const MODEL = fileURLToPath(new URL('../../models/lowrank-base-5m', import.meta.url))
const VOLUME = 'dbfs:/Volumes/main/rules/documents'
const folder = temporaryDirectory()
const at = (...names: string[]): string => join(folder, ...names)
let workspace: LoopbackWorkspace
beforeAll(async () => {
  workspace = await startWorkspace()
  vi.stubEnv('LOWRANK_STATE', at('state'))
  vi.stubEnv('DATABRICKS_HOST', workspace.url)
  vi.stubEnv('DATABRICKS_TOKEN', workspace.token)
  vi.stubEnv('DATABRICKS_WAREHOUSE_ID', FIRST_WAREHOUSE)
})
afterAll(async () => {
  vi.unstubAllEnvs()
  await workspace.close()
})

async function rowsOf(table: string): Promise<Record<string, unknown>[]> {
  const rows: Record<string, unknown>[] = []
  for await (const row of (await readTable(`uc://main.default.${table}`)).rows()) rows.push(row)
  return rows
}

it('documents of a volume become a table of chunks, that a table of conversations, and a run trains on it', async () => {
  mkdirSync(at('pdfs'))
  for (let document = 1; document <= 10; document++) {
    const lines = Array.from({ length: 8 }, (_, line) => ({
      text: `Rule ${document}.${line} says what to report.`,
      size: 10,
    }))
    writeFileSync(at('pdfs', `rule-${document}.pdf`), pdfOf([lines]))
  }
  // Staged to the volume, and fetched where documents are split.
  expect((await syncDirectory(at('pdfs'), VOLUME)).copied).toBe(10)
  expect((await syncDirectory(VOLUME, at('volume'))).copied).toBe(10)
  expect(readFileSync(at('volume', 'rule-3.pdf'))).toEqual(readFileSync(at('pdfs', 'rule-3.pdf')))

  const tokenizer = await loadTokenizer(MODEL)
  const output = `${at('splitted_documents')}/`
  const report = await splitDocuments({ documents: at('volume'), tokenizer, output, maxTokens: 120, overlap: 10 })
  const pushed = await pushDataset(at('splitted_documents'), 'main.default.splitted_documents', {
    comment: 'Chunks of the rules',
    columnComments: { text: 'what the page says' },
  })
  expect(pushed.rows).toBe(report.chunks)
  const chunks = await rowsOf('splitted_documents')
  expect(chunks.length).toBe(report.chunks)
  expect(new Set(chunks.map(({ document }) => basename(String(document)))).size).toBe(10)

  const conversations = chunks.map(({ document, text }) => ({
    document: basename(String(document)),
    messages: [
      { role: 'system', content: 'You know the rules.' },
      { role: 'user', content: `What does ${basename(String(document))} say?` },
      { role: 'assistant', content: String(text).slice(0, 60) },
    ],
  }))
  writeFileSync(at('qa.jsonl'), conversations.map((row) => JSON.stringify(row)).join('\n'))
  const shares = { train: 0.9, val: 0.1 }
  await splitRows({ dataset: at('qa.jsonl'), outputDir: at('split'), groupBy: 'document', splits: shares, seed: 42 })
  for (const name of Object.keys(shares))
    await pushDataset(at('split', `${name}.jsonl`), `main.default.qa_dataset_${name}`)
  const train = await rowsOf('qa_dataset_train')
  const held = new Set((await rowsOf('qa_dataset_val')).map(({ document }) => document))
  expect(held.size).toBe(1)
  expect(train.filter(({ document }) => held.has(document))).toEqual([])
  expect(train[0]?.messages).toEqual(conversations.find(({ document }) => document === train[0]?.document)?.messages)

  const { version } = await readTable('uc://main.default.qa_dataset_train')
  await trainLora({
    model: MODEL,
    dataset: 'uc://main.default.qa_dataset_train',
    evalDataset: 'uc://main.default.qa_dataset_val',
    lora: { r: 2, loraAlpha: 4, targetModules: ['q_proj'] },
    training: { maxSteps: 1, perDeviceTrainBatchSize: 1, maxLength: 128 },
    outputDir: at('run'),
  })
  expect(readFileSync(at('run', 'train.yaml'), 'utf8')).toContain(`uc://main.default.qa_dataset_train@v${version}`)

  // All that was made is in the record: the second time there is nothing to do.
  const planned = await clean({ all: true, dryRun: true })
  expect(planned.map(({ kind, name }) => `${kind} ${name}`).sort()).toEqual(
    ['qa_dataset_train', 'qa_dataset_val', 'splitted_documents'].map((name) => `table main.default.${name}`),
  )
  expect((await clean({ all: true })).map(({ outcome }) => outcome)).toEqual(['removed', 'removed', 'removed'])
  const left = []
  for await (const { name } of listTables('main.default')) left.push(name)
  expect([left, await clean({ all: true })]).toEqual([[], []])
})
