// @ts-check
/**
 * @file What each op of native/core/ops.h gets to do at a training shape. Bytes are those of its arguments, read and written once, unless a case
 * says otherwise; a case that gives flops is compared with the multiply-add rate.
 */

import { Tensor } from '../dist/index.js'
import { nf4Arguments, quantizeNf4 } from '../dist/ops/nf4.js'
import { writeSamplingRow } from '../dist/ops/sample.js'
import { uniform, values } from './support/random.mjs'

/**
 * @typedef {object} Sizes B sequences of T tokens, N = B T; D width, F feed-forward width, V vocabulary, H and Hkv heads of hd, r rank.
 * @property {number} B @property {number} T @property {number} N @property {number} D @property {number} F @property {number} V
 * @property {number} H @property {number} Hkv @property {number} hd @property {number} r @property {number} layers
 * @typedef {{ args: any, flops?: number, bytes?: number }} Case
 * @typedef {Omit<ReturnType<typeof tensorMaker>, 'made'>} Make
 */

const ATTENTION = { causal: true, window: 0, softcap: 0 }
const NO_DROPOUT = { p: 0, seed: 0, microStep: 0, dropoutStream: 0 }

/** @param {import('../dist/index.js').Device} device @param {'float32' | 'bfloat16'} dtype */
export function tensorMaker(device, dtype) {
  const elementBytes = dtype === 'float32' ? 4 : 2
  /** @type {Tensor[]} */
  const made = []
  const held = (/** @type {Tensor} */ tensor) => {
    made.push(tensor)
    return tensor
  }
  const whole = (/** @type {number} */ count, /** @type {number} */ below) => {
    const random = uniform(count)
    return held(
      Tensor.from(
        device,
        Int32Array.from({ length: count }, () => Math.floor(random() * below)),
        [count],
      ),
    )
  }
  return {
    elementBytes,
    /** Random, in the compute dtype. @param {number[]} shape */
    given: (...shape) => held(Tensor.from(device, values(product(shape)), shape, dtype)),
    /** Random float32. @param {number[]} shape */
    float: (...shape) => held(Tensor.from(device, values(product(shape)), shape)),
    /** To be written, in the compute dtype. @param {number[]} shape */
    empty: (...shape) => held(Tensor.empty(device, shape, dtype)),
    /** @param {number[]} shape */
    emptyFloat: (...shape) => held(Tensor.empty(device, shape, 'float32')),
    /** @param {number[]} shape @param {import('../dist/index.js').DType} kind */
    emptyOf: (shape, kind) => held(Tensor.empty(device, shape, kind)),
    ids: whole,
    /** @param {readonly number[]} numbers */
    integers: (numbers) => held(Tensor.from(device, Int32Array.from(numbers), [numbers.length])),
    /** @param {Float32Array | Int32Array} numbers @param {number[]} shape */
    numbers: (numbers, shape) => held(Tensor.from(device, numbers, shape)),
    /** All of them, to be disposed. */
    made,
  }
}

