/** @file `lowrank generate`: a model, with an adapter if one is given, continues a text. */

import { LoraAdapter } from '../adapters/lora-adapter.js'
import { beginLoading } from '../checkpoint/load-model.js'
import { streamText, type TextGenerationOptions } from '../generation/generate-text.js'
import { anything, boolean } from '../options/rules.js'
import { loadTokenizer } from '../tokenizer/tokenizer.js'
import { showAnswer } from './answer.js'
import type { Command } from './command.js'
import { ADAPTER, HOLDING_FLAGS, type HoldingFlags, JSON_OBJECT, MODEL_FLAGS, type ModelFlags } from './flags.js'
import { expectModel, locateModel, tokenizerPlace } from './locate-model.js'
import { expectDrawing, SAMPLING_FLAGS, type SamplingFlags, samplingOf } from './sampling-flags.js'
import { showModelWarnings, showWarnings } from './show-warnings.js'
import { inputText } from './standard-input.js'
import { checkAll, UsageError } from './usage-error.js'

interface GenerateFlags extends ModelFlags, HoldingFlags, SamplingFlags {
  readonly adapter?: string
  readonly prompt?: string
  readonly chat?: boolean
  readonly json?: boolean
}

interface Checked extends GenerateFlags {
  readonly sampling: TextGenerationOptions
}

export const command: Command<GenerateFlags, Checked> = {
  summary: 'continue a prompt, or answer it',
  flags: {
    ...MODEL_FLAGS,
    adapter: ADAPTER,
    ...HOLDING_FLAGS,
    prompt: {
      rule: anything,
      help: 'the text',
      otherwise: 'what comes on stdin',
      flag: { name: '--prompt', argument: 'text', group: 'Prompt' },
    },
    chat: {
      rule: boolean,
      help: 'wrap the prompt as a message of the user in the chat template',
      flag: { name: '--chat' },
    },
    ...SAMPLING_FLAGS,
    json: JSON_OBJECT,
  },
  examples: [
    {
      text: 'Ask a model of the Hub',
      line: 'generate --model Qwen/Qwen3-0.6B --chat --prompt "Who are you?"',
    },
    {
      text: 'Ask the model that an adapter was trained on, with the adapter',
      line: 'generate --adapter out/mine/adapter --chat --prompt "Hi!"',
    },
    {
      text: 'Continue the text of a file, and draw the tokens',
      line: 'generate --model model.gguf --temperature 0.7 < story.txt',
    },
  ],
  async check({ flags }) {
    await checkAll('generate', [
      () => expectModel('generate', flags.model, flags.adapter === undefined ? [] : [flags.adapter]),
      () => expectDrawing('generate', flags),
      () => {
        if (flags.prompt === undefined && process.stdin.isTTY)
          throw new UsageError('[generate] expected --prompt TEXT, or a text on stdin; got neither')
      },
    ])
    return { ...flags, sampling: samplingOf(flags) }
  },
  async run({ adapter, chat, json, sampling, prompt: given, quantization, dtype, device, ...place }) {
    const prompt = given ?? (await promptFromStdin())
    const adapters = adapter === undefined ? [] : [adapter]
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
  },
}

/** Piped text without its last line break, which is the shell's and not the user's. */
async function promptFromStdin(): Promise<string> {
  return (await inputText('generate')).replace(/\r?\n$/, '')
}
