/**
 * @file Calls of tools in the text of an answer, while it comes. What is no call stays text: no character is lost, but
 * for the markers of a call and the white space round it.
 */

import { type CallScanner, NamedCall, ObjectCall } from './call-scanner.js'
import { isSpace } from './json-scanner.js'
import type { ToolSyntax } from './tool-syntax.js'

/** What came. Calls are counted from 0. */
export type ToolCallEvent =
  | { readonly kind: 'text'; readonly text: string }
  /** A call begins. */
  | { readonly kind: 'call'; readonly index: number; readonly name: string }
  /** More of its arguments, which are JSON once all is there. */
  | { readonly kind: 'arguments'; readonly index: number; readonly text: string }
  | { readonly kind: 'done'; readonly index: number }
  /** A call that had begun is none: `text` is all of it since its marker, `rest` what was not told yet. */
  | { readonly kind: 'broken'; readonly index: number; readonly text: string; readonly rest: string }

type Place = 'beginning' | 'text' | 'before call' | 'call' | 'behind call' | 'value'

/** Reads one answer. */
export class ToolCallReader {
  readonly #syntax: ToolSyntax
  readonly #names: ReadonlySet<string>
  #place: Place
  #events: ToolCallEvent[] = []
  /** Text that may still turn out to be a part of a call. */
  #held = ''
  /** The call that is read, and its text since its marker. */
  #call: CallScanner | undefined
  #raw = ''
  #untold = ''
  #isTold = false
  #index = 0
  /** Whether calls stand in a list, and whether a marker was before them. */
  #isList = false
  #isMarked = false
  /** Whether an answer that is no call is a value, in which no marker means anything. */
  readonly #isValue: boolean

  /**
   * @param names of the tools; an answer of JSON without a marker is a call only of one of these
   * @param otherwise what an answer is that begins with no call: text, which may hold calls, or a value without any
   */
  constructor(syntax: ToolSyntax, names: Iterable<string>, otherwise: 'text' | 'value' = 'text') {
    this.#syntax = syntax
    this.#names = new Set(names)
    this.#isValue = otherwise === 'value'
    this.#place = syntax.name === 'llama' || this.#isValue ? 'beginning' : 'text'
  }

  /** Takes text of the answer, and gives what is certain now. */
  push(text: string): readonly ToolCallEvent[] {
    for (const char of text) this.#push(char)
    return this.#take()
  }

  /** Gives what is left when the answer has ended. */
  end(): readonly ToolCallEvent[] {
    if (this.#place === 'call' || this.#place === 'before call') this.#break('')
    // An end marker that is missing or cut off because the answer ended is no text, nor is white space behind calls.
    const rest = this.#held.trim()
    const isPartOfCall = this.#place === 'behind call' && this.#syntax.end?.startsWith(rest)
    if (!isPartOfCall && (rest !== '' || this.#index === 0)) this.#text(this.#held)
    this.#held = ''
    return this.#take()
  }

  #take(): readonly ToolCallEvent[] {
    const events = this.#events
    this.#events = []
    return joined(events)
  }

  #push(char: string): void {
    switch (this.#place) {
      case 'beginning':
        this.#atBeginning(char)
        return
      case 'value':
        this.#text(char)
        return
      case 'text':
        this.#inText(char)
        return
      case 'before call':
        this.#beforeCall(char)
        return
      case 'call':
        this.#inCall(char)
        return
      case 'behind call':
        this.#behindCall(char)
        return
      default:
        this.#place satisfies never
    }
  }

  /** White space before a call, the call itself, or what the answer is otherwise. */
  #atBeginning(char: string): void {
    const rest = this.#held.trimStart() + char
    if (this.#syntax.name === 'llama' && rest === '{') this.#begin(this.#held, char)
    else if (isSpace(char) && rest.trim() === '') this.#held += char
    else if (!this.#isValue) {
      this.#place = 'text'
      this.#inText(char)
    } else if (this.#syntax.begin.startsWith(rest)) this.#inText(char)
    else {
      this.#raw = this.#held
      this.#break(char)
    }
  }

  /** White space, and what may be the beginning of a marker, is held back. */
  #inText(char: string): void {
    this.#held += char
    const { begin } = this.#syntax
    if (this.#held.endsWith(begin)) {
      this.#text(this.#held.slice(0, -begin.length).trimEnd())
      this.#raw = this.#held.slice(this.#held.slice(0, -begin.length).trimEnd().length)
      this.#held = ''
      this.#isMarked = true
      this.#isList = false
      this.#place = 'before call'
      return
    }
    let kept = Math.min(begin.length - 1, this.#held.length)
    while (!begin.startsWith(this.#held.slice(this.#held.length - kept))) kept--
    const certain = this.#held.slice(0, this.#held.length - kept).trimEnd()
    this.#text(certain)
    this.#held = this.#held.slice(certain.length)
  }

  #beforeCall(char: string): void {
    if (isSpace(char)) {
      this.#raw += char
      return
    }
    const { name } = this.#syntax
    if (name === 'mistral' && char === '[' && !this.#isList) {
      this.#isList = true
      this.#raw += char
      return
    }
    if (char === '{') this.#begin(this.#raw, char)
    else if (name.startsWith('mistral') && !this.#isList && /[\w]/.test(char)) {
      this.#call = new NamedCall()
      this.#start(this.#raw, char)
    } else this.#break(char)
  }

  /** Begins a call that is an object. */
  #begin(before: string, char: string): void {
    this.#call = new ObjectCall(this.#syntax.argumentsKey)
    this.#start(before, char)
  }

  #start(before: string, char: string): void {
    this.#raw = before
    this.#untold = before
    this.#held = ''
    this.#isTold = false
    this.#place = 'call'
    this.#inCall(char)
  }

  #inCall(char: string): void {
    const call = this.#call!
    const result = call.push(char)
    if (result === 'wrong') {
      this.#break(char)
      return
    }
    this.#raw += char
    this.#untold += char
    if (!this.#isTold && call.name !== undefined) {
      if (!this.#isMarked && !this.#names.has(call.name)) {
        this.#break('')
        return
      }
      this.#isTold = true
      this.#events.push({ kind: 'call', index: this.#index, name: call.name })
    }
    const text = call.takeArguments()
    if (text !== '') {
      this.#events.push({ kind: 'arguments', index: this.#index, text })
      this.#untold = ''
    }
    if (result === 'inside') return
    this.#events.push({ kind: 'done', index: this.#index++ })
    this.#call = undefined
    this.#raw = ''
    this.#place = 'behind call'
  }

