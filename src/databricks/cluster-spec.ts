/** @file What a new cluster is like. */

import { boolean, instance, integer, objectOf, text } from '../options/rules.js'
import type { OptionTable } from '../options/table.js'
import { isPlainObject } from '../values.js'

/** What a new cluster is like, in the names of Databricks' clients. */
export interface ClusterSpec {
  /** Name, as people see it. */
  clusterName: string
  /** Databricks Runtime: `17.3.x-scala2.13`. */
  sparkVersion: string
  /**
   * Kind of machine: `i3.xlarge`.
   * @default what the policy or the pool says
   */
  nodeTypeId?: string
  /**
   * Kind of machine of the driver.
   * @default that of the workers
   */
  driverNodeTypeId?: string
  /**
   * Workers besides the driver.
   * @default 0, unless autoscale is given
   */
  numWorkers?: number
  /**
   * Fewest and most workers, in place of numWorkers.
   * @default none
   */
  autoscale?: { readonly minWorkers: number; readonly maxWorkers: number }
  /**
   * Minutes without work after which it terminates; 0 is never.
   * @default 60
   */
  autoterminationMinutes?: number
  /**
   * Whether the driver works too, and alone.
   * @default the service decides
   */
  isSingleNode?: boolean
  /** @default none */
  policyId?: string
  /** @default none */
  instancePoolId?: string
  /** @default the service decides */
  dataSecurityMode?: string
  /** @default none */
  singleUserName?: string
  /** @default none */
  sparkConf?: Readonly<Record<string, string>>
  /** @default none */
  sparkEnvVars?: Readonly<Record<string, string>>
  /** @default none besides the one that lowrank finds it by */
  customTags?: Readonly<Record<string, string>>
}

const TEXTS = objectOf({ ...text, accepts: (value) => typeof value === 'string' }, 'names with texts')

/** The fields of a new cluster. */
export const CLUSTER_OPTIONS = {
  clusterName: { rule: text, isRequired: true, help: 'name, as people see it' },
  sparkVersion: { rule: text, isRequired: true, help: 'Databricks Runtime: 17.3.x-scala2.13' },
  nodeTypeId: { rule: text, otherwise: 'what the policy or the pool says', help: 'kind of machine: i3.xlarge' },
  driverNodeTypeId: { rule: text, otherwise: 'that of the workers', help: 'kind of machine of the driver' },
  numWorkers: {
    rule: integer({ min: 0 }),
    otherwise: '0, unless autoscale is given',
    help: 'workers besides the driver',
  },
  autoscale: {
    rule: instance(
      'an object with minWorkers and maxWorkers',
      (value) => isPlainObject(value) && Number.isInteger(value.minWorkers) && Number.isInteger(value.maxWorkers),
    ),
    otherwise: 'none',
    help: 'fewest and most workers, in place of numWorkers',
  },
  autoterminationMinutes: {
    rule: integer({ min: 0, max: 43200 }),
    default: 60 as number,
    help: 'minutes without work after which it terminates; 0 is never',
  },
  isSingleNode: { rule: boolean, otherwise: 'the service decides', help: 'whether the driver works too, and alone' },
  policyId: { rule: text, otherwise: 'none', help: 'policy that limits what it may be' },
  instancePoolId: { rule: text, otherwise: 'none', help: 'pool that its machines come from' },
  dataSecurityMode: { rule: text, otherwise: 'the service decides', help: 'who may use it for which data' },
  singleUserName: { rule: text, otherwise: 'none', help: 'whom it is for alone' },
  sparkConf: { rule: TEXTS, otherwise: 'none', help: 'settings of Spark' },
  sparkEnvVars: { rule: TEXTS, otherwise: 'none', help: 'environment variables of its processes' },
  customTags: { rule: TEXTS, otherwise: 'none besides the one that lowrank finds it by', help: 'tags of its machines' },
} as const satisfies OptionTable<ClusterSpec>
