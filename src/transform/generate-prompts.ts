/**
 * @file What a model is asked for a pair of question and answer: our prompts, those of a file in their place, and the
 * text of a row that stands in them. Sends nothing.
 */

import { fillTemplate, namesIn, readTemplate, type TextTemplate } from '../data/text-template.js'
import { YamlNode } from '../data/yaml-node.js'
import type { ChatRequest } from '../openai/openai-client.js'
import { type Columns, presentValue, textOfValue } from './input.js'

/** The prompts by their steps. `system` stands before each of them. */
const PROMPT_NAMES = [
  'system',
  'question',
  'judgeQuestion',
  'improveQuestion',
  'answer',
  'judgeAnswer',
  'improveAnswer',
] as const

type PromptName = (typeof PROMPT_NAMES)[number]

/** What a model is asked for. */
export type Step = Exclude<PromptName, 'system'>

/**
 * A file of prompts as a program may give it: the same mapping as in YAML. `{name}` is a column of the row, or one of
 * the names below; `{{` and `}}` are braces. What is left out is as it was.
 */
export interface PromptFile {
  /** Stands before each of the others. */
  readonly system?: string
  /** Asks for questions: `{text}`, `{count}`. */
  readonly question?: string
  /** Asks for a score of a question: `{text}`, `{question}`. */
  readonly judgeQuestion?: string
  /** Asks for a better question: `{text}`, `{question}`, `{feedback}`. */
  readonly improveQuestion?: string
  /** Asks for an answer: `{text}`, `{question}`. */
  readonly answer?: string
  /** Asks for a score of an answer: `{text}`, `{question}`, `{answer}`. */
  readonly judgeAnswer?: string
  /** Asks for a better answer: `{text}`, `{question}`, `{answer}`, `{feedback}`. */
  readonly improveAnswer?: string
}

/** What stands for the names in a prompt, beside the columns of the row. */
export interface Filling {
  /** Text of the row. */
  readonly text: string
  /** How many questions to write. */
  readonly count?: number
  readonly question?: string
  readonly answer?: string
  /** What the judge said. */
  readonly feedback?: string
}

const JUDGED = 'In "feedback" say in one or two sentences what is wrong and how to mend it, then give the "score".'

const OURS: Readonly<Record<PromptName, string>> = {
  system:
    'You make data for training a language model: questions, and answers to them, from passages of documents. You reply with ' +
    'one JSON object and nothing else.',
  question: `Passage:
{text}

Write questions that this passage answers, each about another point. How many: {count}.
- A question must be clear to someone who does not see the passage: name what it is about, and do not mention a passage or text.
- The passage alone must be enough to answer it.
- Ask what a person who needs this document would want to know.

Reply as JSON: {{"questions": ["..."]}}`,
  judgeQuestion: `Passage:
{text}

Question: {question}

Judge this question from 1 (useless) to 10 (could not be better). It has to be answered by the passage, to be clear without the
passage, and to be worth asking.
${JUDGED}

Reply as JSON: {{"feedback": "...", "score": 1}}`,
  improveQuestion: `Passage:
{text}

Question: {question}
What is wrong with it: {feedback}

Write a better question that the passage answers, clear to someone who does not see the passage.

Reply as JSON: {{"question": "..."}}`,
  answer: `Passage:
{text}

Question: {question}

Answer the question by what the passage says, and by nothing else. First think in "reasoning", step by step, about which parts of
the passage matter. Then write the "answer" for someone who does not see the passage: complete, in whole sentences, and without
mentioning a passage or text.

Reply as JSON: {{"reasoning": "...", "answer": "..."}}`,
  judgeAnswer: `Passage:
{text}

Question: {question}
Answer: {answer}

Judge this answer from 1 (useless) to 10 (could not be better). It has to follow from the passage, to answer the whole question,
and to be clear without the passage.
${JUDGED}

Reply as JSON: {{"feedback": "...", "score": 1}}`,
  improveAnswer: `Passage:
{text}

Question: {question}
Answer: {answer}
What is wrong with it: {feedback}

Write a better answer. First think in "reasoning", step by step. Then write the "answer" for someone who does not see the passage, by
what the passage says and by nothing else.

Reply as JSON: {{"reasoning": "...", "answer": "..."}}`,
}

/** What may stand in the prompt of a step, beside columns. */
const KNOWN: Readonly<Record<PromptName, readonly (keyof Filling)[]>> = {
  system: [],
  question: ['text', 'count'],
  judgeQuestion: ['text', 'question'],
  improveQuestion: ['text', 'question', 'feedback'],
  answer: ['text', 'question'],
  judgeAnswer: ['text', 'question', 'answer'],
  improveAnswer: ['text', 'question', 'answer', 'feedback'],
}

/** Prompts that are ready to be filled. */
export class Prompts {
  readonly #templates: ReadonlyMap<PromptName, TextTemplate>

  private constructor(templates: ReadonlyMap<PromptName, TextTemplate>) {
    this.#templates = templates
  }

  /** @throws OptionError naming field, file and line of what is wrong */
  static async read(given: string | PromptFile | undefined): Promise<Prompts> {
    const ours = (await YamlNode.read(OURS, 'generate')).fields(PROMPT_NAMES)
    const theirs = given === undefined ? ours : (await YamlNode.read(given, 'generate')).fields(PROMPT_NAMES)
    return new Prompts(
      new Map(
        PROMPT_NAMES.map((name) => [name, readTemplate(theirs[name].isAbsent ? ours[name] : theirs[name])] as const),
      ),
    )
  }

  /** Columns of the row that stand in prompts. */
  get columns(): readonly string[] {
    const names = [...this.#templates].flatMap(([prompt, template]) =>
      namesIn(template).filter((name) => !(KNOWN[prompt] as readonly string[]).includes(name)),
    )
    return [...new Set(names)]
  }

  /** The conversation that asks for a step. */
  messages(step: Step, columns: Columns, filling: Filling): ChatRequest['messages'] {
    const text = (prompt: PromptName): string =>
      fillTemplate(this.#templates.get(prompt) as TextTemplate, (name) => {
        const known = KNOWN[prompt].find((other) => other === name)
        return known === undefined ? textOfValue(presentValue(columns, name)) : String(filling[known] ?? '')
      })
    const system = text('system')
    return [
      ...(system.trim() === '' ? [] : [{ role: 'system' as const, content: system }]),
      { role: 'user' as const, content: text(step) },
    ]
  }
}

/**
 * The text of a row: the value of one column, or lines of names and values of several; undefined where there is none.
 */
export function textOfRow(columns: Columns, names: readonly string[]): string | undefined {
  const values = names.flatMap((name) => {
    const value = presentValue(columns, name)
    return value === undefined ? [] : [{ name, text: textOfValue(value) }]
  })
  if (values.length === 0) return undefined
  return names.length === 1 ? values[0]?.text : values.map(({ name, text }) => `${name}: ${text}`).join('\n')
}
