/** @file Tensors: values in and out for every dtype, views, lifetimes, and the errors of each. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { copy_ } from '../../src/ops/cast.js'
import { nf4Constant, quantizeNf4 } from '../../src/ops/nf4.js'
import type { Device } from '../../src/tensor/device.js'
import type { DType } from '../../src/tensor/dtype.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { isGpu, testDevices } from '../support/devices.js'

describe.each(testDevices({ everyLevel: false }))('on $name', ({ open }) => {
  let device: Device
  beforeAll(() => {
    device = open()
  })
  afterAll(() => device.close())

  const iota = (rows: number, cols: number, dtype: DType = 'float32'): Tensor =>
    Tensor.from(
      device,
      Array.from({ length: rows * cols }, (_, i) => i),
      [rows, cols],
      dtype,
    )
  const values = async (tensor: Tensor): Promise<number[]> => [...(await tensor.read())]

  describe('values', () => {
    // Halves and small whole numbers are exact in every float type.
    test.each(['float32', 'bfloat16', 'float16'] as const)('%s comes back as float32', async (dtype) => {
      const data = [0.5, -1.25, 0, 96, -7, 2 ** -10]
      const tensor = Tensor.from(device, data, [3, 2], dtype)
      expect(tensor).toMatchObject({ shape: [3, 2], dtype, rows: 3, cols: 2, size: 6, version: 0 })
      expect(await tensor.read()).toEqual(Float32Array.from(data))
    })

    test.each([
      ['bfloat16', 1 + 2 ** -8, 1], // half way: to the even neighbour
      ['bfloat16', 1 + 3 * 2 ** -8, 1 + 2 ** -6],
      ['float16', 1 + 2 ** -11, 1],
      ['float16', 1 + 3 * 2 ** -11, 1 + 2 ** -9],
      ['float16', 65520, Infinity],
    ] as const)('%s rounds %d to %d', async (dtype, given, rounded) => {
      expect(await values(Tensor.from(device, [given, -given], [2], dtype))).toEqual([rounded, -rounded])
    })

    test('int32 keeps every bit, and read() gives float32 even so', async () => {
      const ids = Int32Array.of(0, -1, 2 ** 31 - 1, -(2 ** 31), 16777217)
      const tensor = Tensor.from(device, ids, [5])
      expect(tensor.dtype).toBe('int32')
      expect(await tensor.readInt32()).toEqual(ids)
      expect(await tensor.read()).toEqual(Float32Array.from(ids))
    })

    test('readInt32 refuses other dtypes', async () => {
      await expect(iota(1, 2).readInt32()).rejects.toThrow(
        '[readInt32] expected an int32 tensor, got float32; use read()',
      )
    })

    test.each([
      ['float32', [0.5, -3, 7]],
      ['bfloat16', [0.5, -3, 7]],
      ['int32', [16777217, -1, 3]],
    ] as const)('readSync gives %s at once, after what was queued before', (dtype, data) => {
      const source = Tensor.from(device, data, [3], dtype)
      const target = Tensor.full(device, [3], dtype, 0)
      copy_(target, source)
      expect(device.readSync(target)).toEqual(dtype === 'int32' ? Int32Array.from(data) : Float32Array.from(data))
      expect(target.readSync()).toEqual(Float32Array.from(data))
      expect(iota(3, 3).columns(1, 2).readSync()).toEqual(Float32Array.of(1, 4, 7))
    })

    test('readSync throws the fault of its values, and leaves a promise that is open alone', async () => {
      const stream = open()
      try {
        const asynchronous = Tensor.from(stream, [1, 2], [2])
        const open = asynchronous.read()
        const bad = Tensor.empty(stream, [2], 'float32')
        expect(() => bad.readSync()).toThrow(/\[read\] expected/)
        expect(await open).toEqual(Float32Array.of(1, 2))
        expect(asynchronous.readSync()).toEqual(Float32Array.of(1, 2))
      } finally {
        stream.close()
      }
      expect(() => iota(1, 2).device.readSync(Tensor.empty(stream, [1], 'float32'))).toThrow('expected an open device')
    })

    test('raw bytes of uint8 and of a strided view come packed', async () => {
      const bytes = Tensor.empty(device, [5], 'uint8')
      device.upload(bytes, Uint8Array.of(0, 1, 127, 128, 255), 'uint8')
      expect(await device.readBytes(bytes)).toEqual(Uint8Array.of(0, 1, 127, 128, 255))
      expect(await values(bytes)).toEqual([0, 1, 127, 128, 255])
      const column = await device.readBytes(iota(3, 3, 'int32').columns(1, 2))
      expect(new Int32Array(column.buffer, column.byteOffset, 3)).toEqual(Int32Array.of(1, 4, 7))
    })

    test.each(['float32', 'bfloat16', 'float16', 'int32'] as const)('full fills %s', async (dtype) => {
      expect(await values(Tensor.full(device, [3, 1, 5], dtype, -3))).toEqual(new Array(15).fill(-3))
    })

    test('the host array may be changed as soon as from() returns', async () => {
      const data = Float32Array.of(1, 2, 3)
      const ids = Int32Array.of(1, 2, 3)
      const tensors = [Tensor.from(device, data, [3]), Tensor.from(device, ids, [3])] as const
      data.fill(9)
      ids.fill(9)
      expect(await values(tensors[0])).toEqual([1, 2, 3])
      expect(await values(tensors[1])).toEqual([1, 2, 3])
      expect(tensors[1].hostValues).toEqual(Int32Array.of(1, 2, 3))
    })

    test('tensors without elements are read as nothing', async () => {
      expect(await Tensor.from(device, [], [0, 4]).read()).toEqual(new Float32Array(0))
      expect(await Tensor.from(device, new Int32Array(0), [0]).readInt32()).toEqual(new Int32Array(0))
    })

    test('reading what nothing has written is an error, not whatever lay there', async () => {
      const stream = open()
      try {
        await expect(Tensor.empty(stream, [2], 'float32').read()).rejects.toThrow(/\[read\] expected/)
      } finally {
        stream.close()
      }
    })

    test.each([
      [[2, 2], [1, 2, 3], '[tensor] expected 4 values for shape [2,2], got 3'],
      [[3], [1, 2], '[tensor] expected 3 values for shape [3], got 2'],
      [[-1, -2], [1, 2], '[tensor] expected whole numbers >= 0 for shape, got [-1,-2]'],
      [[0.5, 4], [1, 2], '[tensor] expected whole numbers >= 0 for shape, got [0.5,4]'],
    ])('shape %j refuses the values %j', (shape, data, message) => {
      expect(() => Tensor.from(device, data, shape)).toThrow(message)
    })
  })

  describe('views', () => {
    test('columns, of columns too, see their part of every row', async () => {
      const matrix = iota(3, 7)
      const part = matrix.columns(2, 6)
      expect(part).toMatchObject({ shape: [3, 4], rowStride: 7, byteOffset: 8 })
      expect(await values(part)).toEqual([2, 3, 4, 5, 9, 10, 11, 12, 16, 17, 18, 19])
      expect(await values(part.columns(1, 2))).toEqual([3, 10, 17])
      expect(await values(part.columns(4, 4))).toEqual([])
    })

    test('slice sees rows, also of a view of columns', async () => {
      const part = iota(5, 3).columns(1, 3).slice(1, 4)
      expect(part.shape).toEqual([3, 2])
      expect(await values(part)).toEqual([4, 5, 7, 8, 10, 11])
    })

    test('rows of an activation never lie a multiple of 4 KB apart, and keep their shape and order', async () => {
      for (const [cols, dtype, stride] of [
        [1024, 'float32', 1040],
        [4096, 'bfloat16', 4128],
        [1023, 'float32', 1023],
      ] as const) {
        const x = Tensor.activation(device, [2, 3, cols], dtype)
        expect([x.shape, x.rowStride]).toEqual([[2, 3, cols], stride])
        device.enqueue('fill', { y: x, value: 0 })
        device.enqueue('fill', { y: x.reshape([6, cols]).slice(4, 5), value: 2 })
        const read = await x.read()
        expect(read.length).toBe(6 * cols)
        expect(read.findIndex((value) => value !== 0)).toBe(4 * cols)
        expect(read.lastIndexOf(2)).toBe(5 * cols - 1)
      }
    })

    test('reshape keeps the order of elements', async () => {
      const cube = iota(6, 5).reshape([2, 3, 5])
      expect(cube).toMatchObject({ shape: [2, 3, 5], rows: 6, cols: 5 })
      expect(await values(cube.reshape([30]))).toEqual(Array.from({ length: 30 }, (_, i) => i))
    })

    test('widen undoes columns(0, n)', async () => {
      const matrix = iota(2, 5)
      expect(await values(matrix.columns(0, 2).widen(5))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
      expect(() => matrix.columns(0, 2).widen(6)).toThrow('[widen] expected at most 5 columns, got 6')
    })

    test('writing through a view changes the tensor that it views', async () => {
      const matrix = Tensor.full(device, [3, 3], 'float32', 0)
      copy_(matrix.columns(1, 2), Tensor.from(device, [1, 2, 3], [3, 1]))
      expect(await values(matrix)).toEqual([0, 1, 0, 0, 2, 0, 0, 3, 0])
      expect(matrix.version).toBe(1)
      expect(matrix.sharesStorageWith(matrix.slice(0, 1))).toBe(true)
      expect(matrix.sharesStorageWith(iota(3, 3))).toBe(false)
    })

    test('impossible views are errors with the numbers', () => {
      const matrix = iota(3, 4)
      expect(() => matrix.columns(2, 5)).toThrow('[columns] expected whole numbers 0 <= start <= end <= 4, got 2, 5')
      expect(() => matrix.columns(-1, 2)).toThrow('[columns] expected whole numbers 0 <= start <= end <= 4, got -1, 2')
      expect(() => matrix.slice(2, 1)).toThrow(
        '[slice] expected a matrix and whole numbers 0 <= start <= end <= rows, got [3,4], 2, 1',
      )
      expect(() => iota(1, 4).reshape([4]).slice(0, 1)).toThrow('[slice] expected a matrix')
      expect(() => matrix.reshape([5, 2])).toThrow(
        '[reshape] expected a contiguous tensor of 10 elements for shape [5,2], got [3,4]',
      )
      expect(() => matrix.columns(0, 2).reshape([6])).toThrow('[reshape] expected a contiguous tensor of 6 elements')
    })

    test('host values follow rows and shapes, and end where they no longer hold', async () => {
      const ids = iota(4, 3, 'int32')
      expect(ids.slice(1, 3).hostValues).toEqual(Int32Array.of(3, 4, 5, 6, 7, 8))
      expect(ids.slice(0, 1).hostValues).toEqual(Int32Array.of(0, 1, 2))
      expect(ids.reshape([2, 6]).hostValues).toEqual(await ids.readInt32())
      expect(ids.columns(0, 2).hostValues).toBeUndefined()
      expect(iota(2, 2).hostValues).toBeUndefined()
      copy_(ids, Tensor.full(device, [4, 3], 'int32', 7))
      expect(ids.hostValues).toBeUndefined()
    })
  })

  describe('lifetime', () => {
    test('disposing twice is fine, using a disposed tensor is an error', async () => {
      const tensor = iota(2, 3)
      expect(tensor.isDisposed).toBe(false)
      tensor.dispose()
      tensor.dispose()
      expect(tensor.isDisposed).toBe(true)
      const message = '[tensor] expected a live tensor, got one of shape [2,3] that was disposed'
      await expect(tensor.read()).rejects.toThrow(message)
      expect(() => tensor.columns(0, 1)).toThrow(message)
      expect(() => device.enqueue('fill', { y: tensor, value: 1 })).toThrow(message)
    })

    test('a view, and a read on its way, outlive the tensor', async () => {
      const tensor = iota(3, 2)
      const view = tensor.slice(1, 3)
      const reading = tensor.read()
      tensor.dispose()
      expect(await reading).toEqual(Float32Array.of(0, 1, 2, 3, 4, 5))
      expect(await values(view)).toEqual([2, 3, 4, 5])
      view.dispose()
    })

    test('memory() counts what is live and returns to the start, peak and reserved stay', async () => {
      const stream = open()
      try {
        await stream.sync()
        const start = stream.memory()
        const size = 3 * 2 ** 20
        const tensors = [1, 2].map((value) => Tensor.full(stream, [size / 4], 'float32', value))
        await stream.sync()
        const during = stream.memory()
        expect(during.live - start.live).toBe(2 * size)
        expect(during.reserved).toBeGreaterThanOrEqual(2 * size)
        expect(during.budget).toBeGreaterThanOrEqual(during.reserved)
        for (const tensor of tensors) tensor.dispose()
        await stream.sync()
        expect(stream.memory().live).toBe(start.live)
        expect(stream.memory().peak).toBeGreaterThanOrEqual(2 * size)
        stream.resetPeak()
        expect(stream.memory().peak).toBe(start.live)
      } finally {
        stream.close()
      }
    })

    test.each([false, true])('times() counts calls and seconds of every op that ran; timeOps: %s', async (timeOps) => {
      const stream = open({ timeOps })
      try {
        expect(stream.times()).toEqual({})
        const tensors = [1, 2, 3].map((value) => Tensor.full(stream, [5, 7], 'float32', value))
        stream.enqueue('copy', { x: tensors[0], y: tensors[1] })
        await stream.sync()
        const { fill, copy, ...others } = stream.times()
        expect(others).toEqual({})
        expect([fill?.calls, copy?.calls]).toEqual([3, 1])
        expect(fill?.seconds).toBeGreaterThan(0)
        expect(fill?.seconds).toBeLessThan(10)
      } finally {
        stream.close()
      }
    })

    test('lifetime with timeOps the seconds are those of the device, not of queuing', async () => {
      const seconds = async (timeOps: boolean): Promise<number | undefined> => {
        const stream = open({ timeOps, dryRun: true })
        try {
          Tensor.full(stream, [5, 7], 'float32', 1)
          await stream.sync()
          expect(stream.times().fill?.calls).toBe(1)
          return stream.times().fill?.seconds
        } finally {
          stream.close()
        }
      }
      // In a dry run a GPU has nothing to do, and the engine still queues.
      expect(await seconds(false)).toBeGreaterThan(0)
      if (isGpu(device)) expect(await seconds(true)).toBe(0)
      else expect(await seconds(true)).toBeGreaterThan(0)
    })

    test('a constant list item is encoded once and stands for the same tensors in every command', async () => {
      const [x, y] = [Tensor.from(device, [1, 2, 3, 4], [2, 2]), Tensor.empty(device, [2, 2], 'float32')]
      const weight = quantizeNf4(Tensor.from(device, [1, -1, -1, 1], [2, 2]))
      const part = { nf4: [nf4Constant(weight)], inOut: false, pairs: [] }
      for (let i = 0; i < 2; i++) {
        device.enqueue('linear', { x, y, sumOrder: 0, parts: [part] })
        expect(await values(y)).toEqual([-1, 1, -1, 1])
      }
      expect(nf4Constant(weight)).toBe(part.nf4[0])
      weight.packed.dispose()
      expect(() => device.enqueue('linear', { x, y, sumOrder: 0, parts: [part] })).toThrow(
        /\[linear\] expected a live buffer for/,
      )
    })

    test('disposing tensors of a closed device does nothing', () => {
      const stream = open()
      const tensor = Tensor.full(stream, [4], 'float32', 1)
      stream.close()
      tensor.dispose()
      expect(tensor.isDisposed).toBe(true)
    })
  })

  describe('op arguments', () => {
    const y = (): Tensor => Tensor.empty(device, [2], 'float32')
    test('an unknown op', () => {
      expect(() => device.enqueue('matmul', {})).toThrow("[device] expected an op of the engine, got 'matmul'")
    })
    test('an unknown argument is named beside the known ones', () => {
      expect(() => device.enqueue('fill', { y: y(), value: 1, axis: 0 })).toThrow(
        '[fill] expected the arguments y, value, got also axis',
      )
    })
    test('missing arguments are named', () => {
      expect(() => device.enqueue('fill', { y: y() })).toThrow('[fill] expected a number for value, got undefined')
      expect(() => device.enqueue('fill', { value: 1 })).toThrow('[fill] expected a out argument for y, got undefined')
    })
    test('an unknown device', () => {
      expect(() => (open().constructor as typeof Device).open('gpu')).toThrow(
        "[device] expected 'cpu', 'cuda', 'cuda:N' or 'auto' for device, got 'gpu'",
      )
    })
  })
})
