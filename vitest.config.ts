/** @file How the tests run: one process per file, two at a time. CI adds a JSON report through LOWRANK_TEST_REPORT. */

import { defineConfig } from 'vitest/config'

const report = process.env.LOWRANK_TEST_REPORT

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // A crash in native code ends the process of its own file only, and the report names that file.
    pool: 'forks',
    maxWorkers: 2,
    // No test asks the real Hub; those of test/hub have one of their own.
    env: { HF_HUB_OFFLINE: '1' },
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Below this a test is not worth a line of its own.
    slowTestThreshold: 10_000,
    teardownTimeout: 10_000,
    // A test left alone by `.only` would let a submission pass without the others.
    allowOnly: false,
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
    coverage: { include: ['src/**'] },
  },
})
