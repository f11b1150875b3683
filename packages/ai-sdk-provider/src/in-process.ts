/**
 * @file Models in this process, behind the same interface as a server: a function from Request to Response. Each model
 * is loaded once, by its first request, and shared by all adapters on it.
 */

import type { InferenceOptions, LoadModelOptions } from 'lowrank'

/** How models are loaded, and how their requests are answered together. */
export interface InProcessOptions {
  readonly loadOptions: LoadModelOptions | undefined
  readonly inferenceOptions: InferenceOptions | undefined
}

interface Loaded {
  readonly fetch: (request: Request) => Promise<Response>
  /** Loads an adapter that is not there yet, and gives its name. */
  adapter(path: string): Promise<string>
  close(): Promise<void>
}

/** What requests call a model that is alone in its handler. */
const BASE = 'base'

/** The models of one provider. */
export class InProcessModels {
  readonly #options: InProcessOptions
  readonly #models = new Map<string, Promise<Loaded>>()
  #isClosed = false

  constructor(options: InProcessOptions) {
    this.#options = options
  }

  /** A `fetch` for requests to one model, maybe with an adapter. */
  fetchOf(model: string, adapter: string | undefined): typeof globalThis.fetch {
    return async (input, init) => {
      init?.signal?.throwIfAborted()
      const loaded = await this.#load(model)
      const name = adapter === undefined ? BASE : `${BASE}:${await loaded.adapter(adapter)}`
      const body = { ...(JSON.parse(String(init?.body)) as object), model: name }
      return await loaded.fetch(new Request(input, { ...init, body: JSON.stringify(body) }))
    }
  }

  /** Waits for the answers there are, and gives the memory back. */
  async close(): Promise<void> {
    this.#isClosed = true
    const models = [...this.#models.values()]
    this.#models.clear()
    for (const loading of models) {
      // One that could not be loaded has told whoever asked for it.
      const loaded = await loading.catch(() => undefined)
      await loaded?.close()
    }
  }

  #load(model: string): Promise<Loaded> {
    if (this.#isClosed) throw new Error('[lowrank] expected a provider that is open, got a request after close()')
    const known = this.#models.get(model)
    if (known !== undefined) return known
    const loading = load(model, this.#options)
    this.#models.set(model, loading)
    // The next request tries again.
    loading.catch(() => this.#models.delete(model))
    return loading
  }
}

async function load(path: string, { loadOptions, inferenceOptions }: InProcessOptions): Promise<Loaded> {
  const { createInferenceEngine, createServeHandler, loadModel, loadTokenizer } = await import('lowrank').catch(missing)
  const model = await loadModel(path, loadOptions)
  try {
    const tokenizer = await loadTokenizer(model.path ?? path)
    const engine = await createInferenceEngine(model, inferenceOptions)
    const handler = createServeHandler(model, tokenizer, { engine, modelName: BASE, page: false })
    const adapters = new Map<string, Promise<string>>()
    return {
      fetch: handler.fetch,
      adapter(from) {
        const known = adapters.get(from)
        if (known !== undefined) return known
        const name = `adapter-${adapters.size + 1}`
        const loading = engine.loadAdapter(name, from).then(() => name)
        adapters.set(from, loading)
        loading.catch(() => adapters.delete(from))
        return loading
      },
      async close() {
        await handler.close()
        model.dispose()
      },
    }
  } catch (error) {
    model.dispose()
    throw error
  }
}

function missing(cause: unknown): never {
  throw new Error(
    '[lowrank] expected the package lowrank beside @lowrank/ai-sdk-provider, got none that loads; install it, or give baseURL of a ' +
      'lowrank serve to createLowrank',
    { cause },
  )
}
