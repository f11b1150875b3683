/**
 * @file JSON schemas as grammars: rules become a program, whose masks keep an answer to values that meet the schema.
 */

import { OptionError } from '../lowrank-error.js'
import { type Steps, Turns } from '../turns.js'
import { type CompiledGrammar, grammarOf } from './grammar-mask.js'
import { type Member, MemberNames } from './member-names.js'
import { type GrammarRule, Program, type State } from './program.js'
import { type ArrayForm, type ObjectForm, type Rule, rulesOf } from './schema-rules.js'
import type { TokenVocabulary } from './vocabulary.js'

/**
 * White space between the parts of a value: `single` allows one space before the value and behind each `:` and `,`,
 * `none` allows none. There is never more, so that an answer cannot be white space without end.
 */
export type WhiteSpace = 'single' | 'none'

export interface JsonSchemaOptions {
  /** @default 'single' */
  readonly whiteSpace?: WhiteSpace | undefined
  /** @default none: the work goes on to its end */
  readonly signal?: AbortSignal | undefined
}

const MOST_STATES = 500_000
const STEP = 64
// What a turn leaves behind is collected within it.
const TURN_MS = 5

/** Any object of JSON. */
export const JSON_OBJECT: Readonly<Record<string, unknown>> = { type: 'object' }

/**
 * A grammar whose answers are values that meet a JSON schema of draft 2020-12, in short turns of the event loop.
 *
 * Supported are `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`, `items`, `prefixItems`,
 * `minItems`, `maxItems`, `minLength`, `maxLength`, `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum`,
 * `multipleOf` of whole numbers, `pattern` without look-around, `\b` and references to groups, `format` `date`, `time`,
 * `date-time`, `uuid` and `ipv4`, `anyOf`, `oneOf` of schemas that exclude each other, `allOf`, and `$ref` within the
 * schema, also to itself.
 *
 * Members of objects come in the order of the schema, those that it does not name behind them. Where no `type` stands,
 * keywords of a type mean that type. Whole numbers have at most 21 digits; a number with bounds is written without an
 * exponent.
 *
 * @throws OptionError naming a keyword that is wrong or not supported with its place, a schema that is too large, and
 * one that no value meets; with the reason of the signal
 */
export async function compileJsonSchema(
  schema: unknown,
  vocabulary: TokenVocabulary,
  { whiteSpace = 'single', signal }: JsonSchemaOptions = {},
): Promise<CompiledGrammar> {
  const turns = new Turns(signal, TURN_MS)
  turns.throwIfAborted()
  const program = new Program()
  const rule = await turns.run(valueRule(schema, program, whiteSpace))
  const value = program.call(rule, program.returning())
  // Tokens of SentencePiece put a space before a text, which decoding takes away.
  return grammarOf(whiteSpace === 'none' ? value : program.state([value, program.text(' ', value)]), vocabulary)
}

/**
 * The rule of a schema's values within a program.
 * @throws OptionError as `compileJsonSchema`
 */
export function* valueRule(schema: unknown, program: Program, whiteSpace: WhiteSpace): Steps<GrammarRule> {
  const root = yield* rulesOf(schema)
  const productive = yield* productiveRules(root)
  if (!productive.has(root)) {
    throw new OptionError(
      '[json schema] expected a schema that some value meets, got one that none does; look for bounds, types and required ' +
        'properties that exclude each other',
    )
  }
  return yield* new RuleWriter(program, productive, whiteSpace).write(root)
}

/** Rules that some value of finite length meets. */
function* productiveRules(root: Rule): Steps<Set<Rule>> {
  const all = new Set([root])
  for (const rule of all) {
    for (const form of rule.forms) {
      if (form.kind === 'object') {
        for (const slot of form.slots) all.add(slot.rule)
        if (form.others !== undefined) all.add(form.others.rule)
      } else {
        for (const item of form.prefix) all.add(item)
        all.add(form.items)
      }
    }
    if (all.size % STEP === 0) yield
  }
  const productive = new Set<Rule>()
  const users = new Map<Rule, Rule[]>()
  const hasEnd = (rule: Rule): boolean =>
    rule.terminals.length > 0 ||
    rule.forms.some((form) => {
      if (form.kind === 'object') return form.slots.every((slot) => !slot.isRequired || productive.has(slot.rule))
      return form.min <= form.max && itemsOf(form, productive) >= form.min
    })
  for (const rule of all) {
    for (const form of rule.forms) {
      const inner = form.kind === 'object' ? form.slots.map((slot) => slot.rule) : [...form.prefix, form.items]
      for (const one of inner) {
        const known = users.get(one)
        if (known === undefined) users.set(one, [rule])
        else known.push(rule)
      }
    }
  }
  const waiting = [...all].reverse()
  let work = 0
  for (let rule = waiting.pop(); rule !== undefined; rule = waiting.pop()) {
    if (++work % STEP === 0) yield
    if (productive.has(rule) || !hasEnd(rule)) continue
    productive.add(rule)
    waiting.push(...(users.get(rule) ?? []))
  }
  return productive
}

