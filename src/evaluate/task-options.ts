/**
 * @file The options of tasks: one table for what every task takes, one for each type. Names are those of
 * lm-evaluation-harness where it has the option.
 */

import { DATA_OPTIONS, type DataOptions } from '../data/options.js'
import { type DataSource, isDataSource } from '../data/sources/open-source.js'
import { TEXT_GENERATION_OPTIONS, type TextGenerationOptions } from '../generation/generate-text.js'
import { CLASSIFICATION_OPTIONS, type ClassificationMetricName } from '../metrics/classification.js'
import {
  anything,
  boolean,
  callback,
  either,
  instance,
  integer,
  listOf,
  objectOf,
  oneOf,
  text,
} from '../options/rules.js'
import type { OptionTable, Resolved } from '../options/table.js'
import { ANY_TEXT, ASKING, type AskingOptions } from './asking-options.js'
import type { TaskJudgeOptions } from './judge-task.js'

import { TASK_TYPES, type TaskType } from './task-types.js'

/** Options of the data that mean the same in a task and in training. */
export type SharedTaskDataOptions = Pick<
  DataOptions,
  'rowForm' | 'onError' | 'chatTemplate' | 'chatTemplateKwargs' | 'roleMapping'
>

/** What every task takes. */
export interface CommonTaskOptions extends SharedTaskDataOptions {
  /**
   * What reports call the task; letters, digits, `_`, `-` and `.`.
   * @default its type, and a number where several have one type
   */
  name?: string
  /** The rows: all that `dataset` of `trainLora` takes. Data sets of several splits give 'validation', else 'test'. */
  dataset: DataSource
  /**
   * Rows that are taken at most, the first ones. An entry of `dataset` may shuffle before.
   * @default all rows
   */
  limit?: number
  /**
   * Names of columns where the rows have others than lowrank knows: by the name that is known here the name in the
   * rows. Dots lead into objects.
   * @default {}
   */
  columns?: Readonly<Record<string, string>>
}

/** How surely a model says what the rows say. */
export interface PerplexityTask
  extends CommonTaskOptions,
    Pick<DataOptions, 'maxLength' | 'completionOnlyLoss' | 'assistantOnlyLoss' | 'trainOnTurns' | 'trainOnReasoning'> {
  type: 'perplexity'
  /**
   * Tokens that a window moves on, for texts that are longer than `maxLength`: each token is scored once, with the
   * tokens of its window before it. As https://huggingface.co/docs/transformers/perplexity.
   * @default none: rows are encoded as in training, and lose what is beyond maxLength
   */
  stride?: number
  /**
   * With `stride`: all texts become one, with this between them.
   * @default none: each row stands alone
   */
  joinTexts?: string
}

/** A function that scores an answer. */
export type ScoreAnswer = (
  row: Readonly<Record<string, unknown>>,
  answer: string,
) =>
  | number
  | boolean
  | Readonly<Record<string, number | boolean>>
  | Promise<number | boolean | Readonly<Record<string, number | boolean>>>

/** How good answers are that a model writes. */
export interface GenerationTask extends CommonTaskOptions, AskingOptions {
  type: 'generation'
  /**
   * Metrics of texts by name; the first one sorts the rows of a report.
   * @default ['exact_match', 'rougeL'], and none where `scoreAnswer` or `judge` is given
   */
  metrics?: readonly string[]
  /**
   * Options of metrics, by their names.
   * @default {}
   */
  metricOptions?: Readonly<Record<string, unknown>>
  /**
   * How answers are written: `maxNewTokens`, `stopStrings`, `temperature` and the others of `generateText`.
   * @default {}
   */
  generation?: Omit<TextGenerationOptions, 'signal'>
  /**
   * A function `(row, answer) => scores`: a number, true or false, or several by name; or, in a file of tasks, the
   * path of a module whose default export, or export `scoreAnswer`, it is.
   * @default none
   */
  scoreAnswer?: ScoreAnswer | string
  /**
   * A model behind an endpoint that scores answers: the options of `judgeAnswers`. Metrics are `judge`, the mean of its
   * criteria, and `judge_<criterion>`.
   * @default none
   */
  judge?: TaskJudgeOptions
  /**
   * Has the judge also say which answer is better, that of each model or that of the first one, in both orders.
   * @default false
   */
  judgePairs?: boolean
  /**
   * Names of scores of `scoreAnswer` of which less is better.
   * @default []
   */
  lowerIsBetter?: readonly string[]
}

