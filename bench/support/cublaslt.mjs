// @ts-check
/** @file cuBLASLt's products beside ours, where a GPU, an engine with CUDA and the library are at hand; where not, a line says why once. */

import { loadAddon } from '../../dist/tensor/addon.js'

/** @type {import('./options.mjs').OptionTable} */
export const CUBLASLT_OPTION = {
  cublaslt: { help: 'path of libcublasLt, which is measured beside; default: where the system and CUDA have it' },
}

/**
 * Opens the product on the device that is measured, or answers undefined: always on the CPU and in the emulator.
 * @typedef {Omit<import('../../dist/tensor/addon.js').CublasLtOptions, 'ordinal' | 'library'>} Product
 * @typedef {(product: Product) => import('../../dist/tensor/addon.js').CublasLt | undefined} OpenCublasLt
 * @param {import('../../dist/index.js').Device} device @param {import('./options.mjs').Values} options
 * @param {(reason: string) => void} say @returns {OpenCublasLt}
 */
export function cublasLtOn(device, { cublaslt: library }, say) {
  const { CublasLt } = loadAddon()
  const [type, ordinal] = device.type.split(':')
  if (!CublasLt || type !== 'cuda') return () => undefined
  /** @type {Set<string>} */
  const said = new Set()
  return (product) => {
    try {
      return new CublasLt({ ...product, ordinal: Number(ordinal), library })
    } catch (error) {
      const { message } = /** @type {Error} */ (error)
      if (!said.has(message)) say(`without cuBLASLt: ${message}`)
      said.add(message)
      return undefined
    }
  }
}
