/**
 * @file Rows of texts in columns: prompt and completion, Alpaca, plain text, instructions with a response, questions
 * with an answer, segments.
 */

import { describeValue } from '../../errors.js'
import type { Steps } from '../../turns.js'
import { isObject } from '../../values.js'
import { describeOrigin, type RowOrigin, rowError } from '../row-origin.js'
import { wrongType } from '../row-values.js'
import { spelledConversation } from './conversations.js'
import {
  atOnce,
  type Columns,
  isFilled,
  optionalTextOf,
  type RowForm,
  refuse,
  type Segment,
  type SequenceContent,
  textOf,
} from './row-form.js'

/** Columns that make a conversation of an Alpaca row: its prompt has no place for them. */
const AROUND_ALPACA = ['system', 'history'] as const

const hasMore = (row: Columns): boolean => AROUND_ALPACA.some((name) => isFilled(row[name]))

/** The forms that rows had before others were known: they come first. */
export const TEXTS: readonly RowForm[] = [
  {
    name: 'promptCompletion',
    columns: ['prompt', 'completion'],
    optional: [],
    read: (row, origin) => atOnce(readCompletion(row, 'completion', origin)),
  },
  {
    name: 'alpacaMessages',
    columns: ['instruction', 'output'],
    optional: ['input', ...AROUND_ALPACA],
    matches: hasMore,
    read: (row, origin) => readAlpacaMessages(row, 'input', 'output', origin),
  },
  {
    name: 'alpaca',
    columns: ['instruction', 'output'],
    optional: ['input', ...AROUND_ALPACA],
    read: (row, origin) => atOnce(readAlpaca(row, { input: 'input', output: 'output' }, origin)),
  },
  {
    name: 'text',
    columns: ['text'],
    optional: [],
    read: (row, origin) => atOnce({ form: 'text', text: textOf(row, 'text', origin) }),
  },
]

/** Names of the columns of an Alpaca row in other sets: Dolly's, GPTeacher's, Open Assistant's. */
const INSTRUCTIONS: readonly RowForm[] = [
  { instruction: 'instruction', input: 'context', output: 'response' },
  { instruction: 'instruction', input: 'input', output: 'response' },
  { instruction: 'INSTRUCTION', input: 'input', output: 'RESPONSE' },
].flatMap(({ instruction, input, output }): RowForm[] => {
  const columns = [instruction, output]
  // A row without one of the inputs has the first of these entries.
  const matches = (row: Columns): boolean => input === 'input' || !isFilled(row.input)
  return [
    {
      name: 'alpaca',
      columns,
      optional: [input, ...AROUND_ALPACA],
      matches: (row) => matches(row) && !hasMore(row),
      read: (row, origin) => atOnce(readAlpaca(row, { instruction, input, output }, origin)),
    },
    {
      name: 'alpacaMessages',
      columns,
      optional: [input, ...AROUND_ALPACA],
      matches,
      read: (row, origin) => readAlpacaMessages(row, input, output, origin, instruction),
    },
  ]
})

/** Columns of a question, of its answer, and of what the question is about. */
const QUESTIONS: readonly RowForm[] = (
  [
    ['question', 'answer', ['context', 'article', 'category']],
    ['question', 'response', ['context']],
    ['article', 'summary', []],
    ['message_1', 'message_2', []],
  ] as const
).map(([question, answer, about]) => ({
  name: 'questionAnswer',
  columns: [question, answer],
  optional: [...about, 'system', 'system_prompt', 'tools'],
  *read(row, origin) {
    const system = optionalTextOf(row, 'system', origin) || optionalTextOf(row, 'system_prompt', origin)
    const asked = [question, ...about].map((name) => optionalTextOf(row, name, origin)).filter((text) => text !== '')
    return yield* spelledConversation(
      [
        ...(system === '' ? [] : [['system', system] as const]),
        ['user', asked.join('\n')],
        ['assistant', textOf(row, answer, origin)],
      ],
      row,
      origin,
    )
  },
}))

