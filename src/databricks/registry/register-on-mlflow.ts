/**
 * @file A model directory as a version of a registered model of an MLflow server, exactly once: its files are those of
 * a logged model, and both are found again by a tag with the hash of the content.
 */

import { wasUnclear } from '../../http/resource-record.js'
import { ServiceError } from '../../http/service-error.js'
import { OptionError } from '../../lowrank-error.js'
import { putArtifact } from '../../mlflow/artifacts.js'
import { createMlflowClient, type LoggedModel, type MlflowClient } from '../../mlflow/client.js'
import type { MlflowConnection } from '../../mlflow/connect.js'
import { expectUnchanged } from '../../mlflow/model/files.js'
import type { ModelFile } from '../../mlflow/model-directory.js'
import { isObject } from '../../values.js'
import { inParallel } from '../client/files/in-parallel.js'
import { waitUntil } from '../wait.js'
import { withHint } from './hints.js'
import type { RegisteredVersion, Registration } from './register-version.js'

/** The tag of logged models and versions that has the hash of their content. */
const HASH_TAG = 'lowrank.sha256'
const PARALLEL = 8
const DEFAULT_EXPERIMENT = 'Default'

type Fields = Readonly<Record<string, unknown>>

/** @throws ServiceError; OptionError for a name that MLflow does not take */
export async function registerOnMlflow(
  connection: MlflowConnection,
  registration: Registration,
): Promise<Omit<RegisteredVersion, 'warnings'>> {
  const { name, model, alias, tags, signal } = registration
  const client = createMlflowClient(connection, signal)
  const calls = registryCalls(connection, name, signal)
  await calls.ensureModel()
  const found = await calls.findByHash(model.hash)
  const uploadedBytes = found === undefined && registration.modelId === undefined ? model.totalBytes : 0
  const version = found ?? (await createVersion(client, calls, registration))
  const address = `models:/${name}/${version}`
  await waitUntil(async () => await calls.look(version), {
    what: `version ${version} of the model ${name}`,
    timeout: registration.timeout,
    pollInterval: registration.pollInterval,
    signal,
  })
  const hint = `${address} is READY, without its alias or tags: push the same directory again, which uploads nothing`
  await withHint(hint, signal, async () => {
    // A new version has got its tags when it was made.
    if (found !== undefined) for (const [key, value] of Object.entries(tags)) await calls.setTag(version, key, value)
    if (alias !== undefined) await calls.setAlias(version, alias)
  })
  return { address, name, version, isNew: found === undefined, hash: model.hash, uploadedBytes }
}

/** @throws OptionError for a name that MLflow does not take */
export function expectServerModelName(name: string): string {
  if (name !== '' && !/[/:\n]/.test(name)) return name
  throw new OptionError(
    `[push] expected a name without / and : for a model of an MLflow server, got ${JSON.stringify(name)}; name another`,
  )
}

/** Asks whether the model is there, so that wrong credentials are known. @throws ServiceError */
export async function probeMlflow(
  connection: MlflowConnection,
  name: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  await registryCalls(connection, name, signal).hasModel()
}

async function createVersion(client: MlflowClient, calls: RegistryCalls, registration: Registration): Promise<number> {
  const { name, model, run, description, tags, signal } = registration
  const hint = `No version of ${name} was made: push the same directory again, which goes on with the logged model that there may be`
  return await withHint(hint, signal, async () => {
    const modelId = registration.modelId ?? (await loggedModel(client, registration)).modelId
    const spec = {
      name,
      source: `models:/${modelId}`,
      model_id: modelId,
      ...(run && { run_id: run.id }),
      ...(description !== undefined && { description }),
      tags: Object.entries({ ...tags, [HASH_TAG]: model.hash }).map(([key, value]) => ({ key, value })),
    }
    try {
      return await calls.createVersion(spec)
    } catch (error) {
      const made = wasUnclear(error) ? await calls.findByHash(model.hash).catch(() => undefined) : undefined
      if (made === undefined) throw error
      return made
    }
  })
}

