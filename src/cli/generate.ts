/** @file `lowrank generate`: a model, with an adapter if one is given, continues a text. */

import { text } from 'node:stream/consumers'
import { LoraAdapter } from '../adapters/lora-adapter.js'
import { beginLoading } from '../checkpoint/load-model.js'
import { type ModelLocation, resolveModel } from '../checkpoint/resolve-model.js'
import { checkQuantization, type Quantization } from '../nn/module.js'
import { loadTokenizer } from '../tokenizer/tokenizer.js'
import { createProgress } from './progress.js'
import { UsageError } from './usage-error.js'

interface GenerateCommandOptions {
  readonly model: string
  readonly revision?: string
  readonly adapter?: string
  readonly quantization?: string
  readonly prompt?: string
  readonly maxNewTokens: number
  readonly chat?: boolean
  readonly json?: boolean
}

export async function generate(options: GenerateCommandOptions): Promise<void> {
  const quantization = quantizationOf(options.quantization)
  const prompt = options.prompt ?? (await promptFromStdin())
  const location = await fetchWithProgress(options)
  const tokenizer = await loadTokenizer(location.directory)
  // The template writes the special tokens itself.
  const promptIds = options.chat
    ? tokenizer.encode(
        tokenizer.applyChatTemplate([{ role: 'user', content: prompt }], { addGenerationPrompt: true }),
        { addSpecialTokens: false },
      )
    : tokenizer.encode(prompt)
  if (promptIds.length === 0)
    throw new UsageError('[generate] expected a prompt of at least one token, got an empty one')

  const model = await beginLoading(location, { quantization })
  if (options.adapter !== undefined) await LoraAdapter.load(model, options.adapter)
  const eosTokenId = [...new Set([...model.config.eosTokenId, ...tokenizer.eosTokenIds])]
  const started = performance.now()
  const ids = await model.generate(promptIds, { maxNewTokens: options.maxNewTokens, eosTokenId })
  const seconds = (performance.now() - started) / 1000
  const stopped = eosTokenId.includes(ids.at(-1) ?? -1)
  const answer = tokenizer.decode(ids, { skipSpecialTokens: true })

  if (!options.json) {
    process.stdout.write(`${answer}\n`)
    return
  }
  const result = {
    prompt,
    text: answer,
    promptTokens: promptIds.length,
    newTokens: ids.length,
    finishReason: stopped ? 'stop' : 'length',
    tokensPerSecond: ids.length / seconds,
  }
  process.stdout.write(`${JSON.stringify(result)}\n`)
}

async function fetchWithProgress({ model, revision, json }: GenerateCommandOptions): Promise<ModelLocation> {
  const progress = createProgress()
  try {
    return await resolveModel(model, { revision, onEvent: json ? undefined : progress.onEvent })
  } finally {
    progress.stop()
  }
}

function quantizationOf(value: string | undefined): Quantization | undefined {
  try {
    return checkQuantization('generate', value)
  } catch (cause) {
    throw new UsageError((cause as Error).message, { cause })
  }
}

/** Piped text without its last line break, which is the shell's and not the user's. */
async function promptFromStdin(): Promise<string> {
  if (process.stdin.isTTY) throw new UsageError('[generate] expected --prompt TEXT, or a text on stdin; got neither')
  return (await text(process.stdin)).replace(/\r?\n$/, '')
}
