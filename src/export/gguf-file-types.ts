/** @file The types of GGUF files that are written. Loads nothing, so that help texts can show them. */

import type { FormatName } from '../gguf/formats.js'

/** By name: the number of `general.file_type`, and the format of most matrices. */
export const FILE_TYPES = {
  F32: { fileType: 0, format: 'F32' },
  F16: { fileType: 1, format: 'F16' },
  BF16: { fileType: 32, format: 'BF16' },
  Q8_0: { fileType: 7, format: 'Q8_0' },
  Q4_0: { fileType: 2, format: 'Q4_0' },
  Q5_0: { fileType: 8, format: 'Q5_0' },
  Q4_K_M: { fileType: 15, format: 'Q4_K' },
  Q5_K_M: { fileType: 17, format: 'Q5_K' },
  Q6_K: { fileType: 18, format: 'Q6_K' },
} as const satisfies Record<string, { fileType: number; format: FormatName }>

export type GgufFileType = keyof typeof FILE_TYPES
export const FILE_TYPE_NAMES = Object.keys(FILE_TYPES) as GgufFileType[]
