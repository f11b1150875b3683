/** @file The types of tasks. Imports nothing, so that help texts can show them. */

/** What is computed of the rows of a task. */
export const TASK_TYPES = ['perplexity', 'generation', 'classification', 'multiple-choice'] as const
export type TaskType = (typeof TASK_TYPES)[number]
