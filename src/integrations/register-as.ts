/** @file `registerAs`: what a run trained becomes a version of a registered model, linked to the run of its tracker. */

import { type ModelAddress, parseModelAddress } from '../databricks/client/models/address.js'
import { readRegistry } from '../databricks/client/models/open-registry.js'
import { PUSH_ADAPTER_OPTIONS } from '../databricks/registry/push-options.js'
import { OptionError } from '../lowrank-error.js'
import type { PackTask } from '../mlflow/model/signature.js'
import { type Rule, text } from '../options/rules.js'
import type { OptionTable } from '../options/table.js'
import type { TrainCallback } from '../train/callbacks.js'
import type { EndEvent, TrainEvent } from '../train/events.js'
import { isPlainObject } from '../values.js'
import type { Integration } from './integration.js'
import type { RunLinks, TrackedRun } from './run-links.js'

/** How `registerAs` registers. */
export interface RegisterSettings {
  /**
   * The registry as MLflow names it: 'databricks-uc', 'databricks-uc://PROFILE', 'uc:https://HOST' for an open-source
   * Unity Catalog server, or 'https://HOST' for an MLflow server.
   * @default MLFLOW_REGISTRY_URI, else 'databricks-uc'
   */
  registry?: string
  /**
   * Tags of the version, beside its figures and the tables that it was trained on.
   * @default none
   */
  tags?: Readonly<Record<string, string>>
  /**
   * What people read about the version.
   * @default none
   */
  description?: string
  /**
   * Whether the adapter is merged into its base model and the sum is registered, which Databricks can serve; an adapter
   * alone it cannot.
   * @default false
   */
  merged?: boolean
  /**
   * What the model is asked: 'text-generation' goes on with a string; 'llm/v1/chat' answers conversations by the chat
   * template.
   * @default 'text-generation'
   */
  task?: PackTask
  /**
   * Seconds that the version may take to become READY once its files are there.
   * @default 600
   */
  timeout?: number
}

/** Where what was trained is registered. */
export interface RegisterOptions {
  /**
   * Registered model that what was trained becomes a version of, once the run is complete, as `catalog.schema.model`,
   * with `@alias` for an alias that the version gets. It needs `outputDir`.
   * @default none
   */
  registerAs?: string
  /**
   * Into which registry, and what the version says.
   * @default what the environment says
   */
  register?: RegisterSettings
}

/** The options of `register`. */
export const REGISTER_OPTIONS = {
  registry: PUSH_ADAPTER_OPTIONS.registry,
  tags: PUSH_ADAPTER_OPTIONS.tags,
  description: PUSH_ADAPTER_OPTIONS.description,
  merged: PUSH_ADAPTER_OPTIONS.merged,
  task: PUSH_ADAPTER_OPTIONS.task,
  timeout: PUSH_ADAPTER_OPTIONS.timeout,
} as const satisfies OptionTable<RegisterSettings>

const rule: Rule = {
  expected: 'CATALOG.SCHEMA.MODEL or CATALOG.SCHEMA.MODEL@ALIAS; of an MLflow server NAME or NAME@ALIAS',
  accepts: text.accepts,
  schema: { type: 'string', minLength: 1 },
}

/** Longest value of a tag. */
const LONGEST_TAG = 256

export const REGISTER_AS: Integration<RegisterOptions> = {
  table: {
    registerAs: {
      rule,
      otherwise: 'none',
      example: 'main.risk.chat@champion',
      help: 'registered model that what was trained becomes a version of, as catalog.schema.model or catalog.schema.model@alias',
      heading: 'Where the result is registered',
      flag: { name: '--register-as', argument: 'model', group: 'Where the result is registered' },
    },
    register: {
      rule: { expected: 'an object of options of registering', accepts: isPlainObject },
      help: 'into which registry, and what the version says',
      table: REGISTER_OPTIONS,
    },
  } as const satisfies OptionTable<RegisterOptions>,
  check({ registerAs, register }) {
    if (registerAs === undefined) return []
    try {
      nameOf(registerAs, register)
      return []
    } catch (error) {
      return [{ options: [['registerAs'], ['register']], message: (error as Error).message }]
    }
  },
  async open(options, links) {
    const { registerAs, register = {}, outputDir, method, signal } = options
    if (registerAs === undefined) return []
    if (outputDir === undefined)
      throw new OptionError('[train] registerAs needs outputDir, where what it registers is written; set it')
    if (register.merged && method === 'full')
      throw new OptionError(
        "[train] expected no register.merged with method 'full', which makes a whole model; remove it",
      )
    const { isGgufPath } = await import('../gguf/reader.js')
    if (!register.merged && method !== 'full' && isGgufPath(options.model))
      throw new OptionError(
        `[train] expected register.merged for registerAs with the GGUF file ${options.model}, which PEFT puts no adapter on, got none; set it to true`,
      )
    const { name, alias } = nameOf(registerAs, register)
    const { openTarget } = await import('../databricks/registry/push.js')
    const { timeout = REGISTER_OPTIONS.timeout.default } = register
    const settings = { ...register, alias, timeout, pollInterval: PUSH_ADAPTER_OPTIONS.pollInterval.default }
    // A run of hours does not end with credentials that nobody takes.
    const target = await openTarget(name, { ...settings, ...(signal && { signal }) })
    await target.probe()
    return [registeringCallback({ name, alias, register: { ...register, timeout }, signal, links })]
  },
}

