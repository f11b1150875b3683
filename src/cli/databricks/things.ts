/** @file Commands that are the same for every kind of thing in a workspace: list them, show one, end one. */

import type { DatabricksOptions } from '../../databricks/client/connect.js'
import type { AnyCommand, Command, Example } from '../command.js'
import { JSON_OBJECT } from '../flags.js'
import { untilSignal } from '../until-signal.js'
import { CONNECTION_FLAGS, type ConnectionFlags, connectionOf } from './connection-flags.js'
import { expectWord } from './given.js'
import { JSON_LINES, writeFields, writeJson, writeTable } from './output.js'

/** What the calls about things take. */
interface Asking {
  readonly databricks: DatabricksOptions
  readonly signal: AbortSignal
}

interface JsonFlags extends ConnectionFlags {
  readonly json?: boolean
}

interface OneFlags extends JsonFlags {
  readonly id: string
}

/** A command that writes a row for each thing. */
export function listCommand<T>(parts: {
  readonly summary: string
  readonly examples: readonly [Example, ...Example[]]
  readonly heads: readonly string[]
  readonly load: () => Promise<(options: Asking) => Promise<readonly T[]>>
  readonly row: (thing: T) => readonly string[]
  /** Said in place of a table without rows. */
  readonly none: string
}): AnyCommand {
  const { summary, examples, heads, load, row, none } = parts
  const command: Command<JsonFlags> = {
    summary,
    flags: { json: JSON_LINES, ...CONNECTION_FLAGS },
    examples,
    check: ({ flags }) => flags,
    async run({ json, ...connection }) {
      const list = await load()
      const things = await untilSignal((signal) => list({ databricks: connectionOf(connection), signal }))
      if (json) for (const thing of things) writeJson(thing)
      else if (things.length === 0) process.stdout.write(`${none}\n`)
      else writeTable(heads, things.map(row))
    },
  }
  return command
}

/** What names one thing. */
export interface OneThing {
  /** As typed: `databricks clusters get`. */
  readonly name: string
  /** `cluster-id` */
  readonly argument: string
  /** `id of the cluster` */
  readonly help: string
}

/** A command that writes the fields of one thing. */
export function showCommand<T extends object>(
  parts: OneThing & {
    readonly summary: string
    readonly examples: readonly [Example, ...Example[]]
    readonly load: () => Promise<(id: string, options: Asking) => Promise<T>>
    readonly fields: (thing: T) => Readonly<Record<string, string | undefined>>
  },
): AnyCommand {
  const { name, argument, help, summary, examples, load, fields } = parts
  const command: Command<JsonFlags, OneFlags> = {
    summary,
    arguments: [{ name: argument, help, otherwise: 'needed' }],
    flags: { json: JSON_OBJECT, ...CONNECTION_FLAGS },
    examples,
    check: ({ flags, words: [word] }) => ({ ...flags, id: expectWord(name, `the ${help}`, word) }),
    async run({ id, json, ...connection }) {
      const get = await load()
      const thing = await untilSignal((signal) => get(id, { databricks: connectionOf(connection), signal }))
      if (json) writeJson(thing)
      else writeFields(fields(thing))
    },
  }
  return command
}

/** A command that ends one thing. */
export function endCommand(
  parts: OneThing & {
    readonly summary: string
    readonly details?: string
    readonly examples: readonly [Example, ...Example[]]
    readonly load: () => Promise<(id: string, options: Asking) => Promise<void>>
    /** `Stopped`, as the line behind says it. */
    readonly done: string
  },
): AnyCommand {
  const { name, argument, help, summary, details, examples, load, done } = parts
  const command: Command<JsonFlags, OneFlags> = {
    summary,
    ...(details !== undefined && { details }),
    arguments: [{ name: argument, help, otherwise: 'needed' }],
    flags: { json: JSON_OBJECT, ...CONNECTION_FLAGS },
    examples,
    check: ({ flags, words: [word] }) => ({ ...flags, id: expectWord(name, `the ${help}`, word) }),
    async run({ id, json, ...connection }) {
      const end = await load()
      await untilSignal((signal) => end(id, { databricks: connectionOf(connection), signal }))
      if (json) writeJson({ id, done: done.toLowerCase() })
      else process.stdout.write(`${done} ${id}\n`)
    },
  }
  return command
}
