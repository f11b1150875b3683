/** @file The emulated GPU finds planted mistakes, says where they are, and goes on. */

import { createRequire } from 'node:module'
import { describe, expect, it } from 'vitest'
import type { Addon, EmulatorOptions } from '../../src/tensor/addon.js'
import { Device } from '../../src/tensor/device.js'

interface EmulatorAddon extends Addon {
  probes: string[]
  runProbe(name: string, emulator?: EmulatorOptions): { fault: string; values: Float32Array }
}

const addon = createRequire(import.meta.url)(process.env.LOWRANK_ADDON as string) as EmulatorAddon
const SCHEDULES = (['forward', 'reverse', 'random'] as const).flatMap((order) =>
  (['early', 'late'] as const).map((copies) => ({ order, copies })),
)

const REVERSED = Array.from({ length: 64 }, (_, i) => 64 - i)
/** Column i % 8 of 8 rows of 1 to 64. */
const SUMS = Array.from({ length: 64 }, (_, i) => 8 * ((i % 8) + 1) + 8 * 28)

/** By name: what the right kernel gives in every schedule. */
const RIGHT: Record<string, number[]> = {
  reverse: REVERSED,
  reverseTwice: REVERSED,
  copyThroughShared: REVERSED,
  sumColumns: SUMS,
  product: new Array(64).fill(16),
}

/** Mistakes that show in results, and the schedules that show them. */
const WRONG: Record<string, { right: string; shownBy: RegExp }> = {
  'reverse without its barrier': { right: 'reverse', shownBy: /./ },
  'reverseTwice without its middle barrier': { right: 'reverseTwice', shownBy: /./ },
  'sumColumns one row too far': { right: 'sumColumns', shownBy: /./ },
  'copyThroughShared without its wait': { right: 'copyThroughShared', shownBy: /late/ },
  'product read before its wait': { right: 'product', shownBy: /late/ },
}

/** Mistakes that end the launch: what is said of them. */
const FAULTS: Record<string, RegExp> = {
  divergentBarrier:
    /line \d+ of probes\.cpp: waits at a barrier where others of its block wait at line \d+ of probes\.cpp/,
  barrierWithoutEnough: /waits for threads that never come/,
  divergentShuffle:
    /line \d+ of probes\.cpp: is a call of a whole warp, but other lanes are at line \d+ of probes\.cpp/,
  shuffleOfSome: /lane 7 has ended|ends while other lanes of its warp wait for it/,
  misalignedLoad:
    /line \d+ of probes\.cpp: a vector load expects an address that is a multiple of 16, got one that is 4 above/,
  misalignedLdmatrix: /ldmatrix expects an address that is a multiple of 16, got one that is 8 above/,
  misalignedCopy: /an asynchronous copy expects an address that is a multiple of 16, got one that is 4 above/,
  writeFarBeyondShared: /touches memory outside of its block's shared memory/,
  readBeforeShared: /touches memory outside of its block's shared memory/,
  writeJustBeyondShared: /wrote outside of its 256 bytes of shared memory/,
  largeFrame: /touches memory outside of its block's shared memory or stack/,
  'too much shared memory': /expected at most 101376 bytes of shared memory per block, got 101377/,
  'too much shared memory for sm_90': /expected at most 232448 bytes of shared memory per block, got 232449/,
  'product launched as for sm_80':
    /line \d+ of probes\.cpp: is a wgmma in a kernel that launchOnSm90\(\) did not launch/,
  'too many threads': /expected 1 to 1024 threads per block, got 1056 x 1 x 1/,
  'an empty grid': /expected a grid of 1 to .* blocks, got 0 x 1 x 1/,
}

/** What nobody waits for: a fault when it is done late. */
const UNAWAITED: Record<string, string> = {
  copyNeverAwaited: 'an asynchronous copy is on its way',
  productNeverAwaited: 'a wgmma is on its way',
}

describe.each(SCHEDULES)('in the order $order with $copies copies', (schedule) => {
  it.each(Object.entries(RIGHT))('%s is right', (name, expected) => {
    const { fault, values } = addon.runProbe(name, schedule)
    expect(fault).toBe('')
    expect([...values]).toEqual(expected)
  })

  it.each(Object.entries(FAULTS))('%s ends the launch, and the next one runs', (name, message) => {
    expect(addon.runProbe(name, schedule).fault).toMatch(message)
    expect([...addon.runProbe('reverse', schedule).values]).toEqual(REVERSED)
  })

  it.each(Object.entries(UNAWAITED))('%s ends the launch when it is late', (name, what) => {
    const { fault } = addon.runProbe(name, schedule)
    if (schedule.copies === 'late') {
      expect(fault).toMatch(/line \d+ of probes\.cpp: ends while /)
      expect(fault).toContain(what)
    } else expect(fault).toBe('')
  })
})

it.each(Object.entries(WRONG))('%s gives something else', (name, { right, shownBy }) => {
  const shown = SCHEDULES.filter((schedule) => {
    const { fault, values } = addon.runProbe(name, schedule)
    return fault !== '' || values.some((value, i) => value !== RIGHT[right]?.[i])
  })
  expect(shown.length).toBeGreaterThan(0)
  expect(shown.every(({ copies }) => shownBy.test(copies))).toBe(true)
})

it('an older GPU refuses the kernels that only Hopper runs, and runs the others', () => {
  expect(addon.runProbe('product', { generation: 'sm80' }).fault).toMatch(
    /: expected a GPU of sm_90, got one of sm_80$/,
  )
  expect([...addon.runProbe('reverse', { generation: 'sm80' }).values]).toEqual(REVERSED)
})

it('knows no other probe than those tested here', () => {
  const tested = [...Object.keys(RIGHT), ...Object.keys(WRONG), ...Object.keys(FAULTS), ...Object.keys(UNAWAITED)]
  expect([...addon.probes].sort()).toEqual(tested.sort())
  expect(() => addon.runProbe('another')).toThrow("[emulator] expected the name of a probe, got 'another'")
})

it.each<[Record<string, unknown>, string]>([
  [{ generation: 'sm70' }, "'sm80' or 'sm90' for emulator.generation, got 'sm70'"],
  [{ order: 'sideways' }, "'forward', 'reverse' or 'random' for emulator.order, got 'sideways'"],
  [{ copies: true }, "'early' or 'late' for emulator.copies, got true"],
  [{ seed: 0 }, 'a whole number from 1 to 4294967295 for emulator.seed, got 0'],
  [{ multiprocessors: 1.5 }, 'a whole number from 1 to 1024 for emulator.multiprocessors, got 1.5'],
  [{ cacheBytes: '1' }, "a whole number from 1 to 1099511627776 for emulator.cacheBytes, got '1'"],
  [{ hostBytes: -1 }, 'a whole number from 1 to 9007199254740991 for emulator.hostBytes, got -1'],
  [
    { schedule: 'random' },
    "the options generation, order, copies, seed, multiprocessors, cacheBytes and hostBytes for emulator, got also 'schedule'",
  ],
])('a device refuses the emulator %o', (emulator, expected) => {
  expect(() => Device.open('cuda-emulator', { emulator })).toThrow(`[device] expected ${expected}`)
})
