/** @file `lowrank databricks serving-endpoints query`: asks an endpoint. */

import { path, text } from '../../../options/rules.js'
import type { Command } from '../../command.js'
import { readSpec } from '../../config.js'
import { JSON_OBJECT } from '../../flags.js'
import { untilSignal } from '../../until-signal.js'
import { UsageError } from '../../usage-error.js'
import { CONNECTION_FLAGS, type ConnectionFlags, connectionOf } from '../connection-flags.js'
import { expectWord } from '../given.js'
import { writeJson } from '../output.js'
import { ENDPOINT_NAME } from './endpoint.js'

interface QueryFlags extends ConnectionFlags {
  readonly prompt?: string
  readonly input?: string
  readonly json?: boolean
}

interface Query extends Omit<QueryFlags, 'prompt' | 'input'> {
  readonly endpoint: string
  readonly body: Readonly<Record<string, unknown>>
}

const NAME = 'databricks serving-endpoints query'

export const command: Command<QueryFlags, Query> = {
  summary: 'ask a serving endpoint',
  details: 'Without --json the text of a chat answer is shown alone, and any other answer as JSON.',
  arguments: [{ name: ENDPOINT_NAME.argument, help: ENDPOINT_NAME.help, otherwise: 'needed' }],
  flags: {
    prompt: {
      rule: text,
      otherwise: 'none',
      help: 'what a user says, for an endpoint with chat messages',
      flag: { name: '--prompt', argument: 'text', group: 'Question' },
    },
    input: {
      rule: path,
      otherwise: 'none',
      help: 'file in JSON or YAML with what the model takes: messages, inputs or dataframe_records',
      flag: { name: '--input', argument: 'path' },
    },
    json: JSON_OBJECT,
    ...CONNECTION_FLAGS,
  },
  examples: [
    { text: 'Ask a chat model', line: 'databricks serving-endpoints query chat --prompt "Who are you?"' },
    { text: 'Send what a file has', line: 'databricks serving-endpoints query chat --input question.json' },
  ],
  async check({ flags: { prompt, input, ...flags }, words: [name] }) {
    const endpoint = expectWord(NAME, `the ${ENDPOINT_NAME.help}`, name)
    if ((prompt === undefined) === (input === undefined)) {
      const got = prompt === undefined ? 'neither' : 'both'
      throw new UsageError(`[${NAME}] expected --prompt TEXT or --input FILE, got ${got}; give one`)
    }
    const body =
      input === undefined
        ? { messages: [{ role: 'user', content: prompt }] }
        : await readSpec(input, 'fields such as "inputs: [Hello]"')
    return { ...flags, endpoint, body }
  },
  async run({ endpoint, body, json, ...connection }) {
    const { queryEndpoint } = await import('../../../databricks/serving.js')
    const databricks = connectionOf(connection)
    const answer = await untilSignal((signal) => queryEndpoint(endpoint, body, { databricks, signal }))
    const said = textOf(answer)
    if (json || said === undefined) writeJson(answer)
    else process.stdout.write(`${said}\n`)
  },
}

/** The text of a chat answer; undefined for any other. */
function textOf({ choices }: Readonly<Record<string, unknown>>): string | undefined {
  const [choice] = (Array.isArray(choices) ? choices : []) as { message?: { content?: unknown } }[]
  const content = choice?.message?.content
  return typeof content === 'string' ? content : undefined
}
