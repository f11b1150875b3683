/**
 * @file Threads that encode rows. The main thread gives each some rows at a time and takes what they became in the
 * order of the rows.
 *
 * 1. Every request is answered, or rejects: with the error of a thread that ended, or the reason of `close`.
 * 2. The threads end with `close`, whatever they are at. They do not keep a process alive.
 */

import { existsSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { LowrankError } from '../lowrank-error.js'
import { toError } from '../values.js'
import { builtModule } from './built-module.js'
import type { EncodeReply, EncodeRequest, EncodeTask } from './encode-messages.js'
import type { RecognizedRow } from './row-coding.js'

interface Waiting {
  readonly worker: Worker
  readonly resolve: (reply: EncodeReply) => void
  readonly reject: (reason: unknown) => void
}

const PROGRAM = new URL('./encode-worker.js', builtModule(import.meta.url))

/** Whether there is a program for threads: a bundle of a program and lowrank has none. */
export function hasThreadProgram(): boolean {
  return existsSync(PROGRAM)
}

export class EncodePool {
  readonly #idle: Worker[] = []
  readonly #workers: readonly Worker[]
  readonly #waiting = new Map<number, Waiting>()
  #requests = 0
  #ended: { readonly reason: unknown } | undefined

  /** @param program Default: `encode-worker.js` */
  constructor(size: number, task: EncodeTask, program = PROGRAM) {
    this.#workers = Array.from({ length: size }, () => {
      const worker = new Worker(program, { workerData: task, name: 'lowrank rows', execArgv: [] })
      worker.unref()
      worker.on('message', (reply: EncodeReply | undefined) => this.#take(worker, reply))
      worker.on('error', (error) => this.#fail(error))
      worker.on('exit', (code) => this.#fail(`it ended with code ${code}`))
      return worker
    })
  }

  /** Threads that can take rows. @throws the error of a thread that ended */
  get ready(): number {
    this.#throwIfEnded()
    return this.#idle.length
  }

  /** Encodes rows on one of the threads, which take turns. @throws as `ready` */
  send(rows: readonly RecognizedRow[]): Promise<EncodeReply> {
    this.#throwIfEnded()
    const number = this.#requests++
    const worker = this.#idle[number % this.#idle.length] as Worker
    const answer = new Promise<EncodeReply>((resolve, reject) => {
      this.#waiting.set(number, { worker, resolve, reject })
    })
    // Whoever gives up early does not ask for the others.
    answer.catch(() => {})
    worker.ref()
    worker.postMessage({ number, rows } satisfies EncodeRequest)
    return answer
  }

  /** Ends the threads. What is still asked for rejects with the reason. */
  async close(reason: unknown): Promise<void> {
    this.#end(reason)
    await Promise.all(this.#workers.map((worker) => worker.terminate()))
  }

  #take(worker: Worker, reply: EncodeReply | undefined): void {
    if (reply === undefined) {
      this.#idle.push(worker)
      return
    }
    const waiting = this.#waiting.get(reply.number)
    this.#waiting.delete(reply.number)
    if (![...this.#waiting.values()].some((other) => other.worker === worker)) worker.unref()
    waiting?.resolve(reply)
  }

  #fail(error: unknown): void {
    const { message } = toError(error)
    this.#end(
      new LowrankError(
        'INTERNAL',
        `[data] expected a thread that encodes rows to go on, got its end: ${message}; give the process more memory, or set ` +
          'datasetNumProc: 0 to encode them without threads',
        { cause: error },
      ),
    )
  }

  #end(reason: unknown): void {
    this.#ended ??= { reason }
    for (const { reject } of this.#waiting.values()) reject(this.#ended.reason)
    this.#waiting.clear()
  }

  #throwIfEnded(): void {
    if (this.#ended !== undefined) throw this.#ended.reason
  }
}
