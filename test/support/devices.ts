/** @file The devices that op and model suites run on: LOWRANK_TEST_DEVICES, a comma list, by default 'cpu'. */

import { type EmulatorOptions, loadAddon } from '../../src/tensor/addon.js'
import { Device, type DeviceOptions } from '../../src/tensor/device.js'
import { isThorough } from './long.js'

export interface TestDevice {
  /** As it stands in test names. */
  readonly name: string
  /** A stream of its own; the caller closes it. */
  open(options?: DeviceOptions): Device
}

const ISA_LEVELS = ['generic', 'avx2', 'avx512', 'avx512bf16', 'amx']

/**
 * Emulated GPUs, as generation/order/copies: both generations with late copies, every order. The first is the one for
 * suites that take one device only.
 */
const EMULATORS = ['sm90/forward/early', 'sm80/reverse/late', 'sm90/random/late']

/**
 * The devices under test; the CPU counts once per instruction-set level of the machine, lowest first, the emulated GPU
 * once for each of EMULATORS (LOWRANK_TEST_EMULATORS: a comma list in their place). `npm test` takes the lowest and the
 * highest level, CI and `npm run test:long` all; with LOWRANK_ISA_UNCHECKED=1 those that the machine does not report
 * are tried too.
 * @param everyLevel false: the best CPU level and one emulated GPU only, for suites whose subject is not the kernels.
 * @throws on a device that does not exist.
 */
export function testDevices({ everyLevel = true } = {}): TestDevice[] {
  return testDeviceNames().flatMap((name) => {
    if (name === 'cpu' && everyLevel) {
      return cpuLevels().map((isa) => ({
        name: `cpu ${isa}`,
        open: (options?: DeviceOptions) => Device.open('cpu', { isa, ...options }),
      }))
    }
    if (name === 'cuda-emulator') {
      const emulators = process.env.LOWRANK_TEST_EMULATORS?.split(',') ?? EMULATORS
      return (everyLevel ? emulators : emulators.slice(0, 1)).map((emulator) => ({
        name: `cuda-emulator ${emulator}`,
        open: (options?: DeviceOptions) => Device.open(name, { emulator: emulatorOptions(emulator), ...options }),
      }))
    }
    if (name !== 'cpu' && !/^cuda(:\d+)?$/.test(name))
      throw new Error(`[test] expected cpu, cuda or cuda-emulator in LOWRANK_TEST_DEVICES, got '${name}'`)
    return [{ name, open: (options?: DeviceOptions) => Device.open(name, options) }]
  })
}

/** 'sm90/random/late' as options; the engine refuses what is none. */
function emulatorOptions(text: string): EmulatorOptions {
  const [generation, order, copies] = text.split('/')
  return { generation, order, copies } as EmulatorOptions
}

/** What sizes of blocks of the device's memory are multiples of. */
export function blockBytes(device: Device): number {
  return isGpu(device) ? 256 : 64
}

/** Whether kernels run later than their commands, and not at an instruction-set level of the CPU. */
export function isGpu({ type }: Device): boolean {
  return type.startsWith('cuda')
}

/** The names alone, for suites that open devices by name. */
export function testDeviceNames(): string[] {
  return (process.env.LOWRANK_TEST_DEVICES ?? 'cpu').split(',').map((name) => name.trim())
}

function cpuLevels(): string[] {
  if (process.env.LOWRANK_ISA_UNCHECKED === '1') return ISA_LEVELS
  const levels = ISA_LEVELS.slice(0, ISA_LEVELS.indexOf(loadAddon().info().detectedIsa) + 1)
  return isThorough ? levels : [...new Set([levels[0], levels.at(-1)])].filter((level) => level !== undefined)
}
