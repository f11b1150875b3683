/**
 * @file Rows that other objectives than supervised fine-tuning learn from: preference pairs, labelled answers, labelled
 * steps, classes, prompts without an answer.
 */

import { describeValue } from '../../errors.js'
import type { Steps } from '../../turns.js'
import { isObject } from '../../values.js'
import { messagesOf } from '../messages.js'
import { describeOrigin, type RowOrigin, rowError } from '../row-origin.js'
import { wrongType } from '../row-values.js'
import {
  BESIDE_MESSAGES,
  besides,
  conversationOf,
  readMessages,
  readPrompted,
  TEMPLATE_COLUMNS,
} from './conversations.js'
import {
  atOnce,
  type Columns,
  isFilled,
  type OtherContent,
  optionalTextOf,
  type RowForm,
  type SequenceContent,
  textOf,
} from './row-form.js'
import { alpacaPromptTurns, readAlpaca, readAlpacaMessages, readCompletion } from './texts.js'

/** Forms that are told by columns beside those of other forms, so they are asked for first. */
export const MARKED_FORMS: readonly RowForm[] = [
  {
    name: 'preference',
    columns: ['input', 'preferred_output', 'non_preferred_output'],
    optional: [],
    read: readOpenAiPair,
  },
  ...(['messages', 'conversations'] as const).flatMap((name): RowForm[] => [
    {
      name: 'preference',
      columns: [name, 'chosen', 'rejected'],
      optional: BESIDE_MESSAGES,
      read: (row, origin) => pairOf(origin, (answer) => readPrompted(row, name, answer, origin)),
    },
    {
      name: 'labelled',
      columns: [name, 'kto_tag'],
      optional: BESIDE_MESSAGES,
      matches: ({ kto_tag: tag }) => typeof tag === 'boolean',
      *read(row, origin) {
        return { form: 'labelled', answer: yield* readMessages(row, name, origin), label: row.kto_tag === true }
      },
    },
  ]),
  {
    name: 'labelled',
    columns: ['prompt', 'completion', 'label'],
    optional: TEMPLATE_COLUMNS,
    matches: ({ label }) => typeof label === 'boolean',
    *read(row, origin) {
      const answer = Array.isArray(row.prompt)
        ? yield* readPrompted(row, 'prompt', 'completion', origin)
        : readCompletion(row, 'completion', origin)
      return { form: 'labelled', answer, label: row.label === true }
    },
  },
  {
    name: 'labelled',
    columns: ['instruction', 'output', 'kto_tag'],
    optional: ['input', 'system', 'history'],
    matches: ({ kto_tag: tag }) => typeof tag === 'boolean',
    *read(row, origin) {
      const answer =
        isFilled(row.system) || isFilled(row.history)
          ? yield* readAlpacaMessages(row, 'input', 'output', origin)
          : readAlpaca(row, { input: 'input', output: 'output' }, origin)
      return { form: 'labelled', answer, label: row.kto_tag === true }
    },
  },
]

/** Columns of the question of a pair, in sets that have texts in all columns and are meant for a chat template. */
const ASKED = ['instruction', 'question', 'input'] as const

export const PREFERENCES: readonly RowForm[] = [
  {
    name: 'preference',
    columns: ['prompt', 'chosen', 'rejected'],
    optional: ['system', ...TEMPLATE_COLUMNS],
    read: readPair,
  },
  ...ASKED.flatMap((asked) =>
    [
      ['chosen', 'rejected'],
      ['chosen_response', 'rejected_response'],
    ].map(
      ([chosen = '', rejected = '']): RowForm => ({
        name: 'preference',
        columns: [asked, chosen, rejected],
        optional: [...(asked === 'instruction' ? ['input'] : []), 'system', 'history', ...TEMPLATE_COLUMNS],
        // Lists of messages hold the question themselves.
        matches: (row) => typeof row[chosen] === 'string' || isObject(row[chosen]),
        read: (row, origin) => readAskedPair(row, asked, [chosen, rejected], origin),
      }),
    ),
  ),
  { name: 'preference', columns: ['chosen', 'rejected'], optional: TEMPLATE_COLUMNS, read: readImplicitPair },
  {
    name: 'stepwise',
    columns: ['prompt', 'completions', 'labels'],
    optional: [],
    read: (row, origin) => atOnce(readSteps(row, origin)),
  },
  {
    name: 'prompt',
    columns: ['prompt'],
    optional: BESIDE_MESSAGES,
    // Where there is more, an answer is likely to be in it under a name that is not known.
    matches: (row) => Object.keys(row).length === 1,
    *read(row, origin) {
      const { prompt } = row
      if (typeof prompt === 'string') return { form: 'prompt', prompt }
      return { form: 'prompt', prompt: yield* conversationOf(row, 'prompt', origin) }
    },
  },
  {
    name: 'prompt',
    columns: ['messages'],
    optional: BESIDE_MESSAGES,
    isNamed: true,
    *read(row, origin) {
      return { form: 'prompt', prompt: yield* conversationOf(row, 'messages', origin) }
    },
  },
  {
    name: 'classification',
    columns: ['text', 'label'],
    optional: [],
    // The columns alone are a text.
    isNamed: true,
    read: (row, origin) => atOnce(readClass(row, origin)),
  },
]

