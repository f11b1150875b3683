/** @file `lowrank push adapter`: a LoRA adapter becomes a version of a registered model. */

import { PUSH_ADAPTER_OPTIONS } from '../../databricks/registry/push-options.js'
import type { Command } from '../command.js'
import {
  checkRegistering,
  REGISTERING_FLAGS,
  type Registering,
  type RegisteringFlags,
  registeringArguments,
  showRegistering,
} from './registering.js'

interface AdapterFlags extends RegisteringFlags {
  readonly merged?: boolean
}

interface PushAdapter extends Registering {
  readonly merged: boolean
}

export const command: Command<AdapterFlags, PushAdapter> = {
  summary: 'register a LoRA adapter in Unity Catalog or on an MLflow server',
  details:
    'The same adapter twice is one version, and a push that was cut short goes on where it was. Databricks serving cannot ' +
    'deploy an adapter without its base model: --merged registers what can be served.',
  arguments: registeringArguments('adapter'),
  flags: {
    ...REGISTERING_FLAGS,
    merged: { ...PUSH_ADAPTER_OPTIONS.merged, flag: { name: '--merged' } },
  },
  examples: [
    { text: 'Register what was trained', line: 'push adapter out/mine/adapter main.risk.chat --alias champion' },
    { text: 'Register what can be served', line: 'push adapter out/mine/adapter main.risk.chat_merged --merged' },
    {
      text: 'Register it on an MLflow server',
      line: 'push adapter out/mine/adapter chat --registry http://localhost:5000',
    },
  ],
  check({ flags: { merged, ...flags }, words, settings }) {
    return { ...checkRegistering('adapter', { flags, words, settings }), merged: merged === true }
  },
  async run({ merged, ...registering }) {
    const { pushAdapter } = await import('../../databricks/registry/push.js')
    await showRegistering(registering, (directory, model, options) =>
      pushAdapter(directory, model, { ...options, merged }),
    )
  },
}
