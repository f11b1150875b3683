/**
 * @file SQL statements on a warehouse (https://docs.databricks.com/api/workspace/statementexecution): sent, waited for,
 * cancelled. What comes of one is statement-result.ts.
 *
 * A statement has no key by which the service would know it again. So it is sent once: where nobody knows whether it
 * came, the error says so, and whoever sent it has to look at what it should have changed.
 */

import { describeValue, shorten } from '../../errors.js'
import { pause } from '../../http/patience.js'
import { ServiceError } from '../../http/service-error.js'
import { OptionError } from '../../lowrank-error.js'
import { readOptions } from '../../options/table.js'
import { type DatabricksClient, openDatabricks } from './connect.js'
import type { ResultData, ResultManifest } from './result-chunks.js'
import { isStatement, type SqlStatement, statementOf } from './sql.js'
import { STATEMENT_OPTIONS, type StatementEvent, type StatementOptions } from './statement-options.js'
import { type StatementResult, statementResult } from './statement-result.js'
import { chooseWarehouse } from './warehouses.js'

/** `errorCode` of an error after which nobody knows whether a statement ran. */
const OUTCOME_UNKNOWN = 'OUTCOME_UNKNOWN'

const STATEMENTS = '/api/2.0/sql/statements'
const LARGEST_STATEMENT = 16 * 2 ** 20
/** How long the first answer may take: the shortest wait that there is. */
const FIRST_WAIT = '5s'
/** How long the id of a statement that is to be cancelled is waited for. */
const ID_PATIENCE = 10_000
const FIRST_PAUSE = 200
const LONGEST_PAUSE = 5000
const PAUSE_GROWTH = 1.5
/** How long a cancelled statement is waited for: the service may not have heard, or may be too late. */
const CANCEL_TRIES = 20
const CANCEL_LIMIT = 10_000

type State = 'PENDING' | 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'CANCELED' | 'CLOSED'

interface StatementAnswer {
  readonly statement_id?: string
  readonly status?: {
    readonly state?: State
    readonly error?: { readonly error_code?: string; readonly message?: string }
    readonly sql_state?: string
  }
  readonly manifest?: ResultManifest
  readonly result?: ResultData
}

/**
 * Runs a statement to its end.
 *
 * ```ts
 * const result = await executeStatement(sql`select prompt from ${identifier('main.default.rows')} limit ${10}`)
 * for await (const row of result.rows()) console.log(row.prompt)
 * ```
 *
 * @param statement What the template `sql` makes, or a text without values.
 * @throws ServiceError where it fails (`errorCode` says why), where its result is cut without `rowLimit`, and with
 * `errorCode` `OUTCOME_UNKNOWN` where nobody knows whether it ran; the signal's reason once it is cancelled
 */
export async function executeStatement(
  statement: SqlStatement | string,
  options: StatementOptions = {},
): Promise<StatementResult> {
  const settings = readOptions('databricks', options, STATEMENT_OPTIONS)
  const { signal, onEvent = () => {} } = settings
  const given = typeof statement === 'string' ? statementOf(statement) : statement
  expectStatement(given)
  const client = await openDatabricks(settings.databricks, signal)
  const warehouseId = await namedWarehouse(client, settings.warehouseId, onEvent, signal)
  return await runStatement(client, given, { ...settings, warehouseId, onEvent })
}

/** How a statement runs once its workspace and warehouse are known. */
export interface RunSettings
  extends Pick<StatementOptions, 'catalog' | 'schema' | 'rowLimit' | 'signal'>,
    Required<Pick<StatementOptions, 'disposition' | 'maxBufferedBytes' | 'timeout' | 'onEvent'>> {
  readonly warehouseId: string
  /**
   * How long the first answer may take: '0s' where it is harmful to lose it.
   * @default '5s'
   */
  readonly firstWait?: '0s' | '5s'
}

