/** @file `lowrank hosted chat`: asks the tuned model of a hosted run. */

import { CHAT_HOSTED_OPTIONS } from '../../hosted/run-options.js'
import { text } from '../../options/rules.js'
import { harmless } from '../../progress/text-width.js'
import type { Command } from '../command.js'
import { writeJson } from '../databricks/output.js'
import { JSON_OBJECT } from '../flags.js'
import { untilSignal } from '../until-signal.js'
import { UsageError } from '../usage-error.js'
import { expectRun, RUN_ARGUMENT } from './flags.js'

interface ChatFlags {
  readonly system?: string
  readonly model?: string
  readonly maxTokens?: number
  readonly temperature?: number
  readonly seed?: number
  readonly json?: boolean
}

const { model, maxTokens, temperature, seed } = CHAT_HOSTED_OPTIONS

export const command: Command<ChatFlags, ChatFlags & { readonly outputDir: string; readonly prompt: string }> = {
  summary: 'ask the tuned model of a hosted run',
  arguments: [RUN_ARGUMENT, { name: 'PROMPT', help: 'what is asked', otherwise: 'needed' }],
  flags: {
    system: {
      rule: text,
      otherwise: 'none',
      help: 'system message before it',
      flag: { name: '--system', argument: 'text' },
    },
    model,
    maxTokens,
    temperature,
    seed,
    json: { ...JSON_OBJECT, flag: { ...JSON_OBJECT.flag, group: 'Output' } },
  },
  examples: [{ text: 'Ask it', line: 'hosted chat out/tuned "What is 7 squared?"' }],
  check({ flags, words: [run, prompt = ''] }) {
    const outputDir = expectRun('hosted chat', run)
    if (prompt === '')
      throw new UsageError('[hosted chat] expected a prompt behind the folder of the run, got none; write it in quotes')
    return { ...flags, outputDir, prompt }
  },
  async run({ system, prompt, json, ...options }) {
    const { chatHosted } = await import('../../hosted/verbs.js')
    const messages = [
      ...(system === undefined ? [] : [{ role: 'system', content: system } as const]),
      { role: 'user', content: prompt } as const,
    ]
    const reply = await untilSignal((signal) => chatHosted({ ...options, messages, signal }))
    if (json) writeJson(reply)
    else process.stdout.write(`${harmless(reply.content)}\n`)
  },
}
