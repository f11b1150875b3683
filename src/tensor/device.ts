/** @file A device: one command queue with its memory, and the encoding of op calls. Knows tensors only as views. */

import { LowrankError } from '../lowrank-error.js'
import { anything, boolean, integer, objectOf, text } from '../options/rules.js'
import { type OptionEntry, type OptionTable, readOptions } from '../options/table.js'
import { toError } from '../values.js'
import {
  type EmulatorOptions,
  type Field,
  loadAddon,
  type MemoryHolders,
  type MemoryInfo,
  type NativeStream,
  type OpTimes,
} from './addon.js'
import { type DType, dtypeCode } from './dtype.js'
import { awaitEngine, callEngine, engineError } from './engine-error.js'

/** What a command needs to know of a tensor: a matrix view whose leading dimensions are folded into rows. */
export interface View {
  readonly slot: number
  readonly byteOffset: number
  readonly dtype: DType
  readonly rows: number
  readonly cols: number
  /** Elements from one row to the next. */
  readonly rowStride: number
}

/** The value of one op argument: a tensor, a number, a group of arguments or a list of groups, as the op list says. */
export type OpArgument =
  | View
  | number
  | boolean
  | OpArguments
  | readonly (OpArguments | ConstantArguments)[]
  | undefined
export interface OpArguments {
  readonly [name: string]: OpArgument
}

/** An item of a list that stays the same for many commands, as the tensors of a frozen weight: it is encoded once. */
export class ConstantArguments {
  readonly args: OpArguments
  /** The numbers that stand for `args`, by the fields that they were encoded for. */
  readonly encoded: Map<readonly Field[], Float64Array> = new Map()

  constructor(args: OpArguments) {
    this.args = args
  }
}

/**
 * Where tensors are and ops run: the CPU; the first GPU, or number N; 'auto': the first GPU that serves where there is
 * one, else the CPU.
 */
export type DeviceName = 'cpu' | 'cuda' | `cuda:${number}` | 'auto'

/** What an error message says of them. */
export const DEVICE_NAMES = "'cpu', 'cuda', 'cuda:N' or 'auto'"

/**
 * Whether it names a device, which may or may not be there. No type guard: it takes 'cuda-emulator', too, which only
 * the engine of the tests has, so that DeviceName lacks it.
 */
export function namesDevice(value: unknown): boolean {
  return typeof value === 'string' && /^(cpu|auto|cuda(:\d{1,3}|-emulator)?)$/.test(value)
}

/** The option of everything that opens a device. */
export const DEVICE = {
  rule: {
    expected: DEVICE_NAMES,
    accepts: namesDevice,
    schema: { type: 'string', pattern: '^(cpu|auto|cuda(:\\d+)?)$' },
  },
  default: 'cpu',
  help: 'cpu, cuda, the first GPU, cuda:N, or auto: a GPU where one is',
  flag: { name: '--device', argument: 'name', choices: ['cpu', 'cuda', 'auto'] },
} as const satisfies OptionEntry<DeviceName | undefined>

/** Options of {@link Device.open}. */
export interface DeviceOptions {
  /**
   * Threads that compute.
   * @default the physical cores that the process may use
   */
  threads?: number
  /**
   * Bytes that tensors of this device may take.
   * @default 90 % of the memory available, for all devices of the process together
   */
  memoryBudget?: number
  /**
   * The emulated GPU, for tests.
   * @default that of EmulatorOptions
   */
  emulator?: EmulatorOptions
  /**
   * CPU instruction set level, for tests: 'generic' | 'avx2' | 'avx512' | 'avx512bf16' | 'amx'.
   * @default the fastest that the machine has
   */
  isa?: string
  /**
   * Reserve memory as ever, but compute nothing and read no file: `memory()` then tells what a program needs. Tensors
   * of floats have undefined contents, and the budget does not hold.
   * @default false
   */
  dryRun?: boolean
  /**
   * With `dryRun`: fail as a real device fails that has the budget for itself.
   * @default false
   */
  holdBudget?: boolean
  /**
   * Let a GPU time its ops by its own clock, for `times()`: two more commands per op, and the engine queues no more
   * than 4096 ops ahead. The CPU times its ops anyway.
   * @default false
   */
  timeOps?: boolean
}

