/**
 * @file The addon of the tests under the name of one with CUDA, so that the benchmarks' own part of it runs without a GPU: device 'cuda' is the
 * emulated one, which says on standard error when it is to time ops, and CublasLt prints on standard error what it is asked for and takes a microsecond, but finds no memory for float32.
 */

const addon = require('../../build/Release/lowrank-emulator.node')

class Stream extends addon.Stream {
  constructor(options) {
    if (options.timeOps) console.error('timeOps')
    super({ ...options, device: options.device.replace(/^cuda:1$/, 'cuda-emulator') })
  }
  get device() {
    return 'cuda:1'
  }
}

class CublasLt {
  version = '13.1.2'
  constructor(options) {
    if (options.dtype === 'float32') throw new Error('[cublaslt] no memory')
    console.error(`made ${JSON.stringify(options)}`)
  }
  seconds(length) {
    if (!(length > 0)) throw new Error(`expected a length, got ${length}`)
    return 1e-6
  }
  close() {
    console.error('closed')
  }
}

module.exports = { ...addon, Stream, CublasLt }
