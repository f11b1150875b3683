/** @file Dynamic loss scaling for float16, whose gradients would end at 6e-8: by the rules of torch.amp.GradScaler. */

/** Where a scaler stands; part of a checkpoint. */
export interface LossScalerState {
  /** What the gradients of the next step are multiplied by. */
  readonly scale: number
  /** Steps made since the scale last changed. */
  readonly growthTracker: number
}

/** The defaults of torch.amp.GradScaler, https://docs.pytorch.org/docs/stable/amp.html. */
const INITIAL_SCALE = 65_536
const GROWTH_FACTOR = 2
const BACKOFF_FACTOR = 0.5
const GROWTH_INTERVAL = 2000

/**
 * No gradient of a sound training overflows at so small a scale, which is 30 steps skipped on end from the initial one.
 */
const LEAST_SCALE = 2 ** -14

/**
 * The scale of a run's gradients. It halves when a step was skipped because they overflowed, and doubles after 2000
 * steps without that. Powers of two: where nothing over- or underflows, scaling changes no bit.
 */
export class LossScaler {
  #scale: number
  #growthTracker: number

  /** @param state where to go on; default the beginning. */
  constructor({ scale, growthTracker }: LossScalerState = { scale: INITIAL_SCALE, growthTracker: 0 }) {
    this.#scale = scale
    this.#growthTracker = growthTracker
  }

  /** Whether a scale can be one: powers of two that kernels hold in float32. */
  static isScale(scale: number): boolean {
    return scale >= LEAST_SCALE && Number.isFinite(Math.fround(scale)) && Number.isInteger(Math.log2(scale))
  }

  static isTracker(growthTracker: number): boolean {
    return growthTracker < GROWTH_INTERVAL
  }

  get scale(): number {
    return this.#scale
  }

  get state(): LossScalerState {
    return { scale: this.#scale, growthTracker: this.#growthTracker }
  }

  /** Whether smaller scales are still worth trying. */
  get isExhausted(): boolean {
    return this.#scale < LEAST_SCALE
  }

  /** Takes in how a step with the present scale went. */
  update(skipped: boolean): void {
    if (skipped) {
      this.#scale *= BACKOFF_FACTOR
      this.#growthTracker = 0
    } else if (++this.#growthTracker === GROWTH_INTERVAL) {
      // Kernels hold it in float32.
      if (Number.isFinite(Math.fround(this.#scale * GROWTH_FACTOR))) this.#scale *= GROWTH_FACTOR
      this.#growthTracker = 0
    }
  }
}
