/**
 * @file `lowrank eval`: how good a model is at tasks, with and without adapters, side by side. What it does is in
 * eval-run.ts.
 */

import type { EvaluateModelsOptions } from '../evaluate/evaluate.js'
import type { RegressionLimits } from '../evaluate/max-regression.js'
import { RUNNING_OPTIONS } from '../evaluate/run-options.js'
import { TASK_TYPES, type TaskType } from '../evaluate/task-types.js'
import { boolean, integer, listOf, oneOf, path, text } from '../options/rules.js'
import type { Command } from './command.js'
import { ADAPTER, HOLDING_FLAGS, type HoldingFlags, JSON_OBJECT, MODEL_FLAGS, type ModelFlags } from './flags.js'
import { PART_FLAGS, type PartFlags } from './part-flags.js'

/** What the command line says of an evaluation. */
export interface EvalFlags extends ModelFlags, HoldingFlags, PartFlags {
  readonly adapter: readonly string[]
  readonly noBase?: boolean
  readonly baseline?: string
  readonly dataset?: string
  readonly task?: TaskType
  readonly metrics?: readonly string[]
  readonly limit?: number
  readonly maxLength?: number
  readonly maxNewTokens?: number
  readonly docToText?: string
  readonly docToTarget?: string
  readonly applyChatTemplate?: boolean
  readonly numFewshot?: number
  readonly fewshotSplit?: string
  readonly tasks?: readonly string[]
  readonly behaviour?: boolean
  readonly trainingData?: string
  readonly batchSize?: number
  readonly maxSamples?: number
  readonly maxRegression: readonly string[]
  readonly output?: string
  readonly html?: string
  readonly json?: boolean
}

/** An evaluation as it was asked for, its options checked. */
export interface Evaluation {
  readonly flags: EvalFlags
  readonly options: Omit<EvaluateModelsOptions, 'model' | 'adapters'>
  readonly adapters: Readonly<Record<string, string>>
  readonly limits: RegressionLimits
}

