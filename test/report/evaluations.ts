/** @file Evaluation reports for tests: common ones, and one of texts that try to become markup. */

import type {
  EvaluatedRow,
  EvaluationReport,
  ReportedMetric,
  TaskReport,
} from '../../src/evaluate/evaluation-report.js'

/** Texts that break out of elements, attributes, scripts, comments and lines where one forgets to escape them. */
export const HOSTILE = [
  '<script>window.pwned = 1</script>',
  '</script><script>window.pwned = 1</script>',
  '"><img src="https://tracker.invalid/x.png" onerror="window.pwned = 1">',
  "' onmouseover='window.pwned = 1' x='",
  '<!-- --><style>body { display: none }</style><svg onload=window.pwned=1>',
  ']]></textarea></title></style><iframe src="https://tracker.invalid"></iframe>',
  '<base href="https://tracker.invalid/"><meta http-equiv="refresh" content="0;url=https://tracker.invalid">',
  'javascript:window.pwned=1',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a template that nobody must fill in
  '${window.pwned = 1} `window.pwned = 1` {{window.pwned = 1}}',
  '&lt;b&gt; &amp;amp; &#x3c;i&#x3e;',
] as const

/** Texts of other scripts, and those that try to leave their place. */
export const AWKWARD = [
  'שלום עולם, כיצד אוכל לעזור? 123',
  'مرحبا بالعالم (نص) 1.5',
  'user \u202eevil\u202c name \u2066isolated without an end',
  `Z${'\u0351\u0329\u0353'.repeat(40)}algo`,
  '\u0338starts with a combining mark',
  'lone \ud800 half, nul \u0000, bell \u0007, escape \u001b[31m, c1 \u0085',
  '日本語の文章はここにあります。ภาษาไทยไม่มีช่องว่าง',
  '👩‍👩‍👧‍👦 🏳️‍🌈 e\u0301',
  'line one\r\nline two\rline three\n\n\tindented',
  'x'.repeat(400),
] as const

/** A metric of two or more models whose values are given. */
export function metric(
  name: string,
  values: Readonly<Record<string, number | null>>,
  higherIsBetter = true,
  width = 0.05,
): ReportedMetric {
  const [first, ...others] = Object.entries(values)
  const base = first?.[1] ?? null
  const around = (
    value: number | null,
    by: number,
  ): { value: number | null; low: number | null; high: number | null } =>
    value === null ? { value, low: null, high: null } : { value, low: value - by, high: value + by }
  return {
    name,
    higherIsBetter,
    scores: Object.fromEntries(Object.entries(values).map(([model, value]) => [model, around(value, width)])),
    differences: Object.fromEntries(
      others.map(([model, value]) => {
        const change = value === null || base === null ? null : value - base
        const pValue = change === null ? null : Math.abs(change) > width ? 0.0004 : 0.31
        return [model, { ...around(change, width), pValue }]
      }),
    ),
  }
}

function row(index: number, before: number, after: number, texts: readonly [string, string]): EvaluatedRow {
  return {
    index,
    origin: `held-out.jsonl:${index + 1}`,
    prompt: `Define the word number ${index}.`,
    references: [`the meaning of word ${index}`],
    answers: {
      base: { text: texts[0], scores: { rouge1: before, exact_match: 0 }, finishReason: 'length' },
      mine: { text: texts[1], scores: { rouge1: after, exact_match: after === 1 ? 1 : 0 }, finishReason: 'stop' },
    },
  }
}

/** A report of two models on a task of generation, and of classes. */
export function evaluationReport(changes: Partial<EvaluationReport> = {}): EvaluationReport {
  const generation: TaskReport = {
    name: 'definitions',
    type: 'generation',
    rowCount: 250,
    lineage: [{ location: '/data/held-out.jsonl', rows: 250, size: 81_234, sha256: 'ab'.repeat(32) }],
    metrics: [
      metric('rouge1', { base: 0.21, mine: 0.46 }),
      metric('exact_match', { base: 0.02, mine: 0.024 }, true, 0.015),
      metric('perplexity', { base: 31.2, mine: 8.4 }, false, 1.1),
    ],
    samples: [
      row(0, 0.2, 0.6, ['the quick brown fox jumps over it', 'the slow brown fox walks over it']),
      row(1, 0.5, 0.5, ['the meaning of a word', 'the meaning of a word']),
      row(2, 0.9, 0.1, ['the meaning of word 2 is this', 'I cannot say']),
      row(3, 0.4, 0.3, ['a domesticated animal', 'an animal']),
      row(4, 0.1, 1, ['', 'the meaning of word 4']),
    ],
    seconds: 12.4,
  }
  const classes: TaskReport = {
    name: 'sentiment',
    type: 'classification',
    rowCount: 90,
    lineage: [],
    metrics: [
      metric('accuracy', { base: 0.61, mine: 0.58 }),
      metric('f1_macro', { base: 0.55, mine: 0.41 }, true, 0.04),
      metric('precision_neutral', { base: null, mine: 0.5 }),
    ],
    confusion: {
      base: {
        labels: ['positive', 'negative', 'neutral'],
        rows: [
          [20, 8, 0, 2],
          [5, 24, 0, 1],
          [9, 10, 11, 0],
        ],
      },
      mine: {
        labels: ['positive', 'negative', 'neutral'],
        rows: [
          [28, 1, 1, 0],
          [13, 17, 0, 0],
          [12, 11, 7, 0],
        ],
      },
    },
    samples: [],
    seconds: 2.1,
  }
  return {
    version: 1,
    startedAt: '2026-01-31T12:00:00.000Z',
    model: 'HuggingFaceTB/SmolLM2-135M',
    models: [{ name: 'base' }, { name: 'mine', adapter: 'out/mine/adapter' }],
    confidence: 0.95,
    tasks: [generation, classes],
    seconds: 14.5,
    lowrank: '0.1.0',
    ...changes,
  }
}

/** A report in which every text that somebody gives is one of these. */
export function reportOfTexts(texts: readonly string[]): EvaluationReport {
  const [a, b] = [`${texts[0]} base`, `${texts[1]} adapter`]
  const values = { [a]: 0.4, [b]: 0.3 }
  return evaluationReport({
    model: texts[0] as string,
    models: [
      { name: a, adapter: texts[1] as string },
      { name: b, adapter: texts[2] as string },
    ],
    tasks: texts.map((text, at) => ({
      name: `${text} ${at}`,
      type: text,
      rowCount: 3,
      lineage: [{ location: text, sha256: text }],
      metrics: [metric(text, values)],
      confusion: {
        [a]: {
          labels: [text, `${text} 2`],
          rows: [
            [1, 2, 0],
            [3, 4, 1],
          ],
        },
      },
      samples: texts.map((other, index) => ({
        index,
        origin: other,
        prompt: text + other,
        references: [other],
        answers: {
          [a]: { text: `${text} ${other}`, scores: { [text]: 0.2 } },
          [b]: { text: `${other} ${text}`, scores: { [text]: 0.1 } },
        },
      })),
      seconds: 1,
    })),
  })
}
