/**
 * @file The references of linear, linearCrossEntropy and linearLogProbs against central differences. Needs no device.
 */

import { describe, expect, it } from 'vitest'
import { seededRandom } from '../support/values.js'
import { linear, linearBackward, type PartCase } from './linear.js'
import { linearCrossEntropy } from './linear-cross-entropy.js'
import { linearLogProbs } from './linear-log-probs.js'
import { type Matrix, matrix, numericGradient, product } from './matrix.js'

const random = seededRandom(2)
const randomMatrix = (rows: number, cols: number): Matrix => matrix(rows, cols, () => random())

/** Central differences in float64 with step 1e-5 are good to about 1e-9. */
function expectEqual(actual: Matrix | undefined, expected: Matrix): void {
  expect([actual?.rows, actual?.cols]).toEqual([expected.rows, expected.cols])
  actual?.values.forEach((value, i) => {
    expect(Math.abs(value - (expected.values[i] as number))).toBeLessThan(1e-7)
  })
}

describe('the float64 references', () => {
  it('have the gradients of linear, with both layouts, stacked LoRA pairs and dropout', () => {
    const [tokens, inputs] = [3, 4]
    const dropout = { p: 0.4, seed: 9, microStep: 1, dropoutStream: 2 }
    const x = randomMatrix(tokens, inputs)
    const parts = [
      {
        weight: randomMatrix(5, inputs),
        bias: randomMatrix(1, 5),
        pairs: [
          { a: randomMatrix(2, inputs), b: randomMatrix(5, 2), scale: 0.5, dropout },
          { a: randomMatrix(1, inputs), b: randomMatrix(5, 1), scale: 2 },
        ],
      },
      { weight: randomMatrix(inputs, 2), inOut: true, bias: randomMatrix(1, 2), pairs: [] },
    ] satisfies PartCase[]
    const dy = randomMatrix(tokens, 7)
    const objective = () => product(linear(x, parts).y, dy)
    const gradients = linearBackward(dy, x, parts, linear(x, parts).s)
    expectEqual(gradients.dx, numericGradient(x, objective))
    parts.forEach((part, p) => {
      const of = gradients.parts[p]
      expectEqual(of?.dWeight, numericGradient(part.weight, objective))
      expectEqual(of?.dBias, numericGradient(part.bias, objective))
      part.pairs.forEach((pair, i) => {
        expectEqual(of?.pairs[i]?.da, numericGradient(pair.a, objective))
        expectEqual(of?.pairs[i]?.db, numericGradient(pair.b, objective))
      })
    })
  })

  it.each([
    { softcap: 0, divisor: 0 },
    { softcap: 1.5, divisor: 7 },
    { softcap: 0, divisor: 0, weights: [0.5, 1, 3, 0] },
  ])('have the gradients of linearCrossEntropy %o', (shape) => {
    const h = randomMatrix(4, 3)
    const dropout = { p: 0.4, seed: 9, microStep: 1, dropoutStream: 2 }
    const pair = { a: randomMatrix(2, 3), b: randomMatrix(5, 2), scale: 0.5, dropout }
    const head = { weight: randomMatrix(5, 3), pairs: [pair] }
    const options = { ...shape, labels: [4, -100, 0, 3] }
    const objective = () => linearCrossEntropy(h, head, options).loss
    const { dh, head: gradients } = linearCrossEntropy(h, head, options)
    expectEqual(dh, numericGradient(h, objective))
    expectEqual(gradients.dWeight, numericGradient(head.weight, objective))
    expectEqual(gradients.pairs[0]?.da, numericGradient(pair.a, objective))
    expectEqual(gradients.pairs[0]?.db, numericGradient(pair.b, objective))
  })

  it.each([0, 1.5])('have the gradients of linearLogProbs with a softcap of %f', (softcap) => {
    const h = randomMatrix(4, 3)
    const dropout = { p: 0.4, seed: 9, microStep: 1, dropoutStream: 2 }
    const pair = { a: randomMatrix(2, 3), b: randomMatrix(5, 2), scale: 0.5, dropout }
    const head = { weight: randomMatrix(5, 3), pairs: [pair] }
    const options = { softcap, labels: [4, -100, 0, 3], dLogProbs: [0.5, 9, -2, 0.25] }
    const objective = () =>
      linearLogProbs(h, head, options).logProbs.reduce((sum, value, i) => sum + value * (options.dLogProbs[i] ?? 0), 0)
    const { dh, head: gradients } = linearLogProbs(h, head, options)
    expectEqual(dh, numericGradient(h, objective))
    expectEqual(gradients.dWeight, numericGradient(head.weight, objective))
    expectEqual(gradients.pairs[0]?.da, numericGradient(pair.a, objective))
    expectEqual(gradients.pairs[0]?.db, numericGradient(pair.b, objective))
  })

  it('know the loss of even odds', () => {
    const head = { weight: matrix(8, 3), pairs: [] }
    expect(linearCrossEntropy(randomMatrix(2, 3), head, { labels: [1, 7] }).loss).toBeCloseTo(Math.log(8), 12)
  })
})
