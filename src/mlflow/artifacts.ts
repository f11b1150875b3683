/**
 * @file Files of runs and logged models on their way to where the server keeps them: through an MLflow server's own
 * proxy, or the ways that Databricks has. A file is put as a whole, so that it may be put again.
 */

import type { FileHandle } from 'node:fs/promises'
import type { RestBody } from '../http/exchange.js'
import { ServiceError } from '../http/service-error.js'
import { LowrankError } from '../lowrank-error.js'
import { openRegularFile } from '../regular-file.js'
import type { MlflowConnection } from './connect.js'

/** Whose file it is. */
export type ArtifactOwner =
  | { readonly runId: string; readonly artifactUri: string }
  | { readonly modelId: string; readonly artifactUri: string }

/** A file's content. */
export type ArtifactContent = { readonly file: string } | { readonly text: string } | { readonly bytes: Uint8Array }

/**
 * Puts a file.
 * @param path where it goes below the owner's folder, with slashes
 * @throws ServiceError; LowrankError for a file that cannot be read
 */
export async function putArtifact(
  connection: MlflowConnection,
  owner: ArtifactOwner,
  path: string,
  content: ArtifactContent,
  signal?: AbortSignal,
): Promise<void> {
  const body = await bodyOf(content)
  const what = `that ${path} is taken`
  const { rest, base, isDatabricks } = connection
  const { artifactUri } = owner
  const [, proxied] = /^mlflow-artifacts:\/(?:\/[^/]*\/)?(.*)$/.exec(artifactUri) ?? []
  if (!isDatabricks && proxied !== undefined) {
    const to = `${base}/api/2.0/mlflow-artifacts/artifacts/${escaped(`${proxied}/${path}`)}`
    await drained(rest.send({ method: 'PUT', path: to, body, what, headers: BYTES, signal }))
    return
  }
  if (isDatabricks && artifactUri.startsWith('dbfs:/'))
    return await putOnDatabricks(connection, owner, path, { body, what, signal })
  throw new LowrankError(
    'INVALID_CALL',
    `[mlflow] expected files to go through the server for ${path}, got ${/^[\w-]+:/.exec(artifactUri)?.[0] ?? 'another place'}; ` +
      'start the server with --serve-artifacts, and make a new experiment',
  )
}

const BYTES = { 'content-type': 'application/octet-stream' }

async function putOnDatabricks(
  { rest }: MlflowConnection,
  owner: ArtifactOwner,
  path: string,
  sent: { readonly body: RestBody; readonly what: string; readonly signal: AbortSignal | undefined },
): Promise<void> {
  const { signal } = sent
  const root = filesRoot(owner)
  if (root !== undefined) {
    const to = `/api/2.0/fs/files${escaped(`${root}/${path}`)}`
    try {
      await drained(rest.send({ method: 'PUT', path: to, query: { overwrite: true }, headers: BYTES, ...sent }))
      return
    } catch (error) {
      // Workspaces without that way have the other one.
      if (!(error instanceof ServiceError) || ![400, 403, 404, 501].includes(error.status ?? 0)) throw error
      if (root.startsWith('/Volumes/')) throw error
    }
  }
  type Credentials = {
    credential_infos?: readonly { signed_uri: string; headers?: readonly { name: string; value: string }[] }[]
  }
  const asked = 'a place for a file'
  const { credential_infos = [] } =
    'runId' in owner
      ? await rest.json<Credentials>({
          method: 'POST',
          path: '/api/2.0/mlflow/artifacts/credentials-for-write',
          json: { run_id: owner.runId, path: [path] },
          what: asked,
          isRepeatable: true,
          signal,
        })
      : await rest.json<Credentials>({
          method: 'POST',
          path: `/api/2.0/mlflow/logged-models/${owner.modelId}/artifacts/credentials-for-upload`,
          json: { paths: [path] },
          what: asked,
          isRepeatable: true,
          signal,
        })
  const [credentials] = credential_infos
  if (credentials === undefined)
    throw new ServiceError(`[mlflow] expected ${asked} from ${rest.server}, got none; try again later`)
  const headers = Object.fromEntries((credentials.headers ?? []).map(({ name, value }) => [name, value]))
  await drained(rest.sendTo(credentials.signed_uri, { method: 'PUT', headers, ...sent }))
}

/** Where the Files API has the folder of a run or a model; undefined where it has it not. */
function filesRoot(owner: ArtifactOwner): string | undefined {
  const { artifactUri } = owner
  const [, volume] = /^dbfs:(\/Volumes\/.+)$/.exec(artifactUri) ?? []
  if (volume !== undefined) return volume
  const [, experiment, model, rest = ''] =
    /^dbfs:\/databricks\/mlflow-tracking\/([^/]+)\/(?:logged_models\/([^/]+)|[^/]+)\/artifacts(\/.*)?$/.exec(
      artifactUri,
    ) ?? []
  if (experiment === undefined) return undefined
  const kind = model === undefined ? ('runId' in owner ? `Runs/${owner.runId}` : '') : `LoggedModels/${model}`
  return `/WorkspaceInternal/Mlflow/Artifacts/${experiment}/${kind}${rest}`
}

function escaped(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/')
}

async function bodyOf(content: ArtifactContent): Promise<RestBody> {
  if (!('file' in content)) {
    const bytes = 'text' in content ? Buffer.from(content.text) : content.bytes
    return { size: bytes.length, open: () => bytes }
  }
  // Looks at what it is before it is read piece by piece.
  const handle = await openRegularFile('mlflow', content.file)
  const { size } = await handle.stat()
  await handle.close()
  return { size, open: () => fileStream(content.file) }
}

const PIECE = 2 ** 20

function fileStream(path: string): ReadableStream<Uint8Array> {
  let handle: FileHandle | undefined
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      handle ??= await openRegularFile('mlflow', path)
      const { bytesRead, buffer } = await handle.read(new Uint8Array(PIECE), 0, PIECE)
      if (bytesRead > 0) controller.enqueue(buffer.subarray(0, bytesRead))
      else {
        await handle.close()
        controller.close()
      }
    },
    async cancel() {
      await handle?.close()
    },
  })
}

async function drained(answer: Promise<{ readonly body: ReadableStream<Uint8Array> | null }>): Promise<void> {
  await (await answer).body?.cancel()
}
