/** @file The options of packAdapter and packModel. Loads nothing of the engine. */

import { text } from '../../options/rules.js'
import { SIGNAL } from '../../options/shared.js'
import type { OptionTable } from '../../options/table.js'

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
