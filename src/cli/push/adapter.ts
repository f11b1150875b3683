/** @file `lowrank push adapter`: a LoRA adapter becomes a version of a registered model. */

import type { FileDType } from '../../checkpoint/save-model.js'
import { PUSH_ADAPTER_OPTIONS, type PushAdapterOptions } from '../../databricks/registry/push-options.js'
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
  readonly quantization?: 'nf4'
  readonly dtype?: FileDType
}

interface PushAdapter extends Registering {
  readonly merge: Pick<PushAdapterOptions, 'merged' | 'quantization' | 'dtype'>
}

const { merged, quantization, dtype } = PUSH_ADAPTER_OPTIONS

export const command: Command<AdapterFlags, PushAdapter> = {
  summary: 'register a LoRA adapter in Unity Catalog or on an MLflow server',
  details:
    'The same adapter twice is one version, and a push that was cut short goes on where it was. Databricks serving cannot ' +
    'deploy an adapter without its base model: --merged registers what can be served.',
  arguments: registeringArguments('adapter'),
  flags: {
    ...REGISTERING_FLAGS,
    merged: { ...merged, flag: { name: '--merged', group: 'The merged model' } },
    quantization: { ...quantization, flag: { name: '--quantization', argument: 'type' } },
    dtype: { ...dtype, flag: { name: '--dtype', argument: 'type' } },
  },
  examples: [
    { text: 'Register what was trained', line: 'push adapter out/mine/adapter main.risk.chat --alias champion' },
    { text: 'Register what can be served', line: 'push adapter out/mine/adapter main.risk.chat_merged --merged' },
    {
      text: 'Register it on an MLflow server',
      line: 'push adapter out/mine/adapter chat --registry http://localhost:5000',
    },
  ],
  check({ flags: { merged, quantization, dtype, ...flags }, words, settings }) {
    const merge = {
      merged: merged === true,
      ...(quantization !== undefined && { quantization }),
      ...(dtype !== undefined && { dtype }),
    }
    return { ...checkRegistering('adapter', { flags, words, settings }), merge }
  },
  async run({ merge, ...registering }) {
    const { pushAdapter } = await import('../../databricks/registry/push.js')
    await showRegistering(registering, (directory, model, options) =>
      pushAdapter(directory, model, { ...options, ...merge }),
    )
  },
}
