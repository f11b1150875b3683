/** @file Random groups of projections, as the native ops take them and as the float64 reference takes them. */

import type { OpArguments } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import type { PartCase, SlabCase } from '../reference/linear.js'
import { type Matrix, map, matrix } from '../reference/matrix.js'
import type { DropoutKey } from '../reference/philox.js'
import { type Compute, type Operand, type operandMaker, output, readMatrix } from './values.js'

export interface PartShape {
  outputs: number
  inOut?: boolean
  bias?: boolean
  /** The rank of each slab. */
  ranks?: readonly number[]
  /** Dropout of all slabs; each gets a site of its own. */
  dropout?: Omit<DropoutKey, 'site'>
}

type Make = ReturnType<typeof operandMaker>

interface Slab extends SlabCase {
  readonly a: Operand
  readonly b: Operand
  readonly s: Tensor
  readonly da: Tensor
  readonly db: Tensor
}

interface Part extends PartCase {
  readonly weight: Operand
  readonly bias?: Operand
  readonly slabs: readonly Slab[]
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
  let site = 3
  return shapes.map(({ outputs, inOut = false, bias = false, ranks = [], dropout }) => {
    const weight = inOut ? make(inputs, outputs, { gap: 1 }) : make(outputs, inputs, { gap: 2 })
    const { device } = weight.tensor
    const gradient = (rows: number, cols: number): Tensor =>
      Tensor.full(device, [rows, cols], 'float32', GRADIENT_START)
    const slabs = ranks.map((rank): Slab => {
      site += 7
      return {
        a: make(rank, inputs),
        b: make(outputs, rank, { gap: 1 }),
        scale: ((site % 5) + 1) / 8,
        s: output(device, tokens, rank, dtype, 1),
        da: gradient(rank, inputs),
        db: gradient(outputs, rank),
        ...(dropout ? { dropout: { ...dropout, site } } : {}),
      }
    })
    return {
      weight,
      inOut,
      slabs,
      dWeight: gradient(weight.rows, weight.cols),
      dBias: gradient(1, outputs),
      ...(bias ? { bias: make(1, outputs) } : {}),
    }
  })
}

const slabArguments = (slab: Slab): OpArguments => ({
  a: slab.a.tensor,
  b: slab.b.tensor,
  scale: slab.scale,
  dropout: { ...(slab.dropout ?? { p: 0, seed: 0, microStep: 0, site: 0 }) },
})

export function forwardArguments(parts: readonly Part[]): OpArguments[] {
  return parts.map((part) => ({
    weight: part.weight.tensor,
    nf4: [],
    bias: part.bias?.tensor,
    inOut: part.inOut ?? false,
    slabs: part.slabs.map((slab) => ({ ...slabArguments(slab), s: slab.s })),
  }))
}

export function backwardArguments(parts: readonly Part[]): OpArguments[] {
  return parts.map((part) => ({
    weight: part.weight.tensor,
    nf4: [],
    dWeight: part.dWeight,
    dBias: part.dBias,
    inOut: part.inOut ?? false,
    slabs: part.slabs.map((slab) => ({ ...slabArguments(slab), s: slab.s, da: slab.da, db: slab.db })),
  }))
}

/** The head of linearCrossEntropy: one part without bias, whose s the op keeps to itself. */
export function headArguments(part: Part, gradients: boolean): OpArguments[] {
  return [
    {
      weight: part.weight.tensor,
      dWeight: gradients ? part.dWeight : undefined,
      slabs: part.slabs.map((slab) => ({
        ...slabArguments(slab),
        da: gradients ? slab.da : undefined,
        db: gradients ? slab.db : undefined,
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
