/**
 * @file The journal of a run: a line for every call before it is sent, and a line for what a server has taken. Knows no
 * server.
 *
 * 1. `mlflow.jsonl` is only ever appended to. A call is written before it is sent. `done` lines say how many calls a
 *    server has taken, from the first on.
 * 2. Lines are flushed to the disk (fsync) where a run saves, ends or fails: until then a power failure may take them,
 *    the end of a process may not. A run that goes on from a checkpoint logs what came behind it again.
 * 3. Half a line, as a killed process leaves it, is no call.
 * 4. What a full disk does not take is written once it can be, in its order, so that a journal has no gaps.
 * 5. Once a server has all calls of a run that has ended, the journal shrinks to its first call and the id of the run.
 * 6. Nothing in it is a secret: addresses stand there without credentials.
 */

import { closeSync, fsyncSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { writeFileAtomic } from '../atomic-write.js'
import { LowrankError } from '../lowrank-error.js'
import { isMissing, openForAppending, openRegularFile } from '../regular-file.js'
import { isObject } from '../values.js'
import type { CreateRunCall, MlflowCall, RunState } from './calls.js'

export const JOURNAL_FILE = 'mlflow.jsonl'

/** A call that a server refused for good. */
export interface FailedCall {
  /** Its number, from 0. */
  readonly index: number
  readonly message: string
}

/** What a journal says, but for the calls. */
export interface JournalSummary {
  readonly first: CreateRunCall | undefined
  /** Calls. */
  readonly total: number
  /** Calls that are done with: a server took them, or refused them for good. */
  readonly done: number
  readonly failed: readonly FailedCall[]
  readonly run: RunState | undefined
  /** Whether the last line is whole. */
  readonly isWhole: boolean
}

type Line =
  | MlflowCall
  | { readonly done: number; readonly run?: RunState }
  | { readonly failed: number; readonly message: string }

const PIECE = 1 << 20

/** The lines of a file, each with whether it ends in a line break; undefined for what is no line of a journal. */
async function* linesOf(path: string): AsyncGenerator<{ readonly line: Line | undefined; readonly isWhole: boolean }> {
  const handle = await openRegularFile('mlflow', path)
  try {
    const buffer = Buffer.allocUnsafe(PIECE)
    let rest: Buffer[] = []
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, PIECE)
      if (bytesRead === 0) break
      const piece = Buffer.from(buffer.subarray(0, bytesRead))
      let start = 0
      for (let end = piece.indexOf(10); end !== -1; end = piece.indexOf(10, start)) {
        const text = Buffer.concat([...rest, piece.subarray(start, end)]).toString()
        rest = []
        start = end + 1
        if (text !== '') yield { line: parsed(text), isWhole: true }
      }
      if (start < piece.length) rest.push(piece.subarray(start))
    }
    if (rest.length > 0) yield { line: undefined, isWhole: false }
  } finally {
    await handle.close()
  }
}

function parsed(text: string): Line | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (isObject(value) && (typeof value.call === 'string' || 'done' in value || 'failed' in value))
      return value as unknown as Line
  } catch {
    // Half a line.
  }
  return undefined
}

/** What a journal says; undefined where there is none. */
export async function summarize(path: string): Promise<JournalSummary | undefined> {
  let first: CreateRunCall | undefined
  let total = 0
  let done = 0
  let run: RunState | undefined
  let isComplete = true
  const failed: FailedCall[] = []
  try {
    for await (const { line, isWhole } of linesOf(path)) {
      isComplete = isWhole
      if (line === undefined) continue
      if ('call' in line) {
        if (line.call === 'create-run' && total === 0) first = line
        total++
      } else if ('done' in line) {
        done = line.done
        run = line.run ?? run
      } else {
        failed.push({ index: line.failed, message: line.message })
      }
    }
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
  return { first, total, done, failed, run, isWhole: isComplete }
}

/** The calls of a journal from a number on. */
export async function* callsFrom(path: string, index: number): AsyncGenerator<MlflowCall> {
  let at = 0
  for await (const { line } of linesOf(path)) if (line !== undefined && 'call' in line && at++ >= index) yield line
}

/** A journal that is written to. */
export class Journal {
  readonly path: string
  #file: number | undefined
  #first: CreateRunCall | undefined
  #run: RunState | undefined
  /** What the last write did not bring to the file. */
  #unwritten: Uint8Array = new Uint8Array()

  private constructor(path: string, summary: JournalSummary | undefined) {
    this.path = path
    this.#first = summary?.first
    this.#run = summary?.run
  }

  /** Whether the file has every line. */
  get isComplete(): boolean {
    return this.#unwritten.length === 0
  }

  /** Goes on with a journal, or begins one with its first call. @param summary of the journal that is there */
  static open(directory: string, summary: JournalSummary | undefined, name = JOURNAL_FILE): Journal {
    const journal = new Journal(join(directory, name), summary)
    // What is written next must not become a part of half a line.
    if (summary?.isWhole === false) journal.#write('\n')
    return journal
  }

  /**
   * Writes calls.
   * @param lines of the calls
   * @param first the call that begins a run, if it is among them
   * @throws LowrankError where a line cannot be written: one of them, or one of before
   */
  append(lines: string, first?: CreateRunCall): void {
    this.#first ??= first
    this.#write(lines)
  }

  /** Writes what could not be written before. @throws LowrankError where it cannot be written yet */
  write(): void {
    if (!this.isComplete) this.#write('')
  }

  /** A server has so many calls, from the first on. */
  done(count: number, run: RunState | undefined): void {
    const isNews = run !== undefined && run !== this.#run
    this.#run = run ?? this.#run
    this.#write(`${JSON.stringify({ done: count, ...(isNews && { run }) })}\n`)
  }

  failed(index: number, message: string): void {
    this.#write(`${JSON.stringify({ failed: index, message })}\n`)
  }

  /** Waits until the disk has all lines. */
  flush(): void {
    this.write()
    if (this.#file !== undefined) fsyncSync(this.#file)
  }

  /** Lets go of the file. What was not written is lost: `flush` goes before. */
  close(): void {
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
  }

  /** Leaves the first call and the run alone: a server has everything. */
  async shrink(): Promise<void> {
    this.close()
    if (this.#first === undefined || this.#run === undefined) return
    await writeFileAtomic(this.path, `${JSON.stringify(this.#first)}\n${JSON.stringify({ done: 1, run: this.#run })}\n`)
  }

  #write(text: string): void {
    const added = Buffer.from(text)
    const bytes = this.isComplete ? added : Buffer.concat([this.#unwritten, added])
    let at = 0
    try {
      this.#file ??= openForAppending(this.path)
      while (at < bytes.length) at += writeSync(this.#file, bytes, at)
      this.#unwritten = new Uint8Array()
    } catch (error) {
      this.#unwritten = bytes.subarray(at)
      throw new LowrankError('FILE', `[mlflow] cannot write ${this.path}: ${(error as Error).message}`, {
        cause: error,
      })
    }
  }
}
