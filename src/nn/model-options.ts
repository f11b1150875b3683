/**
 * @file How a model is held: the options that all functions share which make or plan one. Loads nothing of the engine.
 */

import { boolean, oneOf, type Rule } from '../options/rules.js'
import type { OptionEntry, OptionTable } from '../options/table.js'
import { DEVICE, DEVICE_NAMES, Device, type DeviceName, namesDevice } from '../tensor/device.js'
import { COMPUTE_DTYPES, type ComputeDType } from '../tensor/dtype.js'
import type { Quantization } from './module.js'

/** How a model is held. What each option means where, the functions say that take it. */
export interface ModelOptions {
  device?: DeviceName | undefined
  dtype?: ComputeDType | undefined
  quantization?: Quantization | undefined
  offloadEmbedding?: boolean | undefined
}

/** What models compute in, and files hold. */
export const DTYPES: Rule = { ...oneOf(COMPUTE_DTYPES), expected: "'float32', 'bfloat16' or 'float16'" }

export const MODEL_OPTIONS = {
  device: DEVICE,
  dtype: {
    rule: DTYPES,
    otherwise: 'bfloat16 on a GPU, where the processor has bfloat16 products and with nf4, else float32',
    example: 'bfloat16',
    help: 'what to compute in: float32, bfloat16 or float16',
    flag: { name: '--dtype', argument: 'type' },
  },
  quantization: {
    rule: { ...oneOf(['nf4']), expected: "'nf4'" },
    example: 'nf4',
    otherwise: 'what the checkpoint has',
    help: "nf4: hold the model's frozen weights in 4 bits (QLoRA)",
    flag: { name: '--quantization', argument: 'type' },
  },
  offloadEmbedding: {
    rule: boolean,
    default: false,
    help: "on a GPU: the embeddings stay in the machine's memory",
  },
} as const satisfies OptionTable<ModelOptions>

/** `device` of functions that also take one that is open, to share it. */
export const OPEN_DEVICE = {
  ...DEVICE,
  rule: {
    ...DEVICE.rule,
    expected: `${DEVICE_NAMES.replace(' or ', ', ')} or a Device`,
    accepts: (value) => value instanceof Device || namesDevice(value),
  },
} as const satisfies OptionEntry<DeviceName | Device | undefined>
