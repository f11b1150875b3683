/**
 * @file Scopes: what is made inside and does not leave is freed at the end, without waiting for the garbage collector.
 */

/** Something that a scope may free. */

import { LowrankError } from '../lowrank-error.js'

export interface Disposable {
  dispose(): void
  /** Called when no scope cares for it any more: from then on the garbage collector has to. */
  leftScopes(saved?: boolean): void
}

const stack: Set<Disposable>[] = []

/** Called by every new tensor: the current scope takes care of it, if there is one. */
export function registerInScope(item: Disposable): void {
  const items = stack[stack.length - 1]
  if (items) items.add(item)
  else item.leftScopes()
}

/**
 * Takes an item out of the care of scopes: whoever calls this keeps it. `saved`: for a backward pass, which will free
 * it.
 */
export function unregisterFromScope<T extends Disposable>(item: T, saved = false): T {
  if (forget(item)) item.leftScopes(saved)
  return item
}

/** Takes a disposed item out of its scope. */
export function forget(item: Disposable): boolean {
  for (let i = stack.length - 1; i >= 0; i--) if (stack[i]?.delete(item)) return true
  return false
}

/**
 * Runs `fn` and disposes every tensor made inside except those it returns: a tensor, or an array or plain object of
 * tensors (other values pass). Returned tensors move to the enclosing scope.
 * @throws when `fn` returns a promise: its tensors would be freed while it still runs.
 */
export function scope<T>(fn: () => T): T {
  const items = new Set<Disposable>()
  stack.push(items)
  let result: T
  try {
    result = fn()
    if (isPromise(result))
      throw new LowrankError(
        'INVALID_CALL',
        '[scope] expected a function that returns at once, got one that returned a promise; await outside',
      )
  } catch (error) {
    stack.pop()
    for (const item of items) item.dispose()
    throw error
  }
  stack.pop()
  keep(result, items)
  for (const item of items) item.dispose()
  return result
}

function isPromise(value: unknown): boolean {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function'
}

function keep(value: unknown, items: Set<Disposable>): void {
  if (typeof value !== 'object' || value === null) return
  if (items.delete(value as Disposable)) {
    registerInScope(value as Disposable)
    return
  }
  if (Array.isArray(value)) for (const item of value) keep(item, items)
  else if (Object.getPrototypeOf(value) === Object.prototype) for (const item of Object.values(value)) keep(item, items)
}
