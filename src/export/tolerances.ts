/** @file How far logits may lie apart after an export, as a share of the largest logit. */

import type { FileDType } from '../checkpoint/save-model.js'

/** Sums of float32 in another order, over a few dozen layers. */
const FLOAT32_SHARE = 1e-4
/** Weights that are rounded to 11 bits. */
const FLOAT16_SHARE = 0.02
/** Weights that are rounded to 8 bits. */
const BFLOAT16_SHARE = 0.08

const SHARES: Readonly<Record<FileDType, number>> = {
  float32: FLOAT32_SHARE,
  float16: FLOAT16_SHARE,
  bfloat16: BFLOAT16_SHARE,
}

/** For weights that are rounded to `written`, and models that compute in `computed`. */
export function roundingShare(computed: FileDType, written: FileDType): number {
  return Math.max(SHARES[computed], SHARES[written])
}
