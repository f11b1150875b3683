/** @file Calls as text: their lines of the journal, and their points as a request has them. */

import { expect, test } from 'vitest'
import type { LogMetricsCall, MlflowCall } from '../../src/mlflow/calls.js'
import { type LoggedEvent, type Points, pointsOfKeys, queuedCalls } from '../../src/mlflow/queued-call.js'

/** The points that a request would have. */
function itemsOf({ text, start, end }: Points): unknown {
  return JSON.parse(`[${text.bytes.toString('utf8', start, Math.max(start, end - 1))}]`)
}

function metrics(step: number, values: LogMetricsCall['metrics']): LogMetricsCall {
  return { call: 'log-metrics', timestamp: 1700000000000 + step, step, metrics: values }
}

test('calls become lines and points in their order', () => {
  const tags: MlflowCall = { call: 'set-tags', tags: { note: 'größer' } }
  const calls = [metrics(3, { loss: 1.5, epoch: 0.1 }), metrics(4, { loss: -0.25, epoch: 1e-7 }), tags]
  const { queued, lines } = queuedCalls(calls)
  expect(lines.split('\n')).toEqual([...calls.map((call) => JSON.stringify(call)), ''])
  expect(queued).toHaveLength(3)
  const [first, second, third] = queued as [Points, Points, MlflowCall]
  expect(itemsOf(first)).toEqual([
    { key: 'loss', value: 1.5, timestamp: 1700000000003, step: 3 },
    { key: 'epoch', value: 0.1, timestamp: 1700000000003, step: 3 },
  ])
  expect(itemsOf(second)).toEqual([
    { key: 'loss', value: -0.25, timestamp: 1700000000004, step: 4 },
    { key: 'epoch', value: 1e-7, timestamp: 1700000000004, step: 4 },
  ])
  expect(first.keys).toBe(second.keys)
  expect(third).toBe(tags)
})

test('a log event has the figures of transformers, and of the machine', () => {
  const event = {
    type: 'log',
    step: 7,
    totalSteps: 9,
    epoch: 0.5,
    loss: Number.NaN,
    learningRate: 1e-4,
    gradNorm: Number.POSITIVE_INFINITY,
    tokensPerSecond: 1000,
    numInputTokensSeen: 77,
    figures: { rewardMargin: 2 },
  } as unknown as LoggedEvent['event']
  const system = { 'system/process_memory_usage_megabytes': 12.5 }
  const { queued, lines } = queuedCalls([{ call: 'log-event', timestamp: 8, event, system }])
  const values = {
    loss: 'NaN',
    learning_rate: 1e-4,
    grad_norm: 'Infinity',
    epoch: 0.5,
    tokens_per_second: 1000,
    num_input_tokens_seen: 77,
    reward_margin: 2,
    ...system,
  }
  expect(JSON.parse(lines)).toEqual({ call: 'log-metrics', timestamp: 8, step: 7, metrics: values })
  expect(itemsOf(queued[0] as Points)).toEqual(
    Object.entries(values).map(([key, value]) => ({ key, value, timestamp: 8, step: 7 })),
  )
})

test('the last one is kept where names are the same key in MLflow', () => {
  const { queued, lines } = queuedCalls([metrics(1, { 'a*b': 1, c: 2, 'a?b': 3 })])
  expect(JSON.parse(lines).metrics).toEqual({ c: 2, a_b: 3 })
  expect((queued[0] as Points).keys).toHaveLength(2)
  expect(itemsOf(queued[0] as Points)).toEqual([
    { key: 'c', value: 2, timestamp: 1700000000001, step: 1 },
    { key: 'a_b', value: 3, timestamp: 1700000000001, step: 1 },
  ])
})

test('points of some keys are left of a step whose others a server has', () => {
  const { queued } = queuedCalls([metrics(1, { loss: 1 }), metrics(2, { loss: 2, epoch: 'NaN', eval_loss: 4 })])
  const points = pointsOfKeys(queued[1] as Points, ['epoch', 'eval_loss'])
  expect(points.step).toBe(2)
  expect(itemsOf(points)).toEqual([
    { key: 'epoch', value: 'NaN', timestamp: 1700000000002, step: 2 },
    { key: 'eval_loss', value: 4, timestamp: 1700000000002, step: 2 },
  ])
  expect(itemsOf(pointsOfKeys(points, []))).toEqual([])
})
