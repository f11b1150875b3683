/**
 * @file Reading a regular expression as Oniguruma does, which the Rust library uses: `^` and `$` at every line, `\h`
 * for hexadecimal digits, possessive repeats, sets within sets. What is not translated exactly is an error that names
 * it.
 */

import { describeValue } from '../../../errors.js'
import { ModelError } from '../../../lowrank-error.js'
import { type CodeSet, codeSet, complement, mergeRanges } from '../unicode.js'
import { parseSet, propertySet, type SetReader, typeSet } from './parse-set.js'
import { lengthOf, type Node, sequence } from './syntax.js'

interface Options {
  readonly ignoreCase: boolean
  /** The dot matches line feeds as well. */
  readonly dotAll: boolean
  readonly extended: boolean
}

const MAX_PATTERN = 100_000
const MAX_DEPTH = 100
const MAX_COUNT = 1000
const LINE_FEED = 10

/** @throws naming the part that Oniguruma refuses or that is not translated */
export function parseRegex(pattern: string): Node {
  return new Parser(pattern).parse()
}

class Parser implements SetReader {
  readonly pattern: string
  at = 0
  #depth = 0

  constructor(pattern: string) {
    this.pattern = pattern
    if (pattern.length > MAX_PATTERN) throw this.error(`at most ${MAX_PATTERN} characters`, `${pattern.length}`)
  }

  error(expected: string, got: string): Error {
    return new ModelError(
      `[tokenizer] expected ${expected} in the expression ${describeValue(this.pattern)}, got ${got} at character ${this.at}`,
    )
  }

  unsupported(what: string): Error {
    return this.error('only what is translated exactly', `${what}, which is not supported`)
  }

  parse(): Node {
    const node = this.#choice({ ignoreCase: false, dotAll: false, extended: false })
    if (this.at < this.pattern.length) throw this.error('no closing parenthesis without an opening one', "')'")
    return node
  }

  #choice(given: Options): Node {
    if (++this.#depth > MAX_DEPTH) throw this.error(`groups nested at most ${MAX_DEPTH} deep`, 'a deeper one')
    let options = given
    const branches: Node[] = []
    let items: Node[] = []
    // The last items that are single letters under (?i): together they may match a character that folds to several.
    let letters = ''
    for (;;) {
      const char = this.pattern[this.at]
      if (char === undefined || char === ')') break
      if (char === '|') {
        this.at++
        branches.push(sequence(items))
        items = []
        letters = ''
        continue
      }
      if (options.extended && this.#skipExtended()) continue
      const isolated = this.#isolatedOptions(options)
      if (isolated !== undefined) {
        // Options by themselves hold to the end of the group, over its alternatives too.
        options = isolated
        const rest = this.#choice(options)
        items.push(rest)
        break
      }
      const from = this.at
      const item = this.#item(options)
      if (item === undefined) continue
      const repeated = this.#repeats(item, options)
      letters = this.#checkFolds(options, letters, from, item, repeated)
      items.push(repeated)
    }
    this.#depth--
    if (branches.length === 0) return sequence(items)
    return { type: 'choice', nodes: [...branches, sequence(items)] }
  }

  /** Under (?i) some pairs of letters match one character (ss and \u00df): those are refused. */
  #checkFolds(options: Options, before: string, from: number, item: Node, repeated: Node): string {
    if (!options.ignoreCase) return ''
    if (item.type !== 'set') return ''
    const source = this.pattern.slice(from, this.at)
    if (repeated !== item) {
      if (repeated.type !== 'repeat' || repeated.max > 1) {
        if (/^[sf]/i.test(source)) throw this.unsupported('a repeated s or f that ignores case')
      }
      return ''
    }
    const letters = (before + source).toLowerCase().slice(-2)
    if (/ss|ff|fi|fl|st/.test(letters)) throw this.unsupported(`${letters} that ignores case`)
    return letters
  }

