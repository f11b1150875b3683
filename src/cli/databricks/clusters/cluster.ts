/** @file What the commands about clusters have in common. */

import type { Cluster } from '../../../databricks/clusters.js'

export const CLUSTER_ID = { argument: 'cluster-id', help: 'id of the cluster' } as const

/** The fields of a cluster, as people read them. */
export function clusterFields({ clusterId, clusterName, state, stateMessage }: Cluster): Record<string, string> {
  return { id: clusterId, name: clusterName, state, message: stateMessage }
}

/** What people type to go on with a cluster. */
export function clusterGoesOn(id: string): string {
  return `it goes on in the workspace; lowrank databricks clusters start ${id} waits for it, clusters stop ${id} stops it`
}
