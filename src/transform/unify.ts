/**
 * @file Several data sets become one: a mapping file says how the columns of each become those of one schema. Each row
 * says which source and which row it comes from.
 */

import { dirname, relative, resolve } from 'node:path'
import { describeOrigin, type RowOrigin } from '../data/row-origin.js'
import { type DataSource, isDataSource } from '../data/sources/open-source.js'
import type { RowSource, SourceRow } from '../data/sources/row-source.js'
import { fillTemplate, namesIn } from '../data/text-template.js'
import type { WriteFormat } from '../data/writers/write-options.js'
import { OptionError } from '../lowrank-error.js'
import { either, exactly, instance, objectOf, path } from '../options/rules.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { isPlainObject } from '../values.js'
import { holds } from './condition.js'
import { type Columns, numberOfValue, presentValue, type ReadingOptions, readInput, textOfValue } from './input.js'
import {
  type ColumnSource,
  type ColumnType,
  type MappedSource,
  type Mapping,
  type MappingFile,
  readMapping,
} from './mapping-file.js'
import { TRANSFORM_OPTIONS, type TransformOptions } from './options.js'
import { writeRowsAtomic } from './output.js'
import { divide, FORMAT_OF_SPLITS, SPLIT_BY, type SplitBy, type SplitReport } from './split.js'

/** What `unifySources` takes. */
export interface UnifySourcesOptions extends TransformOptions, Pick<SplitBy, 'seed' | 'groupBy'> {
  /** Path of the mapping file, or what it holds. */
  mapping: string | MappingFile
  /** Path of the file of all rows, whose ending names its format; with `splits`, the directory of a file for each. */
  output: string
  /**
   * Rows by the name of their source, in place of the paths of the mapping file.
   * @default {}
   */
  datasets?: Readonly<Record<string, DataSource>>
  /**
   * Divide the rows, each source by these shares: `{ train: 0.9, evaluation: 0.1 }`. The sources are read twice.
   * @default undefined: all rows go into one file
   */
  splits?: SplitBy['splits']
  /**
   * The format of the files of `splits`; the ending of `output` names that of one file.
   * @default 'jsonl'
   */
  format?: WriteFormat
}

/** The options of `unifySources`. */
export const UNIFY_SOURCES_OPTIONS = {
  mapping: {
    rule: instance('the path of a mapping file', (value) => typeof value === 'string' || isPlainObject(value)),
    isRequired: true,
    help: 'YAML file that says how columns of the sources become those of one schema',
  },
  output: { rule: path, isRequired: true, help: 'file of all rows, or with splits the directory of a file for each' },
  datasets: {
    rule: objectOf(
      instance('a path, a glob or an iterable of rows', isDataSource),
      'an object from names of sources to a path, a glob or an iterable of rows',
    ),
    default: {},
    help: 'rows by the name of their source, in place of the paths of the mapping file',
  },
  splits: {
    rule: either(SPLIT_BY.splits.rule, exactly(undefined, 'one file')),
    otherwise: 'all rows go into one file',
    help: 'divide the rows, each source by these shares; the sources are read twice',
  },
  format: FORMAT_OF_SPLITS,
  seed: SPLIT_BY.seed,
  groupBy: SPLIT_BY.groupBy,
  ...TRANSFORM_OPTIONS,
} as const satisfies OptionTable<UnifySourcesOptions>

/** What became of the rows of one source: `read` is `written` and all of `skipped` together. */
export interface SourceCounts {
  readonly read: number
  readonly written: number
  /** Rows that were left out, by reason. */
  readonly skipped: Readonly<Record<string, number>>
}

/** What became of the rows: the figures of all sources make those of the whole. */
export interface UnifyReport extends SourceCounts {
  readonly output: string
  readonly sources: Readonly<Record<string, SourceCounts>>
  /** Undefined where all rows went into one file. */
  readonly splits: SplitReport['splits'] | undefined
}

/**
 * Makes one data set of several.
 *
 * @throws OptionError naming field, file and line of a mapping file that is wrong
 * @throws DataError naming the row that cannot be read
 */
export async function unifySources(options: UnifySourcesOptions): Promise<UnifyReport> {
  const {
    mapping: given,
    output,
    datasets,
    splits,
    format,
    seed,
    groupBy,
    ...reading
  } = readOptions('unify', options, UNIFY_SOURCES_OPTIONS)
  const mapping = await readMapping(given)
  const unified = new UnifiedSource(mapping, datasets, typeof given === 'string' ? dirname(resolve(given)) : undefined)
  if (splits !== undefined) {
    const divided = await divide(unified, output, {
      splits,
      format,
      seed,
      groupBy,
      ...reading,
      stratifyBy: mapping.provenance.source,
    })
    return { output, ...unified.counts, splits: divided.splits }
  }
  return await writeRowsAtomic(
    [output],
    async (write) => {
      for await (const { columns } of readInput(unified, { ...reading, outputs: [output] })) await write(0, columns)
      return { output, ...unified.counts, splits: undefined }
    },
    reading,
  )
}

/** The rows of all sources in one schema; counted anew each time that they are read. */
class UnifiedSource implements RowSource {
  readonly name = 'the unified sources'
  readonly #mapping: Mapping
  readonly #sources: readonly (readonly [MappedSource, DataSource])[]
  readonly #base: string | undefined
  #counts = new Map<string, Counts>()

