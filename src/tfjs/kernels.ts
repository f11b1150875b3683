/** @file What the ops need computed, whoever does it. Shapes are checked before: x is [N, K], y is [N, O]. */

import type { Nf4Weight } from '../tensor/nf4.js'

/** The weight of a linear layer [O, K], dense or in NF4. */
export type LinearWeight<T> =
  | { readonly dense: T; readonly nf4?: undefined }
  | { readonly nf4: Nf4Weight; readonly dense?: undefined }

/** The factors of LoRA: a [r, K], b [O, r]. */
export interface LoraFactors<T> {
  readonly a: T
  readonly b: T
  readonly scale: number
}

/** What a backward pass of a linear layer is asked for, and with what. */
export interface LinearGradient<T> {
  readonly x: T
  /** [N, O]. */
  readonly dy: T
  readonly weight: LinearWeight<T>
  readonly lora?: (LoraFactors<T> & { readonly s: T }) | undefined
  readonly wantsWeight: boolean
  readonly wantsBias: boolean
}

/** Gradients in the shapes of what they belong to. */
export interface LinearGradients<T> {
  readonly dx: T
  readonly da?: T | undefined
  readonly db?: T | undefined
  readonly dWeight?: T | undefined
  readonly dBias?: T | undefined
}

/** One of two: src/tfjs/native-kernels.ts, on lowrank's engine, and src/tfjs/tfjs-kernels.ts, on TensorFlow.js. */
export interface Kernels<T> {
  /** Whether gradients are themselves differentiable. */
  readonly isTwiceDifferentiable: boolean
  /** [O, K]; with `scales`, one for each block, in place of those of the weight. */
  dequantize(weight: Nf4Weight, scales?: T): T
  /** The gradient of the scales, [blocks], for one of the matrix. */
  scalesGradient(weight: Nf4Weight, dy: T): T
  /** y = x W^T + bias + s b^T, and s = scale * x a^T. */
  linear(x: T, weight: LinearWeight<T>, bias?: T, lora?: LoraFactors<T>): { y: T; s?: T | undefined }
  linearGradient(wanted: LinearGradient<T>): LinearGradients<T>
  dispose(): void
}