  #skipExtended(): boolean {
    const char = this.pattern[this.at]!
    if (/[ \t\n\v\f\r]/.test(char)) {
      this.at++
      return true
    }
    if (char !== '#') return false
    const end = this.pattern.indexOf('\n', this.at)
    this.at = end < 0 ? this.pattern.length : end + 1
    return true
  }

  /** `(?imx-imx)`. */
  #isolatedOptions(options: Options): Options | undefined {
    const match = /^\(\?([imx]*)(?:-([imx]*))?\)/.exec(this.pattern.slice(this.at, this.at + 12))
    if (match === null) return undefined
    this.at += match[0].length
    return withOptions(options, match[1]!, match[2] ?? '')
  }

  /** One item without its repeats; undefined for a comment. */
  #item(options: Options): Node | undefined {
    const char = this.pattern[this.at]!
    switch (char) {
      case '(':
        return this.#group(options)
      case '[':
        return setNode(this.#folded(parseSet(this), options, true))
      case '.':
        this.at++
        return setNode(options.dotAll ? codeSet([0, 0x10ffff]) : codeSet(complement([LINE_FEED, LINE_FEED])))
      case '^':
        this.at++
        return { type: 'place', place: 'lineStart' }
      case '$':
        this.at++
        return { type: 'place', place: 'lineEnd' }
      case '*':
      case '+':
      case '?':
        throw this.error('something to repeat', `'${char}'`)
      case '\\':
        return this.#escape(options)
      default:
        return this.#literal(options)
    }
  }

  #literal(options: Options): Node {
    const code = this.pattern.codePointAt(this.at)!
    this.at += code > 0xffff ? 2 : 1
    return setNode(this.#folded(codeSet([code, code]), options, false))
  }

  #group(options: Options): Node | undefined {
    const rest = this.pattern.slice(this.at)
    if (rest.startsWith('(?#')) {
      const end = this.pattern.indexOf(')', this.at)
      if (end < 0) throw this.error('an end of the comment', 'none')
      this.at = end + 1
      return undefined
    }
    const kinds = /^\((?:\?(?:[:>=!]|<[=!]|<[A-Za-z_]\w*>|([imx]*)(?:-([imx]*))?:))?/.exec(rest.slice(0, 200))!
    const opening = kinds[0]
    if (opening === '(' && (rest[1] === '?' || rest[1] === '*')) throw this.unsupported(`the group ${rest.slice(0, 4)}`)
    this.at += opening.length
    const inner = withOptions(options, kinds[1] ?? '', kinds[2] ?? '')
    const node = this.#choice(inner)
    if (this.pattern[this.at] !== ')') throw this.error('a closing parenthesis', 'the end')
    this.at++
    switch (opening) {
      case '(?>':
        return { type: 'atomic', node }
      case '(?=':
      case '(?!':
        return { type: 'look', node, behind: false, negated: opening === '(?!' }
      case '(?<=':
      case '(?<!':
        if (lengthOf(node).max > 255) throw this.unsupported('a look-behind without a limit of length')
        return { type: 'look', node, behind: true, negated: opening === '(?<!' }
      default:
        return node
    }
  }

  #escape(options: Options): Node {
    const char = this.pattern[this.at + 1]
    if (char === undefined) throw this.error('a character behind the backslash', 'the end')
    const places: Record<string, Node> = {
      A: { type: 'place', place: 'textStart' },
      z: { type: 'place', place: 'textEnd' },
      Z: { type: 'place', place: 'lastLineEnd' },
      b: { type: 'place', place: 'wordBoundary' },
      B: { type: 'place', place: 'insideWord' },
    }
    const place = places[char]
    if (place !== undefined) {
      this.at += 2
      return place
    }
    if (char === 'R') {
      this.at += 2
      const one = (code: number): Node => setNode(codeSet([code, code]))
      const other = setNode(codeSet([10, 13, 0x85, 0x85, 0x2028, 0x2029]))
      return { type: 'atomic', node: { type: 'choice', nodes: [sequence([one(13), one(10)]), other] } }
    }
    if (char === 'N' || char === 'O') {
      this.at += 2
      return setNode(char === 'O' ? codeSet([0, 0x10ffff]) : codeSet(complement([LINE_FEED, LINE_FEED])))
    }
    const set = typeSet(this) ?? propertySet(this)
    if (set !== undefined) {
      if (options.ignoreCase && /[pP]/.test(char)) throw this.unsupported('a property that ignores case')
      return setNode(set)
    }
    const code = this.escapedCode(false)
    return setNode(this.#folded(codeSet([code, code]), options, false))
  }

  /** A character behind a backslash. */
  escapedCode(inSet: boolean): number {
    const rest = this.pattern.slice(this.at, this.at + 14)
    const hexadecimal = /^\\(?:x\{([0-9A-Fa-f]{1,8})\}|x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4}))/.exec(rest)
    if (hexadecimal !== null) {
      const code = Number.parseInt(hexadecimal[1] ?? hexadecimal[2] ?? hexadecimal[3]!, 16)
      // \xHH is a byte of UTF-8 there, not a character.
      if (hexadecimal[2] !== undefined && code > 0x7f) throw this.unsupported(`the byte ${hexadecimal[0]}`)
      if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) throw this.error('a code point', hexadecimal[0])
      this.at += hexadecimal[0].length
      return code
    }
    const controls: Record<string, number> = { t: 9, n: 10, v: 11, f: 12, r: 13, a: 7, e: 27 }
    const char = String.fromCodePoint(this.pattern.codePointAt(this.at + 1) ?? 0)
    if (inSet && char === 'b') controls.b = 8
    const control = controls[char]
    if (control === undefined && /[A-Za-z0-9]/.test(char)) throw this.unsupported(`\\${char}`)
    if (this.at + 1 >= this.pattern.length) throw this.error('a character behind the backslash', 'the end')
    this.at += 1 + char.length
    return control ?? char.codePointAt(0)!
  }

  /** The set with the other cases of its letters: those of ASCII, and what folds to them. */
  #folded(set: CodeSet, options: Options, bracket: boolean): CodeSet {
    if (!options.ignoreCase) return set
    const { ranges } = set
    const negated = bracket && ranges.length > 0 && ranges.at(-1) === 0x10ffff
    const positive = negated ? complement(ranges) : ranges
    const more: [number, number][] = []
    for (let at = 0; at < positive.length; at += 2) {
      const [first, last] = [positive[at]!, positive[at + 1]!]
      more.push([first, last])
      if (last - first > 0x1000) throw this.unsupported('a large set that ignores case')
      for (let code = first; code <= last; code++) {
        const char = String.fromCodePoint(code)
        if (code > 0x7f && /[\p{L}\p{M}\p{Nl}\p{So}]/u.test(char)) throw this.unsupported(`${char} that ignores case`)
        if (!/[A-Za-z]/.test(char)) continue
        for (const other of [char.toLowerCase(), char.toUpperCase()])
          more.push([other.charCodeAt(0), other.charCodeAt(0)])
        if (/[sS]/.test(char)) more.push([0x17f, 0x17f])
        if (/[kK]/.test(char)) more.push([0x212a, 0x212a])
      }
    }
    const merged = mergeRanges(more)
    return codeSet(negated ? complement(merged) : merged)
  }

  #repeats(item: Node, options: Options): Node {
    let node = item
    for (;;) {
      while (options.extended && this.at < this.pattern.length && this.#skipExtended());
      const char = this.pattern[this.at]
      const braces = char === '{' ? /^\{(\d*)(,?)(\d*)\}/.exec(this.pattern.slice(this.at, this.at + 24)) : null
      if (braces !== null && (braces[1] !== '' || (braces[2] === ',' && braces[3] !== ''))) {
        node = this.#counted(node, braces)
        continue
      }
      if (char !== '*' && char !== '+' && char !== '?') return node
      this.at++
      const next = this.pattern[this.at]
      const min = char === '+' ? 1 : 0
      const max = char === '?' ? 1 : Number.POSITIVE_INFINITY
      if (next === '+' || next === '?') this.at++
      const repeat = this.#repeat(node, min, max, next === '?')
      node = next === '+' ? { type: 'atomic', node: repeat } : repeat
    }
  }

  #counted(node: Node, [whole, low, comma, high]: RegExpExecArray): Node {
    const min = low === '' ? 0 : Number(low)
    const max = comma === '' ? min : high === '' ? Number.POSITIVE_INFINITY : Number(high)
    if (max < min) throw this.unsupported(`the repeat ${whole}`)
    if (min > MAX_COUNT || (max !== Number.POSITIVE_INFINITY && max > MAX_COUNT)) {
      throw this.unsupported(`a count above ${MAX_COUNT}`)
    }
    this.at += whole!.length
    // Behind a fixed count a question mark makes all of it optional, not lazy.
    const lazy = comma !== '' && this.pattern[this.at] === '?'
    if (lazy) this.at++
    return this.#repeat(node, min, max, lazy)
  }

  #repeat(node: Node, min: number, max: number, lazy: boolean): Node {
    if (node.type === 'place' || node.type === 'look') throw this.unsupported('a repeated anchor')
    if (max > 1 && lengthOf(node).min === 0) throw this.unsupported('a repeat of what can be empty')
    return { type: 'repeat', node, min, max, lazy }
  }
}

function setNode(set: CodeSet): Node {
  return { type: 'set', set }
}

function withOptions(options: Options, on: string, off: string): Options {
  const value = (letter: string, before: boolean): boolean =>
    off.includes(letter) ? false : on.includes(letter) ? true : before
  return {
    ignoreCase: value('i', options.ignoreCase),
    dotAll: value('m', options.dotAll),
    extended: value('x', options.extended),
  }
}
