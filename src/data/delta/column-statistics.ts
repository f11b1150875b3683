/** @file What the log of a Delta table says of the values of a file: engines pass over files by it. */

import { PythonFloat } from '../../lossless-json.js'
import { jsonLine } from '../writers/json-value.js'
import { entriesOf, type RowSchema } from '../writers/row-schema.js'

// Longer texts would have to be cut, the largest upwards.
const LONGEST_TEXT = 32

type Ordered = number | bigint | string

/** Counts rows and nulls, and keeps the least and greatest value of each column of numbers or short texts. */
export class ColumnStatistics {
  readonly #columns = new Map<string, { nulls: number; least?: Ordered; greatest?: Ordered; isBounded: boolean }>()
  #rows = 0

  constructor(schema: RowSchema) {
    for (const [name, type] of schema)
      this.#columns.set(name, { nulls: 0, isBounded: type === 'integer' || type === 'float' || type === 'string' })
  }

  get rows(): number {
    return this.#rows
  }

  add(row: unknown): void {
    this.#rows++
    const values = new Map(entriesOf(row))
    for (const [name, column] of this.#columns) {
      const given = values.get(name)
      if (given === null || given === undefined) column.nulls++
      else if (column.isBounded) {
        const value = (given instanceof PythonFloat ? given.value : given) as Ordered
        const isOrdered =
          typeof value === 'string' ? isShort(value) : typeof value === 'bigint' || Number.isFinite(value)
        if (!isOrdered) column.isBounded = false
        else {
          if (column.least === undefined || value < column.least) column.least = value
          if (column.greatest === undefined || value > column.greatest) column.greatest = value
        }
      }
    }
  }

  /** JSON, as `add` actions have it. */
  get text(): string {
    const all = [...this.#columns]
    const bounded = all.filter(([, { isBounded, least }]) => isBounded && least !== undefined)
    return jsonLine({
      numRecords: this.#rows,
      minValues: new Map(bounded.map(([name, { least }]) => [name, least])),
      maxValues: new Map(bounded.map(([name, { greatest }]) => [name, greatest])),
      nullCount: new Map(all.flatMap(([name, { nulls, isBounded }]) => (isBounded ? [[name, nulls] as const] : []))),
    })
  }
}

/** Whether a text is ordered by its UTF-16 code units as by its bytes. */
function isShort(text: string): boolean {
  return text.length <= LONGEST_TEXT && !/[\ud800-\uffff]/.test(text)
}
