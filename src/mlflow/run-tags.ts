/** @file What tags say of a run: who ran what, where, from which commit. */

import { userInfo } from 'node:os'
import { basename } from 'node:path'
import { withoutSecrets } from '../errors.js'
import type { StartEvent } from '../train/events.js'
import { RUN_TAG } from './calls.js'
import type { Texts } from './client.js'
import { gitCommit } from './git-commit.js'
import { cutText, keyOf, LONGEST_TAG } from './limits.js'

/** The tags of a run, by MLflow's names where it has them. */
export async function runTags({ runId, versions, device, quantization }: StartEvent, own: Texts): Promise<Texts> {
  const commit = await gitCommit(process.cwd())
  const program = process.argv[1]
  const tags = {
    'mlflow.source.name': program === undefined ? 'lowrank' : basename(program),
    'mlflow.source.type': 'LOCAL',
    'mlflow.user': userName(),
    ...(commit !== undefined && { 'mlflow.source.git.commit': commit }),
    [RUN_TAG]: runId,
    'lowrank.version': versions.lowrank ?? 'unknown',
    'lowrank.node': versions.node,
    'lowrank.device': device,
    ...(quantization !== null && { 'lowrank.quantization': quantization }),
    ...own,
  }
  return Object.fromEntries(
    Object.entries(tags).map(([key, value]) => [keyOf(key), cutText(withoutSecrets(value), LONGEST_TAG)]),
  )
}

function userName(): string {
  try {
    return userInfo().username
  } catch {
    // A container may run as a number without a name.
    return process.env.USER ?? 'unknown'
  }
}
