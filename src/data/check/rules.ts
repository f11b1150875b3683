/** @file The rules of `lowrank data check`, in the order in which it tells what they found. */

import { mixedLanguages } from './language-rule.js'
import { nearDuplicateRow, nearPromptInEvaluation } from './near-rules.js'
import type { Rule } from './rule.js'
import { duplicateRow, equalPair, lengthOutlier, overlapWithEvaluation, promptInEvaluation } from './set-rules.js'
import {
  byteOrderMark,
  carriageReturn,
  droppedContent,
  emailAddress,
  emptyAnswer,
  leakedAnswer,
  replacementCharacter,
  roleOrder,
  secret,
} from './text-rules.js'
import {
  cutAnswer,
  doubledBos,
  doubledStop,
  missingBos,
  missingStop,
  nothingToLearn,
  padIsLearnt,
  unsupervisedStop,
} from './token-rules.js'

export const UNREADABLE_ROW = 'unreadable-row'

export const RULES: readonly Rule[] = [
  {
    id: UNREADABLE_ROW,
    severity: 'error',
    finds: 'that cannot be read, or that the chat template refuses',
    remedy:
      'mend the row as its text says, and check again; --set training.onError=skip finds all such rows, else reading ends at the first',
  },
  {
    id: 'missing-stop',
    severity: 'error',
    finds: 'whose answer ends without a stop token',
    remedy: 'end the answer in the chat template, or with training.chatTemplate, in a token that generation stops at',
    begin: missingStop,
  },
  {
    id: 'unsupervised-stop',
    severity: 'error',
    finds: 'whose stop token is not learnt',
    remedy: 'put the stop token into the generation block of the chat template, or into the mask of the row',
    begin: unsupervisedStop,
  },
  {
    id: 'doubled-stop',
    severity: 'warning',
    finds: 'whose answer ends in two stop tokens',
    remedy: 'take the stop token out of the text of the row: the chat template adds it',
    begin: doubledStop,
  },
  {
    id: 'doubled-bos',
    severity: 'error',
    finds: 'that begin with the BOS token twice',
    remedy: 'leave one of them out of the text of the row, or of the chat template',
    begin: doubledBos,
  },
  {
    id: 'missing-bos',
    severity: 'warning',
    finds: 'that begin without the BOS token that the tokenizer gives to plain text',
    remedy: 'write {{ bos_token }} at the beginning of the chat template, if the model was trained with it',
    begin: missingBos,
  },
  {
    id: 'nothing-to-learn',
    severity: 'error',
    finds: 'of which no token is learnt',
    remedy: 'leave the row out, raise training.maxLength, or give the row an answer',
    begin: nothingToLearn,
  },
  {
    id: 'cut-answer',
    severity: 'warning',
    finds: 'whose answer is cut by maxLength',
    remedy: 'raise training.maxLength, or shorten or divide the row',
    begin: cutAnswer,
  },
  {
    id: 'empty-answer',
    severity: 'error',
    finds: 'with an answer of no words',
    remedy: 'leave the row out, or write the answer',
    begin: emptyAnswer,
  },
  {
    id: 'dropped-content',
    severity: 'error',
    finds: 'of which the chat template leaves something out',
    remedy: 'give another template by training.chatTemplate, or write the content where the template prints it',
    begin: droppedContent,
  },
  {
    id: 'pad-is-learnt',
    severity: 'warning',
    finds: 'that teach the pad token',
    remedy: 'give the tokenizer a pad token of its own: other programs take learnt ones for padding',
    begin: padIsLearnt,
  },
  {
    id: 'prompt-in-evaluation',
    severity: 'error',
    finds: 'whose prompt is in the evaluation set',
    remedy: 'leave them out of one of the sets, as with lowrank data split, which keeps equal prompts together',
    begin: promptInEvaluation,
  },
  {
    id: 'near-prompt-in-evaluation',
    severity: 'warning',
    finds: 'whose prompt is nearly one of the evaluation set',
    remedy: 'compare the two rows; where they ask the same, leave one out',
    begin: nearPromptInEvaluation,
  },
  {
    id: 'duplicate-row',
    severity: 'warning',
    finds: 'equal to an earlier one',
    remedy: 'leave them out with lowrank data dedupe',
    begin: duplicateRow,
  },
  {
    id: 'near-duplicate-row',
    severity: 'warning',
    finds: 'nearly the same as an earlier one',
    remedy: 'leave them out with lowrank data dedupe, unless the difference is the point',
    begin: nearDuplicateRow,
  },
  {
    id: 'equal-pair',
    severity: 'error',
    finds: 'whose preferred and rejected answers are equal',
    remedy: 'leave the row out, or write what was rejected: the pair teaches nothing',
    begin: equalPair,
  },
  {
    id: 'role-order',
    severity: 'warning',
    finds: 'whose roles come in an unusual order',
    remedy: 'let system come first, and user and assistant take turns up to an answer',
    begin: roleOrder,
  },
  {
    id: 'replacement-character',
    severity: 'warning',
    finds: 'with U+FFFD, which stands where a text was decoded wrongly',
    remedy: 'read the source of the row again in its true encoding',
    begin: replacementCharacter,
  },
  {
    id: 'byte-order-mark',
    severity: 'warning',
    finds: 'with U+FEFF, the mark of a file, at the beginning of a text',
    remedy: 'leave the mark out, as --fix does',
    begin: byteOrderMark,
  },
  {
    id: 'carriage-return',
    severity: 'warning',
    finds: 'whose lines end with CR LF',
    remedy: 'let lines end with LF, as --fix does, or the model learns to write both',
    begin: carriageReturn,
  },
  {
    id: 'secret',
    severity: 'error',
    finds: 'with a key or a token that looks real',
    remedy: 'take it out of the row and revoke it: a model repeats what it learns',
    begin: secret,
  },
  {
    id: 'email-address',
    severity: 'warning',
    finds: 'with an e-mail address',
    remedy: 'write an address of example.com in its place, unless it may be repeated to anyone',
    begin: emailAddress,
  },
  {
    id: 'leaked-answer',
    severity: 'warning',
    finds: 'whose answer stands in its prompt',
    remedy: 'take the answer out of the prompt, unless the task is to copy it',
    begin: leakedAnswer,
  },
  {
    id: 'mixed-languages',
    severity: 'warning',
    finds: 'in another language than most',
    remedy: 'look whether they belong to the set, and whether the answer is in the language of its question',
    begin: mixedLanguages,
  },
  {
    id: 'length-outlier',
    severity: 'warning',
    finds: 'very much longer than most',
    remedy: 'look whether several rows became one, or a file was taken for a text',
    begin: lengthOutlier,
  },
  {
    id: 'overlap-with-evaluation',
    severity: 'warning',
    finds: 'that share a run of 13 words with the evaluation set',
    remedy: 'leave them out with lowrank data dedupe --evaluation, or take another evaluation set',
    begin: overlapWithEvaluation,
  },
]
