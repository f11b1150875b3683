/** @file Random groups of projections, as the native ops take them and as the float64 reference takes them. */

import type { OpArguments } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import type { PairCase, PartCase } from '../reference/linear.js'
import { type Matrix, map, matrix } from '../reference/matrix.js'
import type { DropoutKey } from '../reference/philox.js'
import {
  COMPUTE_DTYPES,
  type Compute,
  type Operand,
  type operandMaker,
  output,
  readMatrix,
  type Tolerance,
} from './values.js'

export interface PartShape {
  outputs: number
  inOut?: boolean
  bias?: boolean
  /** The rank of each LoRA pair. */
  ranks?: readonly number[]
  /** Dropout of all LoRA pairs; each gets a dropout stream of its own. */
  dropout?: Omit<DropoutKey, 'dropoutStream'>
}

type Make = ReturnType<typeof operandMaker>

interface Pair extends PairCase {
  readonly a: Operand
  readonly b: Operand
  readonly s: Tensor
  readonly da: Tensor
  readonly db: Tensor
}

interface Part extends PartCase {
  readonly weight: Operand
  readonly bias?: Operand
  readonly pairs: readonly Pair[]
  readonly dWeight: Tensor
  readonly dBias: Tensor
}

/** What gradients hold before: they are added to, never overwritten. */
const GRADIENT_START = 0.25

/** A group that reads x [tokens, inputs]. Operands and outputs have gaps between their rows. */
export function makeParts(
  make: Make,
  dtype: Compute,
  tokens: number,
  inputs: number,
  shapes: readonly PartShape[],
): Part[] {
  let dropoutStream = 3
  return shapes.map(({ outputs, inOut = false, bias = false, ranks = [], dropout }) => {
    const weight = inOut ? make(inputs, outputs, { gap: 1 }) : make(outputs, inputs, { gap: 2 })
    const { device } = weight.tensor
    const gradient = (rows: number, cols: number): Tensor =>
      Tensor.full(device, [rows, cols], 'float32', GRADIENT_START)
    const pairs = ranks.map((rank): Pair => {
      dropoutStream += 7
      return {
        a: make(rank, inputs),
        b: make(outputs, rank, { gap: 1 }),
        scale: ((dropoutStream % 5) + 1) / 8,
        s: output(device, tokens, rank, dtype, 1),
        da: gradient(rank, inputs),
        db: gradient(outputs, rank),
        ...(dropout ? { dropout: { ...dropout, dropoutStream } } : {}),
      }
    })
    return {
      weight,
      inOut,
      pairs,
      dWeight: gradient(weight.rows, weight.cols),
      dBias: gradient(1, outputs),
      ...(bias ? { bias: make(1, outputs) } : {}),
    }
  })
}

const pairArguments = (pair: Pair): OpArguments => ({
  a: pair.a.tensor,
  b: pair.b.tensor,
  scale: pair.scale,
  dropout: { ...(pair.dropout ?? { p: 0, seed: 0, microStep: 0, dropoutStream: 0 }) },
})

export function forwardArguments(parts: readonly Part[]): OpArguments[] {
  return parts.map((part) => ({
    weight: part.weight.tensor,
    nf4: [],
    bias: part.bias?.tensor,
    inOut: part.inOut ?? false,
    pairs: part.pairs.map((pair) => ({ ...pairArguments(pair), s: pair.s })),
  }))
}

export function backwardArguments(parts: readonly Part[]): OpArguments[] {
  return parts.map((part) => ({
    weight: part.weight.tensor,
    nf4: [],
    dWeight: part.dWeight,
    dBias: part.dBias,
    inOut: part.inOut ?? false,
    pairs: part.pairs.map((pair) => ({ ...pairArguments(pair), s: pair.s, da: pair.da, db: pair.db })),
  }))
}

/** The head of linearCrossEntropy: one part without bias, whose s the op keeps to itself. */
export function headArguments(part: Part, gradients: boolean): OpArguments[] {
  return [
    {
      weight: part.weight.tensor,
      dWeight: gradients ? part.dWeight : undefined,
      pairs: part.pairs.map((pair) => ({
        ...pairArguments(pair),
        da: gradients ? pair.da : undefined,
        db: gradients ? pair.db : undefined,
      })),
    },
  ]
}

/** An accumulated gradient, less what it started from. */
export async function readGradient(tensor: Tensor): Promise<Matrix> {
  return map(await readMatrix(tensor), (value) => value - GRADIENT_START)
}

/** A matrix whose surroundings, before, between and after its rows, are NaN. */
export function amongNaNs(like: Operand, dtype: Compute): Tensor {
  const { rows, cols } = like
  const wide = matrix(rows, cols + 5, (_row, col) => (col >= 2 && col < cols + 2 ? 0 : Number.NaN))
  const values = Float32Array.from(wide.values)
  for (let row = 0; row < rows; row++) {
    values.set(like.values.subarray(row * cols, (row + 1) * cols), row * (cols + 5) + 2)
  }
  return Tensor.from(like.tensor.device, values, [rows, cols + 5], dtype).columns(2, cols + 2)
}

/**
 * Logits are float32 sums whose error, some ulps of the largest, becomes a relative error of the probabilities. In
 * bfloat16 dlogits, s and ds are rounded, now and then to the other side of a tie than in float64: 2^-9 of a term, in
 * sums of up to a thousand. In float16 that is 2^-12, and dlogits, which a divisor makes small, have steps of 2^-24.
 */
export const HEAD_TOLERANCE: Record<Compute, Tolerance> = {
  float32: { relative: 2e-6, ofLargest: 1e-5 },
  bfloat16: { relative: 2 ** -8, ofLargest: 2 ** -9 },
  float16: { relative: 2 ** -11, ofLargest: 2 ** -12, absolute: 2 ** -24 },
}

/** Output heads of the ops that end in logits. */
const HEADS: { name: string; head: Omit<PartShape, 'outputs'> }[] = [
  { name: 'a dense head', head: {} },
  { name: 'two LoRA pairs', head: { ranks: [3, 8] } },
  { name: 'a LoRA pair with dropout', head: { ranks: [5], dropout: { p: 0.3, seed: 4, microStep: 2 } } },
]
/** Each head in each dtype. */
export const HEAD_CASES = HEADS.flatMap((head) => COMPUTE_DTYPES.map((dtype) => ({ ...head, dtype })))

/** Every third row is ignored; the others have the labels 0, last and some between. */
export const labelsFor = (tokens: number, vocabulary: number): number[] =>
  Array.from({ length: tokens }, (_, i) => (i % 3 === 1 ? -100 : (i * 7 + vocabulary - 1) % vocabulary))
