/** @file The references themselves: analytic gradients against central differences, known answers. Needs no device. */

import { describe, expect, it } from 'vitest'
import { seededRandom } from '../support/values.js'
import { erf, gelu, geluSlope, swiglu, swigluBackward } from './activation.js'
import { type AttentionCase, attention, attentionBackward } from './attention.js'
import { type Matrix, matrix, numericGradient, product } from './matrix.js'
import { norm, normBackward } from './norm.js'
import { philox } from './philox.js'

const random = seededRandom(1)
const randomMatrix = (rows: number, cols: number): Matrix => matrix(rows, cols, () => random())

/** Central differences in float64 with step 1e-5 are good to about 1e-9. */
function expectEqual(actual: Matrix, expected: Matrix): void {
  expect(actual.values.length).toBe(expected.values.length)
  actual.values.forEach((value, i) => {
    expect(Math.abs(value - (expected.values[i] as number))).toBeLessThan(1e-7)
  })
}

describe('the float64 references', () => {
  it.each([true, false])('have the gradients of norms (centred: %s)', (centred) => {
    const [s, weight, bias, dy] = [randomMatrix(3, 5), randomMatrix(1, 5), randomMatrix(1, 5), randomMatrix(3, 5)]
    const objective = () => product(norm(s, weight, centred ? bias : undefined, 1e-3), dy)
    const { dx, dWeight, dBias } = normBackward(dy, s, weight, 1e-3, centred)
    expectEqual(dx, numericGradient(s, objective))
    expectEqual(dWeight, numericGradient(weight, objective))
    if (centred) expectEqual(dBias, numericGradient(bias, objective))
  })

  it('have the gradients of swiglu and gelu', () => {
    const x = randomMatrix(3, 6)
    const dy = randomMatrix(3, 3)
    expectEqual(
      swigluBackward(dy, x),
      numericGradient(x, () => product(swiglu(x), dy)),
    )
    for (const tanh of [true, false]) {
      for (const value of [-3, -0.5, 0, 0.1, 4]) {
        const slope = (gelu(value + 1e-5, tanh) - gelu(value - 1e-5, tanh)) / 2e-5
        expect(geluSlope(value, tanh)).toBeCloseTo(slope, 8)
      }
    }
  })

  it('know the error function', () => {
    // Abramowitz & Stegun, table 7.1
    expect(erf(0.5)).toBeCloseTo(0.5204998778, 10)
    expect(erf(-2)).toBeCloseTo(-0.995322265, 9)
    expect(1 - erf(3.5)).toBeCloseTo(7.430983723e-7, 15)
  })

  it.each([
    { causal: true, window: 0, softcap: 0, queries: [3, 2], keys: [3, 4] },
    { causal: true, window: 2, softcap: 1.5, queries: [4], keys: [3] },
    { causal: false, window: 0, softcap: 2, queries: [2, 1], keys: [3, 2] },
  ])('have the gradients of attention %o', (shape) => {
    const options: AttentionCase = { headDim: 3, scale: 0.7, ...shape }
    const queries = shape.queries.reduce((a, b) => a + b, 0)
    const keys = shape.keys.reduce((a, b) => a + b, 0)
    const [q, k, v] = [randomMatrix(queries, 12), randomMatrix(keys, 6), randomMatrix(keys, 6)]
    const dy = randomMatrix(queries, 12)
    const objective = () => product(attention(q, k, v, options).y, dy)
    const { dq, dk, dv } = attentionBackward(dy, q, k, v, options)
    expectEqual(dq, numericGradient(q, objective))
    expectEqual(dk, numericGradient(k, objective))
    expectEqual(dv, numericGradient(v, objective))
  })

  it('gives the known answers of Philox 4x32-10', () => {
    // The vectors published with Random123 (kat_vectors).
    const hex = (words: number[]) => words.map((word) => word.toString(16).padStart(8, '0')).join(' ')
    const ones = 0xffffffff
    expect(hex(philox([0, 0, 0, 0], [0, 0]))).toBe('6627e8d5 e169c58d bc57ac4c 9b00dbd8')
    expect(hex(philox([ones, ones, ones, ones], [ones, ones]))).toBe('408f276d 41c83b0e a20bc7c6 6d5451fd')
    expect(hex(philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]))).toBe(
      'd16cfe09 94fdcceb 5001e420 24126ea1',
    )
  })
})
