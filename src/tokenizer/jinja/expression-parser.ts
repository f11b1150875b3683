/** @file Expressions: from tokens to the syntax tree, with jinja2's precedence. */

import { fail } from './errors.js'
import type { CallSignature, Expression } from './nodes.js'
import { assignTo, CONSTANTS } from './targets.js'
import type { TokenCursor } from './token-cursor.js'

/** Levels of expressions within expressions; Python's own parser gives up at fewer. */
const MAX_LEVELS = 100
/** Links of one chain, as `a ~ b ~ c` or `x.a.b.c`: each is a level when it is evaluated. */
const MAX_CHAIN = 1000

const COMPARISONS = new Set(['==', '!=', '>', '>=', '<', '<='])

export class ExpressionParser {
  readonly #tokens: TokenCursor
  #level = 0

  constructor(tokens: TokenCursor) {
    this.#tokens = tokens
  }

  /** Counts levels around `parse`, so that no source can exhaust the stack. */
  #deeper<T>(parse: () => T): T {
    if (++this.#level > MAX_LEVELS)
      fail('Bounds', `expected at most ${MAX_LEVELS} nested expressions`, this.#tokens.current.line)
    const result = parse()
    this.#level--
    return result
  }

  #link(count: number): void {
    if (count > MAX_CHAIN)
      fail('Bounds', `expected at most ${MAX_CHAIN} links in an expression`, this.#tokens.current.line)
  }

  /** A target of `for`, `set` or `with`. */
  target(ends: readonly string[], withNamespace: boolean, context: 'store' | 'param' = 'store'): Expression {
    const node = this.tuple({ simplified: true, ends, withNamespace })
    assignTo(node, context)
    return node
  }

  /** An expression, or a tuple of them where commas stand between. */
  tuple(options: {
    simplified?: boolean
    withoutCondition?: boolean
    ends?: readonly string[]
    parentheses?: boolean
    withNamespace?: boolean
  }): Expression {
    const { line } = this.#tokens.current
    const items: Expression[] = []
    let isTuple = false
    const atEnd = (): boolean => {
      const { type, text } = this.#tokens.current
      if (type === 'variable_end' || type === 'block_end' || this.#tokens.isOperator(')')) return true
      return type === 'name' && (options.ends ?? []).includes(text)
    }
    for (;;) {
      if (items.length > 0) this.#tokens.expectOperator(',')
      if (atEnd()) break
      items.push(
        options.simplified
          ? this.#deeper(() => this.#primary(options.withNamespace))
          : this.expression(options.withoutCondition),
      )
      if (!this.#tokens.isOperator(',')) break
      isTuple = true
    }
    const [only] = items
    if (!isTuple) {
      if (only !== undefined) return only
      if (options.parentheses !== true) this.#tokens.unexpected('an expression')
    }
    return { kind: 'tuple', items, line }
  }

  expression(withoutCondition = false): Expression {
    return this.#deeper(() => (withoutCondition ? this.#or() : this.#condition()))
  }

  #condition(): Expression {
    const { line } = this.#tokens.current
    let node = this.#or()
    for (let count = 1; this.#tokens.skipName('if'); count++) {
      this.#link(count)
      const test = this.#or()
      const otherwise = this.#tokens.skipName('else') ? this.#deeper(() => this.#condition()) : undefined
      node = { kind: 'condition', test, whenTrue: node, otherwise, line }
    }
    return node
  }

  /** A chain of operators of one precedence, from the left. */
  #chain(
    operand: () => Expression,
    isNext: () => boolean,
    join: (left: Expression, sign: string, right: Expression, line: number) => Expression,
  ) {
    const { line } = this.#tokens.current
    let node = operand()
    for (let count = 1; isNext(); count++) {
      this.#link(count)
      const sign = this.#tokens.next().text
      node = join(node, sign, operand(), line)
    }
    return node
  }

  #or(): Expression {
    return this.#chain(
      () => this.#and(),
      () => this.#tokens.isName('or'),
      (left, _, right, line) => ({ kind: 'or', left, right, line }),
    )
  }

  #and(): Expression {
    return this.#chain(
      () => this.#not(),
      () => this.#tokens.isName('and'),
      (left, _, right, line) => ({ kind: 'and', left, right, line }),
    )
  }

  #not(): Expression {
    const { line } = this.#tokens.current
    if (!this.#tokens.skipName('not')) return this.#compare()
    return { kind: 'unary', operator: 'not', operand: this.#deeper(() => this.#not()), line }
  }

  #compare(): Expression {
    const { line } = this.#tokens.current
    const first = this.#sum()
    const links: { operator: string; operand: Expression }[] = []
    for (;;) {
      this.#link(links.length)
      const { type, text } = this.#tokens.current
      if (type === 'operator' && COMPARISONS.has(text)) {
        this.#tokens.next()
        links.push({ operator: text, operand: this.#sum() })
      } else if (this.#tokens.skipName('in')) links.push({ operator: 'in', operand: this.#sum() })
      else if (this.#tokens.isName('not') && this.#tokens.look().type === 'name' && this.#tokens.look().text === 'in') {
        this.#tokens.next()
        this.#tokens.next()
        links.push({ operator: 'not in', operand: this.#sum() })
      } else return links.length === 0 ? first : { kind: 'compare', first, links, line }
    }
  }

  #binary(operand: () => Expression, ...signs: readonly string[]): Expression {
    return this.#chain(
      operand,
      () => this.#tokens.current.type === 'operator' && signs.includes(this.#tokens.current.text),
      (left, operator, right, line) => ({ kind: 'binary', operator, left, right, line }),
    )
  }

  #sum(): Expression {
    return this.#binary(() => this.#concat(), '+', '-')
  }

  #concat(): Expression {
    const { line } = this.#tokens.current
    const items = [this.#product()]
    while (this.#tokens.skipOperator('~')) items.push(this.#product())
    return items.length === 1 ? (items[0] as Expression) : { kind: 'concat', items, line }
  }

  #product(): Expression {
    return this.#binary(() => this.#power(), '*', '/', '//', '%')
  }

  #power(): Expression {
    return this.#binary(() => this.#unary(true), '**')
  }

  #unary(withFilter: boolean): Expression {
    const { line } = this.#tokens.current
    let node: Expression
    if (this.#tokens.isOperator('-') || this.#tokens.isOperator('+')) {
      const operator = this.#tokens.next().text as '-' | '+'
      node = { kind: 'unary', operator, operand: this.#deeper(() => this.#unary(false)), line }
    } else node = this.#primary()
    node = this.#postfix(node)
    return withFilter ? this.#filterOrTest(node) : node
  }

  #primary(withNamespace = false): Expression {
    const token = this.#tokens.current
    const { line } = token
    if (token.type === 'name') {
      this.#tokens.next()
      const constant = CONSTANTS.get(token.text)
      if (constant !== undefined) return { kind: 'const', value: constant, line }
      if (withNamespace && this.#tokens.skipOperator('.')) {
        return { kind: 'namespace-target', name: token.text, attribute: this.#tokens.expectType('name').text, line }
      }
      return { kind: 'name', name: token.text, line, context: 'load' }
    }
    if (token.type === 'string') {
      const texts: string[] = []
      while (this.#tokens.current.type === 'string') texts.push(this.#tokens.next().text)
      return { kind: 'const', value: texts.join(''), line }
    }
    if (token.type === 'integer' || token.type === 'float') {
      this.#tokens.next()
      return { kind: 'const', value: token.value, line }
    }
    if (this.#tokens.skipOperator('(')) {
      const node = this.tuple({ parentheses: true })
      this.#tokens.expectOperator(')')
      return node
    }
    if (this.#tokens.skipOperator('[')) {
      return { kind: 'list', items: this.#items(']', () => this.expression()), line }
    }
    if (this.#tokens.skipOperator('{')) {
      const items = this.#items('}', () => {
        const key = this.expression()
        this.#tokens.expectOperator(':')
        return { key, value: this.expression() }
      })
      return { kind: 'dict', items, line }
    }
    return this.#tokens.unexpected('an expression')
  }

  #items<T>(end: string, parse: () => T): T[] {
    const items: T[] = []
    while (!this.#tokens.isOperator(end)) {
      if (items.length > 0) this.#tokens.expectOperator(',')
      if (this.#tokens.isOperator(end)) break
      items.push(parse())
    }
    this.#tokens.expectOperator(end)
    return items
  }

  #postfix(first: Expression): Expression {
    let node = first
    for (let count = 1; ; count++) {
      this.#link(count)
      if (this.#tokens.isOperator('.') || this.#tokens.isOperator('[')) node = this.#subscript(node)
      else if (this.#tokens.isOperator('(')) node = this.#call(node)
      else return node
    }
  }

  #filterOrTest(first: Expression): Expression {
    let node = first
    for (let count = 1; ; count++) {
      this.#link(count)
      if (this.#tokens.isOperator('|')) node = this.filters(node, false) as Expression
      else if (this.#tokens.isName('is')) node = this.#test(node)
      else if (this.#tokens.isOperator('(')) node = this.#call(node)
      else return node
    }
  }

  #subscript(object: Expression): Expression {
    const { line } = this.#tokens.current
    if (this.#tokens.skipOperator('.')) {
      const token = this.#tokens.next()
      if (token.type === 'name') return { kind: 'attribute', object, name: token.text, line }
      if (token.type !== 'integer') fail('TemplateSyntaxError', 'expected name or number', token.line)
      return { kind: 'item', object, key: { kind: 'const', value: token.value, line: token.line }, line }
    }
    this.#tokens.expectOperator('[')
    const keys: Expression[] = []
    while (!this.#tokens.isOperator(']')) {
      if (keys.length > 0) this.#tokens.expectOperator(',')
      keys.push(this.#subscribed())
    }
    this.#tokens.expectOperator(']')
    // Python refuses the code that jinja2 makes of a slice within a tuple.
    if (keys.length > 1 && keys.some((key) => key.kind === 'slice')) fail('TemplateSyntaxError', 'invalid slice', line)
    const [only] = keys
    const key: Expression = keys.length === 1 ? (only as Expression) : { kind: 'tuple', items: keys, line }
    return { kind: 'item', object, key, line }
  }

  #subscribed(): Expression {
    const { line } = this.#tokens.current
    const atEnd = (): boolean => this.#tokens.isOperator(']') || this.#tokens.isOperator(',')
    let start: Expression | undefined
    if (!this.#tokens.skipOperator(':')) {
      start = this.expression()
      if (!this.#tokens.skipOperator(':')) return start
    }
    const stop = this.#tokens.isOperator(':') || atEnd() ? undefined : this.expression()
    const step = this.#tokens.skipOperator(':') && !atEnd() ? this.expression() : undefined
    return { kind: 'slice', start, stop, step, line }
  }

  #call(callee: Expression): Expression {
    const { line } = this.#tokens.current
    return { kind: 'call', callee, ...this.#arguments(), line }
  }

  #arguments(): CallSignature {
    const { line } = this.#tokens.current
    const given: CallSignature = { args: [], kwargs: [], rest: undefined, restNamed: undefined }
    const ensure = (valid: boolean): void => {
      if (!valid) fail('TemplateSyntaxError', 'invalid syntax for function call expression', line)
    }
    this.#tokens.expectOperator('(')
    for (let needsComma = false; !this.#tokens.isOperator(')'); needsComma = true) {
      if (needsComma) {
        this.#tokens.expectOperator(',')
        if (this.#tokens.isOperator(')')) break
      }
      if (this.#tokens.skipOperator('*')) {
        ensure(given.rest === undefined && given.restNamed === undefined)
        given.rest = this.expression()
      } else if (this.#tokens.skipOperator('**')) {
        ensure(given.restNamed === undefined)
        given.restNamed = this.expression()
      } else if (
        this.#tokens.current.type === 'name' &&
        this.#tokens.look().type === 'operator' &&
        this.#tokens.look().text === '='
      ) {
        ensure(given.restNamed === undefined)
        const name = this.#tokens.next().text
        this.#tokens.next()
        // Python refuses the call that jinja2 makes of it.
        ensure(!given.kwargs.some((other) => other.name === name))
        given.kwargs.push({ name, value: this.expression() })
      } else {
        ensure(given.rest === undefined && given.restNamed === undefined && given.kwargs.length === 0)
        given.args.push(this.expression())
      }
    }
    this.#tokens.expectOperator(')')
    return given
  }

  #dottedName(): string {
    let name = this.#tokens.expectType('name').text
    while (this.#tokens.skipOperator('.')) name += `.${this.#tokens.expectType('name').text}`
    return name
  }

  /** Filters after a value; `inline` where the first has no `|` before it, as in a filter block. */
  filters(value: Expression | undefined, inline: boolean): Expression | undefined {
    let node = value
    let isInline = inline
    for (let count = 1; isInline || this.#tokens.isOperator('|'); count++) {
      this.#link(count)
      if (!isInline) this.#tokens.next()
      isInline = false
      const { line } = this.#tokens.current
      const name = this.#dottedName()
      const given = this.#tokens.isOperator('(') ? this.#arguments() : noArguments()
      node = { kind: 'filter', name, value: node, ...given, line }
    }
    return node
  }

  #test(value: Expression): Expression {
    const { line } = this.#tokens.next()
    const negated = this.#tokens.skipName('not')
    const name = this.#dottedName()
    let given = noArguments()
    const { type, text } = this.#tokens.current
    if (this.#tokens.isOperator('(')) given = this.#arguments()
    else {
      const begins =
        type === 'string' ||
        type === 'integer' ||
        type === 'float' ||
        this.#tokens.isOperator('[') ||
        this.#tokens.isOperator('{')
      if (begins || (type === 'name' && text !== 'else' && text !== 'or' && text !== 'and')) {
        if (text === 'is' && type === 'name')
          fail('TemplateSyntaxError', 'You cannot chain multiple tests with is', line)
        given.args.push(this.#deeper(() => this.#postfix(this.#primary())))
      }
    }
    const node: Expression = { kind: 'test', name, value, ...given, line }
    return negated ? { kind: 'unary', operator: 'not', operand: node, line } : node
  }
}

function noArguments(): CallSignature {
  return { args: [], kwargs: [], rest: undefined, restNamed: undefined }
}
