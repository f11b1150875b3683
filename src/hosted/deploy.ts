/** @file Deploying a tuned model, and waiting until it answers. */

import { pause } from '../http/patience.js'
import { ServiceError } from '../http/service-error.js'
import { LowrankError } from '../lowrank-error.js'
import type { EventLog } from './event-log.js'
import { HOSTED_RECORD } from './resources.js'
import type { HostedService } from './service.js'

/** What is deployed, and how. */
export interface Deploying {
  readonly name: string
  readonly model: string
  readonly sku: string
  readonly capacity: number
  readonly modelFormat: string
  readonly pollInterval: number
  readonly timeout: number
  readonly signal: AbortSignal | undefined
}

/** Deploys, or waits for a deployment of the same model. @throws ServiceError where it fails */
export async function deployModel(service: HostedService, deploying: Deploying, log: EventLog): Promise<void> {
  const { deployments, server } = service
  const { name, model, sku, capacity, modelFormat: format, pollInterval, timeout, signal } = deploying
  if (deployments === undefined) return
  const there = await deployments.get(name, signal)
  if (there !== undefined && there.model !== model)
    throw new LowrankError(
      'INVALID_OPTION',
      `[hosted] expected the deployment ${name} to be free or of ${model}, got one of ${there.model}; name another deployment`,
    )
  if (there === undefined || there.status === 'failed')
    await HOSTED_RECORD.make(server, {
      kind: 'deployment',
      name,
      create: () => deployments.put({ name, model, format, sku, capacity, version: '1' }, signal).then(() => name),
      find: async () => ((await deployments.get(name, signal)) === undefined ? undefined : name),
      idOf: (id) => id,
    })
  const deadline = performance.now() + timeout * 1000
  let before: string | undefined
  for (;;) {
    const state = await deployments.get(name, signal)
    const { status = 'failed', serviceStatus = 'absent', error } = state ?? {}
    if (serviceStatus !== before) await log.tell({ type: 'status', of: 'deployment', id: name, status, serviceStatus })
    before = serviceStatus
    if (status === 'succeeded') return
    if (status === 'failed')
      throw new ServiceError(
        `[hosted] expected the deployment ${name} to succeed, got ${serviceStatus}${error === undefined ? '' : `: ${error}`}; correct it, and deploy again`,
      )
    if (performance.now() > deadline)
      throw new ServiceError(
        `[hosted] expected the deployment ${name} within ${timeout} s, got ${serviceStatus}; it goes on: deploy again to wait on`,
      )
    await pause(pollInterval, signal)
  }
}
