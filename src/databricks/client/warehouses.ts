/** @file Which SQL warehouse runs statements: the one that is named, or the first that can be used. Starts none. */

import { describeValue, listNames } from '../../errors.js'
import { ServiceError } from '../../http/service-error.js'
import type { DatabricksClient } from './connect.js'

/** A SQL warehouse, as far as statements need to know it. */
export interface WarehouseChoice {
  readonly id: string
  /** Absent where the id was given, so that nobody was asked. */
  readonly name?: string
  /** `RUNNING`, `STOPPED`, ...; a warehouse that is stopped starts with the first statement. */
  readonly state?: string
  /** Whether it was taken because nobody named one. */
  readonly isGuess: boolean
}

/** States of a warehouse that can be used, the quickest first. */
const USABLE = ['RUNNING', 'STARTING', 'STOPPED', 'STOPPING'] as const
/** Ids are of this form; names may be, but nobody calls one so. */
const ID = /^[0-9a-f]{16}$/

/**
 * The warehouse of a call: its id or name, else that of the client (`warehouseId`, DATABRICKS_WAREHOUSE_ID), else the
 * first usable one of the workspace, running ones before stopped ones.
 *
 * @throws ServiceError where there is none of that name, or none at all
 */
export async function chooseWarehouse(
  client: DatabricksClient,
  given: string | undefined,
  signal: AbortSignal | undefined,
): Promise<WarehouseChoice> {
  const named = given ?? client.warehouseId
  if (named !== undefined && ID.test(named)) return { id: named, isGuess: false }
  const { warehouses = [] } = await client.json<{ readonly warehouses?: readonly Listed[] }>({
    path: '/api/2.0/sql/warehouses',
    what: 'the list of SQL warehouses',
    signal,
  })
  if (named !== undefined) {
    const found = warehouses.filter(({ id, name }) => id === named || name === named)
    if (found.length === 1) return choiceOf(found[0] as Listed, false)
    const names = warehouses.map(({ name }) => name)
    throw new ServiceError(
      found.length > 1
        ? `[databricks] expected one SQL warehouse that is called ${describeValue(named)}, got ${found.length}; give its id: ${listNames(found.map(({ id }) => id))}`
        : `[databricks] expected the id or name of a SQL warehouse of ${client.server}, got ${describeValue(named)}; ${names.length === 0 ? 'there is none that the credentials may use' : `there are ${listNames(names)}`}`,
      { errorCode: 'NOT_FOUND' },
    )
  }
  const usable = USABLE.flatMap((wanted) => warehouses.filter(({ state }) => state === wanted))
  const [first] = usable
  if (first !== undefined) return choiceOf(first, true)
  throw new ServiceError(
    `[databricks] expected a SQL warehouse in ${client.server} to run statements on, got none that can be used; make one in the ` +
      'workspace, or ask for the permission CAN USE on one',
    { errorCode: 'NOT_FOUND' },
  )
}

interface Listed {
  readonly id: string
  readonly name: string
  readonly state: string
}

function choiceOf({ id, name, state }: Listed, isGuess: boolean): WarehouseChoice {
  return { id, name, state, isGuess }
}
