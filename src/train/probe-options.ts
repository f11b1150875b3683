/**
 * @file The options of `trainLora` that ask the model something at each evaluation: tasks and sample prompts. Loads
 * nothing of the engine; what a task may be is checked where the run begins.
 */

import type { EvaluationTask } from '../evaluate/task-options.js'
import type { TextGenerationOptions } from '../generation/generate-text.js'
import { instance, path } from '../options/rules.js'
import type { OptionTable } from '../options/table.js'
import type { ChatMessage } from '../tokenizer/chat-template.js'
import { isPlainObject } from '../values.js'

/** A text that the model goes on with, or a conversation whose last message it answers. */
export type SamplePrompt = string | readonly ChatMessage[]

export interface ProbeOptions {
  /**
   * Tasks, as `evaluate` takes them, that are run at each evaluation: their scores are `eval_TASK_METRIC` in events,
   * logs and trackers, and for `metricForBestModel`.
   * @default none
   */
  evalTasks?: readonly EvaluationTask[]
  /**
   * Prompts that the model answers at each evaluation. The answers are in the event `evaluate` and in samples.jsonl of
   * `outputDir`.
   * @default none
   */
  samplePrompts?: readonly SamplePrompt[]
  /**
   * How `samplePrompts` are answered: `maxNewTokens`, `temperature` and the others of `generateText`.
   * @default { maxNewTokens: 64 }, greedily
   */
  sampleGeneration?: Omit<TextGenerationOptions, 'signal'>
}

const isConversation = (value: unknown): boolean =>
  Array.isArray(value) && value.length > 0 && value.every((message) => isPlainObject(message))
const isPrompt = (value: unknown): boolean => (typeof value === 'string' && value !== '') || isConversation(value)

/** The options of `ProbeOptions`. */
export const PROBE_OPTIONS = {
  evalTasks: {
    rule: {
      ...instance('a list of tasks, objects with type and dataset', (value) => {
        return Array.isArray(value) && value.length > 0 && value.every((task) => isPlainObject(task))
      }),
      // The command line puts the tasks of a file in place of its path.
      schema: {
        anyOf: [path.schema, { type: 'array', minItems: 1, items: { type: 'object', required: ['type', 'dataset'] } }],
      },
    },
    example: [{ name: 'answers', type: 'generation', dataset: 'held-out.jsonl' }],
    help: 'tasks of lowrank eval that are run at each evaluation; on the command line also a file of them',
    flag: { name: '--eval-tasks', argument: 'file', help: 'file of tasks of lowrank eval, run at each evaluation' },
  },
  samplePrompts: {
    rule: {
      ...instance('a list of texts or conversations', (value) => {
        return Array.isArray(value) && value.length > 0 && value.every(isPrompt)
      }),
      schema: { type: 'array', minItems: 1, items: { type: ['string', 'array'] } },
    },
    example: ['Once upon a time'],
    help: 'prompts that are answered at each evaluation, for samples.jsonl and the terminal',
  },
  sampleGeneration: {
    rule: { expected: 'an object of options of generateText', accepts: isPlainObject, schema: { type: 'object' } },
    example: { maxNewTokens: 64 },
    otherwise: '64 tokens, greedily',
    help: 'how samplePrompts are answered',
  },
} as const satisfies OptionTable<ProbeOptions>
