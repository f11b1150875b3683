/**
 * @file How the tests run: two processes at a time. CI adds a JSON report through LOWRANK_TEST_REPORT.
 *
 * LOWRANK_TEST_LONG=1 (`npm run test:long`) runs the full series of the proofs that `npm test` reduces.
 *
 * Four projects: `cpu` is everything on the CPU whose files share a process and its modules, which loads them once and not 280 times;
 * `alone` is what needs a process per file: tests that put others in place of modules, and those that a fault of native code may end;
 * `emulator` is the suites of devices on the emulated GPU, where the CUDA kernels run on the CPU: the ops
 * alone on one emulated GPU, or all of them on every one with LOWRANK_EMULATOR_TESTS=all (`npm run test:emulator`);
 * `peers` opens what lowrank writes in Python's libraries, where LOWRANK_TEST_PYTHON names one that has them.
 */

import { readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const report = process.env.LOWRANK_TEST_REPORT
const all = process.env.LOWRANK_EMULATOR_TESTS === 'all'
const long = process.env.LOWRANK_TEST_LONG === '1'

// No test asks the real Hub; those of test/hub have one of their own. What other runs have cached is nothing to a test.
const env = { HF_HUB_OFFLINE: '1', LOWRANK_CACHE: join(tmpdir(), `lowrank-cache-${process.pid}`) }
const common = {
  // A crash in native code ends the process of its own file only, and the report names that file.
  pool: 'forks' as const,
  setupFiles: [fileURLToPath(new URL('test/support/typed-array-equality.ts', import.meta.url))],
  // Generous, since a machine may be busy: what must be fast is tested by processor time.
  testTimeout: long ? 1_800_000 : 240_000,
  hookTimeout: 240_000,
  // A test left alone by `.only` would let a submission pass without the others.
  allowOnly: false,
}

/** Test files that load other modules in place of some: the next file of the process would have them too. */
const replacing = readdirSync(fileURLToPath(new URL('test', import.meta.url)), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.ts'))
  .map((file) => `test/${file.split(sep).join('/')}`)
  .filter((file) => /\bvi\.(?:mock|doMock|resetModules)\(/.test(readFileSync(new URL(file, import.meta.url), 'utf8')))
const alone = ['test/{native,stress}/**/*.test.ts', ...replacing]
const elsewhere = ['test/emulator/**', 'test/peers/**']

export default defineConfig({
  test: {
    maxWorkers: 2,
    // Below this a test is not worth a line of its own.
    slowTestThreshold: 10_000,
    teardownTimeout: 10_000,
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
    coverage: { include: ['src/**'] },
    projects: [
      {
        test: {
          ...common,
          name: 'cpu',
          isolate: false,
          include: ['test/**/*.test.ts', 'packages/*/test/**/*.test.ts'],
          exclude: [...elsewhere, ...alone],
          env,
        },
        // What packages/ know as an installed package.
        resolve: { alias: { lowrank: fileURLToPath(new URL('src/index.ts', import.meta.url)) } },
      },
      { test: { ...common, name: 'alone', include: alone, exclude: elsewhere, env } },
      { test: { ...common, name: 'peers', include: ['test/peers/**/*.test.ts'], env } },
      {
        test: {
          ...common,
          name: 'emulator',
          include: [
            'test/emulator/**/*.test.ts',
            'test/ops/!(isa).test.ts',
            'test/train/device.test.ts',
            'test/native/{faults,buffers,streams,command-lists,load-file}.test.ts',
            ...(all
              ? [
                  'test/models/golden.test.ts',
                  'test/{causal-lm/causal-lm,decoding/decoding,decoding/generate}.test.ts',
                  'test/adapters/merge.test.ts',
                  'test/inference/{logit-additions,same-bits}.test.ts',
                  'test/autograd/*.test.ts',
                  'test/tensor/{tensor,scope}.test.ts',
                  'test/train/batch-equivalence.test.ts',
                ]
              : []),
          ],
          env: {
            ...env,
            LOWRANK_ADDON:
              process.env.LOWRANK_EMULATOR_ADDON ??
              fileURLToPath(new URL('build/Release/lowrank-emulator.node', import.meta.url)),
            LOWRANK_TEST_DEVICES: 'cuda-emulator',
            ...(all ? {} : { LOWRANK_TEST_EMULATORS: 'sm90/random/late' }),
          },
          testTimeout: all ? 480_000 : 240_000,
        },
      },
    ],
  },
})
