/** @file The files and tables that rows came from, as data set inputs of MLflow. */

import { basename } from 'node:path'
import type { SourceLineage } from '../data/sources/row-source.js'
import { withoutSecrets } from '../errors.js'
import type { DataSplit } from '../train/events.js'
import { LONGEST_DIGEST, LONGEST_NAME } from './limits.js'

/** A data set of MLflow's log-inputs. */
export interface DatasetInput {
  /** `mlflow.data.context` among them: train or eval. */
  readonly tags: readonly { readonly key: string; readonly value: string }[]
  /** What it is, and where it came from as JSON. */
  readonly dataset: {
    readonly name: string
    readonly digest: string
    readonly source_type: string
    readonly source: string
    readonly profile: string
  }
}

/** One input for each file or table. The digest is the beginning of our hash: MLflow keeps 36 characters. */
export function datasetInputs(split: DataSplit, lineage: readonly SourceLineage[]): DatasetInput[] {
  return lineage.map((entry) => {
    const location = withoutSecrets(entry.location)
    const { rows, size, sha256 } = entry
    const { type, source, name } = sourceOf(location)
    return {
      tags: [
        { key: 'mlflow.data.context', value: split },
        ...(sha256 === undefined ? [] : [{ key: 'lowrank.sha256', value: sha256 }]),
      ],
      dataset: {
        name: name.slice(-LONGEST_NAME) || 'rows',
        digest: (sha256 ?? (rows === undefined ? 'not-all-read' : `${rows}-rows`)).slice(0, LONGEST_DIGEST),
        source_type: type,
        source: JSON.stringify(source),
        profile: JSON.stringify({
          ...(rows !== undefined && { num_rows: rows }),
          ...(size !== undefined && { num_bytes: size }),
        }),
      },
    }
  })
}

function sourceOf(location: string): { type: string; source: object; name: string } {
  const [, table, version] = /^uc:\/\/([^@?#]+)(?:[@?#](?:v|version=)?(\d+))?/.exec(location) ?? []
  if (table !== undefined) {
    const source = {
      delta_table_name: table,
      ...(version !== undefined && { delta_table_version: Number(version) }),
      is_databricks_uc_table: true,
    }
    return { type: 'delta_table', source, name: table }
  }
  if (/^https?:\/\//.test(location)) {
    const { pathname, host } = new URL(location)
    return { type: 'http', source: { url: location }, name: basename(pathname) || host }
  }
  const [, path] = /^(?:hf|hub):\/\/(.+)$/.exec(location) ?? []
  if (path !== undefined) return { type: 'hugging_face', source: { path }, name: path }
  return { type: 'local', source: { uri: location }, name: basename(location) }
}
