/** @file The events of a run for those who iterate over it: what is kept, for whom, and how an iteration ends. */

import { describe, expect, it } from 'vitest'
import { EventLog } from '../../src/train/event-log.js'
import type { StepEvent, TrainEvent } from '../../src/train/events.js'

const step = (number: number): StepEvent => ({
  type: 'step',
  step: number,
  totalSteps: 100,
  epoch: 0,
  loss: 1,
  learningRate: 1,
  gradNorm: 1,
  tokensPerSecond: 1,
  numInputTokensSeen: 1,
  etaSeconds: 1,
})
const warning = (message: string): TrainEvent => ({ type: 'warning', message })
const prepare = (split: 'train' | 'eval', rows: number): TrainEvent => ({ type: 'prepare', split, rows })

/** What an iteration gets until the log is closed, in short. */
async function all(log: EventLog): Promise<string[]> {
  const seen: string[] = []
  for await (const event of log.read()) seen.push(short(event))
  return seen
}

function short(event: TrainEvent): string {
  if (event.type === 'step') return `step ${event.step}`
  if (event.type === 'prepare') return `${event.split} ${event.rows}`
  return event.type === 'warning' ? event.message : event.type
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('an event log', () => {
  it('gives an iteration that begins late what came before, and one that began early the same', async () => {
    const log = new EventLog()
    const early = all(log)
    for (const message of ['a', 'b']) log.add(warning(message))
    await turn()
    const late = all(log)
    log.add(warning('c'))
    log.close()
    expect(await early).toEqual(['a', 'b', 'c'])
    expect(await late).toEqual(['a', 'b', 'c'])
    expect(await all(log)).toEqual(['a', 'b', 'c'])
  })

  it('keeps of events that tell how far something is the last in a row, but gives all to who keeps up', async () => {
    const log = new EventLog()
    const early = all(log)
    for (const [split, rows] of [
      ['train', 0],
      ['train', 5],
      ['train', 9],
      ['eval', 0],
      ['eval', 3],
    ] as const) {
      log.add(prepare(split, rows))
      await turn()
    }
    log.add(warning('a'))
    log.add(prepare('eval', 4))
    log.close()
    expect(await early).toEqual(['train 0', 'train 5', 'train 9', 'eval 0', 'eval 3', 'a', 'eval 4'])
    expect(await all(log)).toEqual(['train 9', 'eval 3', 'a', 'eval 4'])
  })

  it('keeps the last steps and every other event, also for an iteration that is slow or rests on what is not kept', async () => {
    const log = new EventLog(3)
    const slow = log.read()
    log.add(warning('a'))
    expect((await slow.next()).value).toEqual(warning('a'))
    for (let number = 1; number <= 8; number++) {
      log.add(step(number))
      if (number % 3 === 0) log.add(warning(`after ${number}`))
    }
    log.close()
    expect(await all(log)).toEqual(['a', 'after 3', 'step 6', 'after 6', 'step 7', 'step 8'])
    const rest: string[] = []
    for await (const event of slow) rest.push(short(event))
    expect(rest).toEqual(['after 3', 'step 6', 'after 6', 'step 7', 'step 8'])
    const on = new EventLog(1)
    const resting = on.read()
    on.add(step(1))
    expect(short((await resting.next()).value as TrainEvent)).toBe('step 1')
    for (let number = 2; number <= 9; number++) on.add(step(number))
    expect(short((await resting.next()).value as TrainEvent)).toBe('step 9')
  })

  it('throws a failure behind the last event, in every iteration', async () => {
    const log = new EventLog()
    const failure = new Error('diverged')
    log.add(warning('a'))
    const early = log.read()
    log.close({ error: failure })
    for (const iteration of [early, log.read()]) {
      expect((await iteration.next()).value).toEqual(warning('a'))
      expect(await iteration.next().catch((error: unknown) => error)).toBe(failure)
    }
  })
})
