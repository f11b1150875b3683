/**
 * @file What a metric is: sums over rows, and a score of these sums. Intervals resample the sums of rows, so that a
 * corpus metric such as BLEU costs no more there than a mean.
 */

/**
 * A score of a set of rows that depends on sums over these rows alone.
 * @template Row what is scored, such as an answer with its references
 */
export interface Metric<Row> {
  /** The field's name, such as 'bleu', 'rouge1', 'f1_macro'; what options and reports call it. */
  readonly name: string
  readonly higherIsBetter: boolean
  /** What a row adds to the sums. Each row gives as many numbers. */
  statistics(row: Row): Float64Array
  /** The score of sums over any number of rows, rows that come several times among them. NaN where there is none. */
  score(sums: Float64Array): number
}
