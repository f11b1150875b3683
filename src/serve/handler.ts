/** @file createServeHandler: from a Request to a Response, under every server that speaks in these. */

import type { CausalLM } from '../causal-lm/causal-lm.js'
import { expectModel } from '../causal-lm/causal-lm.js'
import { readOptions } from '../options/table.js'
import { asTokenizer, type ForeignTokenizer } from '../tokenizer/adapt.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { SERVE_HANDLER_OPTIONS, type ServeHandlerOptions } from './options.js'
import { ServeRequests } from './requests.js'
import { ServedModel } from './served-model.js'

/** Answers requests as OpenAI's API does. */
export interface ServeHandler {
  /** Answers a request; never rejects. It needs no `this`. */
  readonly fetch: (request: Request) => Promise<Response>
  /** Names that requests may ask for: the base model, then its adapters. */
  readonly models: readonly string[]
  /**
   * Takes no further requests, waits for the end of those there are, and closes the engine; `signal` ends them at once.
   */
  readonly close: (signal?: AbortSignal) => Promise<void>
}

/**
 * Makes a handler that serves a model with OpenAI's interface: chat completions, completions and models.
 * @param model of `loadModel`
 * @param tokenizer of `loadTokenizer`, or of transformers.js
 * @throws OptionError on unknown options and wrong values
 */
export function createServeHandler(
  model: CausalLM,
  tokenizer: Tokenizer | ForeignTokenizer,
  options: ServeHandlerOptions,
): ServeHandler {
  expectModel('serve', model)
  const settings = readOptions('serve', options, SERVE_HANDLER_OPTIONS)
  const served = new ServedModel(model, asTokenizer(tokenizer), settings.engine, settings)
  const requests = new ServeRequests(served, settings)
  return {
    fetch: (request) => requests.answer(request),
    get models() {
      return served.entries.map(({ id }) => id)
    },
    close: (signal) => requests.close(signal),
  }
}
