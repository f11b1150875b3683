/** @file Events of a run that nobody trains, for callbacks. */

import type { EndEvent, LogEvent, StartEvent, TrainEvent } from '../../src/index.js'
import type { TrainCallback } from '../../src/train/callbacks.js'

export function startEvent(outputDir: string, more: Partial<StartEvent> = {}): StartEvent {
  return {
    type: 'start',
    runId: 'run-1',
    startedAt: '2026-01-31T12:00:00.000Z',
    outputDir,
    step: 0,
    totalSteps: 1000,
    epoch: 0,
    options: { model: 'org/name', lora: { r: 4 } },
    versions: { lowrank: '0.1.0', node: '20.19.0' },
    trainableParameters: 1,
    totalParameters: 2,
    quantization: null,
    trainRows: 3,
    evalRows: 0,
    gradientCheckpointing: false,
    plannedMemory: 1,
    device: 'cpu',
    ...more,
  }
}

export function logEvent(step: number, more: Partial<LogEvent> = {}): LogEvent {
  return {
    type: 'log',
    step,
    totalSteps: 1000,
    epoch: step / 1000,
    loss: 1 / step,
    learningRate: 1e-4,
    gradNorm: 1,
    tokensPerSecond: 1000,
    numInputTokensSeen: step,
    etaSeconds: 1,
    ...more,
  }
}

export const END: EndEvent = {
  type: 'end',
  reason: 'completed',
  step: 1000,
  totalSteps: 1000,
  epoch: 1,
  loss: 0.5,
  seconds: 1,
}

/** Tells a callback of events, one after the other. @returns what it threw, as the messages of warnings */
export async function tell(callback: TrainCallback, events: readonly TrainEvent[]): Promise<string[]> {
  const warnings: string[] = []
  for (const event of events) {
    try {
      await callback.onEvent(event, { stop: () => {} })
    } catch (error) {
      warnings.push((error as Error).message)
    }
  }
  return warnings
}
