/** @file What a row says, whatever its form: its prompt, its answers with what stands before each, and all texts. */

import type { ChatMessage } from '../../tokenizer/chat-template.js'
import type { SequenceContent } from '../forms/row-form.js'

export interface RowTexts {
  /** What comes before the first answer, or a text that is learnt as a whole; undefined for a row of token ids. */
  readonly prompt: string | undefined
  /** The prompt without the words of the system. */
  readonly question: string | undefined
  readonly turns: readonly Turn[]
  /** Every text but those of the system, which many rows share. */
  readonly own: readonly string[]
  readonly system: readonly string[]
}

/** An answer and what was asked since the answer before it. Results of tools are left out: answers repeat them. */
interface Turn {
  readonly asked: readonly string[]
  readonly answer: string
}

const SYSTEM_ROLES: readonly string[] = ['system', 'developer']

export function rowTexts(contents: readonly SequenceContent[]): RowTexts {
  const parts = contents.map(textsOf)
  // The sequences of a pair have one prompt.
  const [first, ...others] = parts
  return {
    prompt: first?.prompt,
    question: first?.question,
    turns: parts.flatMap(({ turns }) => turns),
    own: [...new Set([...(first?.own ?? []), ...others.flatMap(({ own }) => own)])],
    system: first?.system ?? [],
  }
}

function textsOf(content: SequenceContent): RowTexts {
  switch (content.form) {
    case 'messages':
    case 'conversation':
      return ofMessages(content.messages)
    case 'completion':
      return ofPair([content.prompt], content.completion)
    case 'alpaca':
      return ofPair([content.instruction, content.input], content.output)
    case 'text':
      return { prompt: content.text, question: content.text, turns: [], own: [content.text], system: [] }
    case 'segments': {
      const at = content.segments.findIndex(({ isLearnt }) => isLearnt)
      const asked = (at < 0 ? content.segments : content.segments.slice(0, at)).map(({ text }) => text)
      const answer = content.segments.filter(({ isLearnt }) => isLearnt).map(({ text }) => text)
      return ofPair(asked, answer.join(''))
    }
    case 'tokens':
      return { prompt: undefined, question: undefined, turns: [], own: [], system: [] }
    default:
      return content satisfies never
  }
}

function ofPair(asked: readonly string[], answer: string): RowTexts {
  const prompt = asked.join('\n')
  return { prompt, question: prompt, turns: [{ asked, answer }], own: [...asked, answer], system: [] }
}

function ofMessages(messages: readonly ChatMessage[]): RowTexts {
  const turns: Turn[] = []
  const own: string[] = []
  const system: string[] = []
  const prompt: string[] = []
  const question: string[] = []
  let asked: string[] = []
  for (const message of messages) {
    const text = messageText(message)
    const isSystem = SYSTEM_ROLES.includes(message.role)
    if (isSystem) system.push(text)
    else own.push(text)
    if (message.role === 'assistant') {
      turns.push({ asked, answer: text })
      asked = []
    } else {
      if (turns.length === 0) prompt.push(text)
      if (turns.length === 0 && !isSystem) question.push(text)
      if (isSystem || message.role === 'user') asked.push(text)
    }
  }
  return { prompt: prompt.join('\n'), question: question.join('\n'), turns, own, system }
}

function messageText({ content }: ChatMessage): string {
  if (typeof content === 'string') return content
  return (content ?? []).map(({ text }) => (typeof text === 'string' ? text : '')).join('')
}
