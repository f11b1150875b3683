/** @file float16 numbers in bytes. */

let table: Float32Array | undefined

/** The little-endian float16 at `at`. */
export function halfToFloat(bytes: Uint8Array, at: number): number {
  table ??= makeTable()
  return table[(bytes[at] as number) | ((bytes[at + 1] as number) << 8)] as number
}

/** All 65536 values: each block of a weight asks for one or two. */
function makeTable(): Float32Array {
  return Float32Array.from({ length: 1 << 16 }, (_, bits) => {
    const sign = bits & 0x8000 ? -1 : 1
    const exponent = (bits >> 10) & 31
    const fraction = bits & 1023
    if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
    return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25)
  })
}
