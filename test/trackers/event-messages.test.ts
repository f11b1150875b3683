/** @file Messages of event files have the bytes that TensorBoard's and torch's own code gives them. */

import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import {
  type HyperParameter,
  readEvent,
  ScalarEvents,
  sessionEndValue,
  sessionStartValue,
  startEvent,
  summaryEvent,
  textValue,
  versionEvent,
} from '../../src/trackers/event-messages.js'
import { tfRecord } from '../../src/trackers/tf-record.js'

interface Golden {
  readonly time: number
  readonly parameters: Readonly<Record<string, HyperParameter>>
  readonly sessionStart: Readonly<Record<string, string>>
  readonly [message: string]: unknown
}

const golden = JSON.parse(readFileSync(new URL('golden/event-messages.json', import.meta.url), 'utf8')) as Golden
const { time } = golden
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

const SCALARS: readonly [string, number][] = [
  ['train/loss', 1.25],
  ['train/grad_norm', Number.POSITIVE_INFINITY],
  ['eval/loss', 1e-30],
  ['train/num_input_tokens_seen', 16777217],
]

it('the version of a file and a restart equal those of TensorBoard', () => {
  expect(hex(versionEvent({ time, step: 5 }))).toBe(golden.version)
  expect(hex(startEvent({ time, step: 5 }))).toBe(golden.restart)
})

it('scalars equal those of torch, when their tags are known too', () => {
  const events = new ScalarEvents()
  for (const _ of [1, 2]) expect(hex(events.event({ time, step: 300 }, SCALARS))).toBe(golden.scalars)
  expect(hex(tfRecord(events.event({ time, step: 300 }, SCALARS)))).toBe(golden.record)
})

it('a text equals that of torch', () => {
  const text = hex(summaryEvent({ time, step: 7 }, [textValue('args', '# Größe\n| a | b |')]))
  expect(text).toBe(golden.text)
})

it('hyperparameters and the end of a session equal those of TensorBoard', () => {
  for (const [name, value] of Object.entries(golden.parameters)) {
    const start = sessionStartValue(new Map([[name, value]]), time)
    expect(hex(summaryEvent({ time, step: 1 }, [start]))).toBe(golden.sessionStart[name])
  }
  expect(hex(summaryEvent({ time, step: 1 }, [sessionEndValue('success', time)]))).toBe(golden.sessionEnd)
})

it('an event is read back, however large its step is', () => {
  const step = 2 ** 40 + 3
  const text = summaryEvent({ time, step }, [textValue('run_id', 'x'.repeat(300))])
  expect(readEvent(text)).toEqual({
    step,
    isRestart: false,
    tags: ['run_id/text_summary'],
    texts: new Map([['run_id', 'x'.repeat(300)]]),
  })
  expect(readEvent(startEvent({ time, step }))).toMatchObject({ step, isRestart: true, tags: [] })
  expect(readEvent(new ScalarEvents().event({ time, step }, SCALARS))).toMatchObject({
    step,
    tags: SCALARS.map(([tag]) => tag),
  })
})
