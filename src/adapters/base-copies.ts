/**
 * @file Copies of the base model's weights in an adapter's file. PEFT saves them beside what was trained where an
 * adapter changes the output head or the embedding, or where it is told to; loading such a file there writes them over
 * the model's. Here they have to be what the model has already.
 */

import type { CausalLM } from '../causal-lm/causal-lm.js'
import { describeValue } from '../errors.js'
import { ModelError } from '../lowrank-error.js'
import { Tensor } from '../tensor/tensor.js'
import { FLOATS, readTensorBytes, type TensorEntry } from '../weights/safetensors.js'
import { AdapterSet } from './adapter-set.js'

/** Elements that are compared at a time. */
const PIECE = 1 << 20

/**
 * Compares a copy with the weight of the base model, both rounded to the model's dtype.
 * @param weight the weight's name in the model, as `lm_head.weight`.
 * @returns false where the model has no such weight.
 * @throws where the two differ, naming both
 */
export async function expectBaseCopy(model: CausalLM, weight: string, entry: TensorEntry): Promise<boolean> {
  const base = baseWeight(model, weight)
  if (!base) return false
  const differs = (how: string): Error =>
    new ModelError(
      `[lora] expected ${describeValue(entry.name)} in ${entry.path} to equal ${weight} of ${describeValue(model.nameOrPath)}, of which it is a copy, got ${how}; ` +
        'load the base model that the adapter was trained on, or save the adapter with save_embedding_layers=False of PEFT if its copy does not matter',
    )
  const dtype = FLOATS[entry.dtype]
  if (base === 'quantized') throw differs(`${entry.dtype} values, and the model has the weight in NF4`)
  if (!dtype) throw differs(`${entry.dtype} values`)
  const { shape, device } = base
  if (entry.shape.length !== shape.length || entry.shape.some((size, i) => size !== shape[i]))
    throw differs(`shape [${entry.shape.join(', ')}] in place of [${shape.join(', ')}]`)
  const flat = base.reshape([base.size / base.cols, base.cols])
  const step = Math.max(1, Math.floor(PIECE / flat.cols))
  const bytesPerRow = entry.byteLength / flat.rows
  try {
    for (let start = 0; start < flat.rows; start += step) {
      const end = Math.min(flat.rows, start + step)
      const copy = Tensor.empty(device, [end - start, flat.cols], base.dtype)
      const part = flat.slice(start, end)
      try {
        const place = { fileOffset: entry.fileOffset + start * bytesPerRow, byteLength: (end - start) * bytesPerRow }
        device.upload(copy, await readTensorBytes({ ...entry, ...place }), dtype)
        const [left, right] = await Promise.all([device.readBytes(copy), device.readBytes(part)])
        if (Buffer.compare(left, right) !== 0) throw differs(`other values in rows ${start} to ${end - 1}`)
      } finally {
        copy.dispose()
        part.dispose()
      }
    }
  } finally {
    flat.dispose()
  }
  return true
}

/** The values of a weight of the base model, whatever stands in for it; a tied head has the embedding's. */
function baseWeight(model: CausalLM, name: string): Tensor | 'quantized' | undefined {
  const { linears, embeddings, norms } = model.modules
  const [, path = '', slot] = /^(.+)\.(weight|bias)$/.exec(name) ?? []
  const module = linears.get(path) ?? embeddings.get(path) ?? norms.get(path)
  const parameter =
    module && (slot === 'weight' || slot === 'bias')
      ? AdapterSet.of(model).original(module, slot)
      : model.parameters().get(name)
  if (!parameter) return undefined
  if (parameter.nf4) return 'quantized'
  return parameter.requiresGrad ? parameter.master : parameter.value
}