/** Forms whose columns the older forms do not know. */
export const FURTHER_TEXTS: readonly RowForm[] = [
  ...INSTRUCTIONS,
  ...QUESTIONS,
  ...['generation', 'response'].map(
    (answer): RowForm => ({
      name: 'promptCompletion',
      columns: ['prompt', answer],
      optional: [],
      read: (row, origin) => atOnce(readCompletion(row, answer, origin)),
    }),
  ),
  { name: 'segments', columns: ['segments'], optional: [], read: readSegments },
  {
    name: 'reflection',
    columns: ['instruction', 'output', 'reflection', 'corrected'],
    optional: ['input'],
    // As Alpaca such a row teaches the answer that it corrects; that is what it was taken for before.
    isNamed: true,
    read: (row, origin) => atOnce(readReflection(row, origin)),
  },
]

export function readCompletion(row: Columns, answer: string, origin: RowOrigin): SequenceContent {
  const { prompt, [answer]: completion } = row
  if (typeof prompt === 'string' && typeof completion === 'string') return { form: 'completion', prompt, completion }
  throw rowError(
    origin,
    `[data] expected two strings or two lists of messages for prompt and ${answer} in ${describeOrigin(origin)}, got ` +
      `${describeValue(prompt)} and ${describeValue(completion)}`,
  )
}

export function readAlpaca(
  row: Columns,
  { instruction = 'instruction', input, output }: { instruction?: string; input: string; output: string },
  origin: RowOrigin,
): SequenceContent {
  for (const name of AROUND_ALPACA)
    refuse(row, name, origin, "the Alpaca prompt has no place for it: use rowForm: 'alpacaMessages', or messages")
  return {
    form: 'alpaca',
    instruction: textOf(row, instruction, origin),
    input: optionalTextOf(row, input, origin),
    output: textOf(row, output, origin),
  }
}

/** As LLaMA-Factory joins them: the history's turns before the question, the input on a line behind the instruction. */
export function* readAlpacaMessages(
  row: Columns,
  input: string,
  output: string,
  origin: RowOrigin,
  instruction = 'instruction',
): Steps<SequenceContent> {
  const turns = [...alpacaPromptTurns(row, instruction, input, origin), ['assistant', textOf(row, output, origin)]]
  return yield* spelledConversation(turns as [string, string][], row, origin)
}

/** The turns before the answer. */
export function alpacaPromptTurns(
  row: Columns,
  instruction: string,
  input: string,
  origin: RowOrigin,
): (readonly [role: string, content: string])[] {
  const system = optionalTextOf(row, 'system', origin)
  const history = isFilled(row.history) ? row.history : []
  if (!Array.isArray(history)) throw wrongType('a list of [question, answer]', 'history', origin, history)
  const asked = [textOf(row, instruction, origin), optionalTextOf(row, input, origin)].filter((text) => text !== '')
  return [
    ...(system === '' ? [] : [['system', system] as const]),
    ...history.flatMap((pair: unknown, index) => {
      if (!Array.isArray(pair) || pair.length !== 2 || pair.some((text) => typeof text !== 'string'))
        throw wrongType('[question, answer], two strings,', `history[${index}]`, origin, pair)
      const [question, answer] = pair as [string, string]
      return [['user', question] as const, ['assistant', answer] as const]
    }),
    ['user', asked.join('\n')],
  ]
}

function* readSegments({ segments }: Columns, origin: RowOrigin): Steps<SequenceContent> {
  if (!Array.isArray(segments) || segments.length === 0)
    throw wrongType('a list of { label, text }', 'segments', origin, segments)
  const read: Segment[] = []
  for (const [index, segment] of segments.entries()) {
    yield
    const { label, text } = (isObject(segment) ? segment : {}) as Columns
    if (typeof label !== 'boolean' || typeof text !== 'string')
      throw wrongType('{ label, text }, true or false and a string,', `segments[${index}]`, origin, segment)
    read.push({ text, isLearnt: label })
  }
  return { form: 'segments', segments: read }
}

/** Answer, reflection and corrected answer are all the answer, one paragraph after the other. */
function readReflection(row: Columns, origin: RowOrigin): SequenceContent {
  const output = ['output', 'reflection', 'corrected'].map((name) => textOf(row, name, origin)).join('\n\n')
  return readAlpaca({ ...row, output }, { input: 'input', output: 'output' }, origin)
}
