/** @file syncMlflow: sends what a run has written down for MLflow, each call once, whatever was sent before. */

import { join } from 'node:path'
import { pause } from '../http/patience.js'
import { LowrankError, OptionError } from '../lowrank-error.js'
import { callback, number } from '../options/rules.js'
import { SIGNAL } from '../options/shared.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { readDirectory } from '../regular-file.js'
import { DirectoryLock } from '../train/directory-lock.js'
import type { MlflowCall, RunState } from './calls.js'
import { createMlflowClient } from './client.js'
import { connectTo, type MlflowConnection } from './connect.js'
import { callsFrom, type FailedCall, JOURNAL_FILE, Journal, type JournalSummary, summarize } from './journal.js'
import { MLFLOW_OPTIONS, type MlflowOptions } from './options.js'
import { type QueuedCall, queuedCalls } from './queued-call.js'
import { CallSender, messageOf, remedyFor } from './send-calls.js'
import { type MlflowTarget, REQUEST_TIMEOUT, readTarget } from './settings.js'

/** How far a journal has been sent. */
export interface SyncProgress {
  /** The journal. */
  readonly path: string
  /** Calls of it that are done with. */
  readonly done: number
  readonly total: number
}

export interface SyncMlflowOptions extends Pick<MlflowOptions, 'trackingUri' | 'token' | 'username' | 'password'> {
  /**
   * Seconds that a server that does not answer is waited for.
   * @default 120
   */
  patience?: number
  /**
   * Is told how far it is.
   * @default nobody
   */
  onProgress?: (progress: SyncProgress) => void
  /**
   * Ends the work between two requests; what was sent stays sent, and the rest can be sent later.
   * @default none
   */
  signal?: AbortSignal
}

/** The options of `syncMlflow`. */
export const SYNC_MLFLOW_OPTIONS = {
  trackingUri: {
    ...MLFLOW_OPTIONS.trackingUri,
    otherwise: 'that of the journal, else MLFLOW_TRACKING_URI',
    flag: { name: '--tracking-uri', argument: 'uri' },
  },
  token: MLFLOW_OPTIONS.token,
  username: MLFLOW_OPTIONS.username,
  password: MLFLOW_OPTIONS.password,
  patience: {
    rule: number({ min: 0 }),
    default: 120,
    help: 'seconds that a server that does not answer is waited for',
    flag: { name: '--patience', argument: 'seconds' },
  },
  onProgress: { rule: callback, help: 'is told how far it is' },
  signal: SIGNAL,
} as const satisfies OptionTable<SyncMlflowOptions>

/** What became of one journal. */
export interface SyncedJournal {
  readonly path: string
  /** Calls that this call of `syncMlflow` sent; 0 where a server had all of them. */
  readonly sent: number
  /** Calls that the server refused for good, at any time. */
  readonly failed: readonly FailedCall[]
  /** The run of MLflow. */
  readonly run: RunState | undefined
}

const NAME = /^mlflow(?:-[\w-]+)?\.jsonl$/
const MOST_READ = 20_000
const SHORTEST_BACKOFF = 500
const LONGEST_BACKOFF = 30_000

/**
 * Sends the journals in an output directory.
 * @param directory `outputDir` of a run that does not go on
 * @throws OptionError where nothing says which server; LowrankError where there is no journal, or a run has the
 * directory; ServiceError where the server does not take it. What was sent until then stays sent: call it again.
 */
export async function syncMlflow(
  directory: string,
  options: SyncMlflowOptions = {},
): Promise<readonly SyncedJournal[]> {
  const settings = readOptions('mlflow sync', options, SYNC_MLFLOW_OPTIONS)
  const names = (await readDirectory('mlflow', directory)).filter((name) => NAME.test(name)).sort()
  if (names.length === 0) {
    throw new LowrankError(
      'FILE',
      `[mlflow] expected ${JOURNAL_FILE} in ${directory}, got none; give the outputDir of a run with reportTo: mlflow`,
    )
  }
  const lock = await DirectoryLock.take(directory)
  try {
    const journals: SyncedJournal[] = []
    for (const name of names) journals.push(await syncJournal(directory, name, settings))
    return journals
  } finally {
    await lock.release()
  }
}

