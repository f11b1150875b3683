/** @file The memory of a process beside its tensors. */

/**
 * Node with the engine's code, V8's heap, tokenizer, stacks, in bytes. Measured: 71 to 110 MiB over training steps of several
 * shapes.
 */
export const PROCESS_BYTES = 90 * 2 ** 20
