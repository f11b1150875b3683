/** @file Work on many items with a bound on how many are under way. Knows no files. */

/**
 * Runs `action` on every item, at most `limit` at the same time. After the first failure nothing new is begun, what is
 * under way is stopped and waited for, and the failure is thrown.
 */
export async function inParallel<T>(
  items: Iterable<T> | AsyncIterable<T>,
  limit: number,
  action: (item: T, stop: AbortSignal) => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const failure = new AbortController()
  const stop = signal ? AbortSignal.any([signal, failure.signal]) : failure.signal
  const rest = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]()
  const work = async (): Promise<void> => {
    // An iterator is asked by several workers: generators line such calls up.
    while (!stop.aborted) {
      const next = await rest.next()
      if (next.done) return
      if (!stop.aborted) await action(next.value, stop)
    }
  }
  let first: { readonly error: unknown } | undefined
  const guarded = (): Promise<void> =>
    work().catch((error) => {
      first ??= { error }
      failure.abort(error)
    })
  await Promise.all(Array.from({ length: limit }, guarded))
  await rest.return?.()
  signal?.throwIfAborted()
  if (first) throw first.error
}
