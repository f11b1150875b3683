/** @file Options of hosted fine-tuning itself; those of what is done with a run are in run-options.ts. */

import type { DataSource } from '../data/sources/open-source.js'
import { isDataSource } from '../data/sources/open-source.js'
import { boolean, callback, instance, integer, number, oneOf, path, text, textOf } from '../options/rules.js'
import { SIGNAL } from '../options/shared.js'
import type { OptionTable } from '../options/table.js'
import { isPlainObject } from '../values.js'
import { HOSTED_CONNECTION, type HostedConnection } from './connect-options.js'
import type { HostedEvent } from './events.js'
import type { HostedHyperparameters } from './service.js'

/** What is waited for, and who is told. */
export interface HostedWaiting {
  /**
   * Milliseconds between two questions.
   * @default 5000
   */
  pollInterval?: number
  /**
   * Seconds until the wait fails; the job goes on.
   * @default 86400
   */
  timeout?: number
  /**
   * Told of each event, once and in order.
   * @default none
   */
  onEvent?: (event: HostedEvent) => void
  /**
   * Ends the wait; it rejects with the signal's reason.
   * @default none
   */
  signal?: AbortSignal
}

/** How a model of Azure OpenAI is deployed. */
export interface HostedDeployment {
  /**
   * Name of the deployment of Azure OpenAI.
   * @default none: `trainHosted` deploys nothing, `deployHosted` takes `lowrank-` and the id of the run
   */
  deployment?: string
  /**
   * Kind of the deployment, such as standard, GlobalStandard or DeveloperTier.
   * @default 'standard'
   */
  sku?: string
  /**
   * Its capacity, in the units of the kind.
   * @default 1
   */
  capacity?: number
  /**
   * Format of the model: OpenAI, or OpenAI-OSS of open models.
   * @default 'OpenAI'
   */
  modelFormat?: string
}

/** Options of {@link trainHosted}. */
export interface TrainHostedOptions extends HostedConnection, HostedWaiting, HostedDeployment {
  /** The model that is tuned, as the service names it. */
  model: string
  /** Rows to learn from. */
  dataset: DataSource
  /**
   * Rows that the service evaluates with.
   * @default none
   */
  validationDataset?: DataSource
  /** Folder of the run: its record, its rows and its events. The same again goes on with the run. */
  outputDir: string
  /**
   * Part of the tuned model's name.
   * @default none
   */
  suffix?: string
  /**
   * Seed of the job; Vertex AI takes none.
   * @default the service's
   */
  seed?: number
  /**
   * Numbers that steer the training.
   * @default the service's
   */
  hyperparameters?: HostedHyperparameters
  /**
   * Where the training of Azure OpenAI runs. Takes the routes of a preview.
   * @default the service's
   */
  trainingType?: 'standard' | 'globalStandard' | 'developerTier'
  /**
   * Directory of a tokenizer that counts tokens.
   * @default none: a token for each four bytes, which is an estimate
   */
  tokenizer?: string
  /**
   * Price of a million trained tokens, as the vendor has it today, in any currency.
   * @default none: tokens are told, and no cost
   */
  pricePerMillionTokens?: number
  /**
   * What the job may cost by this price; a dearer one is not begun.
   * @default no limit
   */
  maxCost?: number
  /**
   * Whether the job is cancelled where the signal ends the wait.
   * @default false
   */
  cancelOnAbort?: boolean
  /**
   * Whether rows are checked and counted, and nothing is sent.
   * @default false
   */
  dryRun?: boolean
}

/** A data set. */
export const DATASET = instance('a data set', isDataSource)

/** The options of what waits. */
export const WAITING = {
  pollInterval: {
    rule: integer({ min: 1 }),
    default: 5000 as number,
    help: 'milliseconds between two questions',
    flag: { name: '--poll-interval', argument: 'ms', group: 'Waiting' },
  },
  timeout: {
    rule: number({ above: 0 }),
    default: 86_400 as number,
    help: 'seconds until the wait fails; the job goes on',
    flag: { name: '--timeout', argument: 'seconds' },
  },
  onEvent: { rule: callback, otherwise: 'none', help: 'told of each event, once and in order' },
  signal: { ...SIGNAL, help: "ends the wait; it rejects with the signal's reason" },
} as const satisfies OptionTable<HostedWaiting>

