/** @file A report of an evaluation with every kind of figure, for tests of what reads reports. */

import type { EvaluationReport } from '../../src/evaluate/evaluation-report.js'

/** Two models on two tasks: a score without a value, one without an interval, and a data set of the Hub. */
export const REPORT: EvaluationReport = {
  version: 1,
  startedAt: '2026-01-31T12:00:00.000Z',
  model: 'org/name',
  models: [{ name: 'base' }, { name: 'support', adapter: '/runs/support/adapter' }],
  confidence: 0.95,
  tasks: [
    {
      name: 'answers',
      type: 'generation',
      rowCount: 7,
      lineage: [{ location: '/home/me/private/held-out.jsonl', rows: 7, size: 70, sha256: 'b'.repeat(64) }],
      metrics: [
        {
          name: 'rougeL',
          higherIsBetter: true,
          scores: {
            base: { value: 0.25, low: 0.125, high: 0.375 },
            support: { value: 0.5, low: 0.375, high: 0.625 },
          },
          differences: { support: { value: 0.25, low: 0.125, high: 0.375, pValue: 0.00001 } },
        },
        {
          name: 'perplexity',
          higherIsBetter: false,
          scores: {
            base: { value: 12.5, low: null, high: null },
            support: { value: 6.25, low: null, high: null },
          },
          differences: { support: { value: -6.25, low: null, high: null, pValue: null } },
        },
      ],
      samples: [],
      seconds: 1,
    },
    {
      name: 'topics',
      type: 'classification',
      rowCount: 9,
      lineage: [{ location: `hf://datasets/org/topics@${'c'.repeat(40)}/test.parquet`, rows: 9 }],
      metrics: [
        {
          name: 'f1_macro',
          higherIsBetter: true,
          scores: { base: { value: null, low: null, high: null }, support: { value: 0.75, low: 0.5, high: 1 } },
          differences: { support: { value: null, low: null, high: null, pValue: null } },
        },
        {
          name: 'precision',
          higherIsBetter: true,
          scores: { base: { value: 1, low: 1, high: 1 }, support: { value: null, low: null, high: null } },
          differences: {},
        },
      ],
      samples: [],
      seconds: 2,
    },
  ],
  seconds: 3,
  lowrank: '0.1.0',
}