export const command: Command<EvalFlags, Evaluation> = {
  summary: 'score a model on tasks, with and without adapters, side by side',
  details:
    'Tasks stand in a YAML file, or flags name one. Differences from the base model come with their intervals. With --max-regression ' +
    'the exit code is 1 where a metric got worse by more than that.',
  arguments: [{ name: 'file', help: 'YAML file of tasks', otherwise: 'the task that flags name' }],
  flags: {
    ...MODEL_FLAGS,
    adapter: {
      rule: listOf(text, 'paths of directories'),
      default: [],
      otherwise: 'none',
      help: 'adapter, run, checkpoint, Hub id or uc:// address; NAME=DIR names it in reports',
      flag: { ...ADAPTER.flag, isRepeatable: true },
    },
    ...HOLDING_FLAGS,
    noBase: { rule: boolean, help: 'leave out the model without an adapter', flag: { name: '--no-base' } },
    baseline: {
      rule: text,
      otherwise: 'base, or the first adapter without it',
      help: 'name of the model that the others are compared with',
      flag: { name: '--baseline', argument: 'name' },
    },
    dataset: { rule: text, help: 'rows of the task', flag: { name: '--dataset', argument: 'file', group: 'Task' } },
    split: { ...PART_FLAGS.split, otherwise: 'validation, else test, else train' },
    datasetConfig: PART_FLAGS.datasetConfig,
    task: {
      rule: oneOf(TASK_TYPES),
      otherwise: 'generation where --metrics is given, else perplexity',
      help: 'what is computed of the rows',
      flag: { name: '--task', argument: 'type' },
    },
    metrics: {
      rule: listOf(text, 'names of metrics', { minItems: 1 }),
      otherwise: 'exact_match,rougeL',
      help: 'metrics of answers, with commas between them',
      flag: { name: '--metrics', argument: 'names' },
    },
    limit: {
      rule: integer({ min: 1 }),
      otherwise: 'all',
      help: 'rows that are taken at most, the first ones',
      flag: { name: '--limit', argument: 'rows' },
    },
    maxLength: {
      rule: integer({ min: 2 }),
      otherwise: "2048, or the model's positions",
      help: 'perplexity: longest row in tokens',
      flag: { name: '--max-length', argument: 'tokens' },
    },
    maxNewTokens: {
      rule: integer({ min: 1 }),
      otherwise: '128',
      help: 'generation: tokens of the longest answer',
      flag: { name: '--max-new-tokens', argument: 'count' },
    },
    docToText: {
      rule: text,
      otherwise: 'what the form of the row says',
      help: 'the prompt: a column, or a Jinja template over the columns',
      flag: { name: '--doc-to-text', argument: 'template' },
    },
    docToTarget: {
      rule: text,
      otherwise: 'what the form of the row says',
      help: 'what is right: a column or a Jinja template; a list gives several references',
      flag: { name: '--doc-to-target', argument: 'template' },
    },
    applyChatTemplate: {
      rule: boolean,
      help: 'ask prompts that are plain text as a message of the user',
      flag: { name: '--apply-chat-template' },
    },
    numFewshot: {
      rule: integer({ min: 0 }),
      otherwise: '0',
      help: 'rows with their answers before each question, drawn as lm-evaluation-harness does',
      flag: { name: '--num-fewshot', argument: 'count' },
    },
    fewshotSplit: {
      rule: text,
      otherwise: 'the rows that are asked, but never the row itself',
      help: 'split of the data set that these come from',
      flag: { name: '--fewshot-split', argument: 'name' },
    },
    tasks: {
      rule: listOf(text, 'names of tasks', { minItems: 1 }),
      otherwise: 'all',
      help: 'tasks of the file that are done, with commas between them',
      flag: { name: '--tasks', argument: 'names' },
    },
    behaviour: {
      rule: boolean,
      help: 'tell what else each adapter changed, on 120 prompts of six categories',
      flag: { name: '--behaviour' },
    },
    trainingData: {
      rule: text,
      otherwise: 'none',
      help: 'with --behaviour: rows that the adapter was trained on, to find those that it recites',
      flag: { name: '--training-data', argument: 'file' },
    },
    batchSize: { ...RUNNING_OPTIONS.batchSize, flag: { name: '--batch-size', argument: 'rows', group: 'Running' } },
    maxSamples: {
      ...RUNNING_OPTIONS.maxSamples,
      help: 'rows of each task that the report shows with their answers',
      flag: { name: '--max-samples', argument: 'rows', group: 'Output' },
    },
    maxRegression: {
      rule: listOf(text, 'numbers, or METRIC=NUMBER'),
      default: [],
      otherwise: 'none',
      help: 'exit with 1 where a metric is worse than the baseline by more than this, in its units; METRIC=NUMBER for one',
      flag: { name: '--max-regression', argument: 'limit', isRepeatable: true },
    },
    output: {
      rule: path,
      otherwise: 'none',
      help: 'JSON file for the report',
      flag: { name: '--output', argument: 'file' },
    },
    html: {
      rule: path,
      otherwise: 'none',
      help: 'HTML file that shows the report: scores with intervals, answers side by side',
      flag: { name: '--html', argument: 'file' },
    },
    json: { ...JSON_OBJECT, help: 'write the report as JSON to stdout', flag: { name: '--json' } },
  },
  examples: [
    {
      text: 'Compare an adapter with its model on rows it has not seen',
      line: 'eval --adapter out/mine --dataset rows.jsonl --metrics rougeL',
    },
    { text: 'Perplexity of a model of the Hub', line: 'eval --model Qwen/Qwen3-0.6B --dataset held-out.jsonl' },
    {
      text: 'Tasks of a file, in a build that fails where one got worse',
      line: 'eval tasks.yaml --adapter out/mine --max-regression 0.02',
    },
  ],
  async check(given) {
    const { readEvaluation } = await import('./eval-file.js')
    return await readEvaluation(given)
  },
  async run(evaluation) {
    const { runEvaluation } = await import('./eval-run.js')
    await runEvaluation(evaluation)
  },
}