const FASTEST = 'the fastest that the machine has'

/** The options of `Device.open`. */
export const DEVICE_OPTIONS = {
  threads: {
    rule: integer({ min: 1, max: 1024 }),
    example: 4,
    otherwise: 'the physical cores that the process may use',
    help: 'threads of the CPU',
    flag: { name: '--threads', argument: 'count' },
  },
  memoryBudget: {
    rule: integer({ min: 1 }),
    example: 8_000_000_000,
    otherwise: "90 % of the device's memory that is available",
    help: 'bytes that tensors may take',
  },
  emulator: {
    rule: objectOf(anything, 'an object of EmulatorOptions'),
    otherwise: 'that of EmulatorOptions',
    help: 'for tests: what the emulated GPU is like',
  },
  isa: { rule: text, otherwise: FASTEST, help: 'for tests: generic, avx2, avx512, avx512bf16 or amx' },
  dryRun: { rule: boolean, default: false, help: 'reserve memory as ever, but compute nothing and read no file' },
  holdBudget: {
    rule: boolean,
    default: false,
    help: 'with dryRun: fail as a real device fails that has the budget for itself',
  },
  timeOps: { rule: boolean, default: false, help: 'let a GPU time its ops by its own clock, for times()' },
} as const satisfies OptionTable<DeviceOptions>

/** Lists whose handle is collected before anybody disposed it. */
const lists = new FinalizationRegistry<{ stream: NativeStream; list: number }>(({ stream, list }) =>
  stream.releaseList(list),
)

/**
 * Ops that were encoded once and run as often as wanted, always on the same tensors, whose values may have changed in
 * between. What the ops write keeps its memory until `dispose()`.
 */
export class CommandList {
  readonly #stream: NativeStream
  readonly #list: number
  #disposed = false

  constructor(stream: NativeStream, list: number) {
    this.#stream = stream
    this.#list = list
    lists.register(this, { stream, list }, this)
  }

