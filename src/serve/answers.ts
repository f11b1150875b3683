/**
 * @file The answers to one request: submitted together, then one stream of pieces of text, each with the choice that it
 * is of. Knows neither routes nor JSON.
 */

import { IncrementalText } from '../generation/incremental-text.js'
import type { FinishReason, InferenceAnswer, InferenceToken } from '../inference/inference-request.js'
import type { SamplingParameters } from '../ops/sample.js'
import { keepingMarkers } from '../tool-calls/tool-syntax.js'
import type { LogitAdditionFields } from './answer-fields.js'
import type { AnswerFormat } from './answer-format.js'
import { refusedByEngine } from './api-error.js'
import { type CallPiece, CallPieces } from './call-pieces.js'
import type { NamedModel, ServedModel } from './served-model.js'

/** What is asked, whatever route it came by. */
export interface Asked {
  readonly model: NamedModel
  readonly prompts: readonly Int32Array[]
  /** Answers to each prompt. */
  readonly n: number
  readonly maxNewTokens: number
  readonly samplingOf: (seed: number) => SamplingParameters | undefined
  readonly additions: LogitAdditionFields
  readonly seed: number
  readonly stops: readonly string[]
  /** How many likely tokens are told with each; undefined: no log probabilities. */
  readonly logprobs: number | undefined
  readonly format: AnswerFormat
}

/** Text that is certain, and the tokens that it came with where log probabilities are asked for. */
export interface AnswerPiece {
  readonly text: string
  readonly tokens: readonly InferenceToken[]
  readonly calls: readonly CallPiece[]
}

/** Why an answer ended, as OpenAI says it. */
type EndReason = FinishReason | 'tool_calls'

/** The end of an answer. */
export interface AnswerEnd {
  readonly finishReason: EndReason
  /** All of its text. */
  readonly text: string
}

/** What happens to one of the answers; the choice counts through all answers to all prompts. */
export type AnswerEvent =
  | { readonly choice: number; readonly piece: AnswerPiece }
  | { readonly choice: number; readonly end: AnswerEnd }

/** Tokens of a request. */
export interface Usage {
  readonly promptTokens: number
  readonly cachedTokens: number
  readonly completionTokens: number
}

export class Answers {
  readonly #served: ServedModel
  readonly #asked: Asked
  readonly #answers: readonly InferenceAnswer[]
  #completionTokens = 0
  /** Milliseconds of `performance.now()` at which the first token came. */
  firstTokenAt: number | undefined

