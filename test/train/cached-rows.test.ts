/** @file A second start of a run on the same rows takes them as the first one encoded them. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { linesOf } from '../../src/progress/event-lines.js'
import type { DataEvent, TrainEvent } from '../../src/train/events.js'
import { trainLora } from '../../src/train/train-lora.js'
import { temporaryDirectory, writeTinyModel } from '../support/tiny-model.js'

test('a second run on the same rows encodes none of them, says so, and trains to the same loss', async () => {
  const folder = temporaryDirectory()
  vi.stubEnv('LOWRANK_CACHE', join(folder, 'cache'))
  const model = await writeTinyModel(join(folder, 'model'))
  const rows = Array.from({ length: 2100 }, (_, row) => JSON.stringify({ prompt: `Row ${row}`, completion: ' two' }))
  writeFileSync(join(folder, 'rows.jsonl'), `${rows.join('\n')}\n`)
  const train = async (training: object = {}): Promise<{ data: DataEvent; prepared: unknown; losses: unknown }> => {
    const events: TrainEvent[] = []
    const run = await trainLora({
      model,
      dataset: join(folder, 'rows.jsonl'),
      dtype: 'float32',
      threads: 1,
      lora: { r: 2 },
      training: { maxSteps: 2, loggingSteps: 1, gradientAccumulationSteps: 1, ...training },
      onEvent: (event) => void events.push(event),
    })
    run.dispose()
    const found = <T extends TrainEvent['type']>(type: T) =>
      events.filter((event): event is Extract<TrainEvent, { type: T }> => event.type === type)
    const [data] = found('data')
    return { data: data as DataEvent, prepared: found('prepare').at(-1), losses: found('log').map(({ loss }) => loss) }
  }
  const first = await train()
  const second = await train()
  expect(first.data).not.toHaveProperty('isCached')
  expect(second.data).toEqual({ ...first.data, isCached: true })
  expect(second.losses).toEqual(first.losses)
  expect(second.prepared).toEqual(first.prepared)
  expect(linesOf(second.data)[0]?.text).toContain(', encoded by an earlier run')
  expect(linesOf(first.data)[0]?.text).not.toContain('earlier run')
  const third = await train({ loadFromCacheFile: false })
  expect(third).toEqual(first)
})
