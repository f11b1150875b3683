/** @file Command lists: ops that are recorded once and run many times. */

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { NativeStream } from '../../src/tensor/addon.js'
import { Device } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { enqueue, I32, openStream, readValues, upload, uploadInt32, type ViewWords, view } from './raw.js'

let stream: NativeStream
beforeEach(() => {
  stream = openStream()
})
afterEach(() => stream.close())

/** total += step, through a temporary that only the list holds. */
function recordSum(total: ViewWords, step: ViewWords): number {
  stream.beginList()
  const sum = view(stream.allocate(12), 1, 3)
  enqueue(stream, 'add', total, step, sum)
  enqueue(stream, 'copy', sum, total)
  stream.release(sum[0])
  return stream.endList()
}

describe('a command list', () => {
  test('runs when it is replayed, not when it is recorded, on what its tensors hold then', async () => {
    const [total, step] = [upload(stream, [1, 2, 3]), upload(stream, [10, 20, 30])]
    const list = recordSum(total, step)
    expect(await readValues(stream, total)).toEqual([1, 2, 3])
    stream.replay(list)
    stream.replay(list)
    expect(await readValues(stream, total)).toEqual([21, 42, 63])
    stream.upload(Float64Array.from(step), Float32Array.of(100, 100, 100), 0)
    stream.replay(list)
    expect(await readValues(stream, total)).toEqual([121, 142, 163])
  })

  test('keeps what it needs until it is released, and gives all of it back', async () => {
    await stream.sync()
    const before = stream.memory().live
    const [total, step] = [upload(stream, [1, 2, 3]), upload(stream, [1, 1, 1])]
    const list = recordSum(total, step)
    stream.release(step[0])
    stream.replay(list)
    stream.releaseList(list) // with its run still queued
    expect(await readValues(stream, total)).toEqual([2, 3, 4])
    stream.release(total[0])
    await stream.sync()
    expect(stream.memory().live).toBe(before)
  })

  test('passes faults on like single ops, and works again when its inputs do', async () => {
    const [total, step] = [view(stream.allocate(12), 1, 3), upload(stream, [1, 1, 1])]
    const list = recordSum(total, step)
    stream.replay(list)
    const message = '[add] expected contents for a, got a tensor that nothing has written'
    await expect(readValues(stream, total)).rejects.toThrow(message)
    await expect(stream.sync()).rejects.toThrow(message)
    stream.upload(Float64Array.from(total), Float32Array.of(5, 6, 7), 0)
    stream.replay(list)
    expect(await readValues(stream, total)).toEqual([6, 7, 8])
    await stream.sync()
  })

  test('a wrong id inside it is a fault of its run', async () => {
    const [ids, table] = [uploadInt32(stream, [1]), upload(stream, [1, 2, 3, 4], 2)]
    stream.beginList()
    const row = view(stream.allocate(8), 1, 2)
    enqueue(stream, 'embedding', ids, table, row)
    const list = stream.endList()
    stream.replay(list)
    expect(await readValues(stream, row)).toEqual([3, 4])
    stream.upload(Float64Array.from(ids), Int32Array.of(2), I32)
    stream.replay(list)
    await expect(stream.sync()).rejects.toThrow('[embedding] expected ids in [0, 2), the rows of weight, got 2')
  })

  test('holds ops only', () => {
    const total = upload(stream, [1, 2, 3])
    stream.beginList()
    const refusal = 'expected nothing but ops while a command list is recorded'
    expect(() => upload(stream, [1])).toThrow(`[upload] ${refusal}`)
    expect(() => stream.read(Float64Array.from(total), false)).toThrow(`[read] ${refusal}`)
    expect(() => stream.sync()).toThrow(`[sync] ${refusal}`)
    expect(() => stream.beginList()).toThrow(`[beginList] ${refusal}`)
    expect(() => stream.replay(1)).toThrow(`[replay] ${refusal}`)
    expect(() => stream.loadFile(Float64Array.from(total), 'x', 0, 0)).toThrow(`[loadFile] ${refusal}`)
    stream.endList()
    expect(() => stream.endList()).toThrow('[endList] expected a list that was begun')
  })

  test.each([0, -1, 1.5, 2, Number.NaN, 2 ** 60])('there is no list %d', (list) => {
    stream.beginList()
    expect(stream.endList()).toBe(1)
    expect(() => stream.replay(list)).toThrow('[replay] expected a command list, got')
    expect(() => stream.releaseList(list)).toThrow('[releaseList] expected a command list, got')
  })

  test('ends with its stream', async () => {
    const [total, step] = [upload(stream, [1, 2, 3]), upload(stream, [1, 1, 1])]
    const list = recordSum(total, step)
    stream.replay(list)
    const last = readValues(stream, total)
    stream.close()
    expect(await last).toEqual([2, 3, 4])
    expect(() => stream.replay(list)).toThrow('[replay] expected an open device, got one that was closed')
    stream.releaseList(list) // nothing is left to release
  })
})

describe('Device.record', () => {
  test('gives back what a function that throws has recorded, and records no further', async () => {
    const device = Device.open()
    const x = Tensor.from(device, [1, 2], [2])
    await device.sync()
    const before = device.memory().live
    const recordNothing = () =>
      device.record(() => {
        const y = Tensor.empty(device, [2], 'float32')
        device.enqueue('copy', { x, y })
        y.dispose()
        throw new Error('no')
      })
    expect(recordNothing).toThrow('no')
    expect([...(await Tensor.from(device, [3], [1]).read())]).toEqual([3])
    const list = device.record(() => device.enqueue('add', { a: x, b: x, y: x }))
    list.replay()
    expect([...(await x.read())]).toEqual([2, 4])
    list.dispose()
    list.dispose()
    await device.sync()
    expect(device.memory().live).toBeLessThanOrEqual(before + 64)
    device.close()
  })
})
