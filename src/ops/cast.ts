/** @file cast and copy: conversion between dtypes, and copies into views. */

import { needsRecording, record } from '../autograd/tape.js'
import type { DType } from '../tensor/dtype.js'
import { Tensor } from '../tensor/tensor.js'
import { expectShape } from './check.js'

/** A contiguous copy of `x` in another dtype (or its own). */
export function cast(x: Tensor, dtype: DType = x.dtype): Tensor {
  const y = Tensor.empty(x.device, x.shape, dtype)
  x.device.enqueue('copy', { x, y })
  if (needsRecording([x])) record('cast', [x], [y], [], ([dy]) => [dy && cast(dy, x.dtype)])
  return y
}

/** Writes `x` into `y`, a view of something larger. Not recorded: for caches and gradients. */
export function copy_(y: Tensor, x: Tensor): void {
  expectShape('copy_', 'x', x, y.shape, 'like y')
  y.device.enqueue('copy', { x, y })
  y.bumpVersion()
}