/** @type {Record<string, (t: Make, s: Sizes) => Case>} */
export const OP_CASES = {
  fill: (t, { N, D }) => ({ args: { y: t.empty(N, D), value: 0 } }),
  copy: (t, { N, D }) => ({ args: { x: t.float(N, D), y: t.empty(N, D) } }),
  add: (t, { N, D }) => ({ args: { a: t.given(N, D), b: t.given(N, D), y: t.empty(N, D) } }),
  embedding: (t, { N, D, V }) => ({
    args: { ids: t.ids(N, V), weight: t.given(V, D), y: t.empty(N, D) },
    bytes: 4 * N + 2 * N * D * t.elementBytes,
  }),
  embeddingBackward: (t, { N, D, V }) => ({
    args: { ids: t.ids(N, V), dy: t.given(N, D), dWeight: t.float(V, D) },
    bytes: 4 * N + N * D * (t.elementBytes + 8),
  }),
  scatterRows: (t, { N, D }) => ({
    args: { x: t.given(N, D), rows: t.integers(Array.from({ length: N }, (_, i) => 2 * i)), y: t.given(2 * N, D) },
    bytes: 4 * N + 2 * N * D * t.elementBytes,
  }),
  rmsNorm: (t, { N, D }) => ({
    args: {
      x: t.given(N, D),
      residual: t.given(N, D),
      weight: t.given(D),
      sum: t.empty(N, D),
      y: t.empty(N, D),
      eps: 1e-5,
    },
  }),
  rmsNormBackward: (t, { N, D }) => ({
    args: {
      dy: t.given(N, D),
      dSum: t.given(N, D),
      x: t.given(N, D),
      weight: t.given(D),
      dx: t.empty(N, D),
      eps: 1e-5,
    },
  }),
  layerNorm: (t, { N, D }) => ({
    args: {
      x: t.given(N, D),
      residual: t.given(N, D),
      weight: t.given(D),
      bias: t.given(D),
      sum: t.empty(N, D),
      y: t.empty(N, D),
      eps: 1e-5,
    },
  }),
  layerNormBackward: (t, { N, D }) => ({
    args: {
      dy: t.given(N, D),
      dSum: t.given(N, D),
      x: t.given(N, D),
      weight: t.given(D),
      dx: t.empty(N, D),
      eps: 1e-5,
    },
  }),
  dropout: (t, { N, D }) => ({ args: { x: t.given(N, D), y: t.empty(N, D), dropout: { ...NO_DROPOUT, p: 0.1 } } }),
  // gate_proj and up_proj with their adapters.
  linear: (t, { N, D, F, r }) => ({
    args: {
      x: t.given(N, D),
      y: t.empty(N, 2 * F),
      parts: [0, 1].map(() => part(t, D, F, pair(t, N, D, F, r, t.empty))),
      sumOrder: 0,
    },
    flops: 2 * (2 * N * D * F + 2 * N * r * (D + F)),
  }),
  linearBackward: (t, { N, D, F, r }) => ({
    args: {
      dy: t.given(N, 2 * F),
      x: t.given(N, D),
      dx: t.empty(N, D),
      parts: [0, 1].map(() => part(t, D, F, { ...pair(t, N, D, F, r, t.given), da: t.float(r, D), db: t.float(F, r) })),
    },
    flops: 2 * (2 * N * D * F + 4 * N * r * (D + F)),
  }),
  rope: (t, { B, T, N, H, Hkv, hd }) => ({
    args: {
      x: t.given(N, (H + Hkv) * hd),
      cosSin: t.float(T, hd),
      positions: t.integers(Array.from({ length: B * T }, (_, i) => i % T)),
      y: t.empty(N, (H + Hkv) * hd),
      headDim: hd,
      inverse: 0,
    },
  }),
  // The causal half: two products forward, five backward.
  attention: (t, sizes) => ({ args: attention(t, sizes), flops: 2 * attentionProduct(sizes) }),
  attentionBackward: (t, sizes) => {
    const { y, lse, blockSize, ...given } = attention(t, sizes)
    const { N, H, Hkv, hd } = sizes
    return {
      args: {
        ...given,
        dy: t.given(N, H * hd),
        y: t.given(N, H * hd),
        lse: t.float(H, N),
        dq: t.empty(N, H * hd),
        dk: t.empty(N, Hkv * hd),
        dv: t.empty(N, Hkv * hd),
      },
      flops: 5 * attentionProduct(sizes),
    }
  },
  swiglu: (t, { N, F }) => ({ args: { x: t.given(N, 2 * F), y: t.empty(N, F) } }),
  swigluBackward: (t, { N, F }) => ({ args: { dy: t.given(N, F), x: t.given(N, 2 * F), dx: t.empty(N, 2 * F) } }),
  gelu: (t, { N, F }) => ({ args: { x: t.given(N, F), y: t.empty(N, F), tanh: 1 } }),
  geluBackward: (t, { N, F }) => ({ args: { dy: t.given(N, F), x: t.given(N, F), dx: t.empty(N, F), tanh: 1 } }),
  // While recording: the logits, and dh from their gradient.
  linearCrossEntropy: (t, { N, D, V }) => ({
    args: {
      h: t.given(N, D),
      labels: t.ids(N, V),
      loss: t.emptyFloat(1),
      dh: t.empty(N, D),
      head: [{ weight: t.given(V, D), pairs: [] }],
      softcap: 0,
      divisor: 0,
      lossScale: 1,
    },
    flops: 4 * N * D * V,
  }),
  linearLogProbs: (t, { N, D, V }) => ({
    args: {
      h: t.given(N, D),
      labels: t.ids(N, V),
      logProbs: t.emptyFloat(N),
      head: [{ weight: t.given(V, D), pairs: [] }],
      softcap: 0,
    },
    flops: 2 * N * D * V,
  }),
  // The logits once more, and dh from their gradient.
  linearLogProbsBackward: (t, { N, D, V }) => ({
    args: {
      dLogProbs: t.float(N),
      h: t.given(N, D),
      labels: t.ids(N, V),
      dh: t.empty(N, D),
      head: [{ weight: t.given(V, D), pairs: [] }],
      softcap: 0,
    },
    flops: 4 * N * D * V,
  }),
  // The adapters of all linear layers.
  adamw: (t, { D, F, H, Hkv, hd, r, layers }) => {
    const projections = [
      [D, H * hd],
      [D, Hkv * hd],
      [D, Hkv * hd],
      [H * hd, D],
      [D, F],
      [D, F],
      [F, D],
    ]
    const shapes = Array.from({ length: layers }, () =>
      projections.flatMap(([inner = 0, outer = 0]) => [
        [r, inner],
        [outer, r],
      ]),
    ).flat()
    const parameters = shapes.map((shape) => ({
      parameter: t.float(...shape),
      grad: t.float(...shape),
      m: t.float(...shape),
      v: t.float(...shape),
      copy: t.given(...shape),
      weightDecay: 0,
    }))
    const norms = t.emptyFloat(parameters.length + 1)
    return {
      args: {
        parameters,
        norms,
        lr: 1e-4,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        step: 10,
        maxGradNorm: 1,
        lossScale: 1,
      },
    }
  },
  argmax: (t, { B, V }) => ({ args: { x: t.float(B, V), ids: t.emptyOf([B], 'int32') } }),
  sample: (t, { B, V }) => {
    const steps = t.integers(Array.from({ length: B }, (_, i) => i))
    const options = { temperature: 0.8, topK: 50, topP: 0.95, minP: 0, repetitionPenalty: 1, seed: 0 }
    return { args: { logits: t.float(B, V), steps, ids: t.emptyOf([B], 'int32'), ...options } }
  },
  sampleRows: (t, { B, V }) => {
    const steps = t.integers(Array.from({ length: B }, (_, i) => i))
    const parameters = { temperature: 0.8, topK: 50, topP: 0.95, minP: 0, repetitionPenalty: 1, seed: 0 }
    const [options, integers] = [new Float32Array(4 * B), new Int32Array(4 * B)]
    for (let row = 0; row < B; row++) writeSamplingRow(options, integers, row, parameters, false)
    const tables = { options: t.numbers(options, [B, 4]), integers: t.numbers(integers, [B, 4]) }
    return { args: { logits: t.float(B, V), steps, ...tables, ids: t.emptyOf([B], 'int32') } }
  },
  topLogProbs: (t, { B, V }) => ({
    args: {
      logits: t.float(B, V),
      chosen: t.integers(Array.from({ length: B }, (_, i) => i)),
      logProbs: t.emptyFloat(B, 21),
      ids: t.emptyOf([B, 20], 'int32'),
    },
  }),
  quantizeNf4: (t, { D, F }) => {
    const x = t.given(F, D)
    const { shape, ...made } = quantizeNf4(x)
    return { args: { ...made, x } }
  },
  dequantizeNf4: (t, { D, F }) => ({ args: { ...nf4Arguments(quantizeNf4(t.given(F, D))), y: t.empty(F, D) } }),
}

