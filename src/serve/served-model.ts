/** @file What is served: a model with its tokenizer, its engine, and the names by which requests ask for it. */

import { basename } from 'node:path'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { endingIds } from '../decoding/generate-options.js'
import type { SamplingOptions } from '../decoding/sampling-options.js'
import type { InferenceEngine } from '../inference/inference-request.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { AnswerFormats } from './answer-format.js'
import { ApiError } from './api-error.js'

/** A model as a request names it. */
export interface NamedModel {
  /** As answers repeat it. */
  readonly id: string
  /** Absent: the base model. */
  readonly adapter: string | undefined
}

/** An entry of /v1/models, in OpenAI's form with vLLM's `root` and `parent`. */
export interface ModelEntry {
  readonly id: string
  readonly object: 'model'
  readonly created: number
  readonly owned_by: 'lowrank'
  readonly root: string
  readonly parent: string | null
  readonly max_model_len: number
}

/** What a server allows. */
interface ServedLimits {
  readonly modelName: string | undefined
  readonly maxChoices: number
  readonly maxNewTokens: number | undefined
  readonly defaultMaxNewTokens: number
}

export class ServedModel {
  readonly engine: InferenceEngine
  readonly tokenizer: Tokenizer
  /** The name of the base model. */
  readonly name: string
  readonly vocabSize: number
  /** Tokens of the longest prompt and answer together. */
  readonly contextLength: number
  /** What the makers of the model say of how tokens are drawn. */
  readonly sampling: SamplingOptions
  readonly stopStrings: readonly string[]
  readonly eosTokenIds: ReadonlySet<number>
  /** Answers that one request may ask for. */
  readonly maxChoices: number
  /** Tokens of the longest answer that this server gives. */
  readonly maxNewTokens: number
  /** Tokens of an answer whose request names no length. */
  readonly defaultMaxNewTokens: number
  /** Grammars and calls of tools. */
  readonly formats: AnswerFormats
  readonly #created = Math.floor(Date.now() / 1000)

  constructor(model: CausalLM, tokenizer: Tokenizer, engine: InferenceEngine, limits: ServedLimits) {
    this.engine = engine
    this.tokenizer = tokenizer
    this.name = limits.modelName ?? nameOf(model.nameOrPath)
    this.vocabSize = model.config.vocabSize
    this.contextLength = engine.maxModelLen ?? model.config.maxPositionEmbeddings
    this.sampling = model.generationDefaults?.sampling ?? {}
    this.stopStrings = model.generationDefaults?.stopStrings ?? []
    this.maxChoices = limits.maxChoices
    this.maxNewTokens = limits.maxNewTokens ?? this.contextLength
    this.defaultMaxNewTokens = limits.defaultMaxNewTokens
    const ids = [...endingIds(model.config, model.generationDefaults), ...tokenizer.eosTokenIds]
    this.eosTokenIds = new Set(ids.filter((id) => id < model.config.vocabSize))
    this.formats = new AnswerFormats(tokenizer, this.eosTokenIds)
  }

  /**
   * The model that a request names: the base model, `adapter`, or `base:adapter`.
   * @throws ApiError where there is none of that name
   */
  find(id: string): NamedModel {
    if (id === this.name) return { id, adapter: undefined }
    const { adapters } = this.engine
    const prefix = `${this.name}:`
    const adapter = adapters.find((name) => id === name || id === prefix + name)
    if (adapter !== undefined) return { id, adapter }
    const shown = id.length > 80 ? `${id.slice(0, 80)}...` : id
    throw new ApiError(
      404,
      'invalid_request_error',
      `The model ${JSON.stringify(shown)} does not exist; GET /v1/models lists those that do.`,
      {
        param: 'model',
        code: 'model_not_found',
      },
    )
  }

  /** What /v1/models says of a model. */
  entryOf({ id, adapter }: NamedModel): ModelEntry {
    return {
      id,
      object: 'model',
      created: this.#created,
      owned_by: 'lowrank',
      root: this.name,
      parent: adapter === undefined ? null : this.name,
      max_model_len: this.contextLength,
    }
  }

  /** Every name that a request may ask for. */
  get names(): readonly string[] {
    const { adapters } = this.engine
    return [this.name, ...adapters, ...adapters.map((adapter) => `${this.name}:${adapter}`)]
  }

  /** The base model and its adapters, each by its shortest name. */
  get entries(): readonly ModelEntry[] {
    const adapters = this.engine.adapters.map((adapter) => this.entryOf({ id: adapter, adapter }))
    return [this.entryOf({ id: this.name, adapter: undefined }), ...adapters]
  }
}

/** A Hub id as it is; of a path its last part, without `.gguf`. */
function nameOf(nameOrPath: string): string {
  const isHubId = /^[\w.-]+\/[\w.-]+(?:@[\w.-]+)?$/.test(nameOrPath) && !nameOrPath.startsWith('.')
  return isHubId ? nameOrPath : basename(nameOrPath).replace(/\.gguf$/, '') || 'model'
}
