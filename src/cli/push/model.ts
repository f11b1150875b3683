/** @file `lowrank push model`: a whole model becomes a version of a registered model. */

import type { Command } from '../command.js'
import {
  checkRegistering,
  REGISTERING_FLAGS,
  type Registering,
  type RegisteringFlags,
  registeringArguments,
  showRegistering,
} from './registering.js'

export const command: Command<RegisteringFlags, Registering> = {
  summary: 'register a whole model in Unity Catalog or on an MLflow server',
  details: 'A model as `lowrank merge` writes it. The same model twice is one version.',
  arguments: registeringArguments('model'),
  flags: REGISTERING_FLAGS,
  examples: [{ text: 'Register a merged model', line: 'push model merged main.risk.chat --alias champion' }],
  check: (given) => checkRegistering('model', given),
  async run(registering) {
    const { pushModel } = await import('../../databricks/registry/push.js')
    await showRegistering(registering, pushModel)
  },
}
