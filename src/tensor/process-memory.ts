/** @file The memory of a process beside its tensors. */

/**
 * Node with the engine's code, V8's heap, tokenizer, stacks, in bytes. Measured: 71 to 110 MiB over training steps of several
 * shapes.
 */
const PROCESS_BYTES = 90 * 2 ** 20

/** What the process takes of the memory that the tensors of a device are in. */
export function processBytes({ isGpu }: { readonly isGpu: boolean }): number {
  return isGpu ? 0 : PROCESS_BYTES
}
