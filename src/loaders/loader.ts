/**
 * @file What a loader is: one file with the rules of a program, and one line in loaders.ts. The rules are read in the
 * sources of the versions that each names; no program runs.
 */

import type { RawConfig } from '../architecture/config.js'
import type { Templates } from '../tokenizer/template-files.js'
import type { AdapterFeatures } from './adapter-features.js'
import type { LoaderName } from './loader-names.js'

/**
 * What comes of it: it does not load; it loads and computes something else; it loads once an option is set or a part is
 * installed.
 */
export type FindingEffect = 'refused' | 'ignored' | 'needs'

/** Something that a loader does not do as the files say. */
export interface LoaderFinding {
  readonly loader: LoaderName
  /** The version whose rules were read. */
  readonly version: string
  readonly effect: FindingEffect
  /** What it is about, as files or options call it: `modulesToSave`. */
  readonly feature: string
  /** A sentence: what the loader does, and what to do. */
  readonly message: string
}

/** What is to be loaded. */
export interface LoadedFiles {
  /** config.json of the model; undefined: not known. */
  readonly config: RawConfig | undefined
  /** The adapter that is loaded on the model; undefined: the model alone. */
  readonly adapter: AdapterFeatures | undefined
  /** The chat template of the tokenizer; undefined: none, or not known. */
  readonly chatTemplate: Templates | undefined
}

/** A finding before the loader and its version are written on it. */
export type Finding = Omit<LoaderFinding, 'loader' | 'version'>

/** The rules of a program. */
export interface Loader {
  readonly name: LoaderName
  /** The version whose sources were read. */
  readonly version: string
  /** Which of its sources. */
  readonly read: string
  check(files: LoadedFiles): Finding[]
}

export const refused = (feature: string, message: string): Finding => ({ effect: 'refused', feature, message })
export const ignored = (feature: string, message: string): Finding => ({ effect: 'ignored', feature, message })
export const needs = (feature: string, message: string): Finding => ({ effect: 'needs', feature, message })

/** The remedy for all that a loader does not take of an adapter. */
export const MERGE = "export the merged model (format 'merged')"

/** The remedies where training can do without. */
export function mergeOr(option: string): string {
  return `${MERGE}, or train without ${option}`
}
