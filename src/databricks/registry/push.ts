/** @file pushAdapter and pushModel: what training made, as a version of a registered model that others load. */

import { expectPath } from '../../errors.js'
import { ServiceError } from '../../http/service-error.js'
import { OptionError } from '../../lowrank-error.js'
import { connectTo } from '../../mlflow/connect.js'
import { withMergedModel } from '../../mlflow/merged-model.js'
import { type ModelDirectory, packAdapter, packModel } from '../../mlflow/model-directory.js'
import { REQUEST_TIMEOUT, readTarget } from '../../mlflow/settings.js'
import { readOptions } from '../../options/table.js'
import type { DatabricksClient } from '../client/connect.js'
import { parseModelName } from '../client/models/address.js'
import { openRegistry, readRegistry } from '../client/models/open-registry.js'
import { getSchema } from '../client/unity-catalog.js'
import { emitLineage, tablesOf } from './lineage.js'
import {
  PUSH_ADAPTER_OPTIONS,
  PUSH_MODEL_OPTIONS,
  type PushAdapterOptions,
  type PushModelOptions,
} from './push-options.js'
import { expectServerModelName, probeMlflow, registerOnMlflow } from './register-on-mlflow.js'
import { type RegisteredVersion, type Registration, registerVersion } from './register-version.js'

/** Seconds for all tries of a call to an MLflow server. */
const PATIENCE = 120
const SERVING_WARNING =
  'Databricks serving cannot deploy an adapter without the weights of its base model; to serve it there, register the ' +
  'merged model (merged: true, --merged)'
/** Characters that Unity Catalog does not take in names of tags. */
const NOT_IN_TAGS = /[.,\-=/:\s]/g

/**
 * Registers a LoRA adapter as a version of a model, which is made where there is none: `uc://catalog.schema.model` of
 * Databricks or of an open-source Unity Catalog server, or a model of an MLflow server. The same adapter twice is one
 * version, unless both are pushed at the same moment; a push that was cut short goes on where it was.
 * @param directory as `saveAdapter`, `trainLora` and PEFT write it
 * @param name `catalog.schema.model`; of an MLflow server any name
 * @returns the version, which is READY
 * @throws OptionError for options that do not fit or that the registry does not have; what `packAdapter` throws;
 * ServiceError, which says what stands in the registry then
 */
export async function pushAdapter(
  directory: string,
  name: string,
  options: PushAdapterOptions = {},
): Promise<RegisteredVersion> {
  return await pushAdapterOf(directory, name, options, {})
}

/** `pushAdapter` of a run whose tracker has logged the same adapter. */
export async function pushAdapterOf(
  directory: string,
  name: string,
  options: PushAdapterOptions,
  { modelId }: MoreFacts,
): Promise<RegisteredVersion> {
  expectPath('push', 'directory', directory)
  const { merged, quantization, dtype, ...read } = readOptions('push', options, PUSH_ADAPTER_OPTIONS)
  if (!merged) expectNoMergeOptions({ quantization, dtype })
  // The merged model is none that was logged.
  const logged = merged ? undefined : modelId
  const target = await openTarget(name, read, { modelId: logged })
  const { task, baseModel, baseRevision, inputExample, run, signal } = read
  const facts = { task, baseModel, baseRevision, inputExample, runId: run, modelId: logged, signal }
  if (merged) {
    const onProgress = (tensors: number, totalTensors: number): void =>
      read.onProgress?.({ type: 'merge', tensors, totalTensors })
    const merge = { ...facts, quantization, dtype, onProgress }
    return await withMergedModel(directory, merge, ({ model }) => target.register(model, []))
  }
  const warnings = target.isDatabricks ? [SERVING_WARNING] : []
  return await target.register(await packAdapter(directory, facts), warnings)
}

/**
 * Registers a whole model, as `merge` and `saveModel` write it, as a version of a model; see {@link pushAdapter}.
 * @throws as pushAdapter does
 */
export async function pushModel(
  directory: string,
  name: string,
  options: PushModelOptions = {},
): Promise<RegisteredVersion> {
  return await pushModelOf(directory, name, options, {})
}

/** `pushModel` of a run whose tracker has logged the same model. */
export async function pushModelOf(
  directory: string,
  name: string,
  options: PushModelOptions,
  { modelId }: MoreFacts,
): Promise<RegisteredVersion> {
  expectPath('push', 'directory', directory)
  const read = readOptions('push', options, PUSH_MODEL_OPTIONS)
  const target = await openTarget(name, read, { modelId })
  const { task, baseModel, baseRevision, inputExample, run, signal } = read
  const model = await packModel(directory, { task, baseModel, baseRevision, inputExample, runId: run, modelId, signal })
  return await target.register(model, [])
}

/** A registry that can be asked. What it cannot do was refused. */
export interface PushTarget {
  readonly isDatabricks: boolean
  /** Asks for the model, so that wrong credentials are known before long work. */
  probe(): Promise<void>
  register(model: ModelDirectory, warnings: readonly string[]): Promise<RegisteredVersion>
}

type ReadOptions = PushModelOptions & Pick<Registration, 'timeout' | 'pollInterval'>

