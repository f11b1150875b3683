/** @file The devices that op and model suites run on: LOWRANK_TEST_DEVICES, a comma list, by default 'cpu'. */

import { loadAddon } from '../../src/tensor/addon.js'
import { Device, type DeviceOptions } from '../../src/tensor/device.js'

export interface TestDevice {
  /** As it stands in test names. */
  readonly name: string
  /** A stream of its own; the caller closes it. */
  open(options?: DeviceOptions): Device
}

const ISA_LEVELS = ['generic', 'avx2', 'avx512', 'avx512bf16']

/**
 * The devices under test; the CPU counts once per instruction-set level of the machine, lowest first.
 * With LOWRANK_ISA_UNCHECKED=1 the levels that the machine does not report are tried too.
 * @param everyLevel false: the best CPU level only, for suites whose subject is not the kernels.
 * @throws on a device that does not exist.
 */
export function testDevices({ everyLevel = true } = {}): TestDevice[] {
  const names = (process.env.LOWRANK_TEST_DEVICES ?? 'cpu').split(',').map((name) => name.trim())
  return names.flatMap((name) => {
    if (name !== 'cpu') throw new Error(`[test] expected cpu in LOWRANK_TEST_DEVICES, got '${name}'`)
    if (!everyLevel) return [{ name, open: (options) => Device.open('cpu', options) }]
    return cpuLevels().map((isa) => ({
      name: `cpu ${isa}`,
      open: (options) => Device.open('cpu', { isa, ...options }),
    }))
  })
}

function cpuLevels(): string[] {
  if (process.env.LOWRANK_ISA_UNCHECKED === '1') return ISA_LEVELS
  return ISA_LEVELS.slice(0, ISA_LEVELS.indexOf(loadAddon().info().detectedIsa) + 1)
}
