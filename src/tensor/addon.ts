/** @file Finds and loads the native addon, and types what it exports. Nothing here runs before a device is opened. */

import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { LowrankError } from '../lowrank-error.js'

/** One argument of an op, in wire order. */
export interface Field {
  name: string
  kind: 'in' | 'out' | 'inout' | 'optionalIn' | 'optionalOut' | 'optionalInout' | 'number' | 'group' | 'list'
  fields?: Field[]
}

/** Bytes of device memory. */
export interface MemoryInfo {
  /** In use by tensors now. */
  live: number
  /** The most that was in use since the last `resetPeak()`. */
  peak: number
  /** In use at some time and not given back to the operating system since: what is resident. */
  touched: number
  /** Taken from the operating system. */
  reserved: number
  /** The most that `reserved` may become. */
  budget: number
  /** Bytes of the machine's memory that a GPU's tensors use now; the other figures do not count them. */
  hostLive: number
}

/** Who holds the memory of a device, in words such as "weights of model 1.2 GiB, key/value cache 300.0 MiB". */
export interface MemoryHolders {
  /** Tensors of this device; empty where none has a label. */
  own: string
  /**
   * Other devices of this process that share the budget; empty where there are none, or this device has a budget of its
   * own.
   */
  others: string
  /** Bytes of the budget that those have. */
  otherBytes: number
}

/** By op: how often it ran, and the seconds in it; `Device.times()` says whose. */
export type OpTimes = Record<string, { calls: number; seconds: number }>

/**
 * A command queue with its own memory. A tensor crosses as six numbers: slot, byte offset, dtype, rows, cols, row
 * stride.
 */
export interface NativeStream {
  /** `onHost`: a GPU's in the machine's memory. */
  allocate(bytes: number, onHost?: boolean): number
  retain(slot: number): void
  release(slot: number): void
  /** Says what a buffer is for, as errors about a full budget name it. */
  label(slot: number, what: string): void
  reportMemory(change: number): void
  enqueue(op: number, args: Float64Array, length: number): void
  /** Ops up to `endList()` are kept, not run; the result names the list. */
  beginList(): void
  endList(): number
  replay(list: number): void
  releaseList(list: number): void
  upload(target: Float64Array, source: ArrayBufferView, sourceDType: number): void
  loadFile(target: Float64Array, path: string, fileOffset: number, sourceDType: number): void
  /** The device that it is: 'cpu', 'cuda:0'. */
  readonly device: string
  read(source: Float64Array, raw: boolean): Promise<Float32Array | Int32Array | Uint8Array>
  /** The same while JavaScript waits. */
  readSync(source: Float64Array, raw: boolean): Float32Array | Int32Array | Uint8Array
  sync(): Promise<void>
  memory(): MemoryInfo
  holders(): MemoryHolders
  resetPeak(): void
  limitMemory(bytes: number): void
  times(): OpTimes
  close(): void
}

/** What the engine says about itself and the machine. */
export interface EngineInfo {
  version: string
  /** The level in use: LOWRANK_ISA, or the fastest. */
  isa: string
  /** The highest that the processor reports. */
  detectedIsa: string
  /** The highest, unless its bfloat16 products are slower than widening to float32. */
  fastestIsa: string
  threads: number
  totalMemory: number
  availableMemory: number
  compiler: string
  /** What `Device.open()` takes here, the best first. */
  devices: string[]
}

/** What the emulated GPU of the tests is like. */
export interface EmulatorOptions {
  /**
   * 'sm80': what every GPU from Ampere on has. 'sm90': Hopper, with products of warpgroups and 227 KiB of shared
   * memory.
   * @default 'sm90'
   */
  generation?: 'sm80' | 'sm90'
  /**
   * Which thread runs next where several can.
   * @default 'forward'
   */
  order?: 'forward' | 'reverse' | 'random'
  /**
   * When asynchronous copies land and products of warpgroups are made: when they are issued, or not before they are
   * waited for.
   * @default 'late'
   */
  copies?: 'early' | 'late'
  /**
   * Seed of the order 'random'.
   * @default 1
   */
  seed?: number
  /**
   * How many blocks run side by side.
   * @default 4
   */
  multiprocessors?: number
  /**
   * Bytes of the second-level cache.
   * @default 256 KiB, so that small tests see what it decides
   */
  cacheBytes?: number
  /**
   * Bytes of the largest tensor that the machine's memory takes.
   * @default any that there is memory for
   */
  hostBytes?: number
}

