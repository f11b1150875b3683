/**
 * @file Statements that may run twice without harm, and that nevertheless run once where that can be known: after an
 * answer that was lost the history of queries says what became of the statement.
 */

import { randomUUID } from 'node:crypto'
import { pause } from '../../http/patience.js'
import { ServiceError } from '../../http/service-error.js'
import { isObject } from '../../values.js'
import type { DatabricksClient } from '../client/connect.js'
import { type SqlStatement, sql, statementOf } from '../client/sql.js'
import { STATEMENT_OPTIONS, type StatementEvent } from '../client/statement-options.js'
import type { StatementResult } from '../client/statement-result.js'
import { runStatement } from '../client/statements.js'

/** Where statements of a push run. */
export interface PushSession {
  readonly client: DatabricksClient
  readonly warehouseId: string
  readonly timeout: number
  readonly signal: AbortSignal | undefined
  readonly onEvent: (event: StatementEvent) => void
}

/** How often a statement is sent whose fate nobody knows. */
const MOST_TRIES = 3
/** Looks at the history until a statement that is not in it is held for one that never came. */
const MOST_LOOKS = 4
const FIRST_PAUSE = 250
const LONGEST_PAUSE = 5000
const PAGE = 100
/** How far the clock of the workspace may be behind. */
const CLOCK_SKEW = 86_400_000

/**
 * Runs a statement that does no harm when it runs again.
 * @param firstWait '0s' where a lost answer costs much: the one that has the id comes at once then, and is seldom lost.
 * @returns its result; undefined where its answer was lost and the history says that it succeeded
 * @throws as `executeStatement`
 */
export async function runSettled(
  session: PushSession,
  statement: SqlStatement,
  firstWait: '0s' | '5s' = '5s',
): Promise<StatementResult | undefined> {
  const { client, warehouseId, timeout, signal, onEvent } = session
  for (let tries = 1; ; tries++) {
    const mark = `lowrank ${randomUUID()}`
    const marked = sql`${statement} ${statementOf(`/* ${mark} */`)}`
    try {
      return await runStatement(client, marked, {
        warehouseId,
        timeout,
        onEvent,
        disposition: 'INLINE',
        maxBufferedBytes: STATEMENT_OPTIONS.maxBufferedBytes.default,
        firstWait,
        ...(signal && { signal }),
      })
    } catch (error) {
      if (!(error instanceof ServiceError) || error.errorCode !== 'OUTCOME_UNKNOWN') throw error
      if ((await fateOf(session, mark)) === 'FINISHED') return undefined
      if (tries >= MOST_TRIES) throw error
    }
  }
}

/** How a statement ended, as the history has it; undefined where it does not know the statement. */
async function fateOf(
  { client, warehouseId, signal, timeout }: PushSession,
  mark: string,
): Promise<string | undefined> {
  const until = performance.now() + 1000 * timeout
  const since = Date.now() - CLOCK_SKEW
  let looks = 0
  for (let wait = FIRST_PAUSE; performance.now() < until; wait = Math.min(LONGEST_PAUSE, wait * 2)) {
    const status = await statusIn(client, warehouseId, since, mark, signal)
    if (status === undefined && ++looks >= MOST_LOOKS) return undefined
    if (status !== undefined && /^(?:FINISHED|FAILED|CANCELED|CLOSED)$/.test(status)) return status
    await pause(wait, signal)
  }
  return undefined
}

async function statusIn(
  client: DatabricksClient,
  warehouseId: string,
  since: number,
  mark: string,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const query = {
    max_results: PAGE,
    'filter_by.warehouse_ids': warehouseId,
    'filter_by.query_start_time_range.start_time_ms': since,
  }
  try {
    // The newest are first: one page has it.
    const { res = [] } = await client.json<{ readonly res?: readonly unknown[] }>({
      path: '/api/2.0/sql/history/queries',
      query,
      what: 'the history of queries',
      signal,
    })
    const found = res.filter(isObject).find(({ query_text: text }) => typeof text === 'string' && text.includes(mark))
    return typeof found?.status === 'string' ? found.status : undefined
  } catch {
    signal?.throwIfAborted()
    // Not everybody may see it.
    return undefined
  }
}
