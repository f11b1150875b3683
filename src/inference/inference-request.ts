/** @file What is asked of the inference engine, and what it answers. */

import type { TokenMask } from '../decoding/token-mask.js'
import type { SamplingParameters } from '../ops/sample.js'

/** One answer to one prompt. */
export interface InferenceRequest {
  /** The prompt's tokens, at least one. */
  readonly promptIds: Int32Array
  /**
   * The name of a loaded adapter.
   * @default none: the base model answers
   */
  readonly adapter?: string
  /** Tokens of the longest answer, at least 1. */
  readonly maxNewTokens: number
  /** Ids that end the answer; the ending id is its last. */
  readonly eosTokenIds: ReadonlySet<number>
  /**
   * How tokens are drawn.
   * @default none: the most likely token
   */
  readonly sampling?: SamplingParameters
  /**
   * Numbers that are added to the logits of ids before a token is drawn, 1024 ids at most.
   * @default none
   */
  readonly logitBias?: ReadonlyMap<number, number>
  /**
   * Taken from the logits of ids that the answer has already, whatever their number. Tokens of the prompt do not count.
   * Biases and both penalties come before the repetition penalty of `sampling`, which multiplies.
   * @default 0
   */
  readonly presencePenalty?: number
  /**
   * Taken from the logit of an id for each time that the answer has it already.
   * @default 0
   */
  readonly frequencyPenalty?: number
  /**
   * How many of the most likely ids come with each token, with their log probabilities, 0 to 20. The token's own
   * log probability comes, too. Log probabilities are of the model's own distribution: before biases, penalties,
   * temperature and masks.
   * @default none: no log probabilities
   */
  readonly logprobs?: number
  /**
   * Which ids may come.
   * @default none: every id
   */
  readonly mask?: TokenMask
}

/** An id and its log probability, in nats. */
export interface TokenLogprob {
  readonly id: number
  readonly logprob: number
}

/** A token of an answer. */
export interface InferenceToken {
  readonly id: number
  /** Present where the request asks for log probabilities. */
  readonly logprob?: number
  /** The most likely ids, the likeliest first; present where the request asks for log probabilities. */
  readonly topLogprobs?: readonly TokenLogprob[]
}

/** Why an answer ended. */
export type FinishReason = 'stop' | 'length'

/**
 * An answer as it grows: iterating gives its tokens, each once. It rejects where the engine fails, and with the reason
 * of the signal that came with the request.
 */
export interface InferenceAnswer extends AsyncIterable<InferenceToken> {
  /** Tokens of the prompt whose keys and values were there before; known with the first token. */
  readonly cachedTokens: number
  /** Known when the iteration has ended. */
  readonly finishReason: FinishReason | undefined
  /** Ends the answer early, as after a stop text: its place is free for others. Without effect after the end. */
  stop(): void
}

/** What an engine is doing, and has done since it began. */
export interface InferenceFigures {
  readonly running: number
  readonly waiting: number
  /** Pages of keys and values: all there are, those that answers hold, and those kept for prompts to come. */
  readonly pages: { readonly total: number; readonly held: number; readonly cached: number }
  readonly promptTokens: number
  readonly cachedTokens: number
  readonly generatedTokens: number
  readonly finishedRequests: number
}

/** Answers many requests at once on one model. */
export interface InferenceEngine {
  /**
   * Queues a request. Its place in the queue is that of the call.
   *
   * @throws OptionError where the request cannot be answered at all: no tokens, an unknown adapter, too many positions
   * @throws LowrankError `BUSY` where as many requests wait as may wait
   */
  submit(request: InferenceRequest, signal?: AbortSignal): InferenceAnswer
  /**
   * Tokens that a prompt and its answer may have together: what the model is for, and what there are pages for.
   * @default undefined: what the model is for
   */
  readonly maxModelLen?: number
  /** Names of the adapters that requests may ask for. */
  readonly adapters: readonly string[]
  /** Loads a PEFT adapter under a name; a name that is taken gets the new one, for requests from then on. */
  loadAdapter(name: string, directory: string): Promise<void>
  /** Takes an adapter away once the answers that use it have ended; new requests for it are refused at once. */
  removeAdapter(name: string): Promise<void>
  figures(): InferenceFigures
  /** Takes no further requests and resolves when those there are have ended; `signal` ends them at once. */
  close(signal?: AbortSignal): Promise<void>
}
