/**
 * @file The journal of replies: each reply that was paid for, on the disk before it is used, so that no run pays for it
 * again.
 *
 * 1. A line is a JSON object with the key of the request and its reply; lines are appended and flushed to the disk.
 * 2. A process that is killed leaves at most one line without an end, the last; the next run drops it.
 * 3. One run at a time has the journal. Its mark is a file whose name says which process made it.
 */

import { type FileHandle, open, readdir, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { makeDirectories, writeError } from '../atomic-write.js'
import { describeValue } from '../errors.js'
import { OWNER_PATTERN, ownedName, ownerState } from '../file-owner.js'
import { DataError, LowrankError } from '../lowrank-error.js'
import { isObject } from '../values.js'
import type { TokenCounts } from './allowance.js'
import type { ChatReply } from './openai-client.js'

/** Where a line is. */
interface Line {
  readonly start: number
  readonly length: number
}

interface Pending {
  readonly key: string
  readonly reply: ChatReply
  readonly bytes: Buffer
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

const PIECE = 1 << 20
const LINE_END = 10

export class ReplyJournal {
  readonly path: string
  readonly #where: string
  readonly #mark: string
  readonly #file: FileHandle
  readonly #lines = new Map<string, Line>()
  #size = 0
  #promptTokens = 0
  #completionTokens = 0
  #pending: Pending[] = []
  #isWriting = false
  #failure: Error | undefined

  private constructor(path: string, where: string, mark: string, file: FileHandle) {
    this.path = path
    this.#where = where
    this.#mark = mark
    this.#file = file
  }

  /**
   * @param isFresh Whether what earlier runs left is removed.
   * @param where What errors call the work.
   * @throws LowrankError where another run has it
   * @throws DataError for a file that is no journal
   */
  static async open(path: string, isFresh: boolean, where: string): Promise<ReplyJournal> {
    await makeDirectories(dirname(path)).catch((error) => {
      throw writeError(path, error)
    })
    const mark = await takeMark(path, where)
    let file: FileHandle | undefined
    try {
      file = await open(path, 'a+')
      if (isFresh) await file.truncate(0)
      const journal = new ReplyJournal(path, where, mark, file)
      await journal.#read()
      return journal
    } catch (error) {
      await file?.close()
      await rm(mark, { force: true })
      throw writeError(path, error)
    }
  }

  /** Replies that it has. */
  get count(): number {
    return this.#lines.size
  }

  /** The tokens of all replies that it has. */
  get tokens(): TokenCounts {
    return { promptTokens: this.#promptTokens, completionTokens: this.#completionTokens }
  }

  /** The reply to a request, where an earlier one got it. */
  async find(key: string): Promise<ChatReply | undefined> {
    const line = this.#lines.get(key)
    if (line === undefined) return undefined
    const bytes = Buffer.alloc(line.length)
    const { bytesRead } = await this.#file.read(bytes, 0, line.length, line.start)
    const entry = readLine(bytes.subarray(0, bytesRead))
    if (entry?.key === key) return entry.reply
    throw new LowrankError(
      'FILE',
      `[${this.#where}] expected ${this.path} to stay as it is, but it was changed; run again`,
    )
  }

  /** Keeps a reply: it is on the disk when the promise resolves. */
  async add(key: string, reply: ChatReply): Promise<void> {
    const bytes = Buffer.from(`${JSON.stringify({ key, reply })}\n`)
    await new Promise<void>((resolve, reject) => {
      this.#pending.push({ key, reply, bytes, resolve, reject })
      if (!this.#isWriting) void this.#write()
    })
  }

  async close(): Promise<void> {
    await this.#file.close()
    // A run that got no reply leaves nothing behind.
    if (this.#size === 0 && this.#failure === undefined) await rm(this.path, { force: true })
    await rm(this.#mark, { force: true })
  }

  /** Those that come while one flush goes on share the next. */
  async #write(): Promise<void> {
    this.#isWriting = true
    while (this.#pending.length > 0) {
      const pending = this.#pending.splice(0)
      try {
        // Behind half a line nothing could be read again.
        if (this.#failure !== undefined) throw this.#failure
        await this.#file.appendFile(Buffer.concat(pending.map(({ bytes }) => bytes)))
        await this.#file.datasync()
        for (const { key, reply, bytes, resolve } of pending) {
          this.#enter(key, reply, { start: this.#size, length: bytes.length - 1 })
          this.#size += bytes.length
          resolve()
        }
      } catch (error) {
        this.#failure = writeError(this.path, error)
        for (const { reject } of pending) reject(this.#failure)
      }
    }
    this.#isWriting = false
  }

  #enter(key: string, { tokens }: ChatReply, line: Line): void {
    this.#lines.set(key, line)
    this.#promptTokens += tokens.promptTokens
    this.#completionTokens += tokens.completionTokens
  }

  async #read(): Promise<void> {
    let rest = Buffer.alloc(0)
    let at = 0
    for (let number = 1; ; ) {
      const piece = Buffer.alloc(PIECE)
      const { bytesRead } = await this.#file.read(piece, 0, PIECE, at)
      if (bytesRead === 0) break
      at += bytesRead
      rest = Buffer.concat([rest, piece.subarray(0, bytesRead)])
      for (let end = rest.indexOf(LINE_END); end >= 0; end = rest.indexOf(LINE_END), number++) {
        const bytes = rest.subarray(0, end)
        const entry = readLine(bytes)
        if (entry === undefined)
          throw new DataError(
            `[${this.#where}] expected a reply of an earlier run in ${this.path}:${number}, got ${describeValue(bytes.toString())}; remove that ` +
              'line, or the file, and what is gone is asked for again',
            { file: this.path, row: number },
          )
        this.#enter(entry.key, entry.reply, { start: this.#size, length: end })
        this.#size += end + 1
        rest = rest.subarray(end + 1)
      }
    }
    // What has no end was never used.
    if (rest.length > 0) await this.#file.truncate(this.#size)
  }
}

function readLine(bytes: Buffer): { key: string; reply: ChatReply } | undefined {
  let json: unknown
  try {
    json = JSON.parse(bytes.toString())
  } catch {
    return undefined
  }
  if (!isObject(json) || typeof json.key !== 'string' || !isObject(json.reply)) return undefined
  const { content, tokens } = json.reply
  if (typeof content !== 'string' || !isObject(tokens)) return undefined
  if (!Number.isSafeInteger(tokens.promptTokens) || !Number.isSafeInteger(tokens.completionTokens)) return undefined
  return { key: json.key, reply: json.reply as unknown as ChatReply }
}

/** Makes the mark of this run. @throws where there is another */
async function takeMark(path: string, where: string): Promise<string> {
  const directory = dirname(path)
  const prefix = `.${basename(path).slice(0, 80)}.run-`
  const mark = join(directory, ownedName(prefix))
  try {
    await (await open(mark, 'wx')).close()
    for (const name of await readdir(directory)) {
      const [, place = '', pid, ticks] = new RegExp(`^${OWNER_PATTERN}$`).exec(name.slice(prefix.length)) ?? []
      const other = join(directory, name)
      if (!name.startsWith(prefix) || place === '' || other === mark) continue
      if (ownerState(place, Number(pid), Number(ticks)) === 'ended') await rm(other, { force: true })
      else
        throw new LowrankError(
          'FILE',
          `[${where}] expected ${path} for this run alone, but process ${pid} works with it; wait for it, or, if it has ended, remove ${other}`,
        )
    }
    return mark
  } catch (error) {
    await rm(mark, { force: true })
    throw writeError(mark, error)
  }
}
