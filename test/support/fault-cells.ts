/** @file Faults of a loopback workspace at every request of verbs: right, a clear error, or wrong. */

import { connectDatabricks, type DatabricksClient } from '../../src/databricks/client/connect.js'
import { LowrankError } from '../../src/lowrank-error.js'
import { FAULTS, type FaultRule } from '../../src/testing/faults.js'
import type { RecordedRequest } from '../../src/testing/record.js'
import { FIRST_WAREHOUSE } from '../../src/testing/warehouses.js'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'
import { isLong } from './long.js'
import { temporaryDirectory } from './tiny-model.js'

export interface FaultCase {
  readonly workspace: LoopbackWorkspace
  readonly client: DatabricksClient
  /** A folder of this case alone. */
  readonly folder: string
}

export interface FaultVerb {
  readonly name: string
  prepare?(one: FaultCase): Promise<void>
  run(one: FaultCase): Promise<unknown>
  /** What is wrong after the verb came back with this; undefined: nothing. */
  mistake(one: FaultCase, result: unknown): Promise<string | undefined>
  /** What is half after the verb failed. @default nothing can be */
  half?(one: FaultCase): Promise<string | undefined>
}

/** Faults by what tables call them; without a path they meet any request. */
export type FaultRules = Readonly<Record<string, Omit<FaultRule, 'path' | 'skip'> & { readonly path?: RegExp }>>

export const FAULT_RULES: FaultRules = {
  '429': { with: FAULTS.rateLimited(0) },
  '503': { with: FAULTS.unavailable(0) },
  'HTML 502': { with: FAULTS.html(502) },
  'login redirect': { with: FAULTS.loginRedirect() },
  reset: { with: 'reset' },
  'answer lost': { with: 'lost-answer' },
  'body cut': { with: { cutAfter: 10 } },
  'request cut': { with: { cutRequestAfter: 10 } },
  slow: { with: { delay: 20 } },
  'empty pages': { method: 'GET', path: /fs\/directories/, with: { emptyPages: 2 } },
  'expired AWS': { host: 'storage', with: FAULTS.expired('AWS') },
  'expired Azure': { host: 'storage', with: FAULTS.expired('Azure') },
  'expired GCP': { host: 'storage', with: FAULTS.expired('GCP') },
  'part refused': { host: 'storage', with: FAULTS.partRefused() },
  '308': { host: 'storage', with: FAULTS.partial(100) },
}

/** Requests that preparing has sent. */
const asked = new WeakMap<LoopbackWorkspace, number>()

export async function withCase<T>(verb: FaultVerb, work: (one: FaultCase) => Promise<T>): Promise<T> {
  const workspace = await startWorkspace()
  try {
    const client = await connectDatabricks({
      host: workspace.url,
      token: workspace.token,
      warehouseId: FIRST_WAREHOUSE,
    })
    const one = { workspace, client, folder: temporaryDirectory() }
    await verb.prepare?.(one)
    asked.set(workspace, workspace.requests.length)
    return await work(one)
  } finally {
    await workspace.close()
  }
}

/** Requests that a verb sends where nothing fails. */
function requestsOf(verb: FaultVerb): Promise<readonly RecordedRequest[]> {
  return withCase(verb, async (one) => {
    await verb.run(one)
    return one.workspace.requests.slice(asked.get(one.workspace))
  })
}

/** 'right', 'error', 'not met', or what is wrong. */
function outcomeOf(verb: FaultVerb, rule: FaultRule): Promise<string> {
  return withCase(verb, async (one) => {
    one.workspace.fail(rule)
    try {
      const result = await verb.run(one)
      if (one.workspace.pendingFaults().length > 0) return 'not met'
      const mistake = await verb.mistake(one, result)
      return mistake === undefined ? 'right' : `wrong: ${mistake}`
    } catch (error) {
      if (!(error instanceof LowrankError)) return `wrong: it threw ${String(error)}`
      if (!/^\[\w+\] (?:expected .* (?:got|but) |cannot reach )/s.test(error.message))
        return `wrong: it said ${error.message}`
      const text = `${error.stack} ${JSON.stringify(error)} ${String((error.cause as Error | undefined)?.stack)}`
      if (text.includes(one.workspace.token) || /X-Amz-Signature=\w/.test(text)) return 'wrong: it told a secret'
      one.workspace.heal()
      const half = await verb.half?.(one)
      return half === undefined ? 'error' : `wrong: ${half}`
    }
  })
}

/** Runs all at once, but for so many. */
async function inParallel<T>(items: readonly T[], most: number, work: (item: T) => Promise<void>): Promise<void> {
  const left = [...items]
  await Promise.all(
    Array.from({ length: most }, async () => {
      for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item)
    }),
  )
}

/** How often each came of the faults of a verb. */
export type FaultCounts = Record<'right' | 'error' | 'not met' | 'wrong', number>

/**
 * Tries every fault at every request of every verb.
 * @param share In short, one place of every so many pairs of verb and fault is tried, another one from pair to pair.
 */
export async function tryFaults(
  verbs: readonly FaultVerb[],
  rules: FaultRules,
  share: number,
): Promise<{ readonly counts: Record<string, FaultCounts>; readonly cells: number; readonly wrong: string[] }> {
  const cells: { readonly verb: FaultVerb; readonly fault: string; readonly skip: number }[] = []
  let turn = 0
  for (const verb of verbs) {
    const requests = await requestsOf(verb)
    for (const [fault, rule] of Object.entries(rules)) {
      const count = requests.filter(
        ({ host, method, path }) =>
          host === (rule.host ?? host) && method === (rule.method ?? method) && (rule.path ?? /./).test(path),
      ).length
      const places = Array.from({ length: count }, (_, skip) => skip)
      const chosen = isLong ? places : ++turn % share === 0 && count > 0 ? [turn % count] : []
      cells.push(...chosen.map((skip) => ({ verb, fault, skip })))
    }
  }
  const counts: Record<string, FaultCounts> = {}
  const wrong: string[] = []
  await inParallel(cells, 24, async ({ verb, fault, skip }) => {
    const outcome = await outcomeOf(verb, { path: /./, skip, ...rules[fault]! })
    counts[verb.name] ??= { right: 0, error: 0, 'not met': 0, wrong: 0 }
    const kind = outcome.startsWith('wrong') ? 'wrong' : (outcome as keyof FaultCounts)
    ;(counts[verb.name] as FaultCounts)[kind]++
    if (kind === 'wrong') wrong.push(`${verb.name}, ${fault} at request ${skip + 1}: ${outcome}`)
  })
  return { counts, cells: cells.length, wrong }
}
