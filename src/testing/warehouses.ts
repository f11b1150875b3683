/** @file The SQL warehouses of the loopback workspace: which there are, and in which state. */

import type { StateKey } from './state.js'

/** A SQL warehouse, as its routes give it. */
export interface LoopbackWarehouse {
  readonly id: string
  readonly name: string
  state: 'RUNNING' | 'STARTING' | 'STOPPED' | 'STOPPING' | 'DELETED'
}

/** The id of the warehouse that every workspace begins with. */
export const FIRST_WAREHOUSE = '0123456789abcdef'

export const WAREHOUSES: StateKey<Map<string, LoopbackWarehouse>> = {
  name: 'warehouses',
  make: () =>
    new Map([[FIRST_WAREHOUSE, { id: FIRST_WAREHOUSE, name: 'Serverless Starter Warehouse', state: 'RUNNING' }]]),
}
