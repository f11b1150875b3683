/** @file What the storage of NF4 stands for, on the host: codes of elements and scales of blocks. */

import type { Nf4Weight } from '../tensor/nf4.js'

/** The code of every element, row-major. */
export function codesOf({ packed, code, shape }: Nf4Weight): Float32Array {
  const bytes = packed.readSync()
  const table = code.readSync()
  const codes = new Float32Array(shape[0] * shape[1])
  for (let i = 0; i < codes.length; i++) {
    const byte = bytes[i >> 1] as number
    codes[i] = table[i % 2 === 0 ? byte >> 4 : byte & 15] as number
  }
  return codes
}

/** The scale of every block, each product and sum rounded to float32. */
export function scalesOf({ absmax, nestedAbsmax, nestedCode, offset, nestedBlockSize }: Nf4Weight): Float32Array {
  const values = absmax.readSync()
  if (!nestedAbsmax || !nestedCode || !offset) return values
  const nested = nestedAbsmax.readSync()
  const table = nestedCode.readSync()
  const [shift = 0] = offset.readSync()
  return values.map((q, i) =>
    Math.fround(Math.fround((table[q] as number) * (nested[Math.floor(i / nestedBlockSize)] as number)) + shift),
  )
}
