/**
 * @file Which format each tensor of a model gets: a type of file is a mix of formats. The rules are those of
 * llama.cpp's `llama_model_quantize` for the architectures that are written here (llama-quant.cpp of
 * https://github.com/ggml-org/llama.cpp).
 */

import type { FormatName } from '../gguf/formats.js'
import { FORMATS } from '../gguf/formats.js'
import { FILE_TYPES, type GgufFileType } from './gguf-file-types.js'

/** What takes the place of a format whose blocks do not fill the rows. */
const FALLBACKS: Partial<Record<FormatName, FormatName>> = { Q4_K: 'Q5_0', Q5_K: 'Q5_1', Q6_K: 'Q8_0' }

/** What decides about a model's tensors beside their names and shapes. */
export interface MixedModel {
  readonly layers: number
  /** The head has the weight of the embedding. */
  readonly isTied: boolean
  /** Layers in which heads share keys so that a model of 70B has 80: their values are worth more bits. */
  readonly is70B: boolean
  readonly hasImportance: boolean
}

/** The format of one tensor. Vectors, and positions that are learned, stay float32. */
export function formatOf(
  name: string,
  shape: readonly number[],
  fileType: GgufFileType,
  model: MixedModel,
): FormatName {
  if (shape.length < 2 || name.includes('_norm.') || name === 'position_embd.weight') return 'F32'
  const wanted = wantedFormat(name, shape, fileType, model)
  const cols = shape.at(-1) as number
  const fallback = cols % FORMATS[wanted].size === 0 ? wanted : (FALLBACKS[wanted] ?? 'F16')
  return cols % FORMATS[fallback].size === 0 ? fallback : 'F16'
}

function wantedFormat(
  name: string,
  shape: readonly number[],
  fileType: GgufFileType,
  { layers, isTied, is70B, hasImportance }: MixedModel,
): FormatName {
  const { format } = FILE_TYPES[fileType]
  const { size } = FORMATS[format]
  if (size === 1) return format
  if (name === 'output.weight' || (isTied && name === 'token_embd.weight'))
    return format === 'Q8_0' || (shape.at(-1) as number) % size !== 0 ? 'Q8_0' : 'Q6_K'
  const isMixed = fileType === 'Q4_K_M' || fileType === 'Q5_K_M'
  const [, number = '', stem] = /^blk\.(\d+)\.([a-z_]+)\.weight$/.exec(name) ?? []
  const layer = Number(number)
  switch (stem) {
    case 'attn_v':
    case 'attn_qkv':
      if (isMixed && takesMoreBits(layer, layers)) return 'Q6_K'
      return is70B && format === 'Q4_K' ? 'Q5_K' : format
    case 'ffn_down':
      if (isMixed && takesMoreBits(layer, layers)) return 'Q6_K'
      // The first layers go wrong with an importance matrix in formats that have no minimum.
      if (hasImportance && layer < Math.floor(layers / 8)) {
        if (fileType === 'Q4_0') return 'Q4_1'
        if (fileType === 'Q5_0') return 'Q5_1'
      }
      return format
    default:
      return format
  }
}

/** The first and the last eighth of the layers, and every third between. */
function takesMoreBits(layer: number, layers: number): boolean {
  const eighth = Math.floor(layers / 8)
  return layer < eighth || layer >= Math.floor((7 * layers) / 8) || (layer - eighth) % 3 === 2
}
