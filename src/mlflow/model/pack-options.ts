/** @file The options of packAdapter and packModel. Loads nothing of the engine. */

import { oneOf, text } from '../../options/rules.js'
import { SIGNAL } from '../../options/shared.js'
import type { OptionTable } from '../../options/table.js'
import type { PackTask } from './signature.js'

/** What a model directory says beside what it is made of. */
export interface PackOptions {
  /**
   * The run of MLflow that made it.
   * @default none
   */
  runId?: string
  /**
   * The logged model of MLflow that it becomes.
   * @default none
   */
  modelId?: string
  /**
   * What the model is asked: 'text-generation' goes on with a string; 'llm/v1/chat' answers a conversation in the form
   * of OpenAI's interface, by the chat template.
   * @default 'text-generation'
   */
  task?: PackTask
  /**
   * A prompt as users have them, which is kept as the example of an input; nothing secret.
   * @default 'Hello'
   */
  inputExample?: string
  /**
   * Hub id or path of the base model.
   * @default what adapter_config.json names; of a whole model none
   */
  baseModel?: string
  /**
   * Commit of the base model on the Hub.
   * @default what adapter_config.json names; of a whole model none
   */
  baseRevision?: string
  /**
   * Stops before the next piece of a file.
   * @default none
   */
  signal?: AbortSignal
}

/** The options of `packAdapter` and `packModel`. */
export const PACK_OPTIONS = {
  runId: { rule: text, otherwise: 'none', help: 'the run of MLflow that made it' },
  modelId: { rule: text, otherwise: 'none', help: 'the logged model of MLflow that it becomes' },
  task: {
    rule: oneOf(['text-generation', 'llm/v1/chat']),
    default: 'text-generation',
    help: 'what the model is asked: to go on with a string, or to answer a conversation',
  },
  inputExample: { rule: text, default: 'Hello', help: 'a prompt, kept as the example of an input' },
  baseModel: {
    rule: text,
    otherwise: 'what adapter_config.json names; of a whole model none',
    help: 'Hub id or path of the base model',
  },
  baseRevision: {
    rule: text,
    otherwise: 'what adapter_config.json names; of a whole model none',
    help: 'commit of the base model on the Hub',
  },
  signal: { ...SIGNAL, help: 'stops before the next piece of a file' },
} as const satisfies OptionTable<PackOptions>
