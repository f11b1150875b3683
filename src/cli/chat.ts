/**
 * @file `lowrank chat`: a conversation on a terminal, or through a pipe with a message per line and an answer per
 * message. The conversation itself is in chat-session.ts.
 */

import type { TextGenerationOptions } from '../generation/generate-text.js'
import { anything, listOf, text } from '../options/rules.js'
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
import { checkAll } from './usage-error.js'

interface ChatFlags extends ModelFlags, HoldingFlags, SamplingFlags {
  readonly adapter: readonly string[]
  readonly system?: string
  readonly json?: boolean
}

/** How the model is held, and how it answers. */
export interface ChatOptions extends ChatFlags {
  readonly sampling: TextGenerationOptions
}

/** Tokens where --max-new-tokens does not say it: answers are longer than continued lines. */
const LONGEST_ANSWER = 512

export const command: Command<ChatFlags, ChatOptions> = {
  summary: 'talk with a model: on a terminal, or a line per message through a pipe',
  flags: {
    ...MODEL_FLAGS,
    adapter: {
      rule: listOf(text, 'paths of directories'),
      default: [],
      otherwise: 'none',
      help: 'directory, Hub id or uc:// address of a LoRA adapter; /adapter switches between several',
      flag: { ...ADAPTER.flag, isRepeatable: true },
    },
    ...HOLDING_FLAGS,
    system: {
      rule: anything,
      help: 'the system message',
      otherwise: "the chat template's",
      flag: { name: '--system', argument: 'text', group: 'Conversation' },
    },
    ...SAMPLING_FLAGS,
    maxNewTokens: { ...SAMPLING_FLAGS.maxNewTokens, default: LONGEST_ANSWER },
    json: { ...JSON_OBJECT, help: 'write a JSON object per answer to stdout' },
  },
  examples: [
    { text: 'Talk with a model of the Hub', line: 'chat --model Qwen/Qwen3-0.6B' },
    { text: 'Compare two adapters of one model', line: 'chat --adapter out/a/adapter --adapter out/b/adapter' },
    { text: 'Answer each line of a file', line: 'chat --adapter out/mine/adapter --json < questions.txt' },
  ],
  async check({ flags }) {
    await checkAll('chat', [() => expectModel('chat', flags.model, flags.adapter), () => expectDrawing('chat', flags)])
    return { ...flags, sampling: samplingOf(flags) }
  },
  async run(checked) {
    const { chat } = await import('./chat-session.js')
    await chat(checked)
  },
}
