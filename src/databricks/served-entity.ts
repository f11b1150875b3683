/** @file What a serving endpoint serves. */

import { boolean, integer, objectOf, oneOf, text } from '../options/rules.js'
import type { OptionTable } from '../options/table.js'

/** What a serving endpoint serves, in the names of Databricks' clients. */
export interface ServedEntity {
  /** The registered model: `catalog.schema.model`. */
  entityName: string
  /** Its version: `3`. */
  entityVersion: string
  /**
   * Kind of machine.
   * @default 'CPU'
   */
  workloadType?: string
  /**
   * How many requests it takes at a time: Small (4), Medium (8 to 16), Large (16 to 64).
   * @default 'Small', unless throughput is given
   */
  workloadSize?: string
  /**
   * Whether nothing runs, and nothing costs, while no request comes.
   * @default true
   */
  scaleToZeroEnabled?: boolean
  /**
   * Tokens a second at least, of models that have provisioned throughput.
   * @default none
   */
  minProvisionedThroughput?: number
  /** @default none */
  maxProvisionedThroughput?: number
  /**
   * Environment variables of the model; secrets as `{{secrets/scope/key}}`.
   * @default none
   */
  environmentVars?: Readonly<Record<string, string>>
}

/** The fields of what an endpoint serves. */
export const SERVED_ENTITY_OPTIONS = {
  entityName: { rule: text, isRequired: true, help: 'the registered model: catalog.schema.model' },
  entityVersion: { rule: text, isRequired: true, help: 'its version: 3' },
  workloadType: {
    rule: oneOf(['CPU', 'GPU_SMALL', 'GPU_MEDIUM', 'GPU_LARGE', 'MULTIGPU_MEDIUM']),
    default: 'CPU' as string,
    help: 'kind of machine',
  },
  workloadSize: {
    rule: text,
    otherwise: "'Small', unless throughput is given",
    help: 'how many requests it takes at a time: Small (4), Medium (8 to 16), Large (16 to 64)',
  },
  scaleToZeroEnabled: {
    rule: boolean,
    default: true as boolean,
    help: 'whether nothing runs, and nothing costs, while no request comes',
  },
  minProvisionedThroughput: { rule: integer({ min: 0 }), otherwise: 'none', help: 'tokens a second at least' },
  maxProvisionedThroughput: { rule: integer({ min: 0 }), otherwise: 'none', help: 'tokens a second at most' },
  environmentVars: {
    rule: objectOf(text, 'names with texts'),
    otherwise: 'none',
    help: 'environment variables of the model; secrets as {{secrets/scope/key}}',
  },
} as const satisfies OptionTable<ServedEntity>
