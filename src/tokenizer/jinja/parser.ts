/** @file Statements: from tokens to the syntax tree. Expressions are in `expression-parser.ts`. */

import { fail, unsupported } from './errors.js'
import { ExpressionParser } from './expression-parser.js'
import type { Token } from './lexer.js'
import { tokenize } from './lexer.js'
import type { Expression, FilterExpression, MacroParts, OutputPart, Statement } from './nodes.js'
import { assignTo } from './targets.js'
import { strip } from './text.js'
import { TokenCursor } from './token-cursor.js'
import { isTrue } from './values.js'

/** Levels of blocks within blocks. */
const MAX_LEVELS = 100

const REFUSED: Readonly<Record<string, string>> = {
  extends: 'the tag extends (templates on their own have no other templates)',
  include: 'the tag include (templates on their own have no other templates)',
  import: 'the tag import (templates on their own have no other templates)',
  from: 'the tag from (templates on their own have no other templates)',
}

/** Parses a template. @throws TemplateFailure with the line of what is no Jinja or not supported */
export function parseTemplate(source: string): Statement[] {
  return new StatementParser(new TokenCursor(tokenize(source))).body(undefined)
}

class StatementParser {
  readonly #tokens: TokenCursor
  readonly #expressions: ExpressionParser
  #level = 0

  constructor(tokens: TokenCursor) {
    this.#tokens = tokens
    this.#expressions = new ExpressionParser(tokens)
  }