export interface StreamOptions {
  /** 'cpu', 'cuda', 'cuda:N', 'auto'; in the engine of the tests also 'cuda-emulator'. */
  device: string
  threads?: number
  memoryBudget?: number
  isa?: string
  emulator?: EmulatorOptions
  dryRun?: boolean
  holdBudget?: boolean
  timeOps?: boolean
}

/** What an engine with CUDA finds on the machine. */
export interface CudaInfo {
  /** The newest CUDA that the driver runs, as '12.8'; null without a driver. */
  driverVersion: string | null
  /** The CUDA that the engine was built with. */
  runtimeVersion: string
  /** Why there is no GPU to use. */
  error: string | null
  /** The GPUs, by their numbers. */
  devices: { name: string; computeCapability: string; totalMemory: number; freeMemory: number }[]
}

/** The level, threads and time of a probe; `bytes` is the size of what 'read' reads. */
export interface MeasureOptions {
  isa?: string
  threads?: number
  /** Default 0.02. */
  seconds?: number
  /** Default 256 MiB. */
  bytes?: number
}

/**
 * One matrix product of cuBLASLt, with memory of its own: y = x W^T ('forward', [m, k] by [n, k]) or dx = dy W ('dx',
 * [m, n] by [n, k]).
 */
export interface CublasLtOptions {
  /** Number of the GPU. */
  ordinal: number
  dtype: 'float32' | 'bfloat16'
  direction: 'forward' | 'dx'
  m: number
  k: number
  n: number
  /** Path of libcublasLt; default: where the system and the CUDA toolkit have it. */
  library?: string
}

/** The fastest that the library proposes for a product. */
export interface CublasLt {
  /** Version of the library. */
  readonly version: string
  /**
   * Seconds that one product takes, measured on as many as fill about `length` seconds, while JavaScript waits.
   * @throws when the result is not that product
   */
  seconds(length: number): number
  /** Gives its memory back. */
  close(): void
}

export interface Addon {
  Stream: new (options: StreamOptions) => NativeStream
  ops: Record<string, { id: number; fields: Field[] }>
  info(): EngineInfo
  /** Null in an engine without CUDA. */
  cuda(): CudaInfo | null
  /**
   * Stands in front of the handlers of these signals, also while JavaScript is busy; takes those of the last call away.
   * By `endsAt` a signal ends the process at once (1), as the next request after a first one (2), or only counts as a
   * first one (0). Absent in engines of systems without such signals.
   * @returns false where one of them has no handler to stand in front of
   */
  guardSignals?(signals: readonly number[], endsAt: readonly number[], farewell: string): boolean
  /**
   * Locks an open file until it is closed or its process ends, without waiting; shared locks stand beside each other.
   * False: another has it; null: this file system has no locks. Absent in engines of systems without them.
   */
  lockFile?(descriptor: number, exclusive: boolean): Promise<boolean | null>
  /**
   * Packs rows of weights in a format of GGUF, on the compute pool and off the event loop. `importance` has a number
   * for each column. Neither array may change before the promise settles. Null where a value is not finite, or is not
   * in the format.
   */
  quantize(format: string, values: Float32Array, importance: Float32Array | null): Promise<Uint8Array | null>
  /**
   * In an engine with CUDA, for benchmarks. Making one throws, saying why, where there is no library, GPU or memory.
   */
  CublasLt?: new (
    options: CublasLtOptions,
  ) => CublasLt
  /** In the engine of the tests: every variant of every CUDA kernel, and how often this process launched it. */
  kernelLaunches?(): Record<string, number>
  /**
   * What the machine can do at best, measured on the compute pool while JavaScript waits: floating-point operations
   * ('fma' at the level's width, 'vdpbf16ps') or bytes ('read') done, and the seconds that they took.
   */
  measure(kind: 'fma' | 'vdpbf16ps' | 'read', options?: MeasureOptions): { work: number; seconds: number }
}

