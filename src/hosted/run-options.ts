/** @file Options of what is done with a hosted run: look, cancel, deploy, ask, delete. */

import type { DataSource } from '../data/sources/open-source.js'
import { boolean, callback, instance, integer, number, path, text } from '../options/rules.js'
import type { OptionTable } from '../options/table.js'
import { isPlainObject } from '../values.js'
import { HOSTED_CONNECTION } from './connect-options.js'
import { DATASET, DEPLOYMENT, type HostedDeployment, type HostedWaiting, WAITING } from './options.js'
import type { HostedMessage } from './service.js'

/** Options of functions about a run of {@link trainHosted}. */
export interface HostedRunOptions extends HostedWaiting {
  /** Folder of the run. */
  outputDir: string
  /**
   * API key of Azure OpenAI or OpenAI.
   * @default AZURE_OPENAI_API_KEY; OPENAI_API_KEY
   */
  apiKey?: string
  /**
   * Secret of a service principal of Entra ID.
   * @default AZURE_CLIENT_SECRET
   */
  clientSecret?: string
}

/** Options of {@link deployHosted}. */
export interface DeployHostedOptions extends HostedRunOptions, HostedDeployment {}

/** What is asked of a model, and how. */
export interface HostedAnswering {
  /**
   * Model, deployment or endpoint to ask.
   * @default that of the run
   */
  model?: string
  /**
   * Tokens that an answer may have.
   * @default 512
   */
  maxTokens?: number
  /**
   * How much chance there is in answers.
   * @default the service's
   */
  temperature?: number
  /**
   * Seed of what is drawn.
   * @default the service's
   */
  seed?: number
}

/** Options of {@link chatHosted}. */
export interface ChatHostedOptions extends HostedRunOptions, HostedAnswering {
  /** The conversation. */
  messages: readonly HostedMessage[]
}

/** Options of {@link predictHosted}. */
export interface PredictHostedOptions extends HostedRunOptions, HostedAnswering {
  /** Conversations; an answer at the end of one is kept beside the prediction, and not sent. */
  dataset: DataSource
  /** File for the predictions, as JSON Lines. The journal of paid answers lies beside it. */
  output: string
  /**
   * Requests that are open at the same time.
   * @default 4
   */
  concurrency?: number
  /**
   * Told how many rows have an answer, and of how many.
   * @default none
   */
  onProgress?: (done: number, total: number) => void
}

/** Options of {@link deleteHosted}. */
export interface DeleteHostedOptions extends HostedRunOptions {
  /**
   * Whether the tuned model stays.
   * @default false
   */
  keepModel?: boolean
}

/** The options of functions about a run. */
export const HOSTED_RUN_OPTIONS = {
  outputDir: { rule: path, isRequired: true, help: 'folder of the run' },
  apiKey: HOSTED_CONNECTION.apiKey,
  clientSecret: HOSTED_CONNECTION.clientSecret,
  ...WAITING,
} as const satisfies OptionTable<HostedRunOptions>

/** The options of `deployHosted`. */
export const DEPLOY_HOSTED_OPTIONS = {
  ...HOSTED_RUN_OPTIONS,
  ...DEPLOYMENT,
} as const satisfies OptionTable<DeployHostedOptions>

const ANSWERING = {
  model: {
    rule: text,
    otherwise: 'that of the run',
    help: 'model, deployment or endpoint to ask',
    flag: { name: '--model', argument: 'name', group: 'Answers' },
  },
  maxTokens: {
    rule: integer({ min: 1 }),
    default: 512 as number,
    help: 'tokens that an answer may have',
    flag: { name: '--max-tokens', argument: 'number' },
  },
  temperature: {
    rule: number({ min: 0 }),
    otherwise: "the service's",
    help: 'how much chance there is in answers',
    flag: { name: '--temperature', argument: 'number' },
  },
  seed: {
    rule: integer({ min: 0 }),
    otherwise: "the service's",
    help: 'seed of what is drawn',
    flag: { name: '--seed', argument: 'number' },
  },
} as const satisfies OptionTable<HostedAnswering>

/** The options of `chatHosted`. */
export const CHAT_HOSTED_OPTIONS = {
  ...HOSTED_RUN_OPTIONS,
  messages: {
    rule: instance(
      'a list of messages',
      (value) => Array.isArray(value) && value.length > 0 && value.every(isPlainObject),
    ),
    isRequired: true,
    help: 'the conversation',
  },
  ...ANSWERING,
} as const satisfies OptionTable<ChatHostedOptions>

/** The options of `predictHosted`. */
export const PREDICT_HOSTED_OPTIONS = {
  ...HOSTED_RUN_OPTIONS,
  dataset: { rule: DATASET, isRequired: true, help: 'conversations to answer' },
  output: {
    rule: path,
    isRequired: true,
    help: 'file for the predictions, as JSON Lines; the journal of paid answers lies beside it',
    flag: { name: '--output', argument: 'path' },
  },
  ...ANSWERING,
  concurrency: {
    rule: integer({ min: 1, max: 1000 }),
    default: 4 as number,
    help: 'requests that are open at the same time',
    flag: { name: '--concurrency', argument: 'number' },
  },
  onProgress: { rule: callback, otherwise: 'none', help: 'told how many rows have an answer, and of how many' },
} as const satisfies OptionTable<PredictHostedOptions>

/** The options of `deleteHosted`. */
export const DELETE_HOSTED_OPTIONS = {
  ...HOSTED_RUN_OPTIONS,
  keepModel: {
    rule: boolean,
    default: false as boolean,
    help: 'whether the tuned model stays',
    flag: { name: '--keep-model' },
  },
} as const satisfies OptionTable<DeleteHostedOptions>
