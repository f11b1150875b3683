/** @file What `lowrank generate` does once its flags are right: load, answer, and show the answer while it comes. */

import { LoraAdapter } from '../adapters/lora-adapter.js'
import { beginLoading } from '../checkpoint/load-model.js'
import { streamText } from '../generation/generate-text.js'
import { loadTokenizer } from '../tokenizer/tokenizer.js'
import { showAnswer } from './answer.js'
import type { Generate } from './generate.js'
import { localAdapters } from './local-adapters.js'
import { locateModel, tokenizerPlace } from './locate-model.js'
import { showModelWarnings, showWarnings } from './show-warnings.js'
import { inputText } from './standard-input.js'
import { UsageError } from './usage-error.js'

export async function generate(asked: Generate): Promise<void> {
  const { adapter: named, chat, json, sampling, prompt: given, quantization, dtype, device, ...place } = asked
  const prompt = given ?? (await promptFromStdin())
  const adapters = await localAdapters(named === undefined ? [] : [named], json)
  const [adapter] = adapters
  const location = await locateModel('generate', { ...place, json, adapters })
  const tokenizer = await loadTokenizer(await tokenizerPlace(location, adapter))
  if (!chat && tokenizer.encode(prompt).length === 0)
    throw new UsageError(
      '[generate] expected a prompt of at least one token, got an empty one; add --prompt TEXT, or pipe a text in',
    )
  const model = await beginLoading(location, { quantization, dtype, device })
  showModelWarnings(model)
  if (adapter !== undefined) showWarnings(await LoraAdapter.load(model, adapter))
  const started = performance.now()
  const pieces = streamText(model, tokenizer, chat ? [{ role: 'user', content: prompt }] : prompt, sampling)
  const { text, ids, promptTokens, finishReason } = await showAnswer(pieces, json === true)
  if (!json) return
  const seconds = (performance.now() - started) / 1000
  const figures = { promptTokens, newTokens: ids.length, finishReason, tokensPerSecond: ids.length / seconds }
  process.stdout.write(`${JSON.stringify({ prompt, text, ...figures })}\n`)
}

/** Piped text without its last line break, which is the shell's and not the user's. */
async function promptFromStdin(): Promise<string> {
  return (await inputText('generate')).replace(/\r?\n$/, '')
}