/** The id of the warehouse; a guess is told. */
export async function namedWarehouse(
  client: DatabricksClient,
  given: string | undefined,
  onEvent: (event: StatementEvent) => void,
  signal: AbortSignal | undefined,
): Promise<string> {
  const { id, name = '', state = '', isGuess } = await chooseWarehouse(client, given, signal)
  if (isGuess) onEvent({ type: 'warehouse', id, name, state })
  return id
}

/** Runs a statement in a workspace. @throws as `executeStatement` */
export async function runStatement(
  client: DatabricksClient,
  statement: SqlStatement,
  settings: RunSettings,
): Promise<StatementResult> {
  const answer = await finish(client, await submit(client, statement, settings), settings)
  return statementResult(client, answer.id, answer, settings)
}

interface Submitted extends StatementAnswer {
  readonly id: string
}

async function submit(client: DatabricksClient, statement: SqlStatement, settings: RunSettings): Promise<Submitted> {
  const { warehouseId, catalog, schema, rowLimit, disposition, signal } = settings
  signal?.throwIfAborted()
  // Without its id a statement cannot be cancelled, so that the answer which has it is still waited for.
  const patience = new AbortController()
  const hurry = (): void => void setTimeout(() => patience.abort(signal?.reason), ID_PATIENCE).unref()
  signal?.addEventListener('abort', hurry, { once: true })
  const call = {
    method: 'POST',
    path: STATEMENTS,
    json: {
      statement: statement.text,
      warehouse_id: warehouseId,
      ...(catalog !== undefined && { catalog }),
      ...(schema !== undefined && { schema }),
      ...(statement.parameters.length > 0 && {
        parameters: statement.parameters.map(({ name, value, type }) => ({
          name,
          ...(value !== null && { value }),
          type,
        })),
      }),
      wait_timeout: settings.firstWait ?? FIRST_WAIT,
      on_wait_timeout: 'CONTINUE',
      disposition,
      format: disposition === 'INLINE' ? 'JSON_ARRAY' : 'ARROW_STREAM',
      ...(rowLimit !== undefined && { row_limit: rowLimit }),
    },
    what: 'a statement',
    signal: patience.signal,
  } as const
  let answer: StatementAnswer
  try {
    answer = await client.json<StatementAnswer>(call)
  } catch (error) {
    signal?.throwIfAborted()
    if (!isUnclear(error)) throw error
    throw new ServiceError(
      `[databricks] expected an answer of ${client.server} to a statement, got none that says whether it runs: ` +
        `${error.message}. It was not sent again, as it may have run: look at what it should have changed, or at the query history of the workspace`,
      { status: error.status, errorCode: OUTCOME_UNKNOWN, requestId: error.requestId, cause: error },
    )
  } finally {
    signal?.removeEventListener('abort', hurry)
  }
  const { statement_id: id } = answer
  if (id !== undefined && id !== '') return { ...answer, id }
  throw new ServiceError(
    `[databricks] expected the id of a statement from ${client.server}, got ${describeValue(id)}; look at the query history of the workspace`,
    { errorCode: OUTCOME_UNKNOWN },
  )
}

/** Whether a failed request may have done its work all the same. */
function isUnclear(error: unknown): error is ServiceError {
  if (!(error instanceof ServiceError)) return false
  const { status } = error
  return (
    error.errorCode === OUTCOME_UNKNOWN || status === undefined || status < 300 || (status >= 500 && status !== 503)
  )
}

async function finish(client: DatabricksClient, submitted: Submitted, settings: RunSettings): Promise<Submitted> {
  const { signal, timeout, onEvent } = settings
  const { id } = submitted
  const began = performance.now()
  let answer = submitted
  for (let wait = FIRST_PAUSE; ; wait = Math.min(LONGEST_PAUSE, wait * PAUSE_GROWTH)) {
    const state = answer.status?.state
    if (state !== 'PENDING' && state !== 'RUNNING') return expectSuccess(answer, state)
    const seconds = (performance.now() - began) / 1000
    onEvent({ type: 'statement', statementId: id, state, seconds })
    try {
      if (seconds >= timeout) {
        const ended = await cancel(client, id)
        if (ended === 'SUCCEEDED') return { ...(await statusOf(client, id, signal)), id }
        throw new ServiceError(
          `[databricks] expected the statement ${id} to end within ${timeout} s, got the state ${state}; it was cancelled: give it more time (timeout), or a larger warehouse`,
          { errorCode: 'DEADLINE_EXCEEDED' },
        )
      }
      await pause(Math.min(wait, 1000 * Math.max(0, timeout - seconds)), signal)
      answer = { ...(await statusOf(client, id, signal)), id }
    } catch (error) {
      if (signal?.aborted) await cancel(client, id)
      throw error
    }
  }
}