/** The class of each row. */
export interface ClassificationTask extends CommonTaskOptions, AskingOptions {
  type: 'classification'
  /**
   * The labels: a list, whose places numbers in the rows may name, or an object from what the rows have to the words
   * that the model is to say.
   * @default those that the rows have
   */
  labels?: readonly string[] | Readonly<Record<string, string>>
  /**
   * 'likelihood' takes the label that the model finds likeliest behind the prompt; 'generation' has it answer, and
   * reads the label in the answer.
   * @default 'likelihood'
   */
  method?: 'likelihood' | 'generation'
  /**
   * Metrics of labels by name; the first one sorts the rows of a report.
   * @default accuracy, F1, precision and recall, and with likelihood log_loss and ece
   */
  metrics?: readonly ClassificationMetricName[]
  /**
   * With method 'generation': how answers are written, greedily and with 16 tokens unless it says otherwise.
   * @default {}
   */
  generation?: Omit<TextGenerationOptions, 'signal'>
}

/** Which of several texts is right. */
export interface MultipleChoiceTask extends CommonTaskOptions, AskingOptions {
  type: 'multiple-choice'
  /**
   * The choices: a column with a list, or a column or template for each.
   * @default the column choices, options or endings
   */
  docToChoice?: string | readonly string[]
  /**
   * acc takes the likeliest choice; acc_norm divides log probabilities by characters, acc_bytes by bytes, acc_tokens by
   * tokens of the choice.
   * @default ['acc', 'acc_norm']
   */
  metrics?: readonly ChoiceMetricName[]
}

const CHOICE_METRICS = ['acc', 'acc_norm', 'acc_bytes', 'acc_tokens'] as const
export type ChoiceMetricName = (typeof CHOICE_METRICS)[number]

export type EvaluationTask = PerplexityTask | GenerationTask | ClassificationTask | MultipleChoiceTask

const TASK_NAME = {
  ...text,
  expected: 'a name of letters, digits, _, - and .',
  accepts: (value: unknown) => typeof value === 'string' && /^[\w.-]{1,100}$/.test(value),
  schema: { type: 'string', pattern: '^[\\w.-]{1,100}$' },
}

const { rowForm, onError, chatTemplate, chatTemplateKwargs, roleMapping } = DATA_OPTIONS
const { completionOnlyLoss, assistantOnlyLoss, trainOnTurns, trainOnReasoning } = DATA_OPTIONS

/** The options that every task has. */
const COMMON_TASK = {
  name: {
    heading: 'Task',
    rule: TASK_NAME,
    otherwise: 'its type, and a number where several have one type',
    help: 'what reports call the task',
  },
  type: { rule: oneOf(TASK_TYPES), isRequired: true, help: 'what is computed' },
  dataset: {
    rule: { ...instance('a path, a glob, an id, an entry or an iterable of rows', isDataSource), schema: {} },
    isRequired: true,
    help: 'the rows: all that dataset of trainLora takes',
  },
  limit: { rule: integer({ min: 1 }), otherwise: 'all rows', help: 'rows that are taken at most, the first ones' },
  columns: {
    rule: objectOf(
      text,
      "an object from columns that lowrank knows to columns of the rows, as { prompt: 'question' },",
    ),
    default: {},
    help: 'columns of the rows that have another name than is known here',
  },
  rowForm,
  onError,
  chatTemplate,
  chatTemplateKwargs,
  roleMapping,
} as const satisfies OptionTable<CommonTaskOptions & { type: TaskType }>

/** The options of a task of type perplexity. */
export const PERPLEXITY_TASK = {
  ...COMMON_TASK,
  maxLength: {
    rule: integer({ min: 2 }),
    otherwise: "2048, or the model's positions where these are fewer; with stride the model's positions",
    help: 'longest row, or window, in tokens',
    heading: 'Tokens',
  },
  completionOnlyLoss,
  assistantOnlyLoss,
  trainOnTurns,
  trainOnReasoning,
  stride: {
    rule: integer({ min: 1 }),
    otherwise: 'none: rows are encoded as in training',
    help: 'tokens that a window of maxLength moves on, for long texts',
  },
  joinTexts: {
    rule: ANY_TEXT,
    otherwise: 'none: each row stands alone',
    help: 'with stride: all texts become one, with this between them',
  },
} as const satisfies OptionTable<PerplexityTask>

const { signal: _, ...GENERATION } = TEXT_GENERATION_OPTIONS

/** The options of answers of a task. */
export const GENERATION_TABLE = GENERATION

