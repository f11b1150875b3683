/**
 * @file `lowrank generate`: a model, with an adapter if one is given, continues a text. What it does is in
 * generate-answer.ts.
 */

import type { TextGenerationOptions } from '../generation/generate-text.js'
import { anything, boolean } from '../options/rules.js'
import type { Command } from './command.js'
import {
  ADAPTER,
  expectModel,
  HOLDING_FLAGS,
  type HoldingFlags,
  JSON_OBJECT,
  MODEL_FLAGS,
  type ModelFlags,
} from './flags.js'
import { expectDrawing, SAMPLING_FLAGS, type SamplingFlags, samplingOf } from './sampling-flags.js'
import { checkAll, UsageError } from './usage-error.js'

interface GenerateFlags extends ModelFlags, HoldingFlags, SamplingFlags {
  readonly adapter?: string
  readonly prompt?: string
  readonly chat?: boolean
  readonly json?: boolean
}

/** What is asked, and how it is answered. */
export interface Generate extends GenerateFlags {
  readonly sampling: TextGenerationOptions
}

export const command: Command<GenerateFlags, Generate> = {
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
  async run(checked) {
    const { generate } = await import('./generate-answer.js')
    await generate(checked)
  },
}
