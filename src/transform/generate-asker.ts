/**
 * @file Asks a model for one step of a pair: from the journal where the reply was paid for, else from the endpoint, and
 * again where it is not what was asked for. Counts all of it.
 */

import { createHash } from 'node:crypto'
import { EndpointError } from '../openai/endpoint-error.js'
import type { ChatReply, ChatRequest, OpenAIClient } from '../openai/openai-client.js'
import type { ReplyJournal } from './generate-journal.js'
import type { Step } from './generate-prompts.js'
import { type Malformed, readReply, type StepValues, schemaOfStep } from './generate-replies.js'

/** How a model is asked. */
export interface AskingOptions {
  readonly model: string
  readonly judgeModel: string | undefined
  readonly maxTokens: number
  readonly temperature: number
  readonly seed: number | undefined
  readonly extraBody: Readonly<Record<string, unknown>> | undefined
  /** Questions that a row is asked for. */
  readonly pairsPerRow: number
  /** Replies that are asked for before a step is given up. */
  readonly maxAttempts: number
  readonly onError: 'error' | 'skip'
  readonly signal: AbortSignal | undefined
}

/** What became of replies. */
export interface ReplyCounts {
  /** Replies that came in this run. */
  readonly received: number
  /** Replies of earlier runs. */
  readonly reused: number
  /** Those of both that were not what was asked for, by reason. */
  readonly malformed: Readonly<Record<string, number>>
  /** Those of both in which the model refused. */
  readonly refused: number
}

/** The values of a step, with the model that gave them; or why there are none. */
export type Outcome = { readonly values: Partial<StepValues>; readonly model: string } | { readonly failure: string }

/** Statuses by which an endpoint refuses what one request holds, and not all requests. */
const REFUSED_CONTENT = [400, 413, 422]

export class Asker {
  readonly #client: OpenAIClient
  readonly #journal: ReplyJournal
  readonly #options: AskingOptions
  /** Requests that are open: equal ones share a reply. */
  readonly #open = new Map<string, Promise<ChatReply>>()
  readonly #malformed = new Map<Malformed, number>()
  #received = 0
  #reused = 0
  #refused = 0
  /** Why nothing more is sent. What is open already is waited for: it is paid for. */
  #stopped: unknown

  constructor(client: OpenAIClient, journal: ReplyJournal, options: AskingOptions) {
    this.#client = client
    this.#journal = journal
    this.#options = options
  }

  get counts(): ReplyCounts {
    return {
      received: this.#received,
      reused: this.#reused,
      malformed: Object.fromEntries(this.#malformed),
      refused: this.#refused,
    }
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
   * Asks for the values of a step.
   * @param row What errors call the row.
   * @throws EndpointError where the endpoint does not reply
   */
  async ask(step: Step, messages: ChatRequest['messages'], row: string): Promise<Outcome> {
    const {
      model,
      judgeModel = model,
      maxTokens,
      temperature,
      seed,
      extraBody,
      maxAttempts,
      pairsPerRow,
    } = this.#options
    const isJudging = step === 'judgeQuestion' || step === 'judgeAnswer'
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      const request: ChatRequest = {
        model: isJudging ? judgeModel : model,
        messages,
        maxTokens,
        // A judge is to say the same twice, unless that is no JSON.
        temperature: isJudging && attempt === 0 ? 0 : temperature,
        ...(seed !== undefined && { seed: seed + attempt }),
        schema: schemaOfStep(step, pairsPerRow),
        ...(extraBody && { extraBody }),
      }
      let reply: ChatReply
      try {
        reply = await this.#reply(request, attempt)
      } catch (error) {
        if (!(error instanceof EndpointError) || !REFUSED_CONTENT.includes(error.status ?? 0)) throw error
        if (this.#options.onError === 'skip') return { failure: `HTTP ${error.status}` }
        const { message, failure, status, cause } = error
        throw new EndpointError(`${message}; it was asked about ${row}: onError 'skip' leaves such rows out`, {
          failure,
          status,
          cause,
        })
      }
      if (reply.refusal !== undefined || reply.finishReason === 'content_filter') {
        this.#refused++
        return { failure: `refused: ${step}` }
      }
      const values = readReply(step, reply)
      if (typeof values !== 'string')
        return { values, model: isPath(reply.model) ? request.model : reply.model || request.model }
      this.#malformed.set(values, (this.#malformed.get(values) ?? 0) + 1)
    }
    return { failure: `malformed: ${step}` }
  }

  async #reply(request: ChatRequest, attempt: number): Promise<ChatReply> {
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
    const known = await this.#journal.find(key)
    if (known !== undefined) {
      this.#reused++
      return known
    }
    if (this.#stopped !== undefined) throw this.#stopped
    const keep = (got: ChatReply): Promise<void> => this.#journal.add(key, got)
    const reply = await this.#client.chat(request, this.#options.signal, keep)
    this.#received++
    return reply
  }
}

/** Some servers name the file of a model: where that lies on their machine is no one's business. */
function isPath(name: string): boolean {
  return name.startsWith('/') || name.includes('\\')
}

/** What a request asks, whatever address it goes to, and which of its replies this is. */
function keyOf({ schema, ...asked }: ChatRequest, attempt: number): string {
  const { model, messages, maxTokens, temperature, seed, extraBody } = asked
  const identity = [model, messages, maxTokens, temperature, seed, extraBody, schema?.name, attempt]
  return createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 32)
}
