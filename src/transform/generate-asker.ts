/**
 * @file Asks a model for one step of a pair: from the journal where the reply was paid for, else from the endpoint, and
 * again where it is not what was asked for. Counts all of it.
 */

import { EndpointError } from '../openai/endpoint-error.js'
import type { ChatReply, ChatRequest, OpenAIClient } from '../openai/openai-client.js'
import { PaidReplies } from '../openai/paid-replies.js'
import type { ReplyJournal } from '../openai/reply-journal.js'
import { isRefusal, type Malformed, modelOfReply, REFUSED_CONTENT } from '../openai/reply-json.js'
import type { Step } from './generate-prompts.js'
import { readReply, type StepValues, schemaOfStep } from './generate-replies.js'

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

export class Asker {
  readonly #replies: PaidReplies
  readonly #options: AskingOptions
  readonly #malformed = new Map<Malformed, number>()
  #refused = 0

  constructor(client: OpenAIClient, journal: ReplyJournal, options: AskingOptions) {
    this.#replies = new PaidReplies(client, journal, options.signal)
    this.#options = options
  }

  get counts(): ReplyCounts {
    return {
      received: this.#replies.received,
      reused: this.#replies.reused,
      malformed: Object.fromEntries(this.#malformed),
      refused: this.#refused,
    }
  }

  /** Sends nothing more: the next request fails with this error. */
  stop(error: unknown): void {
    this.#replies.stop(error)
  }

  /** Waits for what is open. */
  async drain(): Promise<void> {
    await this.#replies.drain()
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
        reply = await this.#replies.reply(request, attempt)
      } catch (error) {
        if (!(error instanceof EndpointError) || !REFUSED_CONTENT.includes(error.status)) throw error
        if (this.#options.onError === 'skip') return { failure: `HTTP ${error.status}` }
        const { message, failure, status, cause } = error
        throw new EndpointError(`${message}; it was asked about ${row}: onError 'skip' leaves such rows out`, {
          failure,
          status,
          cause,
        })
      }
      if (isRefusal(reply)) {
        this.#refused++
        return { failure: `refused: ${step}` }
      }
      const values = readReply(step, reply)
      if (typeof values !== 'string') return { values, model: modelOfReply(reply, request.model) }
      this.#malformed.set(values, (this.#malformed.get(values) ?? 0) + 1)
    }
    return { failure: `malformed: ${step}` }
  }
}
