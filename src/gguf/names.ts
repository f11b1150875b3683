/** @file Between llama.cpp's names and layouts of tensors and those of Hugging Face. */

import type { RawConfig } from '../architecture/config.js'
import { describeValue } from '../errors.js'
import { ModelError } from '../lowrank-error.js'
import type { WeightTensor } from '../weights/weight-tensor.js'
import type { GgufArchitecture } from './config.js'
import { ROPE_FACTORS } from './rope-factors.js'

/** Names without `.weight` or `.bias`. */
interface Names {
  readonly outside: Readonly<Record<string, string>>
  /** What stands before the number of a layer. */
  readonly layers: string
  /** Behind `blk.N.`. */
  readonly layer: Readonly<Record<string, string>>
}

const DECODER: Names = {
  outside: { token_embd: 'model.embed_tokens', output_norm: 'model.norm', output: 'lm_head' },
  layers: 'model.layers',
  layer: {
    attn_norm: 'input_layernorm',
    attn_q: 'self_attn.q_proj',
    attn_k: 'self_attn.k_proj',
    attn_v: 'self_attn.v_proj',
    attn_output: 'self_attn.o_proj',
    attn_q_norm: 'self_attn.q_norm',
    attn_k_norm: 'self_attn.k_norm',
    ffn_norm: 'post_attention_layernorm',
    ffn_gate: 'mlp.gate_proj',
    ffn_up: 'mlp.up_proj',
    ffn_down: 'mlp.down_proj',
  },
}

const GPT2: Names = {
  outside: {
    token_embd: 'transformer.wte',
    position_embd: 'transformer.wpe',
    output_norm: 'transformer.ln_f',
    output: 'lm_head',
  },
  layers: 'transformer.h',
  layer: {
    attn_norm: 'ln_1',
    attn_qkv: 'attn.c_attn',
    attn_output: 'attn.c_proj',
    ffn_norm: 'ln_2',
    ffn_up: 'mlp.c_fc',
    ffn_down: 'mlp.c_proj',
  },
}

/**
 * The tensors of a file under the names of Hugging Face, as they are to be read there.
 * @throws on a name that the architecture does not have
 */
export function huggingFaceTensors(
  tensors: ReadonlyMap<string, WeightTensor>,
  architecture: GgufArchitecture,
  config: RawConfig,
): Map<string, WeightTensor> {
  const names = architecture === 'gpt2' ? GPT2 : DECODER
  const renamed = new Map<string, WeightTensor>()
  for (const [name, tensor] of tensors) {
    // Part of the config: see rope-factors.ts.
    if (name === ROPE_FACTORS && architecture === 'llama') continue
    const found = nameOf(name, names)
    if (found === undefined) {
      throw new ModelError(
        `[gguf] ${tensor.path} holds tensor ${describeValue(name)}, which architecture '${architecture}' does not have; ` +
          'the model would compute something else without it',
      )
    }
    renamed.set(found, withLayout(tensor, found, architecture, config))
  }
  return renamed
}

function nameOf(name: string, { outside, layers, layer }: Names): string | undefined {
  const [, number, stem = '', kind] = /^(?:blk\.(0|[1-9]\d*)\.)?([a-z_]+)\.(weight|bias)$/.exec(name) ?? []
  const table = number === undefined ? outside : layer
  if (!Object.hasOwn(table, stem)) return undefined
  return number === undefined ? `${table[stem]}.${kind}` : `${layers}.${number}.${table[stem]}.${kind}`
}

/**
 * The name that llama.cpp has for a weight of Hugging Face's; undefined where it has none.
 * @param name with `.weight` or `.bias`
 */
export function ggufName(name: string, architecture: GgufArchitecture): string | undefined {
  const { outside, layers, layer } = architecture === 'gpt2' ? GPT2 : DECODER
  const [, path = '', kind = ''] = /^(.+)\.(weight|bias)$/.exec(name) ?? []
  const inLayer = path.startsWith(`${layers}.`) ? /^(\d+)\.(.+)$/.exec(path.slice(layers.length + 1)) : null
  const wanted = inLayer?.[2] ?? path
  const [stem] = Object.entries(inLayer ? layer : outside).find(([, own]) => own === wanted) ?? []
  if (stem === undefined) return undefined
  return inLayer ? `blk.${inLayer[1]}.${stem}.${kind}` : `${stem}.${kind}`
}

/** The name that Hugging Face has for a weight of a file; undefined where the architecture has none such. */
export function huggingFaceName(name: string, architecture: GgufArchitecture): string | undefined {
  return nameOf(name, architecture === 'gpt2' ? GPT2 : DECODER)
}

/** Whether a weight or bias of Hugging Face's has its rows in another order in files: q and k of llama. */
export function hasInterleavedRows(name: string, architecture: GgufArchitecture): boolean {
  return architecture === 'llama' && /\.self_attn\.[qk]_proj\./.test(name)
}

function withLayout(
  tensor: WeightTensor,
  name: string,
  architecture: GgufArchitecture,
  config: RawConfig,
): WeightTensor {
  // Rotary pairs are neighbours in Meta's files and in llama.cpp, half a head apart in Hugging Face.
  if (hasInterleavedRows(name, architecture)) return { ...tensor, interleaved: headDimOf(config) }
  // Conv1D multiplies from the other side; converters turn it round.
  if (architecture === 'gpt2' && /\.(c_attn|c_proj|c_fc)\.weight$/.test(name))
    return { ...tensor, shape: [...tensor.shape].reverse(), transposed: true }
  return tensor
}

function headDimOf({ head_dim: headDim, hidden_size: width, num_attention_heads: heads }: RawConfig): number {
  return (headDim ?? (width as number) / (heads as number)) as number
}
