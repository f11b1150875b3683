/**
 * @file Arguments of tool calls that are given as JSON text, as OpenAI gives them, to a template that prints JSON of
 * objects.
 */

import { jsonString } from '../lossless-json.js'
import type { ChatMessage } from '../tokenizer/chat-template.js'
import type { Steps } from '../turns.js'

// A template prints all calls alike; each look is a search of the whole text.
const LOOKS = 4

/**
 * Whether the rendering shows such arguments as a string in quotes, `"{\"a\": 1}"` for `{"a": 1}`: a model learns to
 * write that, where whoever reads its calls expects an object.
 */
export function* quotesArguments(messages: readonly ChatMessage[], text: string): Steps<boolean> {
  let looks = 0
  for (const { tool_calls: calls } of messages) {
    yield
    if (!Array.isArray(calls)) continue
    for (const call of calls as unknown[]) {
      yield
      const given = argumentsOf(call)
      if (given === undefined || !/^\s*\{[\s\S]*"/.test(given)) continue
      if (text.includes(jsonString(given))) return true
      yield
      if (text.includes(pythonString(given))) return true
      if (++looks === LOOKS) return false
    }
  }
  return false
}

function argumentsOf(call: unknown): string | undefined {
  const { function: inner, arguments: own } = (call ?? {}) as {
    function?: { arguments?: unknown }
    arguments?: unknown
  }
  return [inner?.arguments, own].find((value) => typeof value === 'string')
}

/** As Python prints a text with double quotes within a list. */
function pythonString(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&').replaceAll('\n', '\\n')}'`
}
