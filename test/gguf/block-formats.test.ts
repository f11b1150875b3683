/** @file Every block format of GGUF files: bit for bit what the gguf package of llama.cpp unpacks. */

import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BLOCK_FORMATS } from '../../src/gguf/block-formats.js'
import { readGguf } from '../../src/gguf/reader.js'
import { Device } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { halfToFloat } from '../../src/weights/half.js'
import { fillFrom } from '../../src/weights/weight-tensor.js'

const golden = readGguf(join(fileURLToPath(new URL('../golden/gguf', import.meta.url)), 'types.gguf'))

let device: Device
beforeAll(() => {
  device = Device.open()
})
afterAll(() => device.close())

async function valuesOf(name: string, transpose = false): Promise<Uint32Array> {
  const tensor = Tensor.empty(device, transpose ? [1024, 3] : [3, 1024], 'float32')
  await fillFrom(tensor, golden.tensors.get(name)!, transpose)
  const values = await tensor.read()
  tensor.dispose()
  return new Uint32Array(values.buffer, values.byteOffset, values.length)
}

test('the golden file has every format', () => {
  const names = [...golden.tensors.keys()].filter((name) => !name.endsWith('.values'))
  expect(names.sort()).toEqual(Object.keys(BLOCK_FORMATS).sort())
})

describe.each(Object.keys(BLOCK_FORMATS))('%s', (name) => {
  test('unpacks to the same bits, extreme scales included', async () => {
    const expected = await valuesOf(`${name}.values`)
    expect(expected.some((bits) => bits !== 0)).toBe(true)
    expect(await valuesOf(name)).toEqual(expected)
  })

  test('unpacks to the transposed matrix', async () => {
    const expected = await valuesOf(`${name}.values`)
    const turned = Uint32Array.from(
      { length: 3072 },
      (_, at) => expected[(at % 3) * 1024 + Math.floor(at / 3)] as number,
    )
    expect(await valuesOf(name, true)).toEqual(turned)
  })
})

test('float16 numbers of every kind become the float32 numbers that they are', () => {
  const bits: [number, number][] = [
    [0x0000, 0],
    [0x8000, -0],
    [0x0001, 2 ** -24],
    [0x83ff, -1023 * 2 ** -24],
    [0x0400, 2 ** -14],
    [0x3555, 1365 / 4096],
    [0xc000, -2],
    [0x7bff, 65504],
    [0x7c00, Number.POSITIVE_INFINITY],
    [0xfc00, Number.NEGATIVE_INFINITY],
    [0x7e01, Number.NaN],
  ]
  for (const [half, value] of bits) expect(halfToFloat(Uint8Array.of(9, half & 255, half >> 8), 1)).toBe(value)
})
