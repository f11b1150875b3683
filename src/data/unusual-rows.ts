/**
 * @file Rows that are whole and mean something, but seldom what somebody wants: answers without text, prompts without
 * words.
 */

import type { ChatMessage } from '../tokenizer/chat-template.js'
import type { Steps } from '../turns.js'
import type { SequenceContent } from './forms/row-form.js'

/** What is unusual about a row. */
export type UnusualKind = 'emptyAnswer' | 'emptyPrompt' | 'emptyMessage' | 'repeatedRole'

// Roles whose messages follow one another where nothing is wrong: several tools answer one turn.
const REPEATING_ROLES: readonly string[] = ['tool', 'function', 'observation', 'ipython']

/** What is unusual about a row, each kind once. */
export function* unusualSteps(row: SequenceContent): Steps<readonly UnusualKind[]> {
  switch (row.form) {
    case 'text':
    case 'segments':
    case 'tokens':
      return []
    case 'completion':
      return kinds(isBlank(row.completion) && 'emptyAnswer', isBlank(row.prompt) && 'emptyPrompt')
    case 'alpaca':
      return kinds(
        isBlank(row.output) && 'emptyAnswer',
        isBlank(row.instruction) && isBlank(row.input) && 'emptyPrompt',
      )
    case 'messages':
    case 'conversation':
      return yield* ofMessages(row.messages)
    default:
      return row satisfies never
  }
}

function* ofMessages(messages: readonly ChatMessage[]): Steps<readonly UnusualKind[]> {
  const found = new Set<UnusualKind>()
  for (const [index, message] of messages.entries()) {
    yield
    const { role } = message
    if (role === messages[index - 1]?.role && !REPEATING_ROLES.includes(role)) found.add('repeatedRole')
    if (saysSomething(message)) continue
    // A tool may have nothing to say.
    if (role === 'assistant') found.add('emptyAnswer')
    else if (!REPEATING_ROLES.includes(role)) found.add('emptyMessage')
  }
  return [...found]
}

/** Whether a message has words, or something beside its content, such as tool calls or reasoning. */
export function saysSomething({ role: _, name: __, content, ...rest }: ChatMessage): boolean {
  if (Object.values(rest).some((value) => typeof value === 'object' || (typeof value === 'string' && !isBlank(value))))
    return true
  if (typeof content === 'string') return !isBlank(content)
  return (content ?? []).some(({ text }) => typeof text !== 'string' || !isBlank(text))
}

function isBlank(text: string): boolean {
  return !/\S/.test(text)
}

function kinds(...found: readonly (UnusualKind | false)[]): readonly UnusualKind[] {
  return found.filter((kind) => kind !== false)
}