/** The options of a task of type generation. */
export const GENERATION_TASK = {
  ...COMMON_TASK,
  ...ASKING,
  metrics: {
    heading: 'Scores',
    rule: listOf(text, 'a list of names of metrics'),
    otherwise: "['exact_match', 'rougeL'], and none where scoreAnswer or judge is given",
    help: 'metrics of texts by name; the first one sorts the rows of a report',
  },
  metricOptions: {
    rule: objectOf(anything, 'an object from metrics to their options'),
    default: {},
    help: 'options of metrics, by their names',
  },
  generation: {
    rule: objectOf(anything, 'an object of options of generateText'),
    default: {},
    help: 'how answers are written: maxNewTokens, stopStrings, temperature and others',
    table: GENERATION,
  },
  scoreAnswer: {
    rule: either(callback, { ...text, expected: 'the path of a module that exports one' }),
    otherwise: 'none',
    help: 'a function (row, answer) => scores, or the path of a module that exports it',
  },
  judge: {
    rule: objectOf(anything, 'an object of options of judgeAnswers'),
    otherwise: 'none',
    help: 'a model behind an endpoint that scores answers: the options of judgeAnswers',
    example: { model: 'gpt-4.1-mini', replies: 'judge.replies' },
  },
  judgePairs: {
    rule: boolean,
    default: false,
    help: 'has the judge also say which answer is better, that of each model or that of the first one',
  },
  lowerIsBetter: {
    rule: listOf(text, 'a list of names of scores'),
    default: [],
    help: 'names of scores of scoreAnswer of which less is better',
  },
} as const satisfies OptionTable<GenerationTask>

/** The options of a task of type classification. */
export const CLASSIFICATION_TASK = {
  ...COMMON_TASK,
  ...ASKING,
  labels: {
    heading: 'Classes',
    rule: either(
      listOf(text, 'a list of at least two labels', { minItems: 2 }),
      objectOf(text, 'an object from what the rows have to labels'),
    ),
    otherwise: 'those that the rows have',
    help: 'the labels: a list, or an object from what the rows have to the words that the model is to say',
    example: ['ham', 'spam'],
  },
  method: {
    rule: oneOf(['likelihood', 'generation']),
    default: 'likelihood',
    help: 'likelihood takes the likeliest label behind the prompt, generation the one that the answer names',
  },
  metrics: {
    rule: CLASSIFICATION_OPTIONS.metrics.rule,
    otherwise: 'accuracy, F1, precision and recall, and with likelihood log_loss and ece',
    help: 'metrics of labels by name; the first one sorts the rows of a report',
  },
  generation: { ...GENERATION_TASK.generation, help: 'with method generation: how answers are written' },
} as const satisfies OptionTable<ClassificationTask>

/** The options of a task of type multiple-choice. */
export const MULTIPLE_CHOICE_TASK = {
  ...COMMON_TASK,
  ...ASKING,
  docToChoice: {
    heading: 'Choices',
    rule: either(text, listOf(text, 'a list of columns or templates', { minItems: 2 })),
    otherwise: 'the column choices, options or endings',
    help: 'the choices: a column with a list, or a column or template for each',
    example: 'choices',
  },
  metrics: {
    rule: listOf(oneOf(CHOICE_METRICS), `a list of ${oneOf(CHOICE_METRICS).expected}`, { minItems: 1 }),
    default: ['acc', 'acc_norm'],
    help: 'acc takes the likeliest choice, acc_norm by character, acc_bytes by byte, acc_tokens by token',
  },
} as const satisfies OptionTable<MultipleChoiceTask>

/** The options of tasks by type. */
export const TASK_TABLES = {
  perplexity: PERPLEXITY_TASK,
  generation: GENERATION_TASK,
  classification: CLASSIFICATION_TASK,
  'multiple-choice': MULTIPLE_CHOICE_TASK,
} as const satisfies Record<TaskType, OptionTable>

export type ResolvedPerplexityTask = Resolved<PerplexityTask, typeof PERPLEXITY_TASK>
export type ResolvedGenerationTask = Resolved<GenerationTask, typeof GENERATION_TASK>
export type ResolvedClassificationTask = Resolved<ClassificationTask, typeof CLASSIFICATION_TASK>
export type ResolvedMultipleChoiceTask = Resolved<MultipleChoiceTask, typeof MULTIPLE_CHOICE_TASK>
export type ResolvedTask =
  | ResolvedPerplexityTask
  | ResolvedGenerationTask
  | ResolvedClassificationTask
  | ResolvedMultipleChoiceTask
