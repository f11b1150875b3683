/** @file Expressions: from tokens to the syntax tree, with jinja2's precedence. */

import { fail } from './errors.js'
import type { Token, TokenType } from './lexer.js'
import type { CallSignature, Expression } from './nodes.js'

/** Levels of expressions within expressions; Python's own parser gives up at fewer. */
const MAX_LEVELS = 100
/** Links of one chain, as `a ~ b ~ c` or `x.a.b.c`: each is a level when it is evaluated. */
const MAX_CHAIN = 1000

const COMPARISONS = new Set(['==', '!=', '>', '>=', '<', '<='])
const CONSTANTS: ReadonlyMap<string, boolean | null> = new Map([
  ['true', true],
  ['True', true],
  ['false', false],
  ['False', false],
  ['none', null],
  ['None', null],
])

export class ExpressionParser {
  readonly #tokens: readonly Token[]
  #at = 0
  #level = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  get current(): Token {
    return this.#tokens[this.#at] as Token
  }

  /** Goes one token on and gives the one left behind. */
  next(): Token {
    const token = this.current
    if (this.#at < this.#tokens.length - 1) this.#at++
    return token
  }

  #look(): Token {
    return this.#tokens[Math.min(this.#at + 1, this.#tokens.length - 1)] as Token
  }

  #isOperator(sign: string): boolean {
    return this.current.type === 'operator' && this.current.text === sign
  }

  #isName(name: string): boolean {
    return this.current.type === 'name' && this.current.text === name
  }

  expectType(type: TokenType): Token {
    if (this.current.type === type) return this.next()
    return this.#unexpected(type.replace('_', ' '))
  }

  expectOperator(sign: string): void {
    if (!this.skipOperator(sign)) this.#unexpected(`'${sign}'`)
  }

  expectName(name: string): void {
    if (!this.skipName(name)) this.#unexpected(`'${name}'`)
  }

  skipOperator(sign: string): boolean {
    const found = this.#isOperator(sign)
    if (found) this.next()
    return found
  }

  skipName(name: string): boolean {
    const found = this.#isName(name)
    if (found) this.next()
    return found
  }

  #unexpected(expected: string): never {
    const { type, text, line } = this.current
    const got = type === 'eof' ? 'the end of the template' : text === '' ? type.replace('_', ' ') : JSON.stringify(text)
    return fail('TemplateSyntaxError', `expected ${expected}, got ${got}`, line)
  }

  /** Counts levels around `parse`, so that no source can exhaust the stack. */
  #deeper<T>(parse: () => T): T {
    if (++this.#level > MAX_LEVELS)
      fail('Bounds', `expected at most ${MAX_LEVELS} nested expressions`, this.current.line)
    const result = parse()
    this.#level--
    return result
  }

  #link(count: number): void {
    if (count > MAX_CHAIN) fail('Bounds', `expected at most ${MAX_CHAIN} links in an expression`, this.current.line)
  }

  /** A target of `for`, `set` or `with`. */
  target(ends: readonly string[], withNamespace: boolean, context: 'store' | 'param' = 'store'): Expression {
    const node = this.tuple({ simplified: true, ends, withNamespace })
    this.#setContext(node, context)
    this.checkTarget(node)
    return node
  }

  #setContext(node: Expression, context: 'store' | 'param'): void {
    if (node.kind === 'name') node.context = context
    else if (node.kind === 'tuple' || node.kind === 'list')
      for (const item of node.items) this.#setContext(item, context)
  }

  checkTarget(node: Expression): void {
    if (node.kind === 'namespace-target') return
    if (node.kind === 'tuple') for (const item of node.items) this.checkTarget(item)
    else if (node.kind !== 'name' || CONSTANTS.has(node.name)) {
      fail('TemplateSyntaxError', `can't assign to '${node.kind}'`, node.line)
    }
  }

  /** An expression, or a tuple of them where commas stand between. */
  tuple(options: {
    simplified?: boolean
    withoutCondition?: boolean
    ends?: readonly string[]
    parentheses?: boolean
    withNamespace?: boolean
  }): Expression {
    const { line } = this.current
    const items: Expression[] = []
    let isTuple = false
    const atEnd = (): boolean => {
      const { type, text } = this.current
      if (type === 'variable_end' || type === 'block_end' || this.#isOperator(')')) return true
      return type === 'name' && (options.ends ?? []).includes(text)
    }
    for (;;) {
      if (items.length > 0) this.expectOperator(',')
      if (atEnd()) break
      items.push(
        options.simplified
          ? this.#deeper(() => this.#primary(options.withNamespace))
          : this.expression(options.withoutCondition),
      )
      if (!this.#isOperator(',')) break
      isTuple = true
    }
    const [only] = items
    if (!isTuple) {
      if (only !== undefined) return only
      if (options.parentheses !== true) this.#unexpected('an expression')
    }
    return { kind: 'tuple', items, line }
  }

  expression(withoutCondition = false): Expression {
    return this.#deeper(() => (withoutCondition ? this.#or() : this.#condition()))
  }

  #condition(): Expression {
    const { line } = this.current
    let node = this.#or()
    for (let count = 1; this.skipName('if'); count++) {
      this.#link(count)
      const test = this.#or()
      const otherwise = this.skipName('else') ? this.#deeper(() => this.#condition()) : undefined
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
    const { line } = this.current
    let node = operand()
    for (let count = 1; isNext(); count++) {
      this.#link(count)
      const sign = this.next().text
      node = join(node, sign, operand(), line)
    }
    return node
  }

  #or(): Expression {
    return this.#chain(
      () => this.#and(),
      () => this.#isName('or'),
      (left, _, right, line) => ({ kind: 'or', left, right, line }),
    )
  }

  #and(): Expression {
    return this.#chain(
      () => this.#not(),
      () => this.#isName('and'),
      (left, _, right, line) => ({ kind: 'and', left, right, line }),
    )
  }

  #not(): Expression {
    const { line } = this.current
    if (!this.skipName('not')) return this.#compare()
    return { kind: 'unary', operator: 'not', operand: this.#deeper(() => this.#not()), line }
  }

  #compare(): Expression {
    const { line } = this.current
    const first = this.#sum()
    const links: { operator: string; operand: Expression }[] = []
    for (;;) {
      this.#link(links.length)
      const { type, text } = this.current
      if (type === 'operator' && COMPARISONS.has(text)) {
        this.next()
        links.push({ operator: text, operand: this.#sum() })
      } else if (this.skipName('in')) links.push({ operator: 'in', operand: this.#sum() })
      else if (this.#isName('not') && this.#look().type === 'name' && this.#look().text === 'in') {
        this.next()
        this.next()
        links.push({ operator: 'not in', operand: this.#sum() })
      } else return links.length === 0 ? first : { kind: 'compare', first, links, line }
    }
  }

  #binary(operand: () => Expression, ...signs: readonly string[]): Expression {
    return this.#chain(
      operand,
      () => this.current.type === 'operator' && signs.includes(this.current.text),
      (left, operator, right, line) => ({ kind: 'binary', operator, left, right, line }),
    )
  }

  #sum(): Expression {
    return this.#binary(() => this.#concat(), '+', '-')
  }

  #concat(): Expression {
    const { line } = this.current
    const items = [this.#product()]
    while (this.skipOperator('~')) items.push(this.#product())
    return items.length === 1 ? (items[0] as Expression) : { kind: 'concat', items, line }
  }

  #product(): Expression {
    return this.#binary(() => this.#power(), '*', '/', '//', '%')
  }

  #power(): Expression {
    return this.#binary(() => this.#unary(true), '**')
  }

  #unary(withFilter: boolean): Expression {
    const { line } = this.current
    let node: Expression
    if (this.#isOperator('-') || this.#isOperator('+')) {
      const operator = this.next().text as '-' | '+'
      node = { kind: 'unary', operator, operand: this.#deeper(() => this.#unary(false)), line }
    } else node = this.#primary()
    node = this.#postfix(node)
    return withFilter ? this.#filterOrTest(node) : node
  }

  #primary(withNamespace = false): Expression {
    const token = this.current
    const { line } = token
    if (token.type === 'name') {
      this.next()
      const constant = CONSTANTS.get(token.text)
      if (constant !== undefined) return { kind: 'const', value: constant, line }
      if (withNamespace && this.skipOperator('.')) {
        return { kind: 'namespace-target', name: token.text, attribute: this.expectType('name').text, line }
      }
      return { kind: 'name', name: token.text, line, context: 'load' }
    }
    if (token.type === 'string') {
      const texts: string[] = []
      while (this.current.type === 'string') texts.push(this.next().text)
      return { kind: 'const', value: texts.join(''), line }
    }
    if (token.type === 'integer' || token.type === 'float') {
      this.next()
      return { kind: 'const', value: token.value, line }
    }
    if (this.skipOperator('(')) {
      const node = this.tuple({ parentheses: true })
      this.expectOperator(')')
      return node
    }
    if (this.skipOperator('[')) {
      return { kind: 'list', items: this.#items(']', () => this.expression()), line }
    }
    if (this.skipOperator('{')) {
      const items = this.#items('}', () => {
        const key = this.expression()
        this.expectOperator(':')
        return { key, value: this.expression() }
      })
      return { kind: 'dict', items, line }
    }
    return this.#unexpected('an expression')
  }

  #items<T>(end: string, parse: () => T): T[] {
    const items: T[] = []
    while (!this.#isOperator(end)) {
      if (items.length > 0) this.expectOperator(',')
      if (this.#isOperator(end)) break
      items.push(parse())
    }
    this.expectOperator(end)
    return items
  }

  #postfix(first: Expression): Expression {
    let node = first
    for (let count = 1; ; count++) {
      this.#link(count)
      if (this.#isOperator('.') || this.#isOperator('[')) node = this.#subscript(node)
      else if (this.#isOperator('(')) node = this.#call(node)
      else return node
    }
  }

  #filterOrTest(first: Expression): Expression {
    let node = first
    for (let count = 1; ; count++) {
      this.#link(count)
      if (this.#isOperator('|')) node = this.filters(node, false) as Expression
      else if (this.#isName('is')) node = this.#test(node)
      else if (this.#isOperator('(')) node = this.#call(node)
      else return node
    }
  }

  #subscript(object: Expression): Expression {
    const { line } = this.current
    if (this.skipOperator('.')) {
      const token = this.next()
      if (token.type === 'name') return { kind: 'attribute', object, name: token.text, line }
      if (token.type !== 'integer') fail('TemplateSyntaxError', 'expected name or number', token.line)
      return { kind: 'item', object, key: { kind: 'const', value: token.value, line: token.line }, line }
    }
    this.expectOperator('[')
    const keys: Expression[] = []
    while (!this.#isOperator(']')) {
      if (keys.length > 0) this.expectOperator(',')
      keys.push(this.#subscribed())
    }
    this.expectOperator(']')
    // Python refuses the code that jinja2 makes of a slice within a tuple.
    if (keys.length > 1 && keys.some((key) => key.kind === 'slice')) fail('TemplateSyntaxError', 'invalid slice', line)
    const [only] = keys
    const key: Expression = keys.length === 1 ? (only as Expression) : { kind: 'tuple', items: keys, line }
    return { kind: 'item', object, key, line }
  }

  #subscribed(): Expression {
    const { line } = this.current
    const atEnd = (): boolean => this.#isOperator(']') || this.#isOperator(',')
    let start: Expression | undefined
    if (!this.skipOperator(':')) {
      start = this.expression()
      if (!this.skipOperator(':')) return start
    }
    const stop = this.#isOperator(':') || atEnd() ? undefined : this.expression()
    const step = this.skipOperator(':') && !atEnd() ? this.expression() : undefined
    return { kind: 'slice', start, stop, step, line }
  }

  #call(callee: Expression): Expression {
    const { line } = this.current
    return { kind: 'call', callee, ...this.#arguments(), line }
  }

  #arguments(): CallSignature {
    const { line } = this.current
    const given: CallSignature = { args: [], kwargs: [], rest: undefined, restNamed: undefined }
    const ensure = (valid: boolean): void => {
      if (!valid) fail('TemplateSyntaxError', 'invalid syntax for function call expression', line)
    }
    this.expectOperator('(')
    for (let needsComma = false; !this.#isOperator(')'); needsComma = true) {
      if (needsComma) {
        this.expectOperator(',')
        if (this.#isOperator(')')) break
      }
      if (this.skipOperator('*')) {
        ensure(given.rest === undefined && given.restNamed === undefined)
        given.rest = this.expression()
      } else if (this.skipOperator('**')) {
        ensure(given.restNamed === undefined)
        given.restNamed = this.expression()
      } else if (this.current.type === 'name' && this.#look().type === 'operator' && this.#look().text === '=') {
        ensure(given.restNamed === undefined)
        const name = this.next().text
        this.next()
        // Python refuses the call that jinja2 makes of it.
        ensure(!given.kwargs.some((other) => other.name === name))
        given.kwargs.push({ name, value: this.expression() })
      } else {
        ensure(given.rest === undefined && given.restNamed === undefined && given.kwargs.length === 0)
        given.args.push(this.expression())
      }
    }
    this.expectOperator(')')
    return given
  }

  #dottedName(): string {
    let name = this.expectType('name').text
    while (this.skipOperator('.')) name += `.${this.expectType('name').text}`
    return name
  }

  /** Filters after a value; `inline` where the first has no `|` before it, as in a filter block. */
  filters(value: Expression | undefined, inline: boolean): Expression | undefined {
    let node = value
    let isInline = inline
    for (let count = 1; isInline || this.#isOperator('|'); count++) {
      this.#link(count)
      if (!isInline) this.next()
      isInline = false
      const { line } = this.current
      const name = this.#dottedName()
      const given = this.#isOperator('(') ? this.#arguments() : noArguments()
      node = { kind: 'filter', name, value: node, ...given, line }
    }
    return node
  }

  #test(value: Expression): Expression {
    const { line } = this.next()
    const negated = this.skipName('not')
    const name = this.#dottedName()
    let given = noArguments()
    const { type, text } = this.current
    if (this.#isOperator('(')) given = this.#arguments()
    else {
      const begins =
        type === 'string' || type === 'integer' || type === 'float' || this.#isOperator('[') || this.#isOperator('{')
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
