/** @file `lowrank serve`: a model behind OpenAI's interface. What it does is in serve-model.ts. */

import { INFERENCE_OPTIONS, type InferenceOptions } from '../inference/engine-options.js'
import { boolean, listOf, path, text } from '../options/rules.js'
import { isLoopback } from '../serve/host-names.js'
import { SERVE_HANDLER_OPTIONS, type ServeHandlerOptions } from '../serve/options.js'
import { SERVE_OPTIONS, type ServeOptions } from '../serve/serve-options.js'
import type { Command } from './command.js'
import { HOLDING_FLAGS, type HoldingFlags, MODEL_FLAGS } from './flags.js'
import { checkAll, UsageError } from './usage-error.js'

type ServerFlags = Required<
  Pick<ServeOptions, 'host' | 'port' | 'maxConnections' | 'headersTimeout' | 'keepAliveTimeout'>
> &
  Pick<ServeOptions, 'allowedHosts'>

type HandlerFlags = Omit<ServeHandlerOptions, 'engine' | 'apiKeys' | 'onLog' | 'page'>

type EngineFlags = Pick<
  InferenceOptions,
  'maxSequences' | 'maxWaiting' | 'maxModelLen' | 'kvCacheMemory' | 'maxLoras' | 'maxLoraRank'
>

interface ServeFlags extends HoldingFlags, ServerFlags, HandlerFlags, EngineFlags {
  readonly revision?: string
  readonly adapter: readonly string[]
  readonly apiKeyFile?: string
  readonly noPage?: boolean
  readonly log?: string
  readonly json?: boolean
}

/** What is served, and how. */
export interface Serve extends ServeFlags {
  readonly model: string | undefined
  /** Names of adapters, in the order of `adapter`; their directories stand there. */
  readonly adapterNames: readonly string[]
}

const { modelName, allowedOrigins, admin, ...LIMITS } = SERVE_HANDLER_OPTIONS
const { engine: _engine, apiKeys: _keys, onLog: _log, page: _page, ...LIMIT_FLAGS } = LIMITS
const { maxSequences, maxWaiting, maxModelLen, kvCacheMemory, maxLoras, maxLoraRank } = INFERENCE_OPTIONS

export const command: Command<ServeFlags, Serve> = {
  summary: "serve a model and its adapters with OpenAI's interface",
  details:
    'Programs that speak with OpenAI speak with it: /v1/chat/completions, /v1/completions, /v1/responses and /v1/models. ' +
    'The key that requests must have stands in --api-key-file, or in the environment variable LOWRANK_API_KEY.',
  arguments: [
    {
      name: 'MODEL',
      help: 'directory, .gguf file, Hub id or uc:// address of the model',
      otherwise: 'the one that the first adapter names',
    },
  ],
  flags: {
    revision: MODEL_FLAGS.revision,
    adapter: {
      rule: listOf(text, 'NAME=DIR'),
      default: [],
      otherwise: 'none',
      help: 'a LoRA adapter and the name by which requests ask for it; without a name, that of its directory',
      flag: { name: '--adapter', argument: 'name=dir', isRepeatable: true, group: 'Models' },
    },
    modelName,
    ...HOLDING_FLAGS,
    ...SERVE_OPTIONS,
    apiKeyFile: {
      rule: path,
      otherwise: 'the key in LOWRANK_API_KEY, else none',
      help: 'a file with a key per line; a request must have one of them',
      flag: { name: '--api-key-file', argument: 'file', group: 'Access' },
    },
    allowedOrigins,
    admin,
    noPage: { rule: boolean, help: 'show no page for trying at /', flag: { name: '--no-page' } },
    ...LIMIT_FLAGS,
    maxSequences: { ...maxSequences, flag: { name: '--max-sequences', argument: 'count', group: 'Engine' } },
    maxWaiting: { ...maxWaiting, flag: { name: '--max-waiting', argument: 'count' } },
    maxModelLen: { ...maxModelLen, flag: { name: '--max-model-len', argument: 'tokens' } },
    kvCacheMemory: { ...kvCacheMemory, flag: { name: '--kv-cache-memory', argument: 'bytes' } },
    maxLoras: { ...maxLoras, flag: { name: '--max-loras', argument: 'count' } },
    maxLoraRank: { ...maxLoraRank, flag: { name: '--max-lora-rank', argument: 'rank' } },
    log: {
      rule: path,
      otherwise: 'none',
      help: 'a file that gets a line of JSON for each request, without prompts and answers; -: stdout',
      flag: { name: '--log', argument: 'file', group: 'Output' },
    },
    json: { rule: boolean, help: 'write what is served as a line of JSON to stdout', flag: { name: '--json' } },
  },
  examples: [
    { text: 'Serve a model of the Hub', line: 'serve Qwen/Qwen3-0.6B' },
    {
      text: 'Serve two adapters beside their base model',
      line: 'serve model --adapter law=out/law --adapter code=out/code',
    },
    {
      text: 'Serve on a network, with a key',
      line: 'serve model.gguf --host 0.0.0.0 --api-key-file keys.txt',
    },
  ],
  async check({ flags, words: [model] }) {
    const adapters = flags.adapter.map(namedAdapter)
    await checkAll('serve', [
      () => {
        if (model === undefined && adapters.length === 0)
          throw new UsageError('[serve] expected MODEL, or --adapter DIR, which names it; got neither')
      },
      () => {
        const names = adapters.map(({ name }) => name)
        const twice = names.find((name, at) => names.indexOf(name) !== at)
        if (twice !== undefined)
          throw new UsageError(
            `[serve] expected each name of an adapter once, got ${twice} twice; write --adapter NAME=DIR`,
          )
      },
      () => {
        const hasKey = flags.apiKeyFile !== undefined || Boolean(process.env.LOWRANK_API_KEY)
        if (!flags.admin || hasKey || isLoopback(flags.host)) return
        throw new UsageError(
          '[serve] expected --api-key-file with --admin at an address of the network, got none: everybody there could load files of this machine',
        )
      },
    ])
    return {
      ...flags,
      model,
      adapter: adapters.map(({ directory }) => directory),
      adapterNames: adapters.map(({ name }) => name),
    }
  },
  async run(checked) {
    const { serveModel } = await import('./serve-model.js')
    await serveModel(checked)
  },
}

/**
 * `law=out/law`, or a directory alone, whose name is taken: that of its parent where it is `adapter`, as runs write it.
 */
function namedAdapter(given: string): { name: string; directory: string } {
  const [, name, directory] = /^([\w.-]+)=(.+)$/s.exec(given) ?? []
  if (name !== undefined && directory !== undefined) return { name, directory }
  const parts = given.split(/[\\/]+/).filter((part) => part !== '' && part !== '.')
  const last = parts.at(-1)
  return { name: (last === 'adapter' ? parts.at(-2) : last) ?? 'adapter', directory: given }
}
