/**
 * @file Replies that are paid for once: from the journal where an earlier run got them, else from the endpoint, and
 * then kept before they are used. Knows no prompts.
 */

import { createHash } from 'node:crypto'
import type { ChatReply, ChatRequest, OpenAIClient } from './openai-client.js'
import type { ReplyJournal } from './reply-journal.js'

export class PaidReplies {
  readonly #client: OpenAIClient
  readonly #journal: ReplyJournal | undefined
  readonly #signal: AbortSignal | undefined
  /** Replies that no journal keeps. */
  readonly #kept = new Map<string, ChatReply>()
  /** Requests that are open: equal ones share a reply. */
  readonly #open = new Map<string, Promise<ChatReply>>()
  #received = 0
  #reused = 0
  /** Why nothing more is sent. What is open already is waited for: it is paid for. */
  #stopped: unknown

  /** @param journal Undefined: replies are kept as long as this object. */
  constructor(client: OpenAIClient, journal: ReplyJournal | undefined, signal: AbortSignal | undefined) {
    this.#client = client
    this.#journal = journal
    this.#signal = signal
  }

  /** Replies that came in this run. */
  get received(): number {
    return this.#received
  }

  /** Replies of earlier runs, and those to a request that was made before. */
  get reused(): number {
    return this.#reused
  }

  /** Sends nothing more: the next request fails with this error. */
  stop(error: unknown): void {
    this.#stopped ??= error
  }

  /** Waits for what is open. */
  async drain(): Promise<void> {
    while (this.#open.size > 0) await Promise.allSettled(this.#open.values())
  }

  /**
   * The reply to a request.
   * @param attempt Which of its replies, where earlier ones were not what was asked for.
   * @throws EndpointError where the endpoint does not reply
   */
  async reply(request: ChatRequest, attempt: number): Promise<ChatReply> {
    const key = keyOf(request, attempt)
    const open = this.#open.get(key)
    if (open !== undefined) return await open
    const reply = this.#fetch(key, request)
    this.#open.set(key, reply)
    try {
      return await reply
    } finally {
      this.#open.delete(key)
    }
  }

  async #fetch(key: string, request: ChatRequest): Promise<ChatReply> {
    const known = this.#journal === undefined ? this.#kept.get(key) : await this.#journal.find(key)
    if (known !== undefined) {
      this.#reused++
      return known
    }
    if (this.#stopped !== undefined) throw this.#stopped
    const reply = await this.#client.chat(request, this.#signal, (got) => this.#keep(key, got))
    this.#received++
    return reply
  }

  async #keep(key: string, reply: ChatReply): Promise<void> {
    if (this.#journal === undefined) this.#kept.set(key, reply)
    else await this.#journal.add(key, reply)
  }
}

/** What a request asks, whatever address it goes to, and which of its replies this is. */
function keyOf({ schema, ...asked }: ChatRequest, attempt: number): string {
  const { model, messages, maxTokens, temperature, seed, extraBody } = asked
  const identity = [model, messages, maxTokens, temperature, seed, extraBody, schema?.name, attempt]
  return createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 32)
}