/** @param {Make} t @param {number} inner @param {number} outer @param {any} adapter */
function part(t, inner, outer, adapter) {
  return { weight: t.given(outer, inner), nf4: [], inOut: 0, pairs: [adapter] }
}

/** @param {Make} t @param {number} tokens @param {number} inner @param {number} outer @param {number} r @param {(...shape: number[]) => Tensor} s */
function pair(t, tokens, inner, outer, r, s) {
  return { a: t.given(r, inner), b: t.given(outer, r), s: s(tokens, r), scale: 2, dropout: NO_DROPOUT }
}

/** @param {Make} t @param {Sizes} sizes */
function attention(t, { B, T, N, H, Hkv, hd }) {
  const bounds = t.integers(Array.from({ length: B + 1 }, (_, i) => i * T))
  return {
    q: t.given(N, H * hd),
    k: t.given(N, Hkv * hd),
    v: t.given(N, Hkv * hd),
    cuSeqlensQ: bounds,
    cuSeqlensK: bounds,
    y: t.empty(N, H * hd),
    lse: t.emptyFloat(H, N),
    blockSize: 0,
    options: { ...ATTENTION, headDim: hd, scale: 1 / Math.sqrt(hd) },
  }
}

/** Operations of one product over the pairs of tokens that see each other. @param {Sizes} sizes */
function attentionProduct({ B, T, H, hd }) {
  return B * H * hd * T * (T + 1)
}

/** @param {readonly number[]} numbers */
function product(numbers) {
  return numbers.reduce((total, number) => total * number, 1)
}
