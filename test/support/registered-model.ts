/** @file Versions of registered models that a loopback workspace has before a test begins. */

import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  createModel,
  createVersion,
  finalizeVersion,
  REGISTRY,
  type StoredModelVersion,
  setAlias,
} from '../../src/testing/model-registry.js'
import type { LoopbackWorkspace } from '../../src/testing/workspace.js'

export const MODEL = 'main.default.chat'

/** Content of files, by path. */
export type Files = Readonly<Record<string, string | Uint8Array>>

/** Lays a version that is READY. */
export async function layVersion(
  { state }: LoopbackWorkspace,
  files: Files,
  { name = MODEL, alias, source = 'somewhere' }: { name?: string; alias?: string; source?: string } = {},
): Promise<StoredModelVersion> {
  const model = state.of(REGISTRY).models.get(name) ?? createModel(state, name, undefined)
  const version = createVersion(state, model, { source })
  for (const [path, content] of Object.entries(files)) {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content
    if (version.storageLocation.startsWith('file:')) {
      const target = join(fileURLToPath(version.storageLocation), path)
      mkdirSync(dirname(target), { recursive: true })
      writeFileSync(target, bytes)
    } else
      await state.storage.put(
        `Models/${name.replaceAll('.', '/')}/${version.version}/${path}`,
        (async function* () {
          yield bytes
        })(),
      )
  }
  finalizeVersion(state, version)
  if (alias !== undefined) setAlias(model, alias, version.version)
  return version
}
