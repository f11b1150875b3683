/** @file Tables that a version was made from: those that its run read, as Unity Catalog's lineage has them. */

import { withoutSecrets } from '../../errors.js'
import { isObject, toError } from '../../values.js'
import type { DatabricksClient } from '../client/connect.js'
import { findTable } from '../client/unity-catalog.js'

/** As many as MLflow tells of. */
const MOST_TABLES = 10

/** Full names of the tables of Unity Catalog among the inputs of a run, as `runs/get` answers. */
export function tablesOf(answer: unknown): string[] {
  const run = isObject(answer) && isObject(answer.run) ? answer.run : {}
  const { dataset_inputs: inputs } = isObject(run.inputs) ? run.inputs : {}
  const names = (Array.isArray(inputs) ? inputs : []).flatMap((input: unknown) => {
    const dataset = isObject(input) && isObject(input.dataset) ? input.dataset : {}
    if (dataset.source_type !== 'delta_table' || typeof dataset.source !== 'string') return []
    const name = tableIn(dataset.source)
    return name === undefined ? [] : [name]
  })
  return [...new Set(names)].slice(0, MOST_TABLES)
}

function tableIn(source: string): string | undefined {
  try {
    const parsed: unknown = JSON.parse(source)
    return isObject(parsed) && typeof parsed.delta_table_name === 'string' ? parsed.delta_table_name : undefined
  } catch {
    return undefined
  }
}

/**
 * Tells which tables a version comes from. The version is complete without it.
 * @returns what failed, a sentence each
 */
export async function emitLineage(
  client: DatabricksClient,
  { name, version }: { readonly name: string; readonly version: number },
  tables: readonly string[],
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const failures: string[] = []
  for (const table of tables) {
    try {
      const { table_id } = (await findTable(client, table, signal)) ?? {}
      await client.json({
        method: 'POST',
        path: '/api/2.0/mlflow/unity-catalog/model-versions/emit-lineage',
        json: {
          name,
          version: String(version),
          model_version_lineage_info: { entities: [], direction: 'UPSTREAM' },
          securable: { table: { name: table, ...(table_id !== undefined && { table_id }) } },
        },
        what: `the lineage of version ${version} of the model ${name}`,
        isRepeatable: true,
        signal,
      })
    } catch (error) {
      signal?.throwIfAborted()
      failures.push(`The lineage from ${table} is not recorded: ${withoutSecrets(toError(error).message)}`)
    }
  }
  return failures
}
