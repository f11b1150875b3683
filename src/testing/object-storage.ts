/** @file What a store of objects behind presigned addresses does for the workspace. A test may bring a real one. */

import type { Readable } from 'node:stream'

/** An object of the store. */
export interface StoredObject {
  /** The path in the workspace without its first slash: 'Volumes/c/s/v/file'. */
  readonly key: string
  /** Bytes. */
  readonly size: number
  /** Milliseconds since 1970. */
  readonly modified: number
  /** With its quotes. It is no digest of the content. */
  readonly etag: string
}

/** Where a client goes without its authorization, and the headers that it has to send there. */
export interface PresignedAddress {
  readonly url: string
  readonly headers: readonly { readonly name: string; readonly value: string }[]
}

/** What an address permits. */
export interface PresignedAccess {
  readonly method: 'GET' | 'PUT'
  readonly key: string
  /** When it ends, in milliseconds since 1970 by the clock of the storage. */
  readonly expires: number
  /** The part of an upload that it takes. */
  readonly part?: { readonly uploadId: string; readonly number: number }
}

/** A part as the client names it when it completes an upload. */
export interface UploadedPart {
  readonly part_number: number
  readonly etag: string
}

/**
 * Where the workspace keeps the bytes of files. `startWorkspace` makes one on the disk; `storage` gives it another, as
 * an S3 server or Azurite.
 */
export interface ObjectStorage {
  readonly cloud: 'AWS' | 'Azure' | 'GCP'
  /** Writes the whole object, or nothing where the body fails. */
  put(key: string, body: AsyncIterable<Uint8Array>): Promise<StoredObject>
  /** @param range First byte, and the one behind the last. */
  get(key: string, range?: { readonly start: number; readonly end: number }): Promise<Readable>
  stat(key: string): Promise<StoredObject | undefined>
  /** @returns whether it was there */
  delete(key: string): Promise<boolean>
  /** Objects whose keys begin with the prefix, by key. */
  list(prefix: string): Promise<StoredObject[]>
  presign(access: PresignedAccess): PresignedAddress | Promise<PresignedAddress>
  startUpload(key: string): Promise<string>
  completeUpload(key: string, uploadId: string, parts: readonly UploadedPart[]): Promise<StoredObject>
  /** Forgets the parts; an upload that is not there is none to forget. */
  abortUpload(key: string, uploadId: string): Promise<void>
  /** Parts of uploads that are neither complete nor aborted. */
  openParts(): Promise<number>
  close(): Promise<void>
}
