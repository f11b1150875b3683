/**
 * @file Early stopping as transformers' EarlyStoppingCallback does it
 * (https://huggingface.co/docs/transformers/main_classes/callback#transformers.EarlyStoppingCallback): an evaluation
 * counts against the run unless it is better than the best one before it by more than a threshold.
 */

export interface EarlyStoppingOptions {
  /** Evaluations in a row without an improvement after which the run ends. */
  readonly patience: number
  readonly threshold: number
}

export class EarlyStopping {
  readonly #options: EarlyStoppingOptions
  #counter = 0

  constructor(options: EarlyStoppingOptions) {
    this.#options = options
  }

  /** Evaluations in a row that improved nothing. */
  get counter(): number {
    return this.#counter
  }

  get patience(): number {
    return this.#options.patience
  }

  /** Whether the run ends. */
  get isOver(): boolean {
    return this.#counter >= this.#options.patience
  }

  /**
   * Counts an evaluation.
   * @param best the best value of those before it; undefined: there is none, whatever comes is an improvement
   */
  observe(value: number, best: number | undefined, isBetter: (a: number, b: number) => boolean): void {
    const isImprovement =
      best === undefined || (isBetter(value, best) && Math.abs(value - best) > this.#options.threshold)
    this.#counter = isImprovement ? 0 : this.#counter + 1
  }

  /** What transformers writes of the callback into trainer_state.json. */
  state(): Readonly<Record<string, unknown>> {
    const { patience, threshold } = this.#options
    return {
      args: { early_stopping_patience: patience, early_stopping_threshold: threshold },
      attributes: { early_stopping_patience_counter: this.#counter },
    }
  }
}
