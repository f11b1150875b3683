/** @file What a registry of models can be asked, whichever dialect it speaks. Types alone. */

import type { RestClient } from '../../../http/rest.js'

/** A registered model. */
export interface RegisteredModel {
  /** `catalog.schema.model` */
  readonly name: string
  readonly description: string | undefined
  readonly tags: Readonly<Record<string, string>>
}

/** A version of a registered model. */
export interface ModelVersion {
  /** `catalog.schema.model` */
  readonly name: string
  readonly version: number
  /** `PENDING_REGISTRATION`, `READY`, `FAILED_REGISTRATION`. */
  readonly status: string
  /** Why it has this status; undefined where the service does not say. */
  readonly statusMessage: string | undefined
  /** Where it was made from. Versions that lowrank made have the hash of their content here. */
  readonly source: string
  readonly runId: string | undefined
  readonly description: string | undefined
  /** Empty in lists. */
  readonly aliases: readonly string[]
  /** Empty in lists. */
  readonly tags: Readonly<Record<string, string>>
  /** Milliseconds since 1970. */
  readonly createdAt: number
  /** Where the files lie, as the service names it. */
  readonly storageLocation: string
}

/** What a new version is made of. */
export interface VersionSpec {
  readonly name: string
  readonly source: string
  readonly description: string | undefined
  readonly tags: Readonly<Record<string, string>>
  readonly runId: string | undefined
  /** The workspace of the run. */
  readonly runWorkspaceId: string | undefined
  /** The logged model that it was made of. */
  readonly modelId: string | undefined
}

/** How files of versions come and go. */
export type FilesWay = 'files-api' | 'presigned' | 'folder'

/** A registry. Each call is one request unless it says otherwise; all reject with ServiceError. */
export interface Registry {
  readonly rest: RestClient
  /** As people read it: `https://...`. */
  readonly server: string
  /** Whether it has aliases and tags; open-source servers do not. */
  readonly hasAliases: boolean
  /** Undefined where there is none. */
  findModel(name: string, signal: AbortSignal | undefined): Promise<RegisteredModel | undefined>
  createModel(model: RegisteredModel, signal: AbortSignal | undefined): Promise<void>
  /** Undefined where there is none. */
  findVersion(name: string, version: number, signal: AbortSignal | undefined): Promise<ModelVersion | undefined>
  /** Undefined where nothing has the alias. */
  findByAlias(name: string, alias: string, signal: AbortSignal | undefined): Promise<ModelVersion | undefined>
  /** All versions without tags and aliases, in no order that counts; none where there is no such model. */
  listVersions(name: string, signal: AbortSignal | undefined): AsyncIterable<ModelVersion>
  createVersion(version: VersionSpec, signal: AbortSignal | undefined): Promise<ModelVersion>
  finalizeVersion(name: string, version: number, signal: AbortSignal | undefined): Promise<ModelVersion>
  /** The same twice is the same. */
  setAlias(name: string, alias: string, version: number, signal: AbortSignal | undefined): Promise<void>
  /** The same twice is the same. */
  setVersionTag(
    name: string,
    version: number,
    tag: { readonly key: string; readonly value: string },
    signal: AbortSignal | undefined,
  ): Promise<void>
  /** How the files of a version are read or written. @throws ServiceError where only keys of a cloud would do */
  filesWay(version: ModelVersion, access: 'read' | 'write', signal: AbortSignal | undefined): Promise<FilesWay>
}
