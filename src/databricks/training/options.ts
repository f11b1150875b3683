/** @file The options of a training run on a GPU of a workspace. */

import { integer, listOf, oneOf, text, textOf } from '../../options/rules.js'
import type { OptionTable } from '../../options/table.js'
import { RESOURCE_OPTIONS, type ResourceOptions, WAIT_OPTIONS, type WaitOptions } from '../options.js'

/** GPUs of a node that lowrank can use. `GPU_8xH100` is left out: a run uses one GPU. */
export const ACCELERATOR_TYPES = ['GPU_1xA10', 'GPU_1xH100'] as const

export type AcceleratorType = (typeof ACCELERATOR_TYPES)[number]

/** Options of `submitTraining`. */
export interface TrainingOptions extends ResourceOptions {
  /** Folder in a volume below which each run has a folder of its own: `/Volumes/main/chat/runs`. */
  volume: string
  /**
   * The GPU.
   * @default 'GPU_1xA10'
   */
  acceleratorType?: AcceleratorType
  /**
   * Name of the run, as people see it.
   * @default 'lowrank'
   */
  runName?: string
  /**
   * MLflow experiment that the service records the run in.
   * @default 'lowrank'
   */
  experiment?: string
  /**
   * What npm installs on the node: names with versions, or tarballs of this machine, which go into the volume.
   * @default lowrank and its package with CUDA, both of the version that submits
   */
  packages?: readonly string[]
  /**
   * Version of the serverless environment, which says which Python there is.
   * @default '5'
   */
  environmentVersion?: string
  /**
   * Seconds until the service ends the run; 0 is never.
   * @default 0
   */
  timeoutSeconds?: number
}

/** Options of `waitForTraining`. */
export interface TrainingWaitOptions extends WaitOptions {
  /**
   * Seconds until the wait fails; the run goes on.
   * @default 86400
   */
  timeout?: number
  /**
   * Folder of this machine that the result is fetched into once the run has ended.
   * @default none: the result stays in the volume
   */
  outputDir?: string
  /**
   * Told what the run has written since the last time.
   * @default none
   */
  onLog?: (text: string) => void
}

const VOLUME = /^\/Volumes(?:\/[^/]+){3,}$/

/** The options of `submitTraining`. */
export const TRAINING_OPTIONS = {
  ...RESOURCE_OPTIONS,
  volume: {
    rule: {
      ...textOf('a folder in a volume, as /Volumes/CATALOG/SCHEMA/VOLUME'),
      accepts: (value) => typeof value === 'string' && VOLUME.test(value) && !value.includes('/../'),
    },
    isRequired: true,
    help: 'folder in a volume below which each run has a folder of its own',
    flag: { name: '--volume', argument: 'path', group: 'Run' },
  },
  acceleratorType: {
    rule: oneOf(ACCELERATOR_TYPES),
    default: 'GPU_1xA10' as AcceleratorType,
    help: 'the GPU',
    flag: { name: '--gpu', argument: 'type' },
  },
  runName: {
    rule: text,
    default: 'lowrank' as string,
    help: 'name of the run, as people see it',
    flag: { name: '--name', argument: 'text' },
  },
  experiment: {
    rule: text,
    default: 'lowrank' as string,
    help: 'MLflow experiment that the service records the run in',
    flag: { name: '--experiment', argument: 'name' },
  },
  packages: {
    rule: listOf(text, 'a list of packages of npm, or of tarballs', { minItems: 1 }),
    otherwise: 'lowrank and its package with CUDA, both of the version that submits',
    help: 'what npm installs on the node: names with versions, or tarballs of this machine',
    flag: { name: '--package', argument: 'name', isRepeatable: true },
  },
  environmentVersion: {
    rule: text,
    default: '5' as string,
    help: 'version of the serverless environment, which says which Python there is',
    flag: { name: '--environment-version', argument: 'number' },
  },
  timeoutSeconds: {
    rule: integer({ min: 0 }),
    default: 0 as number,
    help: 'seconds until the service ends the run; 0 is never',
    flag: { name: '--timeout-seconds', argument: 'seconds' },
  },
} as const satisfies OptionTable<TrainingOptions>

/** The options of `waitForTraining`. */
export const TRAINING_WAIT_OPTIONS = {
  ...WAIT_OPTIONS,
  timeout: {
    ...WAIT_OPTIONS.timeout,
    default: 86_400 as number,
    help: 'seconds until the wait fails; the run goes on',
  },
  outputDir: {
    rule: text,
    otherwise: 'none: the result stays in the volume',
    help: 'folder of this machine that the result is fetched into once the run has ended',
  },
  onLog: {
    rule: WAIT_OPTIONS.onState.rule,
    otherwise: 'none',
    help: 'told what the run has written since the last time',
  },
} as const satisfies OptionTable<TrainingWaitOptions>
