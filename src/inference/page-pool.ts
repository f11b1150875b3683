/**
 * @file Pages of the key/value cache: which are free, who holds them, and which hold a beginning that may come again.
 * Counts only: what the pages contain is on the device.
 */

import { LowrankError } from '../lowrank-error.js'

/** A page that may be found again. */
interface IndexedPage {
  readonly key: string
  /** Stands for the page and all before it, as the parent of the pages behind it. No number comes twice. */
  readonly serial: number
  /** Whose keys and values they are: the serial that the first page of the chain has as its parent. */
  readonly root: number
}

/**
 * 1. A page is free, held by one or more sequences, or kept: held by none, but found by its tokens.
 * 2. A page is found by its tokens and the page before it, compared whole and not by a digest: no two beginnings are
 *    ever taken for the same.
 * 3. A sequence reserves all pages that it may need before it begins, and takes them one by one. So a sequence that
 *    has begun always gets its next page, and kept pages stay until they are needed.
 * 4. The page that was used the longest time ago makes room first. A page is used at least as late as those behind it,
 *    so that no kept page loses the ones before it.
 */
export class PagePool {
  readonly total: number
  readonly pageSize: number
  /** The lowest number is the last: memory that was never used stays untouched as long as possible. */
  readonly #free: number[]
  readonly #holders: Uint32Array
  readonly #indexed = new Map<number, IndexedPage>()
  readonly #byKey = new Map<string, number>()
  /** Kept pages, the one that was used the longest time ago first. */
  readonly #kept = new Set<number>()
  #reserved = 0
  #serials = 0

  constructor(total: number, pageSize: number) {
    this.total = total
    this.pageSize = pageSize
    this.#free = Array.from({ length: total }, (_, i) => total - 1 - i)
    this.#holders = new Uint32Array(total)
  }

  get held(): number {
    return this.total - this.#free.length - this.#kept.size
  }

  get kept(): number {
    return this.#kept.size
  }

  /** Pages that nobody holds and nobody has reserved. */
  get available(): number {
    return this.#free.length + this.#kept.size - this.#reserved
  }

  /** A parent for the first pages of sequences whose keys and values are the same for the same tokens. */
  newRoot(): number {
    return ++this.#serials
  }

  /**
   * Reserves pages, or says that there are too few.
   * @param found pages that will be adopted in the place of some of them: those that others hold take none away.
   */
  reserve(count: number, found: readonly number[]): boolean {
    const held = found.filter((page) => this.#holders[page] !== 0).length
    if (count - held > this.available) return false
    this.#reserved += count
    return true
  }

  /** Gives back reservations that are not needed. */
  cancel(count: number): void {
    this.#reserved -= count
  }

  /** A page for whoever has reserved one. */
  take(): number {
    const page = this.#free.pop() ?? this.#evict()
    this.#reserved--
    this.#holders[page] = 1
    return page
  }

  /** The page that has these tokens behind those of `parent`, and its serial. */
  find(parent: number, ids: Int32Array): { page: number; serial: number } | undefined {
    const page = this.#byKey.get(keyOf(parent, ids))
    return page === undefined ? undefined : { page, serial: (this.#indexed.get(page) as IndexedPage).serial }
  }

  /** Holds a page that was found, in the place of one that is reserved. */
  adopt(page: number): void {
    this.#kept.delete(page)
    this.#reserved--
    this.#holders[page] = (this.#holders[page] as number) + 1
  }

  /**
   * Lets a full page be found.
   * @returns its serial, or that of the page which is found by these tokens already
   */
  index(page: number, parent: number, ids: Int32Array, root: number): number {
    const key = keyOf(parent, ids)
    const same = this.#byKey.get(key)
    if (same !== undefined) return (this.#indexed.get(same) as IndexedPage).serial
    const serial = ++this.#serials
    this.#indexed.set(page, { key, serial, root })
    this.#byKey.set(key, page)
    return serial
  }

  /** Gives back the pages of a sequence, in their order. */
  release(pages: readonly number[]): void {
    for (let i = pages.length - 1; i >= 0; i--) {
      const page = pages[i] as number
      const holders = (this.#holders[page] as number) - 1
      if (holders < 0)
        throw new LowrankError('INTERNAL', `[inference] expected a page that is held, got page ${page}, which is not`)
      this.#holders[page] = holders
      if (holders > 0) continue
      if (this.#indexed.has(page)) this.#kept.add(page)
      else this.#free.push(page)
    }
  }

  /** Forgets what pages of one root contain, or all pages: those that nobody holds are free. */
  forget(root?: number): void {
    for (const [page, entry] of [...this.#indexed]) {
      if (root !== undefined && entry.root !== root) continue
      this.#forgetPage(page, entry)
      if (this.#kept.delete(page)) this.#free.push(page)
    }
  }

  #evict(): number {
    const [page] = this.#kept
    if (page === undefined)
      throw new LowrankError(
        'INTERNAL',
        `[inference] expected a page that is reserved, got ${this.total} that are held`,
      )
    this.#kept.delete(page)
    this.#forgetPage(page, this.#indexed.get(page) as IndexedPage)
    return page
  }

  #forgetPage(page: number, { key }: IndexedPage): void {
    this.#indexed.delete(page)
    this.#byKey.delete(key)
  }
}

function keyOf(parent: number, ids: Int32Array): string {
  return `${parent}:${Buffer.from(ids.buffer, ids.byteOffset, ids.byteLength).toString('latin1')}`
}
