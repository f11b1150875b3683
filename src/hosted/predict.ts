/** @file Answers of a tuned model to rows. Each that was paid for is kept, and never asked for again. */

import { createHash } from 'node:crypto'
import { dirname } from 'node:path'
import { makeDirectories, writeError, writeFileAtomic } from '../atomic-write.js'
import { describeOrigin, rowError } from '../data/row-origin.js'
import { ReplyJournal } from '../openai/reply-journal.js'
import { readOptions } from '../options/table.js'
import { conversationsOf, type HostedRow } from './rows.js'
import { PREDICT_HOSTED_OPTIONS, type PredictHostedOptions } from './run-options.js'
import type { HostedMessage } from './service.js'
import { openRun, targetOf } from './verbs.js'

/** What {@link predictHosted} gives. */
export interface HostedPredictions {
  readonly output: string
  readonly rows: number
  /** Answers that this run asked for. */
  readonly received: number
  /** Answers that earlier runs had paid for. */
  readonly reused: number
  readonly promptTokens: number
  readonly completionTokens: number
}

interface Asked {
  readonly key: string
  readonly messages: readonly HostedMessage[]
  readonly expected: string | undefined
}

const ROLES: readonly string[] = ['system', 'user', 'assistant']

/**
 * Writes an answer for each row, in the order of the rows: `{ messages, prediction, finishReason, expected? }`.
 * @throws DataError for a row that cannot be asked; ServiceError where the service refuses; what was paid for stays
 */
export async function predictHosted(options: PredictHostedOptions): Promise<HostedPredictions> {
  const read = readOptions('predictHosted', options, PREDICT_HOSTED_OPTIONS)
  const { outputDir, output, maxTokens, temperature, seed, concurrency, onProgress, signal } = read
  const { record, service } = await openRun(outputDir, read)
  const model = await targetOf(outputDir, read.model, record, service, signal)
  const rows: Asked[] = []
  const seen = new Map<string, number>()
  for await (const row of conversationsOf(read.dataset, 'dataset', signal)) {
    const { messages, expected } = questionOf(row)
    const identity = JSON.stringify([service.server, model, messages, maxTokens, temperature, seed])
    // Equal rows have an answer each.
    const count = seen.get(identity) ?? 0
    seen.set(identity, count + 1)
    const key = createHash('sha256').update(`${identity} ${count}`).digest('hex').slice(0, 32)
    rows.push({ key, messages, expected })
  }
  await makeDirectories(dirname(output)).catch((error) => {
    throw writeError(output, error)
  })
  const journal = await ReplyJournal.open(`${output}.replies.jsonl`, false, 'predictHosted')
  try {
    let next = 0
    let done = 0
    let received = 0
    let stopped: unknown
    const work = async (): Promise<void> => {
      while (next < rows.length && stopped === undefined) {
        const { key, messages } = rows[next++] as Asked
        try {
          signal?.throwIfAborted()
          if ((await journal.find(key)) === undefined) {
            const reply = await service.chat({ model, messages, maxTokens, temperature, seed }, signal)
            const tokens = { promptTokens: reply.promptTokens ?? 0, completionTokens: reply.completionTokens ?? 0 }
            const { content, finishReason } = reply
            await journal.add(key, { model, content, reasoning: '', refusal: undefined, finishReason, tokens })
            received++
          }
          onProgress?.(++done, rows.length)
        } catch (error) {
          // What is open already is waited for: it is paid for.
          stopped ??= error
        }
      }
    }
    await Promise.all(Array.from({ length: Math.min(concurrency, Math.max(1, rows.length)) }, work))
    if (stopped !== undefined) throw stopped
    let promptTokens = 0
    let completionTokens = 0
    async function* lines(): AsyncGenerator<Uint8Array> {
      for (const { key, messages, expected } of rows) {
        const reply = await journal.find(key)
        promptTokens += reply?.tokens.promptTokens ?? 0
        completionTokens += reply?.tokens.completionTokens ?? 0
        const { content: prediction, finishReason } = reply ?? {}
        yield Buffer.from(
          `${JSON.stringify({ messages, prediction, finishReason, ...(expected !== undefined && { expected }) })}\n`,
        )
      }
    }
    await writeFileAtomic(output, lines())
    return { output, rows: rows.length, received, reused: rows.length - received, promptTokens, completionTokens }
  } finally {
    await journal.close()
  }
}

/** What is asked, and the answer that the row has. */
function questionOf({ origin, messages }: HostedRow): Pick<Asked, 'messages' | 'expected'> {
  const last = messages.at(-1)
  const isAnswered = last?.role === 'assistant'
  const asked = (isAnswered ? messages.slice(0, -1) : messages).map(({ role, content, toolCalls }): HostedMessage => {
    if (!ROLES.includes(role) || toolCalls !== undefined)
      throw rowError(
        origin,
        `[predictHosted] expected messages of system, user and assistant in ${describeOrigin(origin)}, got ${toolCalls ? 'calls of tools' : role}; leave ` +
          'the row out',
      )
    return { role: role as HostedMessage['role'], content }
  })
  if (asked.length === 0)
    throw rowError(origin, `[predictHosted] expected a question in ${describeOrigin(origin)}, got none; add one`)
  return { messages: asked, expected: isAnswered ? last.content : undefined }
}
