/**
 * @file lowrank as a provider of the AI SDK. Requests have OpenAI's form, which @ai-sdk/openai-compatible writes and
 * reads; they go to a server, or to a model in this process.
 */

import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { InvalidArgumentError, type LanguageModelV4, NoSuchModelError, type ProviderV4 } from '@ai-sdk/provider'
import type { InferenceOptions, LoadModelOptions } from 'lowrank'
import { InProcessModels } from './in-process.js'
import { expectKnown } from './options.js'

export interface LowrankProviderOptions {
  /**
   * Address of a `lowrank serve`, as `http://127.0.0.1:8000/v1`.
   * @default none: models are loaded into this process
   */
  baseURL?: string
  /**
   * Key of the server.
   * @default none
   */
  apiKey?: string
  /**
   * Headers of each request to the server.
   * @default none
   */
  headers?: Record<string, string>
  /**
   * What asks the server.
   * @default the global fetch
   */
  fetch?: typeof globalThis.fetch
  /**
   * How models are loaded into this process: options of `loadModel`.
   * @default its defaults
   */
  loadOptions?: LoadModelOptions
  /**
   * How requests are answered together in this process: options of `createInferenceEngine`.
   * @default its defaults
   */
  inferenceOptions?: InferenceOptions
}

export interface LowrankModelOptions {
  /**
   * In this process the directory or Hub id of a PEFT adapter, at a server the name of one.
   * @default none: the base model answers
   */
  adapter?: string
}

/** Makes models of the AI SDK. */
export interface LowrankProvider extends ProviderV4 {
  /** @param modelId in this process a directory, a GGUF file or a Hub id, at a server the name of its model */
  (modelId: string, options?: LowrankModelOptions): LanguageModelV4
  languageModel(modelId: string, options?: LowrankModelOptions): LanguageModelV4
  /** Waits for the answers that models in this process are giving, and gives their memory back. */
  close(): Promise<void>
}

const AT_SERVER = ['baseURL', 'apiKey', 'headers', 'fetch'] as const
const IN_PROCESS = ['loadOptions', 'inferenceOptions'] as const

/** No request leaves the process: the address is only a part of it. */
const NOWHERE = 'http://localhost/v1'

/**
 * A provider with settings of its own.
 * @throws InvalidArgumentError for unknown options, and for those of a server without `baseURL` or the other way round
 */
export function createLowrank(options: LowrankProviderOptions = {}): LowrankProvider {
  expectKnown('createLowrank', options, [...AT_SERVER, ...IN_PROCESS])
  const { baseURL, apiKey, headers, fetch, loadOptions, inferenceOptions } = options
  const misplaced = (baseURL === undefined ? AT_SERVER : IN_PROCESS).find((name) => options[name] !== undefined)
  if (misplaced !== undefined) {
    const message =
      baseURL === undefined
        ? `[createLowrank] expected baseURL beside ${misplaced}, which is about a server, got none`
        : `[createLowrank] expected no ${misplaced}, which is about models in this process, beside baseURL`
    throw new InvalidArgumentError({ argument: misplaced, message })
  }
  const models = new InProcessModels({ loadOptions, inferenceOptions })

  const languageModel = (modelId: string, own: LowrankModelOptions = {}): LanguageModelV4 => {
    expectKnown('lowrank', own, ['adapter'])
    const { adapter } = own
    const name = adapter === undefined ? modelId : `${modelId}:${adapter}`
    const provider = createOpenAICompatible({
      name: 'lowrank',
      baseURL: baseURL ?? NOWHERE,
      supportsStructuredOutputs: true,
      includeUsage: true,
      ...(apiKey !== undefined && { apiKey }),
      ...(headers && { headers }),
      ...(baseURL === undefined ? { fetch: models.fetchOf(modelId, adapter) } : fetch && { fetch }),
    })
    return provider.chatModel(name)
  }
  const none =
    (modelType: 'embeddingModel' | 'imageModel') =>
    (modelId: string): never => {
      throw new NoSuchModelError({ modelId, modelType })
    }
  return Object.assign((modelId: string, own?: LowrankModelOptions) => languageModel(modelId, own), {
    specificationVersion: 'v4' as const,
    languageModel,
    embeddingModel: none('embeddingModel'),
    imageModel: none('imageModel'),
    close: () => models.close(),
  })
}

/** The provider of models in this process. */
export const lowrank: LowrankProvider = createLowrank()
