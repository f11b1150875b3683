/** @file Where the model of a command lies, which is fetched with a progress bar; at the commit that its adapter was trained on. */

import { readPeftConfig } from '../adapters/peft-config.js'
import { type ModelLocation, resolveModel } from '../checkpoint/resolve-model.js'
import { createProgress } from './progress.js'

interface ModelFlags {
  readonly model: string
  readonly revision?: string
  /** Directory of an adapter that will be loaded on it. */
  readonly adapter?: string
  readonly json?: boolean
}

export async function locateModel({ model, revision, adapter, json }: ModelFlags): Promise<ModelLocation> {
  const recorded = revision === undefined && adapter !== undefined ? await readPeftConfig(adapter) : undefined
  const commit = recorded?.baseModel === model ? recorded.revision : undefined
  const progress = createProgress()
  try {
    return await resolveModel(model, { revision: revision ?? commit, onEvent: json ? undefined : progress.onEvent })
  } finally {
    progress.stop()
  }
}
