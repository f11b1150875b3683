/**
 * @file Files in YAML that say what a transformation does. A node knows where it stands, so that an error names file,
 * line and field. Nothing in such a file is run. Knows no transformation.
 */

import type { Document, isNode } from 'yaml'
import { describeValue, nearestName } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import { readRegularFile } from '../regular-file.js'
import { isObject } from '../values.js'
import { loadPeer } from './load-peer.js'

type Path = readonly (string | number)[]

/** The file of a node. */
interface YamlFile {
  /** The transformation, as errors name it. */
  readonly where: string
  readonly name: string
  /** `rules.yaml:12` of a path; of values that a program gave, nothing. */
  placeOf(path: Path): string | undefined
}

// Larger than any such file: a data set given by mistake is not read.
const LARGEST_FILE = 1 << 20

/** A value within a YAML file. */
export class YamlNode {
  readonly value: unknown
  readonly #file: YamlFile
  readonly #path: Path

  private constructor(file: YamlFile, path: Path, value: unknown) {
    this.#file = file
    this.#path = path
    this.value = value
  }

  /**
   * @param given A path, or what such a file holds.
   * @param where The transformation, as errors name it.
   */
  static async read(given: string | object, where: string): Promise<YamlNode> {
    if (typeof given !== 'string')
      return new YamlNode({ where, name: `the ${where}`, placeOf: () => undefined }, [], given)
    const bytes = await readRegularFile(given, { where, limit: LARGEST_FILE })
    const { LineCounter, parseDocument, isNode } = await loadPeer<typeof import('yaml')>('yaml', `to read ${given}`)
    const lines = new LineCounter()
    const refuse = (what: string, offset: number): never => {
      throw new OptionError(`[${where}] expected YAML in ${given}, got at line ${lines.linePos(offset).line}: ${what}`)
    }
    const text = new TextDecoder().decode(bytes)
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, version: '1.2' })
    const [problem] = [...document.errors, ...document.warnings]
    if (problem) refuse(problem.message, problem.pos[0])
    const placeOf = (path: Path): string => `${given}:${lines.linePos(offsetOf(document, path, isNode)).line}`
    let value: unknown
    try {
      value = document.toJS({ maxAliasCount: 100 })
    } catch (error) {
      refuse((error as Error).message, 0)
    }
    return new YamlNode({ where, name: given, placeOf }, [], value)
  }

  /** What errors call the file. */
  get file(): string {
    return this.#file.name
  }

  /** @throws saying what was expected here, and where that is */
  fail(expected: string, remedy?: string): never {
    const name = this.#path.reduce<string>(
      (all, key) => (typeof key === 'number' ? `${all}[${key}]` : all === '' ? key : `${all}.${key}`),
      '',
    )
    const place = this.#file.placeOf(this.#path)
    const at = [name === '' ? 'all of it' : name, ...(place === undefined ? [] : [`in ${place}`])].join(' ')
    throw new OptionError(
      `[${this.#file.where}] expected ${expected} for ${at}, got ${this.value === undefined ? 'nothing' : describeValue(this.value)}` +
        `${remedy === undefined ? '' : `; ${remedy}`}`,
    )
  }

  /** The fields of a mapping that knows no others. @throws for one that is not known, naming the nearest */
  fields<Name extends string>(names: readonly Name[]): { readonly [Key in Name]: YamlNode } {
    const given = this.#mapping(`a mapping with ${names.join(', ')}`)
    for (const name of Object.keys(given)) {
      if (names.includes(name as Name)) continue
      const place = this.#file.placeOf([...this.#path, name])
      const nearest = nearestName(name, names)
      throw new OptionError(
        `[${this.#file.where}] unknown field ${describeValue(name)}${place === undefined ? '' : ` in ${place}`}; ` +
          `${nearest === undefined ? '' : `did you mean ${nearest}? `}known here: ${names.join(', ')}`,
      )
    }
    return Object.fromEntries(names.map((name) => [name, this.#child(name, ownValue(given, name))])) as {
      [Key in Name]: YamlNode
    }
  }

  /** The fields of a mapping with any names; none where the value is absent. */
  entries(): readonly (readonly [name: string, node: YamlNode])[] {
    if (this.isAbsent) return []
    const given = this.#mapping('a mapping')
    return Object.keys(given).map((name) => [name, this.#child(name, ownValue(given, name))])
  }

  /** The items of a list; none where the value is absent. */
  items(): readonly YamlNode[] {
    if (this.isAbsent) return []
    if (!Array.isArray(this.value)) return this.fail('a list')
    return this.value.map((item, index) => this.#child(index, item))
  }

  get isAbsent(): boolean {
    return this.value === undefined || this.value === null
  }

  /** Text; numbers and true or false as they are written. */
  text(): string {
    if (typeof this.value === 'string') return this.value
    if (typeof this.value === 'number' || typeof this.value === 'boolean') return String(this.value)
    return this.fail('text')
  }

  /** Text with something in it. */
  name(): string {
    return typeof this.value === 'string' && this.value.trim() !== '' ? this.value : this.fail('a name')
  }

  number(): number {
    return typeof this.value === 'number' && Number.isFinite(this.value) ? this.value : this.fail('a number')
  }

  boolean(fallback: boolean): boolean {
    if (this.isAbsent) return fallback
    return typeof this.value === 'boolean' ? this.value : this.fail('true or false')
  }

  #mapping(expected: string): Record<string, unknown> {
    return isObject(this.value) ? this.value : this.fail(expected)
  }

  #child(key: string | number, value: unknown): YamlNode {
    return new YamlNode(this.#file, [...this.#path, key], value)
  }
}

function ownValue(object: Record<string, unknown>, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined
}

/** Where the value of a path begins; of one that is not there, what should hold it. */
function offsetOf(document: Document, path: Path, isParsed: typeof isNode): number {
  for (let length = path.length; length >= 0; length--) {
    const node = document.getIn(path.slice(0, length), true)
    if (isParsed(node) && node.range) return node.range[0]
  }
  return 0
}