/** The logged model with the files, which is made or gone on with. */
async function loggedModel(client: MlflowClient, registration: Registration): Promise<LoggedModel> {
  const { model, name, run, onProgress, signal } = registration
  const source = run && (await client.getRun(run.id))
  const experiment = process.env.MLFLOW_EXPERIMENT_NAME?.trim() || DEFAULT_EXPERIMENT
  const experimentId = source?.experimentId ?? (await client.experimentId(experiment))
  const find = () => client.findLoggedModel(experimentId, HASH_TAG, model.hash)
  const spec = {
    experimentId,
    runId: run?.id,
    name: name.replace(/[/:.%"'*]/g, '-'),
    modelType: '',
    params: {},
    tags: { [HASH_TAG]: model.hash },
  }
  const create = async (): Promise<LoggedModel> => {
    try {
      return await client.createLoggedModel(spec)
    } catch (error) {
      const made = wasUnclear(error) ? await find().catch(() => undefined) : undefined
      if (made === undefined) throw error
      return made
    }
  }
  const logged = (await find()) ?? (await create())
  const address = `models:/${logged.modelId}`
  let bytes = 0
  const put = async ({ path, source: from, size }: ModelFile, stop: AbortSignal): Promise<void> => {
    const content = typeof from === 'string' ? { file: from } : { bytes: from }
    await putArtifact(client.connection, logged, path, content, stop)
    bytes += size
    onProgress?.({ type: 'upload', address, bytes, totalBytes: model.totalBytes })
  }
  onProgress?.({ type: 'upload', address, bytes, totalBytes: model.totalBytes })
  await inParallel(model.files, PARALLEL, put, signal)
  await expectUnchanged(model.files)
  await client.finishLoggedModel(logged.modelId, 'LOGGED_MODEL_READY')
  if (source && !source.modelIds.includes(logged.modelId)) await client.logOutputs(source.runId, logged.modelId, 0)
  return logged
}

type RegistryCalls = ReturnType<typeof registryCalls>

function registryCalls({ rest, base }: MlflowConnection, name: string, signal: AbortSignal | undefined) {
  const root = `${base}/api/2.0/mlflow`
  const post = (path: string, json: object, what: string, isRepeatable = false): Promise<Fields> =>
    rest.json<Fields>({ method: 'POST', path: `${root}/${path}`, json, what, isRepeatable, signal })
  const version = (number: number): string => `version ${number} of the model ${name}`
  const hasModel = async (): Promise<boolean> => {
    try {
      await rest.json({ path: `${root}/registered-models/get`, query: { name }, what: `the model ${name}`, signal })
      return true
    } catch (error) {
      if (error instanceof ServiceError && error.errorCode === 'RESOURCE_DOES_NOT_EXIST') return false
      throw error
    }
  }
  return {
    hasModel,
    async ensureModel(): Promise<void> {
      if (await hasModel()) return
      try {
        await post('registered-models/create', { name }, `a new registered model ${name}`, true)
      } catch (error) {
        // Somebody else has made it meanwhile, or the answer to the first try was lost.
        if (!(error instanceof ServiceError) || error.errorCode !== 'RESOURCE_ALREADY_EXISTS') throw error
      }
    },
    /** The number of a version with this content. */
    async findByHash(hash: string): Promise<number | undefined> {
      const call = {
        path: `${root}/model-versions/search`,
        query: { filter: `name='${name.replaceAll("'", '')}'`, max_results: 100 },
        what: `the versions of the model ${name}`,
        signal,
      }
      const versions = rest.pages(call, ({ model_versions: list }) =>
        Array.isArray(list) ? list.filter(isObject) : [],
      )
      for await (const { version: number, tags, name: whose } of versions) {
        const isSame =
          Array.isArray(tags) && tags.some((tag) => isObject(tag) && tag.key === HASH_TAG && tag.value === hash)
        if (isSame && whose === name) return Number(number)
      }
      return undefined
    },
    async createVersion(spec: object): Promise<number> {
      const { model_version } = await post('model-versions/create', spec, `a new version of the model ${name}`)
      return Number(isObject(model_version) ? model_version.version : undefined)
    },
    async look(number: number): Promise<{ state: string; value: undefined; isDone: boolean }> {
      const query = { name, version: String(number) }
      const call = { path: `${root}/model-versions/get`, query, what: version(number), signal }
      const { model_version } = await rest.json<Fields>(call)
      const { status = 'READY', status_message: why } = isObject(model_version) ? model_version : {}
      if (status === 'FAILED_REGISTRATION')
        throw new ServiceError(`[push] expected ${version(number)} to become READY, got ${status} (${why}); push again`)
      return { state: String(status), value: undefined, isDone: status === 'READY' }
    },
    async setAlias(number: number, alias: string): Promise<void> {
      const json = { name, alias, version: String(number) }
      await post('registered-models/alias', json, `the alias ${alias} of the model ${name}`, true)
    },
    async setTag(number: number, key: string, value: string): Promise<void> {
      await post('model-versions/set-tag', { name, version: String(number), key, value }, version(number), true)
    },
  }
}
