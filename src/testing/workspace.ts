/**
 * @file A Databricks workspace on the loopback interface, for tests: it remembers what it is sent, checks who asks,
 * records requests, and meets them with faults by rule.
 */

import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { answerRequest, type Exchange, meetFault } from './answer.js'
import { duckdbExecutor } from './duckdb-executor.js'
import type { StatementExecutor } from './executor.js'
import { createFaults, type FaultRule } from './faults.js'
import { closeServer, listen } from './listen.js'
import { startLoopbackStorage } from './loopback-storage.js'
import type { ObjectStorage } from './object-storage.js'
import { type RecordedRequest, recordOf } from './record.js'

import type { Route } from './route.js'
import { routerOf } from './router.js'
import { ROUTES } from './routes.js'
import { createState, newId, type OauthClient, type WorkspaceState } from './state.js'

/** What a loopback workspace is like. */
export interface WorkspaceOptions {
  /**
   * The personal access token that is let in.
   * @default a random one, see {@link LoopbackWorkspace.token}
   */
  readonly token?: string
  /**
   * `userName` of whom the token stands for.
   * @default 'someone@example.com'
   */
  readonly user?: string
  /**
   * OAuth clients that may ask for tokens with their secret.
   * @default none
   */
  readonly clients?: readonly OauthClient[]
  /**
   * Whose wordings the presigned addresses of the own storage have.
   * @default 'AWS'
   */
  readonly cloud?: ObjectStorage['cloud']
  /**
   * A storage in place of the own one. It is closed with the workspace.
   * @default an own one, on the disk in a temporary folder
   */
  readonly storage?: ObjectStorage
  /**
   * Runs the SQL statements. It is closed with the workspace.
   * @default one on DuckDB, see duckdbExecutor
   */
  readonly execute?: StatementExecutor
  /**
   * Milliseconds by which the workspace's clock is ahead of this machine's, for `Date` and for what expires.
   * @default 0
   */
  readonly clockOffset?: number
  /**
   * More routes. They go before those of the same path.
   * @default none
   */
  readonly routes?: readonly Route[]
}

/** A workspace that runs. */
export interface LoopbackWorkspace {
  /** Origin, as `host` of a connection takes it: `http://127.0.0.1:PORT`. */
  readonly url: string
  readonly token: string
  /** Requests to the workspace and to its own storage, in the order of arrival, without their secrets. */
  readonly requests: readonly RecordedRequest[]
  readonly state: WorkspaceState
  /** Adds a rule. The first rule that matches a request is met. */
  fail(rule: FaultRule): void
  /** Rules that have requests left to meet: empty where every fault was met. */
  pendingFaults(): readonly FaultRule[]
  /** Takes all rules away. */
  heal(): void
  close(): Promise<void>
}

/**
 * Starts a workspace on a free port of the loopback interface.
 *
 * ```ts
 * const workspace = await startWorkspace()
 * const client = await connectDatabricks({ host: workspace.url, token: workspace.token })
 * workspace.fail({ path: /\/scim\/v2\/Me/, with: FAULTS.rateLimited() })
 * ```
 */
export async function startWorkspace(options: WorkspaceOptions = {}): Promise<LoopbackWorkspace> {
  const { user = 'someone@example.com', clients = [], cloud = 'AWS', clockOffset = 0 } = options
  const token = options.token ?? `dapi${randomBytes(16).toString('hex')}`
  const requests: RecordedRequest[] = []
  let faults = createFaults()
  const router = routerOf([...ROUTES, ...(options.routes ?? [])])

  const exchangeOf = (host: RecordedRequest['host'], request: IncomingMessage, response: ServerResponse): Exchange => {
    const address = new URL(request.url ?? '/', url)
    const record = recordOf(host, request, address, newId())
    requests.push(record)
    response.on('finish', () => {
      record.status = response.statusCode
    })
    record.fault = faults.take(host, record.method, address.pathname + address.search)
    return { request, response, address, record, fault: record.fault, state }
  }
  const server = createServer((request, response) => {
    // A client that has gone leaves nobody to answer.
    answerRequest(exchangeOf('workspace', request, response), router).catch(() => response.destroy())
  })
  const url = await listen(server)
  const own = (): Promise<ObjectStorage> =>
    startLoopbackStorage({
      cloud,
      now: () => state.now(),
      intercept: (request, response) => meetFault(exchangeOf('storage', request, response)),
    })
  const storage = options.storage ?? (await own())
  const executor = options.execute ?? duckdbExecutor()
  const ids = { workspaceId: '1234567890123456', accountId: '11111111-2222-3333-4444-555555555555' }
  const state = createState({ url, ...ids, user, clients, storage, executor, clockOffset })
  state.tokens.set(token, { user, expires: undefined })
  return {
    url,
    token,
    requests,
    state,
    fail: (rule) => faults.add(rule),
    pendingFaults: () => faults.pending(),
    heal: () => {
      faults = createFaults()
    },
    close: async () => {
      await closeServer(server)
      await executor.close?.()
      await storage.close()
    },
  }
}