  /** Queues all ops of the list. */
  replay(): void {
    callEngine(() => this.#stream.replay(this.#list))
  }

  /** Gives back what the list holds once its last run has ended. Safe to call twice. */
  dispose(): void {
    if (this.#disposed) return
    this.#disposed = true
    lists.unregister(this)
    this.#stream.releaseList(this.#list)
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

interface Schema {
  id: number
  fields: Field[]
}

const VIEW_NUMBERS = 6

/**
 * One stream of commands, on the CPU or on a GPU. Commands run in order, queued by a native thread; every call returns
 * at once. Faults in a command reject the next `read()` or `sync()`.
 */
export class Device {
  /** 'cpu', 'cuda:0' and so on: where the commands run. */
  readonly type: string
  readonly stream: NativeStream
  /** Nothing is computed; see DeviceOptions. */
  readonly dryRun: boolean
  /** Whether its memory is not the process's own. */
  readonly isGpu: boolean
  readonly #ops: Record<string, Schema>
  #savedBytes = 0
  #reportedSavedBytes = 0
  #args = new Float64Array(1024)
  #used = 0

  private constructor(stream: NativeStream, ops: Record<string, Schema>, dryRun: boolean) {
    this.stream = stream
    this.type = stream.device
    this.isGpu = stream.device !== 'cpu'
    this.dryRun = dryRun
    this.#ops = ops
  }

  /**
   * Opens a stream of its own, so that what runs on it (faults included) does not disturb others.
   * @param type 'cpu'; 'cuda', the first GPU, or 'cuda:N'; 'auto', the first GPU that serves where there is one, else
   * the CPU.
   * @throws when there is no such device, saying why, or the addon does not load.
   */
  static open(type: string = DEVICE.default, options: DeviceOptions = {}): Device {
    const resolved = readOptions('device', options, DEVICE_OPTIONS)
    const addon = loadAddon()
    let stream: NativeStream
    try {
      stream = new addon.Stream({ device: type, ...resolved })
    } catch (cause) {
      // A GPU may lack, or its driver; a CPU is there, so that what it was asked for is wrong.
      throw new LowrankError(type === 'cpu' ? 'INVALID_CALL' : 'ENGINE', toError(cause).message, { cause })
    }
    return new Device(stream, addon.ops, resolved.dryRun)
  }

  /**
   * The slot of a new tensor. Its memory comes with the first op that writes it. `onHost`: a GPU's in the machine's
   * memory.
   */
  allocate(bytes: number, onHost: boolean): number {
    try {
      return this.stream.allocate(bytes, onHost)
    } catch (error) {
      throw engineError(error)
    }
  }

  /** Queues one op. @throws on an unknown op or argument name, and when native validation refuses the shapes. */
  enqueue(op: string, args: OpArguments): void {
    const schema = this.#ops[op]
    if (!schema) throw new LowrankError('INVALID_CALL', `[device] expected an op of the engine, got '${op}'`)
    this.#used = 0
    this.#encode(op, schema.fields, args)
    try {
      this.stream.enqueue(schema.id, this.#args, this.#used)
    } catch (error) {
      throw engineError(error)
    }
  }

  /**
   * Keeps the ops that `fn` queues instead of running them; tensors that it makes are undefined until the list's first
   * run. For work that is the same many times, as a decoding step: running it again costs JavaScript one call.
   * @throws when `fn` does anything but queue ops: no upload, no read.
   */
  record(fn: () => void): CommandList {
    callEngine(() => this.stream.beginList())
    try {
      fn()
    } catch (error) {
      this.stream.releaseList(this.stream.endList())
      throw error
    }
    return new CommandList(
      this.stream,
      callEngine(() => this.stream.endList()),
    )
  }

  /**
   * Fills `target` from host memory; `sourceDType` says what `source` holds. The bytes are copied before the call
   * returns.
   */
  upload(target: View, source: ArrayBufferView, sourceDType: DType): void {
    callEngine(() => this.stream.upload(this.#view(target), source, dtypeCode(sourceDType)))
  }

  /**
   * Fills `target` from a file, converting, when the command's turn comes; nothing of the file's size is held in
   * memory.
   */
  loadFile(target: View, path: string, fileOffset: number, sourceDType: DType): void {
    callEngine(() => this.stream.loadFile(this.#view(target), path, fileOffset, dtypeCode(sourceDType)))
  }

  /**
   * Values of a view once everything queued before has run: floats as Float32Array, int32 as Int32Array.
   * @throws (the promise rejects) on the fault that left the contents undefined, a closed device, and more values than
   * an array can hold.
   */
  async read(source: View): Promise<Float32Array | Int32Array | Uint8Array> {
    return await awaitEngine(() => this.stream.read(this.#view(source), false))
  }

  /** The same as `read()`, while JavaScript waits: for callers that cannot be asynchronous. @throws as `read()` */
  readSync(source: View): Float32Array | Int32Array | Uint8Array {
    return callEngine(() => this.stream.readSync(this.#view(source), false))
  }

  /** The bytes of a view in its own dtype, rows packed. */
  async readBytes(source: View): Promise<Uint8Array> {
    const bytes = await awaitEngine(() => this.stream.read(this.#view(source), true))
    return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /**
   * Resolves when all that was queued has run; rejects once with the first fault since the last `sync()`, and on a
   * closed device.
   */
  async sync(): Promise<void> {
    await awaitEngine(() => this.stream.sync())
  }

  /** Says what a tensor's memory is for, as "key/value cache": the error of a full budget names it. */
  label(tensor: View, what: string): void {
    callEngine(() => this.stream.label(tensor.slot, what))
  }

  /** Who holds the memory budget, in words. */
  holders(): MemoryHolders {
    return this.stream.holders()
  }

  /** Bytes of tensor memory: live, peak, reserved and the budget. Exact once the queue is drained. */
  memory(): MemoryInfo {
    return this.stream.memory()
  }

  /**
   * Counts bytes that wait for the garbage collector if nobody frees them. Those that users hold are reported to it at
   * once. Those that a graph saved for backward normally go within the step: they are reported by
   * `reportSavedMemory()`, if they are still there then. The memory of a dry run is none that a collection gives back.
   */
  countMemory(change: number, saved: boolean): void {
    if (this.dryRun) return
    if (saved) this.#savedBytes += change
    else this.stream.reportMemory(change)
  }

  /** Called where graphs of earlier steps should be gone: what they still hold is theirs to collect. */
  reportSavedMemory(): void {
    if (this.#savedBytes === this.#reportedSavedBytes) return
    this.stream.reportMemory(this.#savedBytes - this.#reportedSavedBytes)
    this.#reportedSavedBytes = this.#savedBytes
  }

  /** Holds this device to so many bytes, beside the budget that it has. */
  limitMemory(bytes: number): void {
    callEngine(() => this.stream.limitMemory(bytes))
  }

  /** Makes the present use the new peak. */
  resetPeak(): void {
    this.stream.resetPeak()
  }

  /**
   * Calls and seconds of each op that ran since the device was opened. Exact once the queue is drained. On a GPU the
   * seconds are those in which the engine queued the op, unless the device was opened with `timeOps`: then they are the
   * GPU's, from the op's turn to the end of its last kernel, waits for a kernel that is not queued yet included; in a
   * dry run 0.
   */
  times(): OpTimes {
    return this.stream.times()
  }

  /**
   * Lets what is queued run, then gives back all memory, addresses and the thread: before it returns where nothing is
   * left that computes. Promises that are pending settle; tensors of the device are useless afterwards. Safe to call
   * twice.
   */
  close(): void {
    this.stream.close()
  }

  #view(view: View): Float64Array {
    this.#used = 0
    this.#push(view)
    return this.#args.slice(0, VIEW_NUMBERS)
  }

  #encode(op: string, fields: readonly Field[], args: OpArguments): void {
    let known = 0
    for (const field of fields) {
      const value = args[field.name]
      if (field.name in args) known++
      switch (field.kind) {
        case 'number':
          if (typeof value !== 'number' && typeof value !== 'boolean') throw missing(op, field, value)
          this.#number(Number(value))
          break
        case 'group':
          if (value === undefined) throw missing(op, field, value)
          this.#encode(op, field.fields ?? [], value as OpArguments)
          break
        case 'list': {
          if (!Array.isArray(value)) throw missing(op, field, value)
          this.#number(value.length)
          for (const item of value as readonly (OpArguments | ConstantArguments)[]) {
            if (item instanceof ConstantArguments) this.#encodeConstant(op, field.fields ?? [], item)
            else this.#encode(op, field.fields ?? [], item)
          }
          break
        }
        default:
          if (value === undefined && !field.kind.startsWith('optional')) throw missing(op, field, value)
          this.#push(value as View | undefined)
      }
    }
    if (known !== Object.keys(args).length) {
      const names = fields.map((field) => field.name)
      const extra = Object.keys(args).filter((name) => !names.includes(name))
      throw new LowrankError(
        'INVALID_CALL',
        `[${op}] expected the arguments ${names.join(', ')}, got also ${extra.join(', ')}`,
      )
    }
  }

  #encodeConstant(op: string, fields: readonly Field[], item: ConstantArguments): void {
    const words = item.encoded.get(fields)
    if (words) {
      while (this.#used + words.length > this.#args.length) this.#grow()
      this.#args.set(words, this.#used)
      this.#used += words.length
      return
    }
    const start = this.#used
    this.#encode(op, fields, item.args)
    item.encoded.set(fields, this.#args.slice(start, this.#used))
  }

  #push(view: View | undefined): void {
    if (this.#used + VIEW_NUMBERS > this.#args.length) this.#grow()
    const args = this.#args
    const at = this.#used
    args[at] = view ? view.slot : -1
    args[at + 1] = view ? view.byteOffset : 0
    args[at + 2] = view ? dtypeCode(view.dtype) : 0
    args[at + 3] = view ? view.rows : 0
    args[at + 4] = view ? view.cols : 0
    args[at + 5] = view ? view.rowStride : 0
    this.#used = at + VIEW_NUMBERS
  }

  #number(value: number): void {
    if (this.#used === this.#args.length) this.#grow()
    this.#args[this.#used++] = value
  }

  #grow(): void {
    const larger = new Float64Array(this.#args.length * 2)
    larger.set(this.#args)
    this.#args = larger
  }
}

function missing(op: string, field: Field, value: unknown): Error {
  return new LowrankError(
    'INVALID_CALL',
    `[${op}] expected ${field.kind === 'number' ? 'a number' : `a ${field.kind} argument`} for ${field.name}, got ${value}`,
  )
}
