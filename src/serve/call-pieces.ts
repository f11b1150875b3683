/** @file Calls of tools on their way out: as they grow where a grammar holds them, else each once it is whole. */

import { randomBytes } from 'node:crypto'
import { type ToolCallEvent, ToolCallReader } from '../tool-calls/tool-call-reader.js'
import type { CallFormat } from './answer-format.js'

/** A call, or more of its arguments. */
export interface CallPiece {
  /** Counts the calls of an answer from 0. */
  readonly index: number
  /** Present in the first piece of a call, with its name. */
  readonly id?: string
  readonly name?: string
  readonly arguments: string
}

/** What a text became. */
export interface ReadPiece {
  readonly text: string
  readonly calls: readonly CallPiece[]
}

/** Mistral's templates take ids of nine letters and digits alone. */
const ID_LENGTH = 9
const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'

export class CallPieces {
  readonly #format: CallFormat
  readonly #reader: ToolCallReader
  /** The calls that are not told yet, by the reader's numbers. */
  readonly #waiting = new Map<number, { readonly name: string; arguments: string }>()
  /** Numbers of those that are told, by the reader's. */
  readonly #told = new Map<number, number>()

  constructor(format: CallFormat) {
    this.#format = format
    this.#reader = new ToolCallReader(format.syntax, format.names, format.otherwise)
  }

  /** Whether a call was told. */
  get hasCalls(): boolean {
    return this.#told.size > 0
  }

  push(text: string): ReadPiece {
    return this.#read(this.#reader.push(text))
  }

  end(): ReadPiece {
    return this.#read(this.#reader.end())
  }

  #read(events: readonly ToolCallEvent[]): ReadPiece {
    let text = ''
    const calls: CallPiece[] = []
    for (const event of events) {
      switch (event.kind) {
        case 'text':
          text += event.text
          break
        case 'call':
          if (this.#format.isBound) calls.push(this.#first(event.index, event.name, ''))
          else this.#waiting.set(event.index, { name: event.name, arguments: '' })
          break
        case 'arguments': {
          const waiting = this.#waiting.get(event.index)
          if (waiting) waiting.arguments += event.text
          else calls.push({ index: this.#told.get(event.index) ?? 0, arguments: event.text })
          break
        }
        case 'done': {
          const whole = this.#waiting.get(event.index)
          if (whole) calls.push(this.#first(event.index, whole.name, whole.arguments))
          this.#waiting.delete(event.index)
          break
        }
        case 'broken':
          // What a grammar holds breaks off only where the answer is cut: as much of it as is there is told.
          if (this.#waiting.delete(event.index)) text += event.text
          break
        default:
          event satisfies never
      }
    }
    return { text, calls }
  }

  #first(number: number, name: string, text: string): CallPiece {
    const index = this.#told.size
    this.#told.set(number, index)
    return { index, id: callId(this.#format), name, arguments: text }
  }
}

function callId({ syntax }: CallFormat): string {
  const letters = [...randomBytes(ID_LENGTH)].map((byte) => LETTERS[byte % LETTERS.length]).join('')
  return syntax.name.startsWith('mistral')
    ? letters
    : `call_${letters}${[...randomBytes(15)].map((byte) => LETTERS[byte % LETTERS.length]).join('')}`
}
