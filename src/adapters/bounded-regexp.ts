/**
 * @file Regular expressions of strangers, matched in a bounded number of steps. RegExp takes exponential time for
 * nested quantifiers and cannot be stopped without a thread that watches it; this matcher counts its steps. It knows
 * JavaScript's syntax with the flag u, and no more than a test from the start of a text and its named groups. Whether
 * an expression is valid, and what a single character means, is left to RegExp.
 */

/**
 * Matches what follows at `at`; on the way it calls `next` with the place after itself, and tries another way where
 * that says no.
 */
type Matcher = (at: number, next: (at: number) => boolean) => boolean

/** Steps that matching may still take, shared by the expressions of one question. */
export interface Steps {
  left: number
}

/** Thrown when the steps are used up, or the expression is nested too deeply. */
export class TooManySteps extends Error {}

/** An expression that begins with ^. */
export class BoundedRegExp {
  readonly #match: Matcher
  readonly #state: State

  /** @param source what `new RegExp(source, flags)` accepted; flags: u, and of i, m and s any. */
  constructor(source: string, flags: string, steps: Steps) {
    this.#state = { text: '', captures: [], steps }
    this.#match = guarded(() => new Parser(source, flags, this.#state).parse())
  }

  /** Whether the text matches from its start. @throws {TooManySteps} */
  test(text: string): boolean {
    this.#state.text = text
    this.#state.captures.fill(undefined)
    return guarded(() => this.#match(0, () => true))
  }

  /** The named group after `test()` found a match. */
  group(name: string): string | undefined {
    const range = this.#state.captures[this.#state.names?.get(name) ?? -1]
    return range && this.#state.text.slice(...range)
  }
}

interface State {
  text: string
  /** Start and end of each group, by its number; the first is that of the whole, which nobody asks for. */
  captures: ([number, number] | undefined)[]
  names?: ReadonlyMap<string, number>
  readonly steps: Steps
}

function guarded<T>(run: () => T): T {
  try {
    return run()
  } catch (error) {
    if (error instanceof RangeError) throw new TooManySteps('nested too deeply', { cause: error })
    throw error
  }
}

/** From source to a matcher. Behind (?<= expressions are matched from right to left, as JavaScript does. */
class Parser {
  readonly #source: string
  readonly #flags: string
  readonly #state: State
  readonly #names = new Map<string, number>()
  #at = 0
  #groups = 0
  /** Characters by their source: a long expression repeats few. */
  readonly #characters = new Map<string, RegExp>()

  constructor(source: string, flags: string, state: State) {
    this.#source = source
    this.#flags = flags
    this.#state = state
  }

  parse(): Matcher {
    // Names may be used before they are defined.
    let number = 0
    for (const [token, name] of this.#source.matchAll(/\\.|\[(?:\\.|[^\]\\])*\]|\((?!\?)|\(\?<(?![=!])([^>]*)>/gsu)) {
      if (token.startsWith('(')) number++
      if (name !== undefined) this.#names.set(name, number)
    }
    this.#state.names = this.#names
    return this.#alternatives(false)
  }

