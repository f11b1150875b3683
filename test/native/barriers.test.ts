/** @file What names the barriers and waits of the CUDA kernels in the report of planted mistakes. */

import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

interface Barrier {
  kernel: string
  call: string
  occurrence: number
  line: number
  why: string
}

const root = new URL('../../', import.meta.url)
const { barriersIn, barriersOf, rowKey } = (await import(new URL('scripts/barriers.mjs', root).href)) as {
  barriersIn(text: string): Barrier[]
  barriersOf(): (Barrier & { file: string })[]
  rowKey(site: Barrier & { file: string }): string
}

const SOURCE = `namespace lowrank::LOWRANK_BACKEND {
namespace {

constexpr int kStages = stagesOf(3);

__device__ float sumOf(float value) {
  syncWarp();  // survives: one warp calls it
  return value;
}

template <class T>
__global__ void __launch_bounds__(kThreads, 2)
    firstKernel(const T* from, T* to) {
  // syncThreads() is not called in a comment.
  cpAsyncWait<kStages - 2>();
  syncThreads();
  for (int i = 0; i < 3; ++i) {
    to[i] = sumOf(from[i]);
    if (i > 0) syncThreads();
  }
}

__global__ void __launch_bounds__(kThreads) secondKernel(float* to) { syncThreads(); }

}  // namespace
}  // namespace lowrank::LOWRANK_BACKEND
`
const NAMES = [
  'sumOf syncWarp 1',
  'firstKernel cpAsyncWait<kStages - 2> 1',
  'firstKernel syncThreads 1',
  'firstKernel syncThreads 2',
  'secondKernel syncThreads 1',
]

function namesIn(text: string): string[] {
  return barriersIn(text).map(({ kernel, call, occurrence }) => `${kernel} ${call} ${occurrence}`)
}

test('a barrier is named by its function, its call and which of these it is there', () => {
  expect(namesIn(SOURCE)).toEqual(NAMES)
  expect(barriersIn(SOURCE).map(({ line }) => line)).toEqual([7, 15, 16, 19, 23])
  expect(barriersIn(SOURCE).map(({ why }) => why)).toEqual(['one warp calls it', '', '', '', ''])
})

test('a barrier keeps its name when lines or other kernels come before it', () => {
  const other = '__global__ void otherKernel(int* to) {\n  syncThreads();\n}\n\n'
  const longer = SOURCE.replace('template <class T>\n', `${other}// A comment\n// of two lines.\ntemplate <class T>\n`)
  expect(namesIn(longer)).toEqual([NAMES[0], 'otherKernel syncThreads 1', ...NAMES.slice(1)])
})

test('the report of planted mistakes has one row for each barrier and wait of the CUDA kernels', () => {
  const report = readFileSync(new URL('bench/results/planted-bugs.csv', root), 'utf8')
  const rows = report.trim().split('\n').slice(1)
  expect(rows.map((row) => row.split(',').slice(0, 4).join())).toEqual(barriersOf().map(rowKey))
})

test('every planted mistake that the tests do not see has a reason', () => {
  const report = readFileSync(new URL('bench/results/planted-bugs.csv', root), 'utf8')
  const rows = report.trim().split('\n').slice(1)
  expect(rows.filter((row) => !/,caught,""$|,survives,"[^"]+"$/.test(row))).toEqual([])
})
