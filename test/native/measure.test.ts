/**
 * @file addon.measure(): the ceilings that benchmarks compare with. Rates depend on the machine; what they count does
 * not.
 */

import { describe, expect, it } from 'vitest'
import { loadAddon } from '../../src/tensor/addon.js'

const addon = loadAddon()
const LANES = { generic: 4, avx2: 8, avx512: 16, avx512bf16: 16, amx: 16 }

describe('measure', () => {
  it.each(['generic', addon.info().detectedIsa] as (keyof typeof LANES)[])(
    'counts whole rounds of multiply-adds at the width of %s',
    (isa) => {
      const { work, seconds } = addon.measure('fma', { isa, threads: 2, seconds: 0.01 })
      // 32 blocks of 8192 rounds of 12 sums per run, two operations per lane.
      expect(work % (32 * 8192 * 12 * 2 * LANES[isa])).toBe(0)
      expect(work).toBeGreaterThan(0)
      expect(seconds).toBeGreaterThanOrEqual(0.01)
    },
  )

  it('reads the bytes that it was given, whatever their number', () => {
    const { work, seconds } = addon.measure('read', { bytes: 1_000_003, threads: 3, seconds: 0 })
    // One run is the least; more would mean that the time was not over.
    expect(work).toBe(1_000_003)
    expect(seconds).toBeGreaterThan(0)
  })

  it('refuses vdpbf16ps where the machine does not report it, and runs it where it does', () => {
    if (['avx512bf16', 'amx'].includes(addon.info().detectedIsa) || process.env.LOWRANK_ISA_UNCHECKED === '1') {
      expect(addon.measure('vdpbf16ps', { threads: 1, seconds: 0 }).work).toBe(16 * 8192 * 12 * 4 * 16)
    } else {
      expect(() => addon.measure('vdpbf16ps')).toThrow(
        "expected a level that this machine has for isa, got 'avx512bf16'",
      )
    }
  })

  it.each([
    [() => addon.measure('sse' as 'fma'), "[measure] expected fma, vdpbf16ps or read for kind, got 'sse'"],
    [() => addon.measure('fma', { isa: 'sse9' }), "for isa, got 'sse9'"],
    [() => addon.measure('fma', { threads: 0 }), '[measure] expected a whole number from 1 to 1024 for threads, got 0'],
    [() => addon.measure('fma', { threads: 1.5 }), 'for threads, got 1.5'],
    [() => addon.measure('fma', { seconds: 61 }), '[measure] expected a number from 0 to 60 for seconds, got 61'],
    [() => addon.measure('read', { bytes: 0 }), '[measure] expected a number of bytes for bytes, got 0'],
    [
      () => addon.measure('fma', { thread: 1 } as object),
      "[measure] expected the options isa, threads, seconds and bytes, got also 'thread'",
    ],
  ])('refuses what it does not know: %#', (call, message) => {
    expect(call).toThrow(message)
  })
})