async function statusOf(
  client: DatabricksClient,
  id: string,
  signal: AbortSignal | undefined,
): Promise<StatementAnswer> {
  return await client.json({ path: `${STATEMENTS}/${encodeURIComponent(id)}`, what: `the statement ${id}`, signal })
}

/**
 * Cancels a statement and waits until it has ended.
 * @returns the state that it ended in; undefined: it may still run
 */
async function cancel(client: DatabricksClient, id: string): Promise<State | undefined> {
  const signal = AbortSignal.timeout(CANCEL_LIMIT)
  const what = `the end of the statement ${id}`
  try {
    const path = `${STATEMENTS}/${encodeURIComponent(id)}/cancel`
    // To cancel twice does nothing more.
    await client.json({ method: 'POST', path, what, isRepeatable: true, signal })
    for (let tries = 0; tries < CANCEL_TRIES; tries++) {
      const state = (await statusOf(client, id, signal)).status?.state
      if (state !== 'PENDING' && state !== 'RUNNING') return state
      await pause(FIRST_PAUSE, signal)
    }
  } catch {
    // Whoever cancels hears why the work ended, not that its end could not be seen.
  }
  return undefined
}

function expectSuccess(answer: Submitted, state: State | undefined): Submitted {
  if (state === 'SUCCEEDED') return answer
  const { id } = answer
  const { error_code: errorCode, message = '' } = answer.status?.error ?? {}
  if (state === 'FAILED') {
    const said = [errorCode, message && JSON.stringify(shorten(message))].filter(Boolean).join(', ')
    throw new ServiceError(
      `[databricks] expected the statement ${id} to run, got ${said || 'a failure without words'}; ${remedy(errorCode, message)}`,
      {
        errorCode: errorCode ?? 'UNKNOWN',
      },
    )
  }
  const words = {
    CANCELED: 'it was cancelled, by hand or because the warehouse stopped; run it again',
    CLOSED: 'its result was given up, as an hour after it is made; run it again',
  }
  throw new ServiceError(
    `[databricks] expected the statement ${id} to run, got the state ${describeValue(state)}; ${words[state as keyof typeof words] ?? 'look at the query history of the workspace'}`,
    { errorCode: state ?? 'UNKNOWN' },
  )
}

function remedy(errorCode: string | undefined, message: string): string {
  if (message.includes('DELTA_VERSION_NOT_FOUND')) return 'name a version that the table has, or none'
  if (message.includes('TABLE_OR_VIEW_NOT_FOUND')) return 'check the name, and that the credentials may see it'
  if (errorCode === 'BAD_REQUEST' || errorCode === 'NOT_FOUND' || errorCode === 'ALREADY_EXISTS')
    return 'correct the statement'
  if (errorCode === 'UNAUTHENTICATED' || errorCode === 'PERMISSION_DENIED') return 'ask for the permission'
  return 'look at the query history of the workspace'
}

function expectStatement(statement: SqlStatement): void {
  if (!isStatement(statement) || statement.text.trim() === '')
    throw new OptionError(`[databricks] expected a statement, got ${describeValue(statement)}; write sql\`...\``)
  const size = Buffer.byteLength(statement.text)
  if (size > LARGEST_STATEMENT)
    throw new OptionError(
      `[databricks] expected a statement of at most ${LARGEST_STATEMENT} bytes, got ${size}; push rows with pushDataset`,
    )
}
