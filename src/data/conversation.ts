/**
 * @file What a chat template has to know of a row's messages before they are rendered: roles that it knows, contents in
 * the form that it reads, and which turns the row leaves out of the loss.
 */

import { describeValue } from '../errors.js'
import { DataError, OptionError } from '../lowrank-error.js'
import type { ChatMessage, ChatRenderer } from '../tokenizer/chat-template.js'
import { fittingContent } from '../tokenizer/content-forms.js'
import type { Steps } from '../turns.js'
import type { Conversation } from './forms/row-form.js'
import type { WeightedPart } from './message-weights.js'

/** A conversation as it is rendered. */
export interface PreparedConversation {
  messages: readonly ChatMessage[]
  /** What messages count in the loss that do not count 1, by their numbers: 0 leaves a message out. */
  weights: ReadonlyMap<number, number>
  /** Parts of contents that count by themselves, by the numbers of their messages. */
  parts: ReadonlyMap<number, readonly WeightedPart[]>
}

// What ChatML and all that follow it print alike. Templates that have no place for one of them refuse or drop it, which
// is told elsewhere.
const COMMON_ROLES: readonly string[] = ['system', 'user', 'assistant', 'tool']

/**
 * Maps roles, checks that the template knows them, and gives contents as text, or as parts where the template looks
 * into them.
 *
 * @param roleMapping The option: each role of the rows that has another name for the template.
 * @param learnAll Everything is learnt that the row does not leave out.
 * @param lastTurnOnly The assistant's turns before the last one are not learnt.
 * @throws DataError naming the message for a role that the template does not know, and for what cannot be learnt or
 * left out.
 */
export function* prepareConversation(
  { messages, weights: given, parts: givenParts, tools }: Conversation,
  renderer: ChatRenderer,
  roleMapping: Readonly<Record<string, string>>,
  { learnAll, lastTurnOnly }: { learnAll: boolean; lastTurnOnly: boolean },
): Steps<PreparedConversation> {
  const isAnswer = ({ role }: ChatMessage): boolean =>
    (Object.hasOwn(roleMapping, role) ? roleMapping[role] : role) === 'assistant'
  const last = lastTurnOnly ? messages.findLastIndex(isAnswer) : -1
  const weights = new Map<number, number>()
  const parts = new Map<number, readonly WeightedPart[]>()
  const prepared: ChatMessage[] = []
  for (const [index, message] of messages.entries()) {
    yield
    const role = mappedRole(message.role, renderer, roleMapping, index)
    const weight = given?.[index]
    const ofParts = givenParts?.[index]
    const isAsked = (weight !== undefined && weight > 0) || ofParts?.some((part) => part.weight > 0) === true
    if (role !== 'assistant' && (weight !== undefined || ofParts) && (isAsked || learnAll)) {
      throw new DataError(
        `[data] expected only assistant messages to be learnt or left out by themselves, got ${weight ?? 'parts'} for a ` +
          `${role} message (message ${index + 1}); remove its weight`,
      )
    }
    if (role === 'assistant') {
      if (lastTurnOnly && index !== last) weights.set(index, 0)
      else if (weight !== undefined && weight !== 1) weights.set(index, weight)
      if (ofParts !== undefined) parts.set(index, ofParts)
    }
    const content = yield* fittingContent(renderer, role, message.content, { tools })
    if (content !== message.content) prepared.push({ ...message, role, content })
    else prepared.push(role === message.role ? message : { ...message, role })
  }
  return { messages: prepared, weights, parts }
}

function mappedRole(
  role: string,
  renderer: ChatRenderer,
  roles: Readonly<Record<string, string>>,
  index: number,
): string {
  const mapped = Object.hasOwn(roles, role) ? (roles[role] as string) : role
  // A role that the option maps to itself is the caller's word that it may be printed.
  const isMeant = Object.hasOwn(roles, mapped) && roles[mapped] === mapped
  if (isMeant || COMMON_ROLES.includes(mapped) || isKnownTo(renderer, mapped)) return mapped
  if (mapped !== role) {
    throw new OptionError(
      `[data] expected roleMapping to map ${describeValue(role)} to a role that the chat template knows, got ${describeValue(mapped)}; write ` +
        `one of ${COMMON_ROLES.join(', ')}, or add ${keyText(mapped)}: ${describeValue(mapped)} where the template is to print it`,
    )
  }
  const likely = LIKELY_ROLES.get(role.toLowerCase()) ?? 'user'
  throw new DataError(
    `[data] expected a role that the chat template knows, got ${describeValue(role)} in message ${index + 1}; rename it, or ` +
      `set roleMapping: { ${keyText(role)}: '${likely}' }`,
  )
}

function keyText(role: string): string {
  return /^\w+$/.test(role) ? role.slice(0, 40) : describeValue(role)
}

const LIKELY_ROLES: ReadonlyMap<string, string> = new Map([
  ...['gpt', 'chatgpt', 'bot', 'ai', 'model', 'assistant', 'assistant_response', 'agent', 'bard', 'bing', 'claude'].map(
    (role) => [role, 'assistant'] as const,
  ),
  ...['system', 'developer', 'instruction', 'context'].map((role) => [role, 'system'] as const),
  ...['tool', 'function', 'observation', 'ipython', 'tool_response', 'tool_result'].map(
    (role) => [role, 'tool'] as const,
  ),
])

const knownRoles = new WeakMap<ChatRenderer, Map<string, boolean>>()

/** Whether the template asks for the role by name. */
function isKnownTo(renderer: ChatRenderer, role: string): boolean {
  let known = knownRoles.get(renderer)
  if (known === undefined) {
    known = new Map()
    knownRoles.set(renderer, known)
  }
  let answer = known.get(role)
  if (answer === undefined) {
    answer = asksForRole(renderer.source ?? '', role)
    known.set(role, answer)
  }
  return answer
}

/**
 * Whether a template compares something with the role: `== 'role'`, `in ['tool', 'role']`, `{'role': ...}`. Names that
 * it only prints or assigns, as Gemma's `set role = 'model'`, are none that it expects in messages.
 */
function asksForRole(source: string, role: string): boolean {
  const code = source.replace(/\{#.*?#\}/gs, '')
  for (const quote of ["'", '"']) {
    const literal = quote + role + quote
    for (let at = code.indexOf(literal); at >= 0; at = code.indexOf(literal, at + 1)) {
      const before = code.slice(Math.max(0, at - 200), at).trimEnd()
      const after = code.slice(at + literal.length, at + literal.length + 20).trimStart()
      if (/[=!]=$/.test(before) || /^([=!]=|:)/.test(after)) return true
      if (/\bin\s*[[(][^\])]*$/.test(before)) return true
    }
  }
  return false
}
