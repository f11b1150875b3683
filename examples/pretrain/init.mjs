// @ts-check
/**
 * @file Makes the model that pre-training starts from: config.json and seeded random weights beside a tokenizer.
 *
 *   node examples/pretrain/init.mjs [--tokenizer models/lowrank-base-5m] [--out out/pretrain/init]
 */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

const TOKENIZER_FILES = ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json']

/** 5.2 million parameters: 10.4 MB in bfloat16. */
export const CONFIG = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  vocab_size: 4096,
  hidden_size: 256,
  intermediate_size: 640,
  num_hidden_layers: 6,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 64,
  hidden_act: 'silu',
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  rope_scaling: null,
  attention_bias: false,
  mlp_bias: false,
  attention_dropout: 0,
  tie_word_embeddings: true,
  initializer_range: 0.02,
  bos_token_id: null,
  eos_token_id: 0,
  pad_token_id: 3,
  torch_dtype: 'bfloat16',
  use_cache: true,
}

/** @returns {Map<string, number[]>} the shape of every weight, in Hugging Face's names */
export function weightShapes(config = CONFIG) {
  const { hidden_size: D, intermediate_size: F, vocab_size: V, head_dim } = config
  const [Q, KV] = [config.num_attention_heads * head_dim, config.num_key_value_heads * head_dim]
  /** @type {Map<string, number[]>} */
  const shapes = new Map([['model.embed_tokens.weight', [V, D]]])
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const layer = `model.layers.${i}`
    shapes.set(`${layer}.input_layernorm.weight`, [D])
    shapes.set(`${layer}.self_attn.q_proj.weight`, [Q, D])
    shapes.set(`${layer}.self_attn.k_proj.weight`, [KV, D])
    shapes.set(`${layer}.self_attn.v_proj.weight`, [KV, D])
    shapes.set(`${layer}.self_attn.o_proj.weight`, [D, Q])
    shapes.set(`${layer}.post_attention_layernorm.weight`, [D])
    shapes.set(`${layer}.mlp.gate_proj.weight`, [F, D])
    shapes.set(`${layer}.mlp.up_proj.weight`, [F, D])
    shapes.set(`${layer}.mlp.down_proj.weight`, [D, F])
  }
  return shapes.set('model.norm.weight', [D])
}

/** mulberry32 and Box-Muller: standard normal numbers from a seed. @param {number} seed @returns {() => number} */
function normals(seed) {
  let state = seed >>> 0
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())
}

/** @param {number} seed @returns {Buffer} a safetensors file in float32 */
export function initialWeights(seed, config = CONFIG) {
  const normal = normals(seed)
  /** @type {Record<string, unknown>} */
  const header = {}
  const parts = []
  let end = 0
  for (const [name, shape] of weightShapes(config)) {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1))
    // What adds to the residual stream is scaled down with depth (GPT-2), so that its variance stays that of one layer.
    const scale = /o_proj|down_proj/.test(name) ? 1 / Math.sqrt(2 * config.num_hidden_layers) : 1
    if (shape.length === 1) values.fill(1)
    else for (let i = 0; i < values.length; i++) values[i] = normal() * config.initializer_range * scale
    header[name] = { dtype: 'F32', shape, data_offsets: [end, end + values.byteLength] }
    end += values.byteLength
    parts.push(Buffer.from(values.buffer))
  }
  const json = Buffer.from(JSON.stringify(header))
  const padded = Buffer.concat([json, Buffer.alloc((8 - (json.length % 8)) % 8, ' ')])
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(padded.length))
  return Buffer.concat([length, padded, ...parts])
}

/** @param {string} tokenizer @param {string} out @param {number} seed */
export function writeInitialModel(tokenizer, out, seed) {
  mkdirSync(out, { recursive: true })
  for (const file of TOKENIZER_FILES) copyFileSync(join(tokenizer, file), join(out, file))
  writeFileSync(join(out, 'config.json'), `${JSON.stringify(CONFIG, null, 2)}\n`)
  writeFileSync(join(out, 'model.safetensors'), initialWeights(seed))
}

if (process.argv[1] && import.meta.filename === process.argv[1]) {
  const { values } = parseArgs({
    options: {
      tokenizer: { type: 'string', default: 'models/lowrank-base-5m' },
      out: { type: 'string', default: 'out/pretrain/init' },
      seed: { type: 'string', default: '42' },
    },
  })
  writeInitialModel(values.tokenizer, values.out, Number(values.seed))
  const parameters = [...weightShapes().values()].reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0)
  console.log(`${parameters} parameters -> ${values.out}`)
}
