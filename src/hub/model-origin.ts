/** @file Where a model comes from and under which licence, as adapters record it. Imports nothing. */

/** The licence of a model as its card names it, such as `apache-2.0`, or `other` with a name and a link. */
export interface ModelLicense {
  readonly id: string
  readonly name?: string
  readonly link?: string
}

/** What is known of where weights come from; empty for a directory. */
export interface ModelOrigin {
  /** The commit on the Hub. */
  readonly revision?: string
  readonly license?: ModelLicense
}