  /**
   * Submits all answers, or none.
   * @throws what the engine throws at a request
   */
  constructor(served: ServedModel, asked: Asked, signal: AbortSignal) {
    this.#served = served
    this.#asked = asked
    const submitted: InferenceAnswer[] = []
    try {
      for (const promptIds of asked.prompts)
        for (let n = 0; n < asked.n; n++) submitted.push(this.#submit(promptIds, submitted.length, signal))
    } catch (error) {
      for (const answer of submitted) answer.stop()
      throw refusedByEngine(error)
    }
    this.#answers = submitted
  }

  #submit(promptIds: Int32Array, choice: number, signal: AbortSignal): InferenceAnswer {
    const { model, maxNewTokens, samplingOf, additions, seed, logprobs, format } = this.#asked
    const sampling = samplingOf(seed + choice)
    const mask = format.grammar?.start()
    return this.#served.engine.submit(
      {
        promptIds,
        maxNewTokens,
        eosTokenIds: this.#served.eosTokenIds,
        ...(model.adapter !== undefined && { adapter: model.adapter }),
        ...(sampling && { sampling }),
        ...additions,
        ...(logprobs !== undefined && { logprobs }),
        ...(mask && { mask }),
      },
      signal,
    )
  }

  get count(): number {
    return this.#answers.length
  }

  /** Known as far as the answers have come. */
  get usage(): Usage {
    const { prompts, n } = this.#asked
    return {
      promptTokens: prompts.reduce((sum, { length }) => sum + length, 0),
      // The answers to one prompt share it: it counts once, as it was found.
      cachedTokens: prompts.reduce((sum, _, prompt) => sum + (this.#answers[prompt * n]?.cachedTokens ?? 0), 0),
      completionTokens: this.#completionTokens,
    }
  }

  /** Ends all answers that have not ended. */
  stop(): void {
    for (const answer of this.#answers) answer.stop()
  }

  /** The pieces and ends of all answers as they come. Leaving the loop ends them. */
  async *events(): AsyncGenerator<AnswerEvent, void, undefined> {
    const streams = this.#answers.map((answer, choice) => this.#eventsOf(answer, choice))
    try {
      const [only] = streams
      if (streams.length === 1 && only) yield* only
      else yield* merged(streams)
    } finally {
      this.stop()
    }
  }

  async *#eventsOf(answer: InferenceAnswer, choice: number): AsyncGenerator<AnswerEvent, void, undefined> {
    const { eosTokenIds } = this.#served
    const { calls: callFormat } = this.#asked.format
    // Markers of calls are special tokens in most vocabularies, and are read as text.
    const tokenizer = callFormat ? keepingMarkers(this.#served.tokenizer, callFormat.syntax) : this.#served.tokenizer
    const calls = callFormat && new CallPieces(callFormat)
    const incremental = new IncrementalText(tokenizer, this.#asked.stops)
    const hasTokens = this.#asked.logprobs !== undefined
    const ids: number[] = []
    /** Tokens whose text is not told yet, and where it ends. */
    let waiting: { token: InferenceToken; end: number }[] = []
    /** All that was decoded and is certain, and what of it is no call. */
    let [decoded, told] = ['', '']
    const take = (piece: string, isWhole: boolean): AnswerEvent | undefined => {
      decoded += piece
      // A token of which a part is held back, as it may begin a stop text, would tell that part.
      const certain = isWhole ? waiting : waiting.filter(({ end }) => end <= decoded.length)
      waiting = waiting.slice(certain.length)
      const tokens = certain.map(({ token }) => token)
      const read = calls?.push(piece) ?? { text: piece, calls: [] }
      told += read.text
      if (read.text === '' && tokens.length === 0 && read.calls.length === 0) return undefined
      return { choice, piece: { ...read, tokens } }
    }
    for await (const token of answer) {
      this.firstTokenAt ??= performance.now()
      this.#completionTokens++
      ids.push(token.id)
      const piece = incremental.push(token.id)
      if (hasTokens && !eosTokenIds.has(token.id)) waiting.push({ token, end: incremental.decodedLength })
      const event = take(piece, false)
      if (event) yield event
      if (!incremental.stopped) continue
      answer.stop()
      break
    }
    const last = take(incremental.end(), !incremental.stopped)
    if (last) yield last
    const rest = calls?.end()
    told += rest?.text ?? ''
    if (rest && (rest.text !== '' || rest.calls.length > 0)) yield { choice, piece: { ...rest, tokens: [] } }
    const isStopped = incremental.stopped || eosTokenIds.has(ids.at(-1) ?? -1)
    const finishReason = isStopped ? (calls?.hasCalls ? 'tool_calls' : 'stop') : (answer.finishReason ?? 'length')
    // Where a decoder changes earlier text by what follows, the answer is what all ids say.
    const whole = incremental.stopped || calls ? told : tokenizer.decode(ids, { skipSpecialTokens: true })
    yield { choice, end: { finishReason, text: whole } }
  }
}

/** What several generators give, each value as soon as it is there. */
async function* merged<T>(
  generators: readonly AsyncGenerator<T, void, undefined>[],
): AsyncGenerator<T, void, undefined> {
  const next = async (from: AsyncGenerator<T, void, undefined>) => ({ from, result: await from.next() })
  const pending = new Map(generators.map((from) => [from, next(from)]))
  try {
    while (pending.size > 0) {
      const { from, result } = await Promise.race(pending.values())
      if (result.done) pending.delete(from)
      else {
        pending.set(from, next(from))
        yield result.value
      }
    }
  } finally {
    // Those that nobody waits for any more may still fail.
    for (const rest of pending.values()) rest.catch(() => undefined)
  }
}
