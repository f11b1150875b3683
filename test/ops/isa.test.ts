/** @file The choice of the CPU's instruction-set level. */

import { afterEach, describe, expect, it } from 'vitest'
import { loadAddon } from '../../src/tensor/addon.js'
import { Device } from '../../src/tensor/device.js'

const before = { ...process.env }

describe('the instruction-set level', () => {
  afterEach(() => {
    for (const name of ['LOWRANK_ISA', 'LOWRANK_ISA_UNCHECKED']) {
      if (before[name] === undefined) delete process.env[name]
      else process.env[name] = before[name]
    }
  })

  it('is refused when its name is unknown, from the option and from the environment', () => {
    expect(() => Device.open('cpu', { isa: 'sse9' })).toThrow(
      "expected generic, avx2, avx512, avx512bf16 or amx for isa, got 'sse9'",
    )
    process.env.LOWRANK_ISA = 'AVX2'
    expect(() => Device.open()).toThrow("expected generic, avx2, avx512, avx512bf16 or amx for LOWRANK_ISA, got 'AVX2'")
  })

  it('can be forced lower by the environment, and the option wins over it', async () => {
    process.env.LOWRANK_ISA = 'generic'
    expect(loadAddon().info().isa).toBe('generic')
    Device.open('cpu', { isa: 'generic' }).close()
  })

  it('the instruction-set level above the machine is refused, with the best one and the way round named', () => {
    delete process.env.LOWRANK_ISA_UNCHECKED
    const { detectedIsa } = loadAddon().info()
    if (detectedIsa === 'amx') {
      // Nothing is above: the highest level opens.
      Device.open('cpu', { isa: 'amx' }).close()
      return
    }
    expect(() => Device.open('cpu', { isa: 'amx' })).toThrow(
      new RegExp(`the best here is '${detectedIsa}'.*LOWRANK_ISA_UNCHECKED=1`),
    )
  })
})
