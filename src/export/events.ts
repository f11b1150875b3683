/** @file What happens while a model is exported. */

import type { DownloadEvent } from '../hub/download-event.js'

/** How far an export is. */
export type ExportEvent =
  | DownloadEvent
  | {
      readonly type: 'calibrate'
      /** Tokens of the calibration texts that ran through the model. */
      readonly tokens: number
      readonly total: number
    }
  | {
      readonly type: 'write'
      /** Tensors that are written. */
      readonly tensors: number
      readonly total: number
    }
  | {
      readonly type: 'compare'
      /** Tokens whose logits are computed, of the source first and then of the export. */
      readonly tokens: number
      readonly total: number
    }
