/** @file What lowrank made at hosted services: its kinds, and the record on this machine that has them. */

import { resourceRecord } from '../http/resource-record.js'

/** Kinds of things, in the order in which they are removed. */
const HOSTED_KINDS = ['deployment', 'job', 'model', 'file'] as const

/** `hosted.jsonl`, beside the record of Databricks. */
export const HOSTED_RECORD = resourceRecord('hosted.jsonl', HOSTED_KINDS)