type Settings = ReturnType<typeof readOptions<SyncMlflowOptions, typeof SYNC_MLFLOW_OPTIONS>>

async function syncJournal(directory: string, name: string, settings: Settings): Promise<SyncedJournal> {
  const path = join(directory, name)
  const { onProgress, signal } = settings
  const summary = (await summarize(path)) as JournalSummary
  const { total, failed } = summary
  onProgress?.({ path, done: summary.done, total })
  if (summary.done >= total) return { path, sent: 0, failed, run: summary.run }
  const connection = await connectTo(targetOf(path, summary, settings), {
    timeout: REQUEST_TIMEOUT,
    patience: 0,
    signal,
  })
  const journal = Journal.open(directory, summary, name)
  const refused = [...failed]
  const sender = new CallSender(
    createMlflowClient(connection, signal),
    { directory, run: summary.run, warn: () => {} },
    true,
  )
  let done = summary.done
  try {
    while (done < total) {
      const calls = await someCalls(path, done)
      let waiting: readonly QueuedCall[] = calls
      while (waiting.length > 0) {
        signal?.throwIfAborted()
        const outcome = await sendPatiently(sender, connection, waiting, settings)
        if (typeof outcome !== 'number') {
          journal.failed(done, outcome.message)
          refused.push({ index: done, message: outcome.message })
        }
        const count = typeof outcome === 'number' ? outcome : 1
        done += count
        waiting = waiting.slice(count)
        journal.done(done, sender.run)
        onProgress?.({ path, done, total })
      }
      if (calls.length === 0) break
    }
    journal.flush()
    if (refused.length === 0) await journal.shrink()
  } finally {
    journal.close()
  }
  return { path, sent: done - summary.done, failed: refused, run: sender.run }
}

async function someCalls(path: string, from: number): Promise<QueuedCall[]> {
  const calls: MlflowCall[] = []
  for await (const call of callsFrom(path, from)) {
    calls.push(call)
    if (calls.length === MOST_READ) break
  }
  return queuedCalls(calls).queued
}

/** @returns how many calls were sent, or what the server has against the first one */
async function sendPatiently(
  sender: CallSender,
  connection: MlflowConnection,
  calls: readonly QueuedCall[],
  { patience, signal }: Settings,
): Promise<number | { readonly message: string }> {
  const begun = performance.now()
  for (let attempt = 0; ; attempt++) {
    try {
      return await sender.send(calls)
    } catch (error) {
      signal?.throwIfAborted()
      const remedy = remedyFor(error, calls[0])
      if (remedy === 'leave out') return { message: messageOf(error) }
      const wait = Math.max(connection.waitOf(error) ?? 0, Math.min(SHORTEST_BACKOFF * 2 ** attempt, LONGEST_BACKOFF))
      if (remedy === 'stop' || performance.now() - begun + wait > 1000 * patience) throw error
      await pause(wait, signal)
    }
  }
}

/** Where a journal goes. A file must not say who gets the credentials of the environment. */
function targetOf(
  path: string,
  { first }: JournalSummary,
  { trackingUri, token, username, password }: Settings,
): MlflowTarget {
  const written = first?.trackingUri ?? undefined
  const { MLFLOW_TRACKING_URI } = process.env
  const environment = MLFLOW_TRACKING_URI?.trim() || undefined
  const uri = trackingUri ?? written ?? environment
  if (uri === undefined) {
    throw new OptionError(
      `[mlflow] expected the address of an MLflow server for ${path}, got none; set MLFLOW_TRACKING_URI, or give --tracking-uri`,
    )
  }
  const target = readTarget(uri, {
    ...(token && { token }),
    ...(username && { username }),
    ...(password && { password }),
  })
  if (trackingUri === undefined && environment !== undefined && readTarget(environment).uri !== target.uri) {
    throw new OptionError(
      `[mlflow] expected ${path} to be for ${readTarget(environment).uri}, which MLFLOW_TRACKING_URI names, got a journal for ${target.uri}; say which with --tracking-uri`,
    )
  }
  return target
}