  #alternatives(backward: boolean): Matcher {
    const all = [this.#sequence(backward)]
    while (this.#source[this.#at] === '|') {
      this.#at++
      all.push(this.#sequence(backward))
    }
    if (all.length === 1) return all[0] as Matcher
    return (at, next) => all.some((one) => this.#step() && one(at, next))
  }

  #sequence(backward: boolean): Matcher {
    const terms: Matcher[] = []
    while (this.#at < this.#source.length && !'|)'.includes(this.#source[this.#at] as string)) {
      terms.push(this.#term(backward))
    }
    if (backward) terms.reverse()
    const from = (index: number, at: number, next: (at: number) => boolean): boolean => {
      const term = terms[index]
      return term ? term(at, (end) => from(index + 1, end, next)) : next(at)
    }
    return terms.length === 1 ? (terms[0] as Matcher) : (at, next) => from(0, at, next)
  }

  #term(backward: boolean): Matcher {
    const firstGroup = this.#groups + 1
    const item = this.#atom(backward)
    const quantifier = /^(?:([*+?])|\{(\d+)(,?)(\d*)\})(\??)/.exec(this.#source.slice(this.#at, this.#at + 64))
    if (!quantifier) return item
    const [token, sign, least, comma, most, lazy] = quantifier
    this.#at += token.length
    const min = sign ? (sign === '+' ? 1 : 0) : Number(least)
    const unlimited = sign ? sign !== '?' : comma === ',' && most === ''
    const max = unlimited ? Number.POSITIVE_INFINITY : sign ? 1 : Number(most || least)
    return this.#repeat(item, min, max, lazy === '', firstGroup, this.#groups)
  }

  #repeat(item: Matcher, min: number, max: number, greedy: boolean, firstGroup: number, lastGroup: number): Matcher {
    const { captures } = this.#state
    const loop = (count: number, at: number, next: (at: number) => boolean): boolean => {
      this.#step()
      const again = (): boolean => {
        if (count >= max) return false
        const before = captures.slice(firstGroup, lastGroup + 1)
        for (let group = firstGroup; group <= lastGroup; group++) captures[group] = undefined
        // A round that matches nothing would go on for ever.
        if (item(at, (end) => (end !== at || count < min) && loop(count + 1, end, next))) return true
        for (let group = firstGroup; group <= lastGroup; group++) captures[group] = before[group - firstGroup]
        return false
      }
      if (count < min) return again()
      return greedy ? again() || next(at) : next(at) || again()
    }
    return (at, next) => loop(0, at, next)
  }

  #atom(backward: boolean): Matcher {
    const source = this.#source
    const head = source[this.#at]
    if (head === '(') return this.#group(backward)
    if (head === '^' || head === '$') {
      this.#at++
      return this.#edge(head === '^')
    }
    const reference = /^\\(?:([1-9]\d*)|k<([^>]*)>)/.exec(source.slice(this.#at, this.#at + 256))
    if (reference) {
      this.#at += reference[0].length
      const [, number, name] = reference
      return this.#reference(number ? Number(number) : (this.#names.get(name as string) as number), backward)
    }
    const boundary = source.startsWith('\\b', this.#at) || source.startsWith('\\B', this.#at)
    if (boundary) {
      this.#at += 2
      return this.#boundary(source[this.#at - 1] === 'b')
    }
    return this.#character(this.#characterSource(), backward)
  }

  #group(backward: boolean): Matcher {
    const [token, kind] = /^\((\?(?:[:=!]|<[=!]|<[^>]*>))?/.exec(
      this.#source.slice(this.#at, this.#at + 256),
    ) as RegExpExecArray
    this.#at += token.length
    const isLook = kind !== undefined && /[=!]$/.test(kind)
    const number = kind === undefined || (kind.startsWith('?<') && !isLook) ? ++this.#groups : undefined
    const inside = this.#alternatives(isLook ? kind.startsWith('?<') : backward)
    this.#at++
    if (isLook) return this.#look(inside, kind.endsWith('='))
    if (number === undefined) return inside
    const { captures } = this.#state
    captures[number] = undefined
    return (at, next) => {
      const before = captures[number]
      const found = inside(at, (end) => {
        const old = captures[number]
        captures[number] = backward ? [end, at] : [at, end]
        if (next(end)) return true
        captures[number] = old
        return false
      })
      if (!found) captures[number] = before
      return found
    }
  }

  #look(inside: Matcher, wanted: boolean): Matcher {
    const { captures } = this.#state
    return (at, next) => {
      const before = [...captures]
      const restore = (): false => {
        before.forEach((range, group) => {
          captures[group] = range
        })
        return false
      }
      if (inside(at, () => true) !== wanted) return restore()
      // What a negative one captured is nobody's.
      if (!wanted) restore()
      return next(at) || restore()
    }
  }

  #edge(isStart: boolean): Matcher {
    const state = this.#state
    const isMultiline = this.#flags.includes('m')
    const isNewline = (at: number): boolean => isMultiline && /[\n\r\u2028\u2029]/.test(state.text[at] ?? '')
    return (at, next) => {
      const holds = isStart ? at === 0 || isNewline(at - 1) : at === state.text.length || isNewline(at)
      return holds && next(at)
    }
  }

  #boundary(wanted: boolean): Matcher {
    const state = this.#state
    const word = new RegExp('\\w', this.#flags)
    const isWord = (at: number): boolean => word.test(state.text[at] ?? '')
    return (at, next) => (isWord(at - 1) !== isWord(at)) === wanted && next(at)
  }

  #reference(group: number, backward: boolean): Matcher {
    const { captures } = this.#state
    const state = this.#state
    const fold = (text: string): string => (this.#flags.includes('i') ? text.toLowerCase() : text)
    return (at, next) => {
      const range = captures[group]
      if (!range) return next(at)
      this.#step()
      const wanted = state.text.slice(...range)
      const start = backward ? at - wanted.length : at
      if (start < 0 || fold(state.text.slice(start, start + wanted.length)) !== fold(wanted)) return false
      return next(backward ? start : at + wanted.length)
    }
  }

  /** The source of one character: a class, an escape or itself. */
  #characterSource(): string {
    const start = this.#at
    const source = this.#source
    if (source[start] === '[') {
      this.#at++
      while (source[this.#at] !== ']') this.#at += source[this.#at] === '\\' ? 2 : 1
      this.#at++
    } else if (source[start] === '\\') {
      const escaped =
        /^\\(?:x[0-9a-fA-F]{2}|u\{[0-9a-fA-F]+\}|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|c[a-zA-Z]|[pP]\{[^}]*\}|.)/su
      this.#at += (escaped.exec(source.slice(start, start + 256)) as RegExpExecArray)[0].length
    } else {
      this.#at += String.fromCodePoint(source.codePointAt(start) as number).length
    }
    return source.slice(start, this.#at)
  }

  #character(source: string, backward: boolean): Matcher {
    const state = this.#state
    const known = this.#characters.get(source)
    const character = known ?? new RegExp(`^${source}$`, this.#flags.replace('m', ''))
    this.#characters.set(source, character)
    return (at, next) => {
      this.#step()
      const { text } = state
      let start = at
      if (backward) {
        if (at === 0) return false
        start = at >= 2 && (text.codePointAt(at - 2) as number) > 0xffff ? at - 2 : at - 1
      } else if (at >= text.length) return false
      const one = String.fromCodePoint(text.codePointAt(start) as number)
      return character.test(one) && next(backward ? start : at + one.length)
    }
  }

  #step(): true {
    if (--this.#state.steps.left < 0) throw new TooManySteps('too many steps')
    return true
  }
}
