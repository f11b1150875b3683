/** @file The beginning that many sequences share, as far as it may be computed once for all. */

import type { CausalLM } from '../causal-lm/causal-lm.js'
import { PREFIX_MULTIPLE } from '../decoding/decoding.js'
import { isPlainObject } from '../values.js'

/**
 * The longest beginning of all sequences in whole blocks, shorter than each of them; empty where a single sequence
 * gains nothing, or where the length of a sequence changes how its first tokens are rotated.
 */
export function sharedPrefix({ rawConfig }: CausalLM, sequences: readonly Int32Array[]): Int32Array {
  const [first] = sequences
  const scaling = [rawConfig.rope_scaling, rawConfig.rope_parameters].find(isPlainObject)
  const isDynamic = scaling?.rope_type === 'dynamic' || scaling?.type === 'dynamic'
  if (!first || sequences.length < 2 || isDynamic) return new Int32Array(0)
  let length = first.length
  for (const sequence of sequences) {
    length = Math.min(length, sequence.length - 1)
    let same = 0
    while (same < length && sequence[same] === first[same]) same++
    length = same
  }
  return first.slice(0, Math.max(0, length - (length % PREFIX_MULTIPLE)))
}
