/** @file What `lowrank push adapter` and `lowrank push model` share: flags, the bar, and what is told at the end. */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { formatBytes } from '../../bytes.js'
import { parseModelName } from '../../databricks/client/models/address.js'
import { readRegistry } from '../../databricks/client/models/open-registry.js'
import {
  PUSH_MODEL_OPTIONS,
  type PushModelEvent,
  type PushModelOptions,
} from '../../databricks/registry/push-options.js'
import type { RegisteredVersion } from '../../databricks/registry/register-version.js'
import type { PackTask } from '../../mlflow/model/signature.js'
import { number, text } from '../../options/rules.js'
import { createBar } from '../../progress/progress.js'
import type { Argument, FlagTable, Given } from '../command.js'
import { CONNECTION_FLAGS, type ConnectionFlags, connectionOf } from '../databricks/connection-flags.js'
import { JSON_OBJECT } from '../flags.js'
import { KEY_VALUES, keyValues } from '../key-values.js'
import { untilSignal } from '../until-signal.js'
import { UsageError } from '../usage-error.js'

/** What is typed. */
export interface RegisteringFlags extends ConnectionFlags {
  readonly alias?: string
  readonly tag?: readonly string[]
  readonly description?: string
  readonly run?: string
  readonly registry?: string
  readonly task?: PackTask
  readonly baseModel?: string
  readonly baseRevision?: string
  readonly timeout?: number
  readonly json?: boolean
}

/** What is meant. */
export interface Registering {
  readonly directory: string
  readonly model: string
  readonly options: PushModelOptions
  readonly json: boolean
}

/** Two words that both commands take. @param what is in the directory */
export function registeringArguments(what: string): readonly Argument[] {
  return [
    { name: 'DIR', help: `directory of the ${what}`, otherwise: 'needed' },
    { name: 'MODEL', help: 'CATALOG.SCHEMA.MODEL; of an MLflow server any name', otherwise: 'needed' },
  ]
}

const { alias, description, run, registry, task, baseModel, baseRevision, timeout } = PUSH_MODEL_OPTIONS

export const REGISTERING_FLAGS = {
  alias: { ...alias, flag: { name: '--alias', argument: 'name', group: 'Version' } },
  tag: {
    rule: KEY_VALUES,
    otherwise: 'none',
    help: 'a tag of the version',
    flag: { name: '--tag', argument: 'key=value', isRepeatable: true },
  },
  description: { ...description, flag: { name: '--description', argument: 'text' } },
  run: { ...run, flag: { name: '--run', argument: 'id' } },
  task: { ...task, flag: { name: '--task', argument: 'task' } },
  baseModel: { ...baseModel, rule: text, flag: { name: '--base-model', argument: 'id' } },
  baseRevision: { ...baseRevision, rule: text, flag: { name: '--base-revision', argument: 'commit' } },
  registry: { ...registry, flag: { name: '--registry', argument: 'uri', group: 'Registry' } },
  timeout: { ...timeout, rule: number({ above: 0 }), flag: { name: '--timeout', argument: 'seconds' } },
  json: JSON_OBJECT,
  ...CONNECTION_FLAGS,
} as const satisfies FlagTable<RegisteringFlags>

/** The file that a directory of either kind has. */
const MARKS = { adapter: 'adapter_config.json', model: 'config.json' }

/** Names the directory or the command that is meant. @throws UsageError for a directory of the other kind, or above */
function expectKind(kind: 'adapter' | 'model', directory: string, model: string): void {
  if (existsSync(join(directory, MARKS[kind]))) return
  const other = kind === 'adapter' ? 'model' : 'adapter'
  const below = join(directory, kind)
  const [what, remedy] = existsSync(join(directory, MARKS[other]))
    ? [`the directory of ${other === 'adapter' ? 'an adapter' : 'a model'}`, `push ${other} ${directory} ${model}`]
    : existsSync(join(below, MARKS[kind]))
      ? ['the output of a run', `push ${kind} ${below} ${model}`]
      : []
  if (what !== undefined)
    throw new UsageError(
      `[push ${kind}] expected the directory of the ${kind}, got ${directory}, ${what}; write: ${remedy}`,
    )
}

/** @throws UsageError, OptionError for what cannot be */
export function checkRegistering(kind: 'adapter' | 'model', { flags, words }: Given<RegisteringFlags>): Registering {
  const [directory, model] = words
  const name = `push ${kind}`
  if (directory === undefined || model === undefined)
    throw new UsageError(
      `[${name}] expected a directory and a model, got ${words.length} words; write: ${name} DIR CATALOG.SCHEMA.MODEL`,
    )
  const { tag = [], json, profile, host, ...options } = flags
  if (readRegistry(options.registry).kind !== 'mlflow') {
    if (/^[^./:@]+$/.test(model))
      throw new UsageError(
        `[${name}] expected a model as uc://CATALOG.SCHEMA.MODEL, got ${JSON.stringify(model)}; write all three names, or ` +
          'name the MLflow server whose model it is: --registry http://HOST:5000',
      )
    parseModelName(model)
  }
  expectKind(kind, directory, model)
  const databricks = connectionOf({ ...(profile !== undefined && { profile }), ...(host !== undefined && { host }) })
  const tags = keyValues(name, '--tag', tag)
  return { directory, model, json: json === true, options: { ...options, databricks, ...(tag.length > 0 && { tags }) } }
}

/** Registers with a bar, and tells what came of it. */
export async function showRegistering(
  { directory, model, options, json }: Registering,
  push: (directory: string, model: string, options: PushModelOptions) => Promise<RegisteredVersion>,
): Promise<void> {
  const bar = createBar()
  const onProgress = (event: PushModelEvent): void => {
    const [label, done, total, shown] =
      event.type === 'merge'
        ? ['Merging', event.tensors, event.totalTensors, `${event.tensors}/${event.totalTensors} tensors`]
        : [
            'Uploading',
            event.bytes,
            event.totalBytes,
            `${formatBytes(event.bytes)} of ${formatBytes(event.totalBytes)}`,
          ]
    bar.show({
      label: { text: label, importance: 1 },
      fraction: total === 0 ? 1 : done / total,
      parts: [{ text: shown, importance: 2 }],
    })
  }
  const onWarning = (message: string): void => void process.stderr.write(`Warning: ${message}\n`)
  const version = await untilSignal((signal) =>
    push(directory, model, { ...options, onWarning, ...(!json && { onProgress }), signal }),
  ).finally(() => bar.close())
  if (json) {
    process.stdout.write(`${JSON.stringify(version)}\n`)
    return
  }
  const { address, isNew, uploadedBytes } = version
  const named = options.alias === undefined ? '' : `, with the alias ${options.alias}`
  const what = isNew ? `Registered ${address} (${formatBytes(uploadedBytes)})` : `${address} has this content already`
  process.stdout.write(`${what}${named}\n`)
}