/** Model and alias. @throws OptionError for what names none */
function nameOf(registerAs: string, register: RegisterSettings = {}): Pick<ModelAddress, 'name' | 'alias'> {
  if (readRegistry(register.registry).kind === 'mlflow') {
    const [, name, alias] = /^([^@/:]+)(?:@([\w-]+))?$/.exec(registerAs) ?? []
    if (name !== undefined) return { name, alias }
    throw new OptionError(
      `[train] expected NAME or NAME@ALIAS for registerAs, got ${JSON.stringify(registerAs)}; name a model of the server`,
    )
  }
  if (/^[^./:]+$/.test(registerAs))
    throw new OptionError(
      `[train] expected CATALOG.SCHEMA.MODEL for registerAs, got ${JSON.stringify(registerAs)}; write all three names. For a ` +
        "model of an MLflow server set MLFLOW_REGISTRY_URI, or registry of register, to the server's address",
    )
  const { name, alias, version } = parseModelAddress(registerAs)
  if (version === undefined) return { name, alias }
  throw new OptionError(
    `[train] expected no version for registerAs, got ${JSON.stringify(registerAs)}; what is registered gets the next one: write ${name}`,
  )
}

interface Registering {
  readonly name: string
  readonly alias: string | undefined
  readonly register: RegisterSettings
  readonly signal: AbortSignal | undefined
  readonly links: RunLinks
}

/** What the events of a run tell about what was trained. */
interface Facts {
  readonly tables: Set<string>
  readonly metrics: Record<string, number>
}

function registeringCallback(registering: Registering): TrainCallback {
  let facts: Facts = { tables: new Set(), metrics: {} }
  return {
    name: 'registerAs',
    needsResult: true,
    endsRunOnError: true,
    onEvent(event: TrainEvent) {
      if (event.type === 'data')
        for (const { location } of event.lineage) if (/^uc:\/\//.test(location)) facts.tables.add(location)
      if (event.type === 'evaluate' && Number.isFinite(event.loss)) facts.metrics.eval_loss = event.loss
      if (event.type !== 'end') return undefined
      const told = facts
      facts = { tables: new Set(), metrics: {} }
      return event.result === undefined ? undefined : registerResult(registering, event, event.result, told)
    },
  }
}

async function registerResult(
  { name, alias, register, signal, links }: Registering,
  { loss }: EndEvent,
  { kind, path }: NonNullable<EndEvent['result']>,
  { tables, metrics }: Facts,
): Promise<void> {
  const [{ pushAdapterOf, pushModelOf }, { withHint }] = await Promise.all([
    import('../databricks/registry/push.js'),
    import('../databricks/registry/hints.js'),
  ])
  const { registry, tags, description, merged, task, timeout } = register
  const target = readRegistry(registry)
  const tracked = await links.tracked()
  const linked = tracked !== undefined && isLinkable(target, tracked) ? tracked : undefined
  // Open-source servers have neither tags nor figures.
  const own = target.kind === 'open-source' ? {} : tableTags(tables)
  const figures =
    target.kind === 'open-source' ? {} : { ...(Number.isFinite(loss) && { train_loss: loss as number }), ...metrics }
  const options = {
    tags: { ...own, ...tags },
    metrics: figures,
    ...(alias !== undefined && { alias }),
    ...(linked && { run: linked.runId }),
    ...(registry !== undefined && { registry }),
    ...(description !== undefined && { description }),
    ...(task !== undefined && { task }),
    ...(timeout !== undefined && { timeout }),
    ...(signal && { signal }),
  }
  const hint = `What was trained is in ${path}: register it with lowrank push ${kind} ${path} ${name}${alias === undefined ? '' : ` --alias ${alias}`}`
  const facts = { modelId: linked?.modelId }
  const version = await withHint(hint, signal, () =>
    kind === 'model'
      ? pushModelOf(path, name, options, facts)
      : pushAdapterOf(path, name, { ...options, merged: merged === true }, facts),
  )
  links.tellRegistered({
    name: version.name,
    version: version.version,
    ...(alias !== undefined && { alias }),
    isNew: version.isNew,
    warnings: version.warnings,
  })
}

/** A registry links to runs that its own server tracks; an open-source one keeps any id. */
function isLinkable(target: ReturnType<typeof readRegistry>, { isDatabricks, trackingUri }: TrackedRun): boolean {
  if (target.kind === 'databricks') return isDatabricks
  if (target.kind === 'open-source') return true
  return !isDatabricks && trackingUri === target.uri.replace(/\/+$/, '')
}

function tableTags(tables: ReadonlySet<string>): Record<string, string> {
  const all = [...tables].join(' ')
  return all === '' ? {} : { lowrank_tables: all.slice(0, LONGEST_TAG) }
}
