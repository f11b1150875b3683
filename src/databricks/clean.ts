/** @file Removing what lowrank made in a workspace, in the right order, as often as one likes. */

import { boolean, callback } from '../options/rules.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { toError } from '../values.js'
import { type DatabricksClient, openDatabricks } from './client/connect.js'
import { currentUser } from './client/current-user.js'
import { RESOURCE_OPTIONS, type ResourceOptions } from './options.js'
import { REMOVALS } from './removal.js'
import { listResources, RESOURCE_KINDS, type Resource, recordRemoved } from './resources.js'

/** Options of {@link clean}. */
export interface CleanOptions extends ResourceOptions {
  /**
   * Whether results are removed too: registered versions and models, tables, files of volumes. Without it only what
   * costs money while it is there is removed.
   * @default false
   */
  all?: boolean
  /**
   * Whether it only says what would be done.
   * @default false
   */
  dryRun?: boolean
  /**
   * Told of each thing once it is dealt with.
   * @default none
   */
  onProgress?: (resource: CleanedResource) => void
}

/** What became of one thing. */
export interface CleanedResource extends Resource {
  /**
   * `removed`; `absent`: the call that should have made it made nothing; `planned`: it would be removed; `kept`: it
   * stays, and `reason` says why; `failed`: the workspace did not do it.
   */
  readonly outcome: 'removed' | 'absent' | 'planned' | 'kept' | 'failed'
  /** Why it stays, or what failed. */
  readonly reason: string | undefined
}

/** The options of `clean`. */
export const CLEAN_OPTIONS = {
  ...RESOURCE_OPTIONS,
  all: {
    rule: boolean,
    default: false as boolean,
    help: 'whether results are removed too: registered versions and models, tables, files of volumes',
  },
  dryRun: { rule: boolean, default: false as boolean, help: 'whether it only says what would be done' },
  onProgress: { rule: callback, otherwise: 'none', help: 'told of each thing once it is dealt with' },
} as const satisfies OptionTable<CleanOptions>

/**
 * Removes what the record of this machine says that lowrank made in this workspace: runs are cancelled, endpoints and
 * clusters deleted, warehouses stopped. What is gone already is fine, and one failure does not keep the others.
 * @returns what became of each, in the order of removal
 * @throws OptionError, ServiceError where the workspace cannot be asked at all; the reason of the signal
 */
export async function clean(options: CleanOptions = {}): Promise<CleanedResource[]> {
  const { databricks, signal, all, dryRun, onProgress } = readOptions('clean', options, CLEAN_OPTIONS)
  const client = await openDatabricks(databricks, signal)
  const cleaned: CleanedResource[] = []
  const resources = inOrder((await listResources()).filter(({ host }) => host === client.server))
  // A workspace that cannot be asked at all says so once, not for each thing after minutes of tries.
  if (resources.length > 0 && !dryRun) await currentUser({ databricks: client, ...(signal && { signal }) })
  for (const resource of resources) {
    const isMeant = all || REMOVALS[resource.kind].isCompute
    const done = isMeant
      ? await cleanOne(client, resource, dryRun, signal)
      : { ...resource, outcome: 'kept' as const, reason: 'it is a result, which --all (all: true) removes' }
    cleaned.push(done)
    onProgress?.(done)
  }
  return cleaned
}

async function cleanOne(
  client: DatabricksClient,
  resource: Resource,
  dryRun: boolean,
  signal: AbortSignal | undefined,
): Promise<CleanedResource> {
  const removal = REMOVALS[resource.kind]
  const became = (outcome: CleanedResource['outcome'], id = resource.id, reason?: string): CleanedResource => ({
    ...resource,
    id,
    outcome,
    reason,
  })
  try {
    const id = resource.id ?? (await removal.find(client, resource, signal))
    if (id === undefined && !removal.isCompute)
      return became('kept', id, 'nobody knows whether lowrank made it: look at it, and remove it by hand')
    if (dryRun) return became(id === undefined ? 'absent' : 'planned', id)
    const stays = id === undefined ? undefined : await removal.remove(client, id, signal)
    if (stays !== undefined) return became('kept', id, stays)
    await recordRemoved(resource.key)
    return became(id === undefined ? 'absent' : 'removed', id)
  } catch (error) {
    signal?.throwIfAborted()
    return became('failed', resource.id, toError(error).message)
  }
}

/** The newest of a kind go first. */
function inOrder(resources: readonly Resource[]): Resource[] {
  return RESOURCE_KINDS.flatMap((kind) => resources.filter((resource) => resource.kind === kind).reverse())
}
