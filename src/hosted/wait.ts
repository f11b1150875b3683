/** @file Waiting for a job: its states and the lines of its log, each told once. */

import { pause } from '../http/patience.js'
import { ServiceError } from '../http/service-error.js'
import type { EventLog } from './event-log.js'
import type { HostedJob, HostedService } from './service.js'

/** How long, and what happens at the end of patience. */
export interface JobWait {
  readonly pollInterval: number
  readonly timeout: number
  readonly signal: AbortSignal | undefined
  readonly cancelOnAbort?: boolean
}

const ENDED: readonly string[] = ['succeeded', 'failed', 'cancelled']

/** @throws ServiceError where the job fails or is cancelled; the signal's reason */
export async function waitForJob(service: HostedService, id: string, wait: JobWait, log: EventLog): Promise<HostedJob> {
  const { pollInterval, timeout, signal } = wait
  const deadline = performance.now() + timeout * 1000
  let before: string | undefined
  try {
    for (;;) {
      const job = await service.job(id, signal)
      await tellEvents(service, id, signal, log)
      if (job.serviceStatus !== before)
        await log.tell({ type: 'status', of: 'job', id, status: job.status, serviceStatus: job.serviceStatus })
      before = job.serviceStatus
      if (job.status === 'succeeded') return job
      if (ENDED.includes(job.status)) throw notDone(job)
      if (performance.now() > deadline)
        throw new ServiceError(
          `[hosted] expected the job ${id} to end within ${timeout} s, got ${job.serviceStatus}; it goes on: run again to wait on`,
        )
      await pause(pollInterval, signal)
    }
  } catch (error) {
    if (signal?.aborted && wait.cancelOnAbort) await service.cancel(id, undefined)
    throw error
  }
}

async function tellEvents(
  service: HostedService,
  id: string,
  signal: AbortSignal | undefined,
  log: EventLog,
): Promise<void> {
  for (const { id: event, time, level, message, step, figures } of await service.events(id, signal))
    if (step === undefined) await log.tell({ type: 'message', id: event, time, level, message })
    else await log.tell({ type: 'figures', id: event, time, step, figures })
}

function notDone({ id, status, error }: HostedJob): ServiceError {
  const reason = error === undefined ? '' : `: ${error}`
  const remedy = status === 'failed' ? 'correct it, and run with another outputDir' : 'run with another outputDir'
  return new ServiceError(`[hosted] expected the job ${id} to succeed, got ${status}${reason}; ${remedy}`)
}