/** The addon, or why it is not there. */
export type AddonResult = { addon: Addon; path: string } | { error: Error; triedPaths: string[] }

/** Platforms that have a package; see scripts/pack.mjs. */
const PACKAGED = ['linux-x64-gnu']
const FILE_NAME = 'lowrank.node'
const CUDA_FILE_NAME = 'lowrank-cuda.node'

/** `linux-x64-gnu` and the like: the suffix of the platform package. */
export function platformName(): string {
  if (process.platform !== 'linux') return `${process.platform}-${process.arch}`
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined
  return `linux-${process.arch}-${report?.header?.glibcVersionRuntime ? 'gnu' : 'musl'}`
}

/**
 * Loads the addon: `LOWRANK_ADDON` if set, else this checkout's build, else the package of the platform; each time the
 * one with CUDA first. Where this file is part of a bundle the addon may lie beside that, and the package is also
 * looked for from the installed `lowrank` and from the working directory.
 */
export function tryLoadAddon(): AddonResult {
  // Undefined in a CommonJS bundle.
  const here = (import.meta.url as string | undefined) ?? pathToFileURL(join(process.cwd(), 'bundle.js')).href
  const require = createRequire(here)
  const triedPaths: string[] = []
  for (const [candidate, from] of candidates(here, require)) {
    try {
      return { addon: from(candidate) as Addon, path: from.resolve(candidate) }
    } catch (cause) {
      const tried = `${candidate}: ${(cause as Error).message.split('\n')[0]}`
      if (!triedPaths.includes(tried)) triedPaths.push(tried)
    }
  }
  const error = new LowrankError(
    'ENGINE',
    `[addon] expected the native engine for ${platformName()} (Node ${process.versions.node}), found none that loads. Tried:\n` +
      triedPaths.map((line) => `  - ${line}`).join('\n') +
      `\nIn a checkout run \`npm run build\`; in a project run \`npm install lowrank\` without \`--omit=optional\` or --no-optional, ` +
      `so that @lowrank/${platformName()} is installed, or install the tarball that \`npm pack\` in a checkout makes of it. A bundle also ` +
      `takes ${FILE_NAME} beside it. \`lowrank doctor\` says more.${PACKAGED.includes(platformName()) ? '' : ` Packages are made for ${PACKAGED.join(', ')} so far.`}`,
  )
  return { error, triedPaths }
}

/** Where the addon may be, and who looks there. */
function* candidates(here: string, require: NodeJS.Require): Generator<[string, NodeJS.Require]> {
  const override = process.env.LOWRANK_ADDON
  if (override) {
    yield [override, require]
    return
  }
  const files = [CUDA_FILE_NAME, FILE_NAME]
  for (const folder of ['../../build/Release/', './'])
    for (const file of files) yield [fileURLToPath(new URL(folder + file, here)), require]
  const packages = [`@lowrank/${platformName()}-cuda/${CUDA_FILE_NAME}`, `@lowrank/${platformName()}/${FILE_NAME}`]
  for (const name of packages) yield [name, require]
  const inProject = createRequire(join(process.cwd(), 'package.json'))
  for (const name of packages) yield [name, inProject]
  // Package managers with strict folders show the platform's package to `lowrank` alone.
  for (const from of [require, inProject]) {
    let installed: string | undefined
    try {
      installed = from.resolve('lowrank/package.json')
    } catch {
      // Not installed where this looks.
    }
    if (installed === undefined) continue
    for (const name of packages) yield [name, createRequire(installed)]
  }
}

let loaded: Addon | undefined

/**
 * The addon, loaded at most once per environment.
 * @throws when it does not load, listing the paths tried and the remedy.
 */
export function loadAddon(): Addon {
  if (loaded) return loaded
  const result = tryLoadAddon()
  if ('error' in result) throw result.error
  loaded = result.addon
  return loaded
}