  /** @param base Directory of the mapping file: paths of rows are written as seen from there. */
  constructor(mapping: Mapping, datasets: Readonly<Record<string, DataSource>>, base: string | undefined) {
    this.#mapping = mapping
    this.#base = base
    const names = mapping.sources.map(({ name }) => name)
    const other = Object.keys(datasets).find((name) => !names.includes(name))
    if (other !== undefined)
      throw new OptionError(`[unify] expected names of sources (${names.join(', ')}) in datasets, got ${other}`)
    this.#sources = mapping.sources.map((source) => {
      const [path, ...more] = source.paths ?? []
      const dataset = Object.hasOwn(datasets, source.name)
        ? datasets[source.name]
        : more.length > 0
          ? source.paths
          : path
      if (dataset === undefined)
        throw new OptionError(
          `[unify] expected rows for the source ${source.name}, got neither its path in the mapping nor datasets.${source.name}`,
        )
      return [source, dataset] as const
    })
  }

  get counts(): SourceCounts & Pick<UnifyReport, 'sources'> {
    const all = new Counts()
    for (const counts of this.#counts.values()) all.add(counts)
    const sources = Object.fromEntries([...this.#counts].map(([name, counts]) => [name, counts.report]))
    return { ...all.report, sources }
  }

  async *rows({ signal, onFraction }: Parameters<RowSource['rows']>[0]): AsyncGenerator<SourceRow> {
    this.#counts = new Map(this.#mapping.sources.map(({ name }) => [name, new Counts()]))
    for (const [index, [source, dataset]] of this.#sources.entries()) {
      const counts = this.#counts.get(source.name) as Counts
      const reading: ReadingOptions = {
        signal,
        onProgress: (_, fraction) => {
          if (fraction !== undefined) onFraction((index + fraction) / this.#sources.length)
        },
      }
      for await (const { columns, origin } of readInput(dataset, reading, source.name)) {
        const row = this.#rowOf(source, columns, origin)
        counts.count(typeof row === 'string' ? row : undefined)
        if (typeof row !== 'string') yield { value: row, origin }
      }
    }
  }

  /** The row in the schema of all, or why it is left out. */
  #rowOf({ name, key, where, columns: mapped }: MappedSource, given: Columns, origin: RowOrigin): Columns | string {
    const { columns, provenance } = this.#mapping
    if (where !== undefined && !holds(where, given, () => {})) return 'where'
    const row = new Map<string, unknown>()
    for (const [column, { isOptional }] of columns) {
      const source = mapped.get(column)
      const value = source === undefined ? undefined : valueFrom(source, given)
      if (value instanceof Unfit && !(isOptional && value.isMissing)) return `${value.reason} for ${column}`
      row.set(column, value === undefined || value instanceof Unfit ? null : value)
    }
    const keyed = key === undefined ? describeOrigin(this.#near(origin)) : presentValue(given, key)
    if (keyed === undefined) return `no value for ${key}`
    row.set(provenance.source, name)
    row.set(provenance.row, textOfValue(keyed))
    return row
  }

  /** The origin whatever the machine and the directory of the process are. */
  #near(origin: RowOrigin): RowOrigin {
    const { file } = origin
    return this.#base === undefined || file === undefined || file.includes('://')
      ? origin
      : { ...origin, file: relative(this.#base, resolve(file)) }
  }
}

/** Why a value cannot be made. */
class Unfit {
  readonly reason: string
  readonly isMissing: boolean

  constructor(reason: string, isMissing: boolean) {
    this.reason = reason
    this.isMissing = isMissing
  }
}

const MISSING = new Unfit('no value', true)
const UNFIT: Readonly<Record<Exclude<ColumnType, 'text'>, Unfit>> = {
  number: new Unfit('no number', false),
  integer: new Unfit('no whole number', false),
  boolean: new Unfit('neither true nor false', false),
}

function valueFrom(source: ColumnSource, columns: Columns): unknown {
  if (source.kind === 'constant') return source.value
  if (source.kind === 'text') {
    const isWhole = namesIn(source.template).every((name) => presentValue(columns, name) !== undefined)
    return isWhole ? fillTemplate(source.template, (name) => textOfValue(presentValue(columns, name))) : MISSING
  }
  const value = presentValue(columns, source.column)
  return value === undefined ? MISSING : converted(value, source.type)
}

function converted(value: unknown, type: ColumnType | undefined): unknown {
  switch (type) {
    case undefined:
      return value
    case 'text':
      return textOfValue(value)
    case 'number':
      return numberOfValue(value) ?? UNFIT.number
    case 'integer': {
      const number = numberOfValue(value)
      return Number.isSafeInteger(number) ? number : UNFIT.integer
    }
    case 'boolean': {
      const text = textOfValue(value).toLowerCase()
      return text === 'true' || text === '1' ? true : text === 'false' || text === '0' ? false : UNFIT.boolean
    }
    default:
      return type satisfies never
  }
}

/** Counts the rows of a source. */
class Counts {
  #read = 0
  #written = 0
  readonly #skipped = new Map<string, number>()

  /** @param reason Why the row is left out; undefined: it is not. */
  count(reason: string | undefined): void {
    this.#read++
    if (reason === undefined) this.#written++
    else this.#skipped.set(reason, (this.#skipped.get(reason) ?? 0) + 1)
  }

  add(other: Counts): void {
    this.#read += other.#read
    this.#written += other.#written
    for (const [reason, count] of other.#skipped) this.#skipped.set(reason, (this.#skipped.get(reason) ?? 0) + count)
  }

  get report(): SourceCounts {
    return { read: this.#read, written: this.#written, skipped: Object.fromEntries(this.#skipped) }
  }
}