/** The options of a deployment. */
export const DEPLOYMENT = {
  deployment: {
    rule: textOf('the name of a deployment'),
    otherwise: 'none; of deployHosted: lowrank- and the id of the run',
    help: 'name of the deployment of Azure OpenAI',
    flag: { name: '--deployment', argument: 'name', group: 'Deployment' },
  },
  sku: {
    rule: textOf('a kind of deployment'),
    default: 'standard' as string,
    help: 'kind of the deployment: standard, GlobalStandard, DeveloperTier',
    flag: { name: '--sku', argument: 'name' },
  },
  capacity: {
    rule: integer({ min: 1 }),
    default: 1 as number,
    help: 'capacity of the deployment, in the units of its kind',
    flag: { name: '--capacity', argument: 'number' },
  },
  modelFormat: {
    rule: oneOf(['OpenAI', 'OpenAI-OSS']),
    default: 'OpenAI' as string,
    help: 'format of the model: OpenAI, or OpenAI-OSS of open models',
    flag: { name: '--model-format', argument: 'name' },
  },
} as const satisfies OptionTable<HostedDeployment>

/** The options of `hyperparameters`. */
export const HOSTED_HYPERPARAMETERS = {
  nEpochs: { rule: integer({ min: 1 }), otherwise: "the service's", help: 'passes through the rows' },
  batchSize: { rule: integer({ min: 1 }), otherwise: "the service's", help: 'rows of a step; Vertex AI takes none' },
  learningRateMultiplier: {
    rule: number({ above: 0 }),
    otherwise: "the service's",
    help: "scales the service's learning rate",
  },
  adapterSize: {
    rule: oneOfNumbers([1, 2, 4, 8, 16, 32]),
    otherwise: "the service's",
    help: 'rank of the adapter: 1, 2, 4, 8, 16 or 32; of Vertex AI alone',
  },
} as const satisfies OptionTable<HostedHyperparameters>

function oneOfNumbers(values: readonly number[]): ReturnType<typeof instance> {
  const rule = instance(`one of ${values.join(', ')}`, (value) => values.includes(value as number))
  return { ...rule, schema: { enum: [...values] } }
}

/** The options of `trainHosted`. */
export const TRAIN_HOSTED_OPTIONS = {
  ...HOSTED_CONNECTION,
  model: {
    rule: text,
    isRequired: true,
    help: 'the model that is tuned, as the service names it',
    flag: { name: '--model', argument: 'name', group: 'Training' },
  },
  dataset: {
    rule: DATASET,
    isRequired: true,
    help: 'rows to learn from: a path, a glob or a data set of the Hub',
    flag: { name: '--dataset', argument: 'path' },
  },
  validationDataset: {
    rule: DATASET,
    otherwise: 'none',
    help: 'rows that the service evaluates with',
    flag: { name: '--validation-dataset', argument: 'path' },
  },
  outputDir: {
    rule: path,
    isRequired: true,
    help: 'folder of the run; the same again goes on with the run',
    flag: { name: '--output', argument: 'path' },
  },
  suffix: {
    rule: textOf('a part of a name'),
    otherwise: 'none',
    help: "part of the tuned model's name",
    flag: { name: '--suffix', argument: 'text' },
  },
  seed: {
    rule: integer({ min: 0 }),
    otherwise: "the service's",
    help: 'seed of the job; Vertex AI takes none',
    flag: { name: '--seed', argument: 'number' },
  },
  hyperparameters: {
    rule: instance('an object of hyperparameters', isPlainObject),
    table: HOSTED_HYPERPARAMETERS,
    otherwise: "the service's",
    help: 'numbers that steer the training',
  },
  trainingType: {
    rule: oneOf(['standard', 'globalStandard', 'developerTier']),
    otherwise: "the service's",
    help: 'of Azure OpenAI: where the training runs; takes the routes of a preview',
    flag: { name: '--training-type', argument: 'name' },
  },
  tokenizer: {
    rule: path,
    otherwise: 'none: a token for each four bytes, which is an estimate',
    help: 'directory of a tokenizer that counts tokens',
    flag: { name: '--tokenizer', argument: 'path' },
  },
  pricePerMillionTokens: {
    rule: number({ min: 0 }),
    otherwise: 'none: tokens are told, and no cost',
    help: 'price of a million trained tokens, as the vendor has it today',
    flag: { name: '--price-per-million-tokens', argument: 'price' },
  },
  maxCost: {
    rule: number({ min: 0 }),
    otherwise: 'no limit',
    help: 'what the job may cost by this price; a dearer one is not begun',
    flag: { name: '--max-cost', argument: 'cost' },
  },
  cancelOnAbort: {
    rule: boolean,
    default: false as boolean,
    help: 'whether the job is cancelled where the wait is ended',
    flag: { name: '--cancel-on-abort' },
  },
  dryRun: {
    rule: boolean,
    default: false as boolean,
    help: 'whether rows are checked and counted, and nothing is sent',
    flag: { name: '--dry-run' },
  },
  ...DEPLOYMENT,
  ...WAITING,
} as const satisfies OptionTable<TrainHostedOptions>
