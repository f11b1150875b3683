/** @file `pushToHub`: what a run trains goes to the Hub, with its saves or at its end, as in transformers. */

import { basename, join } from 'node:path'
import { expectId } from '../hub/push/options.js'
import { HUB_OPTIONS } from '../hub/settings.js'
import { OptionError } from '../lowrank-error.js'
import { boolean, type Rule, textOf } from '../options/rules.js'
import type { OptionTable } from '../options/table.js'
import type { TrainCallback } from '../train/callbacks.js'
import type { SaveEvent } from '../train/events.js'
import type { Integration } from './integration.js'

/** When what goes to the Hub. */
export type HubStrategy = 'end' | 'every_save' | 'checkpoint' | 'all_checkpoints'

/** Which repository of the Hub a run goes to; named as in transformers. */
export interface HubPushOptions {
  /**
   * Whether what was trained is pushed to the Hub. It needs `outputDir` and `hubModelId`.
   * @default false
   */
  pushToHub?: boolean
  /**
   * The repository, as OWNER/NAME; it is made where it is not there.
   * @default none
   */
  hubModelId?: string
  /**
   * What goes up when: 'end' pushes the result; 'every_save' also the weights of each checkpoint, as a commit;
   * 'checkpoint' also the whole last checkpoint, in the folder `last-checkpoint`, to resume from; 'all_checkpoints' all
   * of them, in folders of their names.
   * @default 'every_save'
   */
  hubStrategy?: HubStrategy
  /**
   * Whether a repository that is made is private; one that is there stays as it is.
   * @default what its owner has set, mostly public
   */
  hubPrivateRepo?: boolean
  /**
   * Access token that may write; never part of an error or a file.
   * @default HF_TOKEN, then the file that `hf auth login` writes
   */
  hubToken?: string
}

const STRATEGIES: readonly HubStrategy[] = ['end', 'every_save', 'checkpoint', 'all_checkpoints']
const USUAL: HubStrategy = 'every_save'
const group = 'Where the result is pushed'

const strategy: Rule = {
  expected: STRATEGIES.map((name) => `'${name}'`).join(', '),
  accepts: (value) => (STRATEGIES as readonly unknown[]).includes(value),
  schema: { enum: [...STRATEGIES] },
}

export const PUSH_TO_HUB: Integration<HubPushOptions> = {
  table: {
    pushToHub: {
      rule: boolean,
      default: false,
      help: 'whether what was trained is pushed to the Hub',
      heading: group,
      flag: { name: '--push-to-hub', group },
    },
    hubModelId: {
      rule: textOf('OWNER/NAME'),
      otherwise: 'none',
      example: 'org/support',
      help: 'the repository, as OWNER/NAME; it is made where it is not there',
      flag: { name: '--hub-model-id', argument: 'name', group },
    },
    hubStrategy: {
      rule: strategy,
      default: USUAL,
      help: 'what goes up when: the result at the end, also the weights of each save, also the last or every checkpoint',
      flag: { name: '--hub-strategy', argument: 'when', group, choices: [...STRATEGIES] },
    },
    hubPrivateRepo: {
      rule: boolean,
      otherwise: 'what its owner has set, mostly public',
      example: true,
      help: 'whether a repository that is made is private; one that is there stays as it is',
      flag: { name: '--hub-private-repo', group },
    },
    hubToken: { ...HUB_OPTIONS.token, help: 'access token of the Hub that may write; better kept in HF_TOKEN' },
  } as const satisfies OptionTable<HubPushOptions>,
  check({ pushToHub, hubModelId }) {
    const problem = (message: string) => [{ options: [['pushToHub'], ['hubModelId']], message }]
    if (hubModelId !== undefined) {
      try {
        expectId('train', 'hubModelId', hubModelId)
      } catch (error) {
        return problem((error as Error).message)
      }
    }
    if (pushToHub && hubModelId === undefined)
      return problem(
        "[train] expected hubModelId for pushToHub, got none; name the repository: hubModelId: 'OWNER/NAME'",
      )
    return []
  },
  async open({ pushToHub, hubModelId = '', hubStrategy = USUAL, hubPrivateRepo, hubToken, outputDir, signal }, links) {
    if (!pushToHub) return []
    if (outputDir === undefined)
      throw new OptionError('[train] pushToHub needs outputDir, where what it pushes is written; set it')
    const { expectRepository, openTarget, pushFiles } = await import('../hub/push/push-to-hub.js')
    const { checkpointFiles, localFiles } = await import('../hub/push/local-files.js')
    const target = await openTarget(hubModelId, {
      ...(hubToken !== undefined && { token: hubToken }),
      ...(hubPrivateRepo !== undefined && { private: hubPrivateRepo }),
      ...(signal && { signal }),
    })
    // A run of hours does not end with a token that may not write.
    await expectRepository(target)
    const pushSave = async ({ path, step }: SaveEvent): Promise<void> => {
      const { files } = await localFiles(path)
      const name = basename(path)
      const folder = { checkpoint: 'last-checkpoint', all_checkpoints: name }[hubStrategy as string]
      const whole = folder === undefined ? [] : await checkpointFiles(path)
      const placed = whole.map((file) => ({ ...file, path: `${folder}/${file.path}` }))
      // The record in a checkpoint is one of before the run's end: that of the run goes up with the result.
      const weights = files.filter((file) => file.path !== 'trainer_state.json')
      await pushFiles(target, [...weights, ...placed], { message: `Training in progress, step ${step}` })
    }
    const saves: TrainCallback = {
      name: 'pushToHub of a save',
      // The next save, or the end, brings it along.
      endsRunOnError: false,
      onEvent: (event) => (event.type === 'save' && event.kind === 'checkpoint' ? pushSave(event) : undefined),
    }
    const end: TrainCallback = {
      name: 'pushToHub',
      needsResult: true,
      endsRunOnError: true,
      async onEvent(event) {
        if (event.type !== 'end' || event.result === undefined) return
        const { files } = await localFiles(join(event.result.path, '..'))
        const { url, commit } = await pushFiles(target, files, { message: 'End of training' })
        links.tellPushed({ url, commit: commit ?? '' })
      },
    }
    return hubStrategy === 'end' ? [end] : [saves, end]
  },
}