/** How many items an array can have, as far as productive rules go; may be infinite. */
function itemsOf(form: ArrayForm, productive: ReadonlySet<Rule>): number {
  const stuck = form.prefix.findIndex((rule) => !productive.has(rule))
  if (stuck >= 0) return Math.min(stuck, form.max)
  return productive.has(form.items) ? form.max : Math.min(form.prefix.length, form.max)
}

class RuleWriter {
  readonly #program: Program
  readonly #productive: ReadonlySet<Rule>
  readonly #whiteSpace: WhiteSpace
  readonly #written = new Map<Rule, GrammarRule>()
  readonly #waiting: Rule[] = []

  constructor(program: Program, productive: ReadonlySet<Rule>, whiteSpace: WhiteSpace) {
    this.#program = program
    this.#productive = productive
    this.#whiteSpace = whiteSpace
  }

  *write(root: Rule): Steps<GrammarRule> {
    const written = this.#rule(root)
    for (let rule = this.#waiting.pop(); rule !== undefined; rule = this.#waiting.pop()) {
      const { starts } = this.#rule(rule)
      for (const form of rule.forms) {
        if (form.kind === 'object') {
          if (form.slots.every((slot) => !slot.isRequired || this.#productive.has(slot.rule)))
            starts.push(yield* this.#object(form))
        } else if (form.min <= form.max && itemsOf(form, this.#productive) >= form.min) {
          starts.push(yield* this.#array(form))
        }
      }
    }
    return written
  }

  #rule(rule: Rule): GrammarRule {
    const known = this.#written.get(rule)
    if (known !== undefined) return known
    const made: GrammarRule = { starts: [], terminals: rule.terminals }
    this.#written.set(rule, made)
    this.#waiting.push(rule)
    return made
  }

  /** The state before a space that may be left out, and `then`. */
  #space(then: State): State {
    if (this.#whiteSpace === 'none') return then
    const state = this.#program.state([then])
    state.byte = 0x20
    state.target = then
    return state
  }

  *#object({ slots: all, others }: ObjectForm): Steps<State> {
    const program = this.#program
    const slots = all.filter(({ rule }) => this.#productive.has(rule))
    const lastRequired = slots.findLastIndex(({ isRequired }) => isRequired)
    const close = program.text('}', program.returning())
    // Before a member that is not the first: one of the schema from that place on, or one behind all of these.
    const later = slots.map(() => program.state())
    const end = program.state()
    const hasOthers = others !== undefined && this.#productive.has(others.rule)
    const behind = (at: number): State => {
      const state = program.state(at > lastRequired ? [close] : [])
      if (at < slots.length || hasOthers) state.also.push(program.text(',', this.#space(later[at] ?? end)))
      return state
    }
    if (hasOthers) {
      const value = program.call(this.#rule(others.rule), behind(slots.length))
      end.also.push(program.call(others.name, program.text(':', this.#space(value))))
    }
    const members: Member[] = []
    let letters = 0
    for (const [at, { name, rule, isRequired }] of slots.entries()) {
      const text = `${JSON.stringify(name)}:`
      members.push({ text, isRequired, target: this.#space(program.call(this.#rule(rule), behind(at + 1))) })
      letters += text.length
      if (program.size + letters > MOST_STATES) throw tooLarge()
      yield
    }
    const names = yield* MemberNames.read(program, members)
    for (const [at, state] of later.entries()) {
      state.also.push(names.from(at))
      if (at > lastRequired) state.also.push(end)
    }
    const first = slots.length === 0 ? [] : [names.from(0)]
    return program.text('{', program.state(lastRequired < 0 ? [...first, close, end] : first))
  }

  *#array(form: ArrayForm): Steps<State> {
    const program = this.#program
    const { prefix, items, min } = form
    const max = itemsOf(form, this.#productive)
    const ruleAt = (at: number): GrammarRule => this.#rule(prefix[at] ?? items)
    const close = program.text(']', program.returning())
    // Behind this many items the state no longer depends on how many there are.
    const loop = max === Number.POSITIVE_INFINITY ? Math.max(prefix.length, min, 1) : max
    let behind = program.state(loop >= min ? [close] : [])
    if (max === Number.POSITIVE_INFINITY) {
      behind.also.push(program.text(',', this.#space(program.call(ruleAt(loop), behind))))
    }
    for (let count = loop - 1; count >= 0; count--) {
      const item = program.call(ruleAt(count), behind)
      const more = count === 0 ? item : program.text(',', this.#space(item))
      behind = program.state(count >= min ? [close, more] : [more])
      if (program.size > MOST_STATES) throw tooLarge()
      if (count % STEP === 0) yield
    }
    return program.text('[', behind)
  }
}

function tooLarge(): Error {
  return new OptionError(
    `[json schema] expected a schema that makes at most ${MOST_STATES} states, got more; use fewer properties and smaller minItems ` +
      'and maxItems',
  )
}