function* pairOf(
  origin: RowOrigin,
  read: (answer: 'chosen' | 'rejected') => Steps<SequenceContent>,
): Steps<OtherContent> {
  const chosen = yield* read('chosen')
  const rejected = yield* read('rejected')
  if (chosen.form === rejected.form) return { form: 'preference', chosen, rejected }
  throw rowError(
    origin,
    `[data] expected chosen and rejected alike in ${describeOrigin(origin)}, got ${chosen.form} and ${rejected.form}; write both as texts or ` +
      'both as messages',
  )
}

/** Prompt, chosen and rejected: all texts, or all lists of messages. */
function* readPair(row: Columns, origin: RowOrigin): Steps<OtherContent> {
  if (Array.isArray(row.prompt)) return yield* pairOf(origin, (answer) => readPrompted(row, 'prompt', answer, origin))
  if (isFilled(row.system)) return yield* readAskedPair(row, 'prompt', ['chosen', 'rejected'], origin)
  if (Array.isArray(row.chosen) && Array.isArray(row.rejected)) {
    // UltraFeedback has the prompt as a text, and in both answers again.
    const [first] = row.chosen as unknown[]
    if (isObject(first) && (first.role ?? first.from) === 'user') return yield* readImplicitPair(row, origin)
    const prompt = [{ role: 'user', content: textOf(row, 'prompt', origin) }]
    return yield* pairOf(origin, (answer) => readPrompted({ ...row, prompt }, 'prompt', answer, origin))
  }
  return yield* pairOf(origin, (answer) => atOnce(readCompletion(row, answer, origin)))
}

/** Texts that make a conversation: a system message, a question, two answers. */
function* readAskedPair(
  row: Columns,
  asked: string,
  [chosen, rejected]: readonly [string, string] | readonly string[],
  origin: RowOrigin,
): Steps<OtherContent> {
  const input = asked === 'instruction' ? 'input' : ''
  const prompt = alpacaPromptTurns(row, asked, input, origin).map(([role, content]) => ({ role, content }))
  const { tools, chat_template_kwargs } = row
  return yield* pairOf(origin, (answer) => {
    const given = row[(answer === 'chosen' ? chosen : rejected) as string]
    const message = isObject(given) ? given : { role: 'assistant', content: given }
    return readPrompted({ tools, chat_template_kwargs, prompt, [answer]: [message] }, 'prompt', answer, origin)
  })
}

/** Two texts, or two conversations, that begin with the same prompt. */
function* readImplicitPair(row: Columns, origin: RowOrigin): Steps<OtherContent> {
  const { chosen, rejected } = row
  if (typeof chosen === 'string' && typeof rejected === 'string') {
    const prompt = chosen.slice(0, commonText(chosen, rejected))
    return yield* pairOf(origin, (answer) => {
      const completion = textOf(row, answer, origin).slice(prompt.length)
      return atOnce({ form: 'completion', prompt, completion })
    })
  }
  const given = {
    chosen: yield* messagesOf(chosen, 'chosen', origin),
    rejected: yield* messagesOf(rejected, 'rejected', origin),
  }
  const { messages: others } = given.rejected
  let same = 0
  for (const message of given.chosen.messages) {
    yield
    if (JSON.stringify(message) !== JSON.stringify(others[same])) break
    same++
  }
  // Answers that are the same are answers still.
  const promptMessages = Math.min(same, given.chosen.messages.length - 1, others.length - 1)
  return yield* pairOf(origin, function* (answer) {
    const messages = given[answer]
    return { form: 'conversation', promptMessages, ...messages, ...(yield* besides(row, origin, messages)) }
  })
}

/** Where two texts part; a blank before that place belongs to the answers, as tokenizers have it. */
function commonText(a: string, b: string): number {
  let at = 0
  while (at < a.length && at < b.length && a[at] === b[at]) at++
  return at > 0 && a[at - 1] === ' ' ? at - 1 : at
}

function* readOpenAiPair(row: Columns, origin: RowOrigin): Steps<OtherContent> {
  const { input } = row
  if (!isObject(input) || !Array.isArray(input.messages))
    throw wrongType('{ messages, tools } for a preference', 'input', origin, input)
  return yield* pairOf(origin, (answer) => {
    const name = answer === 'chosen' ? 'preferred_output' : 'non_preferred_output'
    return readPrompted({ ...input, [name]: row[name] }, 'messages', name, origin)
  })
}

function readSteps({ prompt, completions, labels }: Columns, origin: RowOrigin): OtherContent {
  if (typeof prompt !== 'string') throw wrongType('a string', 'prompt', origin, prompt)
  if (!Array.isArray(completions) || completions.some((step) => typeof step !== 'string'))
    throw wrongType('a list of strings', 'completions', origin, completions)
  if (!Array.isArray(labels) || labels.some((label) => typeof label !== 'boolean'))
    throw wrongType('a list of true and false', 'labels', origin, labels)
  if (labels.length === completions.length)
    return { form: 'stepwise', prompt, completions: completions as string[], labels: labels as boolean[] }
  throw rowError(
    origin,
    `[data] expected a label for each of ${completions.length} completions in ${describeOrigin(origin)}, got ${labels.length}`,
  )
}

function readClass(row: Columns, origin: RowOrigin): OtherContent {
  const { label } = row
  if (typeof label === 'string' || typeof label === 'number' || typeof label === 'boolean')
    return { form: 'classification', text: optionalTextOf(row, 'text', origin), label }
  throw wrongType('a class, by name or number,', 'label', origin, describeValue(label))
}