/** What only callers within the package say. */
interface MoreFacts {
  /** The logged model of the run that holds the same content. */
  readonly modelId?: string | undefined
}

/** Finds out which registry it is, and that it has what the options ask for. */
export async function openTarget(name: string, options: ReadOptions, { modelId }: MoreFacts = {}): Promise<PushTarget> {
  const { alias, description, run, databricks, timeout, pollInterval, onProgress, onWarning, signal } = options
  const where = readRegistry(options.registry)
  const tags = { ...options.tags, ...metricTags(options.metrics) }
  const common = { alias, tags, description, timeout, pollInterval, onProgress, signal, modelId }
  const tell = (all: readonly string[]): void => {
    for (const message of all) onWarning?.(message)
  }
  if (where.kind === 'mlflow') {
    const model = expectServerModelName(name)
    const connection = await connectTo(readTarget(where.uri), { timeout: REQUEST_TIMEOUT, patience: PATIENCE, signal })
    const linked = run === undefined ? undefined : { id: run, workspaceId: undefined }
    return {
      isDatabricks: false,
      probe: () => probeMlflow(connection, model, signal),
      async register(directory, warnings) {
        const all = [...directory.warnings, ...warnings]
        tell(all)
        const registration = { ...common, name: model, model: directory, run: linked }
        return { ...(await registerOnMlflow(connection, registration)), warnings: all }
      },
    }
  }
  const full = parseModelName(name)
  const opened = await openRegistry(options.registry, databricks, signal)
  if (!opened.registry.hasAliases)
    expectNone({ alias, tags: options.tags, metrics: options.metrics }, opened.registry.server)
  const linked = run === undefined ? undefined : await linkOf(run, opened.client, signal)
  return {
    isDatabricks: opened.client !== undefined,
    async probe() {
      if ((await opened.registry.findModel(full, signal)) !== undefined || opened.client === undefined) return
      // The model will be made, but its schema will not.
      const schema = full.slice(0, full.lastIndexOf('.'))
      await getSchema(schema, { databricks: opened.client, signal }).catch((error: unknown) => {
        if (!(error instanceof ServiceError) || error.status !== 404) return
        throw new OptionError(
          `[push] expected the schema ${schema} for the model ${full}, got none in ${opened.registry.server}; ` +
            'correct the name, or make the schema: CREATE SCHEMA',
        )
      })
    },
    async register(directory, warnings) {
      const all = [...directory.warnings, ...warnings, ...(linked?.warnings ?? [])]
      tell(all)
      const registration = { ...common, name: full, model: directory, run: linked }
      const version = await registerVersion(opened, registration)
      if (opened.client && linked && version.isNew)
        all.push(...(await emitLineage(opened.client, version, linked.tables, signal)))
      return { ...version, warnings: all }
    },
  }
}

/** @throws OptionError for options of merging where nothing is merged */
function expectNoMergeOptions(options: Readonly<Record<string, unknown>>): void {
  const [given] = Object.entries(options).find(([, value]) => value !== undefined) ?? []
  if (given === undefined) return
  throw new OptionError(
    `[push] expected merged: true with ${given}, which is of merging, got none; add it, or leave ${given} out`,
  )
}

/** @throws OptionError for what an open-source server does not have */
function expectNone(options: Readonly<Record<string, unknown>>, server: string): void {
  const given = Object.entries(options).filter(
    ([, value]) => value !== undefined && Object.keys(Object(value)).length > 0,
  )
  const [first] = given
  if (first === undefined) return
  throw new OptionError(
    `[push] expected no ${given.map(([name]) => name).join(', ')} for the Unity Catalog server ${server}, which has neither aliases nor tags; leave ` +
      `${given.length === 1 ? 'it' : 'them'} out`,
  )
}

interface LinkedRun {
  readonly id: string
  readonly workspaceId: string | undefined
  /** Tables that it read. */
  readonly tables: readonly string[]
  readonly warnings: readonly string[]
}

/** The run as the version names it: it has to be there, and its workspace is told by a header of the answer. */
async function linkOf(
  run: string,
  client: DatabricksClient | undefined,
  signal: AbortSignal | undefined,
): Promise<LinkedRun> {
  // An open-source server knows nothing of runs: it keeps the id.
  if (client === undefined) return { id: run, workspaceId: undefined, tables: [], warnings: [] }
  const call = { path: '/api/2.0/mlflow/runs/get', query: { run_id: run }, what: `the run ${run}`, signal }
  const { headers, body } = await client.send(call)
  const answer: unknown = body === null ? {} : await new Response(body).json().catch(() => ({}))
  const workspaceId = headers.get('x-databricks-org-id') ?? undefined
  const warning = `The workspace did not say which it is, so that the version has the id of run ${run} but no link to it`
  return { id: run, workspaceId, tables: tablesOf(answer), warnings: workspaceId === undefined ? [warning] : [] }
}

function metricTags(metrics: Readonly<Record<string, number>> = {}): Record<string, string> {
  const entries = Object.entries(metrics).map(([name, value]) => [
    `metric_${name.replace(NOT_IN_TAGS, '_')}`,
    String(value),
  ])
  return Object.fromEntries(entries)
}
