/** @file A handler on a scripted engine with a small model's tokenizer, and short ways of asking it. */

import { createModel } from '../../src/causal-lm/create-model.js'
import type { InferenceRequest } from '../../src/inference/inference-request.js'
import { createServeHandler, type ServeHandler } from '../../src/serve/handler.js'
import type { ServeHandlerOptions } from '../../src/serve/options.js'
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { TINY_CONFIG } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'
import { type ScriptedEngine, type ScriptedEngineOptions, scriptedEngine } from './scripted-engine.js'

/** As ChatML has it, without tools. */
export const CHATML =
  "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

const { tokenizer: TOKENIZER_FILE, config: TOKENIZER_CONFIG } = tinyByteLevelTokenizer({
  chatTemplate: CHATML,
  eosToken: '<|im_end|>',
})

export const tokenizer: Tokenizer = createTokenizer(TOKENIZER_FILE, TOKENIZER_CONFIG)
const EOS = tokenizer.eosTokenId as number

/** Ids of a text, and the end of the answer behind it. */
export function answerIds(text: string): number[] {
  return [...tokenizer.encode(text, { addSpecialTokens: false }), EOS]
}

let shared: ReturnType<typeof createModel> | undefined

/** A model of whom only the configuration is asked. */
export function configuredModel(): ReturnType<typeof createModel> {
  shared ??= createModel(TINY_CONFIG, { seed: 1 })
  return shared
}

export interface TestServer {
  readonly handler: ServeHandler
  readonly engine: ScriptedEngine
  readonly get: (path: string, headers?: Record<string, string>) => Promise<Response>
  readonly post: (path: string, body: unknown, headers?: Record<string, string>) => Promise<Response>
}

/** @param answer the text of every answer, or its ids for a request */
export function serveScripted(
  answer: string | ((request: InferenceRequest) => readonly number[]),
  {
    engine: engineOptions,
    ...options
  }: Omit<Partial<ServeHandlerOptions>, 'engine'> & { engine?: Partial<ScriptedEngineOptions> } = {},
): TestServer {
  const answerOf = typeof answer === 'string' ? () => answerIds(answer) : answer
  const engine = scriptedEngine({ answer: answerOf, ...engineOptions })
  const handler = createServeHandler(configuredModel(), tokenizer, { engine, modelName: 'tiny', ...options })
  const ask = (path: string, init: RequestInit): Promise<Response> =>
    handler.fetch(new Request(`http://server${path}`, init))
  return {
    handler,
    engine,
    get: (path, headers = {}) => ask(path, { headers }),
    post: (path, body, headers = {}) =>
      ask(path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      }),
  }
}

/** The objects of a stream of events, its `[DONE]` as that text. */
export async function eventsOf(response: Response): Promise<unknown[]> {
  const blocks = (await response.text()).split('\n\n')
  if (blocks.pop() !== '') throw new Error('[test] expected the last event to end with an empty line')
  return blocks.map((block) => {
    const data = block
      .split('\n')
      .filter((line) => line.startsWith('data: '))
      .map((line) => line.slice(6))
      .join('\n')
    return data === '[DONE]' ? data : (JSON.parse(data) as unknown)
  })
}

/** The error that a response says. */
export async function errorOf(
  response: Response,
): Promise<{ status: number; message: string; type: string; param: string | null; code: string | null }> {
  const { error } = (await response.json()) as {
    error: { message: string; type: string; param: string | null; code: string | null }
  }
  return { status: response.status, ...error }
}
