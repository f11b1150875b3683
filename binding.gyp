{
  # For those who use node-gyp: one build definition, native/CMakeLists.txt, run by scripts/build.mjs.
  'targets': [
    {
      'target_name': 'lowrank',
      'type': 'none',
      'actions': [
        {
          'action_name': 'build',
          'inputs': ['<!@(node -p "require(\'fs\').readdirSync(\'native\', { recursive: true }).filter((f) => /[.]/.test(f)).map((f) => \'native/\' + f).join(\' \')")'],
          'outputs': ['build/Release/lowrank.node'],
          'action': ['node', 'scripts/build.mjs', '--native-only'],
        },
      ],
    },
  ],
}
