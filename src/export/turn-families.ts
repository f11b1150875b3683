/**
 * @file Formats of conversations that a chat template may have, as data: what stands before and behind each turn. From
 * it come a rendering here, which tells whether a template is of a family, and the same template in Go's language.
 */

import { ModelError } from '../lowrank-error.js'
import type { ChatMessage } from '../tokenizer/chat-template.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'

/** What stands before and behind a text. */
type Marks = readonly [before: string, behind: string]

/** A format of conversations. */
interface TurnFamily {
  readonly name: string
  /** A turn of its own, or a text at the beginning of a user turn: the first, or the last. */
  readonly system: { readonly in: 'turn' | 'first user' | 'last user'; readonly marks: Marks }
  readonly user: Marks
  readonly assistant: Marks
  /** What opens the answer. */
  readonly prompt: string
  /** What ends an answer. */
  readonly stop: string
}

/** A turn between marks that name its role. */
function byRole(
  name: string,
  before: (role: string) => string,
  behind: string,
  prompt: string,
  stop: string,
): TurnFamily {
  return {
    ...{ name, prompt, stop },
    system: { in: 'turn', marks: [before('system'), behind] },
    user: [before('user'), behind],
    assistant: [before('assistant'), behind],
  }
}

const INST_END = '</s>'

export const TURN_FAMILIES: readonly TurnFamily[] = [
  byRole('chatml', (role) => `<|im_start|>${role}\n`, '<|im_end|>\n', '<|im_start|>assistant\n', '<|im_end|>'),
  byRole(
    'llama3',
    (role) => `<|start_header_id|>${role}<|end_header_id|>\n\n`,
    '<|eot_id|>',
    '<|start_header_id|>assistant<|end_header_id|>\n\n',
    '<|eot_id|>',
  ),
  byRole('phi3', (role) => `<|${role}|>\n`, '<|end|>\n', '<|assistant|>\n', '<|end|>'),
  byRole(
    'phi4',
    (role) => `<|im_start|>${role}<|im_sep|>`,
    '<|im_end|>',
    '<|im_start|>assistant<|im_sep|>',
    '<|im_end|>',
  ),
  byRole('zephyr', (role) => `<|${role}|>\n`, '</s>\n', '<|assistant|>\n', INST_END),
  {
    name: 'gemma',
    system: { in: 'first user', marks: ['', '\n\n'] },
    user: ['<start_of_turn>user\n', '<end_of_turn>\n'],
    assistant: ['<start_of_turn>model\n', '<end_of_turn>\n'],
    prompt: '<start_of_turn>model\n',
    stop: '<end_of_turn>',
  },
  {
    name: 'mistral',
    system: { in: 'last user', marks: ['', '\n\n'] },
    user: ['[INST] ', '[/INST]'],
    assistant: [' ', INST_END],
    prompt: '',
    stop: INST_END,
  },
  {
    name: 'mistral-v1',
    system: { in: 'first user', marks: ['', '\n\n'] },
    user: ['[INST] ', ' [/INST]'],
    assistant: [' ', INST_END],
    prompt: '',
    stop: INST_END,
  },
  {
    name: 'mistral-v7',
    system: { in: 'turn', marks: ['[SYSTEM_PROMPT]', '[/SYSTEM_PROMPT]'] },
    user: ['[INST]', '[/INST]'],
    assistant: ['', INST_END],
    prompt: '',
    stop: INST_END,
  },
]

/** The text of a conversation in a family, without what opens a text. */
export function renderTurns(family: TurnFamily, messages: readonly ChatMessage[]): string {
  const { system, user, assistant, prompt } = family
  const given = messages.filter(({ role }) => role === 'system').map(({ content }) => content as string)
  const inside = system.marks[0] + given.join('\n\n') + system.marks[1]
  const users = messages.flatMap(({ role }, index) => (role === 'user' ? [index] : []))
  const host = system.in === 'first user' ? users[0] : system.in === 'last user' ? users.at(-1) : undefined
  const turns = messages.map(({ role, content }, index) => {
    if (role === 'system') return system.in === 'turn' ? system.marks[0] + content + system.marks[1] : ''
    if (role === 'assistant') return assistant[0] + content + assistant[1]
    return user[0] + (index === host && given.length > 0 ? inside : '') + content + user[1]
  })
  return turns.join('') + prompt
}

/** The same in the language of Go's text/template, as Ollama fills it: `.Messages`, `.System`. */
export function goTemplate({ system, user, assistant, prompt }: TurnFamily): string {
  const inTurn = system.in === 'turn'
  const condition = system.in === 'first user' ? 'le $i 1' : 'eq (len (slice $.Messages $i)) 1'
  const inside = `{{ if and $.System (${condition}) }}${system.marks[0]}{{ $.System }}${system.marks[1]}{{ end }}`
  return (
    '{{ range $i, $m := .Messages }}' +
    (inTurn ? `{{ if eq $m.Role "system" }}${system.marks[0]}{{ $m.Content }}${system.marks[1]}{{ end }}` : '') +
    `{{ if eq $m.Role "user" }}${user[0]}${inTurn ? '' : inside}{{ $m.Content }}${user[1]}{{ end }}` +
    `{{ if eq $m.Role "assistant" }}${assistant[0]}{{ $m.Content }}${assistant[1]}{{ end }}` +
    `{{ end }}${prompt}`
  )
}

/** A family, and what a template says where a conversation has no system message. */
interface FoundFamily {
  readonly family: TurnFamily
  readonly defaultSystem: string | undefined
}

const U = { role: 'user', content: 'One question?' }
const A = { role: 'assistant', content: 'Its answer.' }
const V = { role: 'user', content: 'Then another, of 2 lines\nas here' }
const S = { role: 'system', content: 'You answer in rhymes.' }
/** Conversations by which families differ. The first has no system message. */
const PROBES: readonly (readonly ChatMessage[])[] = [[U], [U, A, V], [S, U], [S, U, A, V]]

/** The family whose rendering is that of the tokenizer's chat template in every probe; undefined where none is. */
export function findFamily(tokenizer: Tokenizer): FoundFamily | undefined {
  for (const family of TURN_FAMILIES) {
    const defaultSystem = defaultSystemOf(tokenizer, family)
    const isSame = PROBES.every((messages) => {
      const hasSystem = messages[0] === S || defaultSystem === undefined
      const asked = hasSystem ? messages : [{ role: 'system', content: defaultSystem }, ...messages]
      return render(tokenizer, messages) === renderTurns(family, asked)
    })
    if (isSame) return { family, defaultSystem }
  }
  return undefined
}

/** The system message that a template puts in by itself. */
function defaultSystemOf(tokenizer: Tokenizer, family: TurnFamily): string | undefined {
  if (family.system.in !== 'turn') return undefined
  const text = render(tokenizer, [U])
  const rest = renderTurns(family, [U])
  const [before, behind] = family.system.marks
  if (text === undefined || text === rest || !text.startsWith(before) || !text.endsWith(behind + rest)) return undefined
  return text.slice(before.length, text.length - (behind + rest).length)
}

/** The text of a conversation without what begins every text, which Ollama adds; undefined where it is refused. */
function render(tokenizer: Tokenizer, messages: readonly ChatMessage[]): string | undefined {
  let text: string
  try {
    text = tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true })
  } catch (error) {
    if (error instanceof ModelError) return undefined
    throw error
  }
  const { bos_token: bos } = tokenizer.templateVariables
  return typeof bos === 'string' && bos !== '' && text.startsWith(bos) ? text.slice(bos.length) : text
}
