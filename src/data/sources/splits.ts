/**
 * @file Which of the files of a folder are for training, for validation and for testing, by their names: as the package
 * datasets has it. Opens nothing.
 */

/** What stands for each split in the names of files and folders. */
const KEYWORDS: Readonly<Record<string, readonly string[]>> = {
  train: ['train', 'training'],
  validation: ['validation', 'valid', 'dev', 'val'],
  test: ['test', 'testing', 'eval', 'evaluation'],
}

/** As `push_to_hub` names files: any split has its name in front. */
const SHARD = /^data\/([^/]+)-\d{5}-of-\d{5}[^/]*$/

/**
 * The files of each split, in the order of the files; empty where no name says anything.
 *
 * @param paths Within the folder, with forward slashes.
 */
export function splitsOf(paths: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const shards = grouped(paths, (path) => SHARD.exec(path)?.slice(1) ?? [])
  if (shards.size > 0) return shards
  // What a folder is called says more than what the files in it are.
  const byFolder = grouped(paths, (path) => splitsNamedIn(path.split('/').slice(0, -1)))
  return byFolder.size > 0 ? byFolder : grouped(paths, (path) => splitsNamedIn(path.split('/').slice(-1)))
}

function grouped(
  paths: readonly string[],
  splitsOfPath: (path: string) => readonly string[],
): ReadonlyMap<string, string[]> {
  const groups = new Map<string, string[]>()
  for (const path of paths) {
    for (const split of splitsOfPath(path)) groups.set(split, [...(groups.get(split) ?? []), path])
  }
  return groups
}

function splitsNamedIn(names: readonly string[]): string[] {
  return Object.keys(KEYWORDS).filter((split) => names.some((name) => PATTERNS.get(split)?.test(name)))
}

const PATTERNS: ReadonlyMap<string, RegExp> = new Map(
  Object.entries(KEYWORDS).map(([split, words]) => [
    split,
    new RegExp(`(?:^|[-._ 0-9])(?:${words.join('|')})(?:$|[-._ 0-9])`),
  ]),
)