  get #current(): Token {
    return this.#tokens.current
  }

  #isName(...names: readonly string[]): boolean {
    return this.#current.type === 'name' && names.includes(this.#current.text)
  }

  /** Statements up to a tag of `ends`, which stays the current token; or up to the end of the source. */
  body(ends: readonly string[] | undefined): Statement[] {
    const statements: Statement[] = []
    let parts: OutputPart[] = []
    let partsLine = 1
    if (++this.#level > MAX_LEVELS) fail('Bounds', `expected at most ${MAX_LEVELS} nested blocks`, this.#current.line)
    const add = (part: OutputPart, line: number): void => {
      if (parts.length === 0) partsLine = line
      parts.push(part)
    }
    const flush = (): void => {
      if (parts.length > 0) statements.push({ kind: 'output', parts, line: partsLine })
      parts = []
    }
    while (this.#current.type !== 'eof') {
      const token = this.#current
      if (token.type === 'data') {
        add(token.text, token.line)
        this.#tokens.next()
      } else if (token.type === 'variable_begin') {
        this.#tokens.next()
        add(this.#expressions.tuple({}), token.line)
        this.#tokens.expectType('variable_end')
      } else if (token.type === 'block_begin') {
        flush()
        this.#tokens.next()
        if (ends !== undefined && this.#isName(...ends)) {
          this.#level--
          return statements
        }
        statements.push(...this.#statement())
        this.#tokens.expectType('block_end')
      } else fail('TemplateSyntaxError', 'unexpected token', token.line)
    }
    flush()
    this.#level--
    if (ends !== undefined) {
      fail('TemplateSyntaxError', `unexpected end of template, expected ${ends.join(' or ')}`, this.#current.line)
    }
    return statements
  }

  /** The body of a block and, where `drop`, its end tag's name. */
  #block(ends: readonly string[], drop = true): Statement[] {
    this.#tokens.skipOperator(':')
    this.#tokens.expectType('block_end')
    const statements = this.body(ends)
    if (drop) this.#tokens.next()
    return statements
  }

  #statement(): Statement[] {
    const token = this.#current
    const { line } = token
    if (token.type !== 'name') fail('TemplateSyntaxError', 'tag name expected', line)
    this.#tokens.next()
    switch (token.text) {
      case 'for':
        return [this.#for(line)]
      case 'if':
        return [this.#if(line)]
      case 'set':
        return [this.#set(line)]
      case 'with':
        return [this.#with(line)]
      case 'autoescape':
        return [this.#autoescape(line)]
      case 'block':
        return [this.#templateBlock(line)]
      case 'macro': {
        const name = this.#assignable()
        const { parameters, defaults } = this.#signature()
        return [{ kind: 'macro', name, parameters, defaults, body: this.#block(['endmacro']), line }]
      }
      case 'call':
        return [this.#call(line)]
      case 'generation': {
        const parts: MacroParts = { parameters: [], defaults: [], body: this.#block(['endgeneration']), line }
        return [{ kind: 'generation', ...parts }]
      }
      case 'filter': {
        const filter = this.#expressions.filters(undefined, true) as FilterExpression
        return [{ kind: 'filter-block', filter, body: this.#block(['endfilter']), line }]
      }
      case 'print': {
        const parts: Expression[] = []
        while (this.#current.type !== 'block_end') {
          if (parts.length > 0) this.#tokens.expectOperator(',')
          parts.push(this.#expressions.expression())
        }
        return [{ kind: 'output', parts, line }]
      }
      case 'break':
      case 'continue':
        return [{ kind: token.text, line }]
    }
    const refused = REFUSED[token.text]
    if (refused !== undefined) return unsupported(refused, line)
    return fail('TemplateSyntaxError', `Encountered unknown tag '${token.text}'.`, line)
  }

  /** The name in a place where only a name can be assigned to. */
  #assignable(): string {
    const token = this.#tokens.expectType('name')
    assignTo({ kind: 'name', name: token.text, line: token.line, context: 'store' }, 'store')
    return token.text
  }

  #for(line: number): Statement {
    const target = this.#expressions.target(['in'], false)
    this.#tokens.expectName('in')
    const items = this.#expressions.tuple({ withoutCondition: true, ends: ['recursive'] })
    const test = this.#tokens.skipName('if') ? this.#expressions.expression() : undefined
    const recursive = this.#tokens.skipName('recursive')
    const body = this.#block(['endfor', 'else'], false)
    const otherwise = this.#tokens.next().text === 'else' ? this.#block(['endfor']) : []
    return { kind: 'for', target, items, body, otherwise, test, recursive, line }
  }

  #if(line: number): Statement {
    const branches: { test: Expression; body: Statement[]; line: number }[] = []
    let branchLine = line
    for (;;) {
      const test = this.#expressions.tuple({ withoutCondition: true })
      branches.push({ test, body: this.#block(['elif', 'else', 'endif'], false), line: branchLine })
      const end = this.#tokens.next()
      branchLine = end.line
      if (end.text === 'elif') continue
      return { kind: 'if', branches, otherwise: end.text === 'else' ? this.#block(['endif']) : [], line }
    }
  }

  #set(line: number): Statement {
    const target = this.#expressions.target([], true)
    if (this.#tokens.skipOperator('=')) return { kind: 'assign', target, value: this.#expressions.tuple({}), line }
    const filter = this.#expressions.filters(undefined, false) as FilterExpression | undefined
    return { kind: 'assign-block', target, filter, body: this.#block(['endset']), line }
  }

  #with(line: number): Statement {
    const targets: Expression[] = []
    const values: Expression[] = []
    while (this.#current.type !== 'block_end') {
      if (targets.length > 0) this.#tokens.expectOperator(',')
      targets.push(this.#expressions.target([], false, 'param'))
      this.#tokens.expectOperator('=')
      values.push(this.#expressions.expression())
    }
    return { kind: 'with', targets, values, body: this.#block(['endwith']), line }
  }

  /** Nothing is escaped anyway: a block that says so is a scope. */
  #autoescape(line: number): Statement {
    const value = this.#expressions.expression()
    if (value.kind !== 'const' || isTrue(value.value))
      return unsupported('the tag autoescape with a value but false', line)
    return { kind: 'with', targets: [], values: [], body: this.#block(['endautoescape']), line }
  }

  #templateBlock(line: number): Statement {
    const name = this.#tokens.expectType('name').text
    const scoped = this.#tokens.skipName('scoped')
    const required = this.#tokens.skipName('required')
    const body = this.#block(['endblock'])
    const isBlank = (part: OutputPart): boolean => typeof part === 'string' && strip(part, true, true) === ''
    if (required && !body.every((node) => node.kind === 'output' && node.parts.every(isBlank))) {
      fail('TemplateSyntaxError', 'Required blocks can only contain comments or whitespace', line)
    }
    this.#tokens.skipName(name)
    return { kind: 'block', name, scoped, required, body, line }
  }

  #call(line: number): Statement {
    const isOpen = this.#current.type === 'operator' && this.#current.text === '('
    const { parameters, defaults } = isOpen ? this.#signature() : { parameters: [], defaults: [] }
    const call = this.#expressions.expression()
    if (call.kind !== 'call') return fail('TemplateSyntaxError', 'expected call', line)
    return { kind: 'call-block', call, parameters, defaults, body: this.#block(['endcall']), line }
  }

  #signature(): Pick<MacroParts, 'parameters' | 'defaults'> {
    const parameters: { name: string; line: number }[] = []
    const defaults: Expression[] = []
    this.#tokens.expectOperator('(')
    while (!(this.#current.type === 'operator' && this.#current.text === ')')) {
      if (parameters.length > 0) this.#tokens.expectOperator(',')
      const { line } = this.#current
      const name = this.#assignable()
      // Python refuses a function with two parameters of one name.
      if (parameters.some((other) => other.name === name))
        fail('TemplateSyntaxError', `duplicate argument '${name}'`, line)
      if (this.#tokens.skipOperator('=')) defaults.push(this.#expressions.expression())
      else if (defaults.length > 0) fail('TemplateSyntaxError', 'non-default argument follows default argument', line)
      parameters.push({ name, line })
    }
    this.#tokens.expectOperator(')')
    return { parameters, defaults }
  }
}
