/**
 * @file The block formats of GGUF written slowly: those with one scale in float32, step by step, so that bytes can be
 * compared; the "K" formats as the errors that a fit in float64 leaves.
 */

const { fround } = Math

/** The nearest float16, ties to even, as its bits. */
export function halfBits(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0
  const magnitude = Math.abs(value)
  if (Number.isNaN(value)) return 0x7e00
  if (magnitude === 0) return sign
  const exponent = Math.max(Math.floor(Math.log2(magnitude)), -14)
  const units = evenRound(magnitude / 2 ** (exponent - 10))
  // Rounding up may reach the next power of two, whose bits follow.
  const bits = (exponent + 14) * 1024 + units
  return sign | Math.min(bits, 0x7c00)
}

export function bfloat16Bits(value: number): number {
  const words = new Uint32Array(Float32Array.of(value).buffer)
  const bits = words[0] as number
  return Number.isNaN(value) ? (bits >>> 16) | 64 : ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff
}

function evenRound(value: number): number {
  const floor = Math.floor(value)
  const rest = value - floor
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor
}

function halfBytes(value: number): number[] {
  const bits = halfBits(value)
  return [bits & 255, bits >> 8]
}

function inverse(d: number): number {
  return d === 0 ? 0 : fround(1 / d)
}

function nibbles(q: readonly number[]): number[] {
  return Array.from({ length: 16 }, (_, i) => ((q[i] as number) & 15) | (((q[16 + i] as number) & 15) << 4))
}

function fifthBits(q: readonly number[]): number[] {
  const bytes = [0, 0, 0, 0]
  q.forEach((code, i) => {
    bytes[i >> 3] = (bytes[i >> 3] as number) | ((code >> 4) << (i & 7))
  })
  return bytes
}

function symmetric(x: readonly number[], zero: number): { d: number; q: number[] } {
  const largest = x.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), x[0] as number)
  const d = fround(largest / -zero)
  const id = inverse(d)
  const q = x.map((value) => Math.min(Math.trunc(fround(fround(value * id) + zero + 0.5)), 2 * zero - 1))
  return { d, q }
}

function range(x: readonly number[], steps: number): { d: number; min: number; q: number[] } {
  const min = Math.min(...x)
  const d = fround(fround(Math.max(...x) - min) / steps)
  const id = inverse(d)
  const q = x.map((value) => Math.min(Math.trunc(fround(fround(fround(value - min) * id) + 0.5)), steps))
  return { d, min, q }
}

/** The bytes of a block of 32. */
export const BLOCKS: Readonly<Record<string, (x: readonly number[]) => number[]>> = {
  Q8_0(x) {
    const d = fround(Math.max(...x.map(Math.abs)) / 127)
    const id = inverse(d)
    const round = (value: number): number => Math.sign(value) * Math.floor(Math.abs(value) + 0.5)
    return [...halfBytes(d), ...x.map((value) => round(fround(value * id)) & 255)]
  },
  Q4_0(x) {
    const { d, q } = symmetric(x, 8)
    return [...halfBytes(d), ...nibbles(q)]
  },
  Q5_0(x) {
    const { d, q } = symmetric(x, 16)
    return [...halfBytes(d), ...fifthBits(q), ...nibbles(q)]
  },
  Q4_1(x) {
    const { d, min, q } = range(x, 15)
    return [...halfBytes(d), ...halfBytes(min), ...nibbles(q)]
  },
  Q5_1(x) {
    const { d, min, q } = range(x, 31)
    return [...halfBytes(d), ...halfBytes(min), ...fifthBits(q), ...nibbles(q)]
  },
}

/** What a "K" format makes of a block: parts of so many values, codes up to `most`, scales up to `scales`. */
export interface KFormat {
  readonly part: number
  readonly most: number
  /** Codes go from -32 to 31 and have no minimum. */
  readonly isSigned: boolean
}

export const K_FORMATS: Readonly<Record<string, KFormat>> = {
  Q4_K: { part: 32, most: 15, isSigned: false },
  Q5_K: { part: 32, most: 31, isSigned: false },
  Q6_K: { part: 16, most: 31, isSigned: true },
}

/**
 * The weighted squared error of a block of 256 whose parts are fitted by least squares in float64, with scales that are
 * not rounded: what no rounding of scales can be much below.
 */
export function fittedError(x: readonly number[], w: readonly number[], format: KFormat): number {
  let sum = 0
  for (let at = 0; at < x.length; at += format.part) {
    const part = x.slice(at, at + format.part)
    const weights = w.slice(at, at + format.part)
    sum += format.isSigned ? scaleError(part, weights) : lineError(part, weights, format.most)
  }
  return sum
}

function scaleError(x: readonly number[], w: readonly number[]): number {
  const largest = Math.max(...x.map(Math.abs))
  if (largest === 0) return 0
  let best = Number.POSITIVE_INFINITY
  for (const sign of [-1, 1]) {
    for (let trial = -12; trial <= 12; trial++) {
      const step = (sign * largest) / (32 + 0.1 * trial)
      const q = x.map((value) => Math.min(Math.max(Math.round(value / step), -32), 31))
      const qq = dot(w, q, q)
      const scale = qq > 0 ? dot(w, q, x) / qq : 0
      best = Math.min(
        best,
        error(x, w, (i) => scale * (q[i] as number)),
      )
    }
  }
  return best
}

function lineError(x: readonly number[], w: readonly number[], most: number): number {
  const low = Math.min(0, ...x)
  const high = Math.max(...x)
  if (high <= low) return 0
  const ones = x.map(() => 1)
  let best = Number.POSITIVE_INFINITY
  for (let trial = -10; trial <= 10; trial++) {
    const inverseStep = (most + 0.1 * trial) / (high - low)
    const q = x.map((value) => Math.min(Math.max(Math.round(inverseStep * (value - low)), 0), most))
    const [sw, sq, sqq, sx, sqx] = [dot(w, ones, ones), dot(w, q, ones), dot(w, q, q), dot(w, x, ones), dot(w, q, x)]
    const determinant = sw * sqq - sq * sq
    if (!(determinant > 0)) continue
    let scale = (sw * sqx - sx * sq) / determinant
    let min = -(sqq * sx - sq * sqx) / determinant
    if (min < 0) [scale, min] = [sqx / sqq, 0]
    best = Math.min(
      best,
      error(x, w, (i) => scale * (q[i] as number) - min),
    )
  }
  return best
}

function dot(w: readonly number[], a: readonly number[], b: readonly number[]): number {
  return w.reduce((sum, weight, i) => sum + weight * (a[i] as number) * (b[i] as number), 0)
}

/** Sum of w (x - y)^2. */
export function error(x: readonly number[], w: readonly number[], y: (i: number) => number): number {
  return x.reduce((sum, value, i) => sum + (w[i] as number) * (value - y(i)) ** 2, 0)
}
