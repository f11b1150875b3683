/** @file What swiglu and gelu share: an elementwise op whose cheap output is made again in backward, not kept. */

import { runsAgain } from '../autograd/gradient-checkpointing.js'
import { recomputeFrom } from '../autograd/recompute.js'
import { needsRecording, record, Saved } from '../autograd/tape.js'
import { Tensor } from '../tensor/tensor.js'
import { expectCompute } from './check.js'

/** The op `op` on x, whose result has `cols` columns; `${op}Backward` is its rule. */
export function activation(op: 'swiglu' | 'gelu', x: Tensor, cols: number, options: { tanh?: boolean } = {}): Tensor {
  const { device } = x
  expectCompute(op, 'x', x)
  const forward = (input: Tensor): Tensor => {
    const y = Tensor.activation(device, [...input.shape.slice(0, -1), cols], input.dtype)
    device.enqueue(op, { x: input, y, ...options })
    return y
  }
  const y = forward(x)
  if (needsRecording([x])) {
    const saved = new Saved(x, op)
    record(op, [x], [y], [saved], ([dy]) => {
      if (!dy) return [undefined]
      const input = saved.get()
      // Where nobody else reads x any more its gradient takes its place: it is the widest tensor of a layer.
      const dx = input.isOnlyHandle ? input.alias() : Tensor.activation(device, x.shape, x.dtype)
      device.enqueue(`${op}Backward`, { dy, x: input, dx, ...options })
      return [dx]
    })
    // In a block that is computed again y is not held for long.
    if (!runsAgain()) y.recompute = recomputeFrom([x], forward)
  }
  return y
}
