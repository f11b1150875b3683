/**
 * @file Addresses of registered models: `uc://catalog.schema.model`, with an alias or a version where one is meant.
 * Asks nobody.
 */

import { describeValue } from '../../../errors.js'
import { OptionError } from '../../../lowrank-error.js'

/** A registered model, and which of its versions. */
export interface ModelAddress {
  /** `catalog.schema.model` */
  readonly name: string
  /** At most one of alias and version; neither: the newest version that is ready. */
  readonly alias: string | undefined
  readonly version: number | undefined
}

const PART = '[^\\s./@?`]+'
const NAME = new RegExp(`^${PART}\\.${PART}\\.${PART}$`)
const ADDRESS = /^(?:uc:\/\/)?([^/@?]+)(?:@v?(\d+)|@([^/@?]+)|\/(\d+)|\?version=(\d+))?$/i
const ALIAS = /^[\w-]{1,255}$/
/** MLflow keeps these for itself. */
const RESERVED_ALIAS = /^(?:v?\d+|latest)$/i

/** Whether text names something of Unity Catalog. */
export function isCatalogAddress(text: unknown): text is string {
  return typeof text === 'string' && /^uc:\/\//i.test(text)
}

/**
 * The parts of `uc://main.risk.chat@champion`, also without `uc://`; `@v3`, `/3` and `?version=3` name a version.
 * @throws OptionError for what is none
 */
export function parseModelAddress(address: string): ModelAddress {
  const [, name, at, alias, behind, asked] = (typeof address === 'string' && ADDRESS.exec(address)) || []
  const version = at ?? behind ?? asked
  const isWrong = name === undefined || !NAME.test(name) || Number(version) === 0
  if (isWrong || (alias !== undefined && (!ALIAS.test(alias) || RESERVED_ALIAS.test(alias))))
    throw new OptionError(
      `[databricks] expected a model as uc://CATALOG.SCHEMA.MODEL, with @ALIAS or @v3 for a version, got ${describeValue(address)}`,
    )
  return { name, alias, version: version === undefined ? undefined : Number(version) }
}

/** `uc://main.risk.chat@v3`, as records have it. */
export function formatModelAddress(name: string, version: number): string {
  return `uc://${name}@v${version}`
}

/** Whether text may be an alias of a version. */
export function isAlias(text: unknown): text is string {
  return typeof text === 'string' && ALIAS.test(text) && !RESERVED_ALIAS.test(text)
}

/** The name of a registered model without a version. @throws OptionError */
export function parseModelName(text: string): string {
  const { name, alias, version } = parseModelAddress(text)
  if (alias === undefined && version === undefined) return name
  throw new OptionError(
    `[databricks] expected a model without alias and version as CATALOG.SCHEMA.MODEL, got ${describeValue(text)}; write ${name}${alias === undefined ? '' : `, and the alias apart: --alias ${alias}`}`,
  )
}

/** Catalog, schema and model as Unity Catalog's calls name them. */
export function partsOfName(name: string): {
  readonly catalog_name: string
  readonly schema_name: string
  readonly model_name: string
} {
  const [catalog_name = '', schema_name = '', model_name = ''] = name.split('.')
  return { catalog_name, schema_name, model_name }
}
