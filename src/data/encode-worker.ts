/** @file The program of a thread that encodes rows; `encode-pool.ts` starts it. */

import { parentPort, workerData } from 'node:worker_threads'
import { ModelError } from '../lowrank-error.js'
import { filesOfTokenizer, loadTokenizer } from '../tokenizer/tokenizer.js'
import { runAtOnce } from '../turns.js'
import { chatRenderer } from './chat-renderer.js'
import { DroppedContent } from './dropped-content.js'
import { type EncodeReply, type EncodeRequest, type EncodeTask, type SentRow, sentError } from './encode-messages.js'
import type { CodingContext, RowCoding } from './row-coding.js'
import { outcomeSteps } from './row-outcome.js'
import { storedRecordOf } from './row-store.js'

const port = parentPort as NonNullable<typeof parentPort>
const { tokenizer: files, coding: place, options, chatTemplate, now, padding } = workerData as EncodeTask
const tokenizer = await loadTokenizer(files.path)
if (filesOfTokenizer(tokenizer)?.digest !== files.digest)
  throw new ModelError(
    `[data] expected the tokenizer of ${files.path} as it was loaded, got other files; start again when they are whole`,
  )
const module = (await import(place.module)) as Record<string, RowCoding<never>>
const coding = module[place.name] as RowCoding<never>
const context: CodingContext = {
  tokenizer,
  renderer: chatRenderer(tokenizer, chatTemplate, now),
  options: { ...options, droppedContent: new DroppedContent() },
}
port.on('message', ({ number, rows }: EncodeRequest) => {
  const records: Int32Array[] = []
  const sent = rows.map((row): SentRow => {
    try {
      const { item, facts } = runAtOnce(outcomeSteps(row, coding, context, padding))
      if (!facts.isKept) return { facts }
      const { words, ...known } = storedRecordOf(item)
      records.push(words)
      return { facts, record: { size: words.length, ...known } }
    } catch (error) {
      return { error: sentError(error) }
    }
  })
  const words = new Int32Array(records.reduce((sum, record) => sum + record.length, 0))
  let at = 0
  for (const record of records) {
    words.set(record, at)
    at += record.length
  }
  port.postMessage({ number, rows: sent, words } satisfies EncodeReply, [words.buffer])
})
// Says that rows may come.
port.postMessage(undefined)