  /** The end marker, the next call, or text that has nothing to do with them. */
  #behindCall(char: string): void {
    this.#held += char
    const { name, end, begin } = this.#syntax
    const rest = this.#held.trimStart()
    if (rest === '') return
    if (end !== undefined) {
      if (rest === end) this.#toText('')
      else if (!end.startsWith(rest)) this.#toText(this.#held)
      return
    }
    if (this.#isList && rest === ']') this.#toText('')
    else if ((this.#isList && rest === ',') || (name === 'llama' && rest === ';')) {
      this.#raw = this.#held
      this.#held = ''
      this.#place = 'before call'
    } else if (this.#isList || rest === begin || !begin.startsWith(rest)) this.#toText(this.#held)
  }

  /** Goes on with text, which may hold the next call. */
  #toText(text: string): void {
    this.#held = ''
    this.#place = 'text'
    for (const char of text) this.#push(char)
  }

  /** What was taken for a call is none. */
  #break(char: string): void {
    const isTold = this.#isTold && this.#place === 'call'
    const raw = this.#raw
    const untold = this.#untold
    this.#call = undefined
    this.#raw = ''
    this.#untold = ''
    this.#held = ''
    this.#isTold = false
    this.#place = this.#isValue ? 'value' : 'text'
    if (isTold) this.#events.push({ kind: 'broken', index: this.#index++, text: raw, rest: untold })
    else this.#text(raw)
    if (char !== '') this.#push(char)
  }

  #text(text: string): void {
    if (text !== '') this.#events.push({ kind: 'text', text })
  }
}

/** Neighbouring texts, and arguments of one call, as one event. */
function joined(events: readonly ToolCallEvent[]): ToolCallEvent[] {
  const out: ToolCallEvent[] = []
  for (const event of events) {
    const last = out.at(-1)
    if (event.kind === 'text' && last?.kind === 'text') out[out.length - 1] = { ...last, text: last.text + event.text }
    else if (event.kind === 'arguments' && last?.kind === 'arguments')
      out[out.length - 1] = { ...last, text: last.text + event.text }
    else out.push(event)
  }
  return out
}

/** A call of a tool. */
export interface ToolCall {
  readonly name: string
  /** An object of JSON, as the model wrote it. */
  readonly arguments: string
}

/** An answer in which calls are told from text. */
export interface ReadAnswer {
  readonly text: string
  readonly calls: readonly ToolCall[]
}

/** Text and calls of a whole answer; a call that breaks off stays text with its marker. */
export function readToolCalls(answer: string, syntax: ToolSyntax, names: Iterable<string>): ReadAnswer {
  const reader = new ToolCallReader(syntax, names)
  const calls = new Map<number, { name: string; arguments: string }>()
  let text = ''
  for (const event of [...reader.push(answer), ...reader.end()]) {
    switch (event.kind) {
      case 'text':
        text += event.text
        break
      case 'call':
        calls.set(event.index, { name: event.name, arguments: '' })
        break
      case 'arguments':
        calls.get(event.index)!.arguments += event.text
        break
      case 'broken':
        calls.delete(event.index)
        text += event.text
        break
      case 'done':
        break
      default:
        event satisfies never
    }
  }
  return { text, calls: [...calls.values()] }
}
