/** @file The style sheet of a report: light and dark, on paper, and on a narrow screen. No address of anything. */

export const STYLES = `
:root {
  color-scheme: light dark;
  --ground: #f7f7f5; --surface: #ffffff; --raised: #f1f1ee; --text: #1b1d21; --muted: #575d66; --line: #dfe0dd;
  --link: #1a56c4; --new: #d6f1dd; --gone: #fadedd; --good: #0f6b37; --bad: #b3261e; --caution: #7a5200;
  --m0: #59636f; --m1: #1f5fd0; --m2: #ad4a06; --m3: #0a7265; --m4: #8436b4; --m5: #b0256b; --m6: #656a00; --m7: #0b6a8f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #121315; --surface: #1a1c1f; --raised: #24272b; --text: #e9eaec; --muted: #a5abb4; --line: #33373c;
    --link: #8ab4ff; --new: #173f28; --gone: #4d2326; --good: #6fd394; --bad: #ff9a92; --caution: #e8c069;
    --m0: #a0abb8; --m1: #76aeff; --m2: #f3a663; --m3: #53cbb8; --m4: #cb9bf3; --m5: #f48cbd; --m6: #c9cd61; --m7: #66c6ec;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--ground); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
}
header, main, footer { max-width: 1160px; margin: 0 auto; padding: 0 24px; }
header { padding-top: 36px; }
h1 { font-size: 26px; line-height: 1.25; font-weight: 650; letter-spacing: -.015em; margin: 0 0 4px; text-wrap: balance; }
h2 { font-size: 19px; font-weight: 650; letter-spacing: -.01em; margin: 44px 0 14px; scroll-margin-top: 16px; }
h3 { font-size: 15px; font-weight: 650; margin: 26px 0 10px; }
p { margin: 0 0 12px; max-width: 76ch; }
a { color: var(--link); text-underline-offset: 2px; }
a:focus-visible, button:focus-visible, input:focus-visible, select:focus-visible, summary:focus-visible, [tabindex]:focus-visible {
  outline: 2px solid var(--link); outline-offset: 2px; border-radius: 3px;
}
.skip { position: absolute; left: -999px; }
.skip:focus { left: 12px; top: 8px; background: var(--surface); padding: 4px 10px; }
.muted { color: var(--muted); }
.small { font-size: 13px; }
code, .mono { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; font-size: .92em; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 18px 0 0; padding: 10px 0 0; border-top: 1px solid var(--line); }
nav a { text-decoration: none; }
nav a:hover { text-decoration: underline; }
.card { background: var(--surface); border: 1px solid var(--line); border-radius: 8px; padding: 16px 18px; margin: 0 0 16px; min-width: 0; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(148px, 1fr)); gap: 14px 20px; margin: 22px 0 0; }
.facts div { min-width: 0; }
.facts dt { color: var(--muted); font-size: 12.5px; }
.facts dd { margin: 0; font-size: 17px; font-weight: 600; line-height: 1.35; }
.facts dd small { font-size: 12.5px; font-weight: 400; color: var(--muted); display: block; }
.charts { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 16px; }
.charts .card { margin: 0; }
.charts .wide { grid-column: 1 / -1; }
.scroll { overflow-x: auto; max-width: 100%; } .tall { max-height: 440px; overflow-y: auto; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: start; font-weight: 650; padding: 0 0 6px; }
th, td { text-align: start; vertical-align: top; padding: 6px 12px 6px 0; border-bottom: 1px solid var(--line); font-weight: 400; }
thead th { color: var(--muted); font-size: 12.5px; white-space: nowrap; }
tbody tr:last-child > * { border-bottom: 0; }
.number { text-align: end; white-space: nowrap; }
tbody th.name { color: var(--muted); width: 34%; }
details > summary { cursor: pointer; color: var(--link); }
details[open] > summary { margin-bottom: 8px; }
.tag { display: inline-block; font-size: 12.5px; font-weight: 600; border: 1px solid currentColor; border-radius: 99px; padding: 0 8px; white-space: nowrap; }
.good { color: var(--good); } .bad { color: var(--bad); } .caution { color: var(--caution); }
.notes { margin: 0; padding-left: 20px; } .notes li { margin: 4px 0; }
.m0 { --c: var(--m0); } .m1 { --c: var(--m1); } .m2 { --c: var(--m2); } .m3 { --c: var(--m3); }
.m4 { --c: var(--m4); } .m5 { --c: var(--m5); } .m6 { --c: var(--m6); } .m7 { --c: var(--m7); }
.swatch { display: inline-block; width: 10px; height: 10px; border-radius: 2px; background: var(--c); margin-right: 7px; }
.model { font-weight: 600; }

figure { margin: 0; }
figcaption { font-weight: 650; }
figcaption small { font-weight: 400; color: var(--muted); }
.bar { display: flex; flex-wrap: wrap; align-items: baseline; justify-content: space-between; gap: 2px 16px; margin-bottom: 8px; }
.switches label { margin-left: 12px; font-size: 13px; color: var(--muted); white-space: nowrap; cursor: pointer; }
.switches input { accent-color: var(--link); vertical-align: -2px; margin: 0 4px 0 0; }
.plot { display: grid; grid-template-columns: 56px minmax(0, 1fr); }
.plot svg { display: block; overflow: visible; }
.plot .field { overflow: hidden; touch-action: pan-y; cursor: crosshair; }
.plot text { fill: var(--muted); font-size: 11.5px; }
.plot .grid { stroke: var(--line); stroke-width: 1; vector-effect: non-scaling-stroke; }
.curve { fill: none; stroke: var(--c); stroke-width: 1.75; stroke-linejoin: round; stroke-linecap: round; vector-effect: non-scaling-stroke; }
.dots { fill: none; stroke: var(--c); stroke-width: 6; stroke-linecap: round; vector-effect: non-scaling-stroke; }
.cursor { stroke: var(--muted); stroke-width: 1; vector-effect: non-scaling-stroke; }
.smoothed, .logarithmic { display: none; }
.chart:has(.smooth-on:checked) .smoothed { display: inline; }
.chart:has(.smooth-on:checked) .noisy { stroke-width: 1; opacity: .35; }
.chart:has(.log-on:checked) .linear { display: none; }
.chart:has(.log-on:checked) .logarithmic { display: inline; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 18px; margin: 6px 0 0; padding: 0 0 0 56px; font-size: 13px; min-height: 20px; }
.legend b { font-weight: 600; }
.chart details { margin: 6px 0 0; font-size: 13px; padding-left: 56px; }
.chart details .scroll { max-height: 260px; overflow-y: auto; }

.scores { table-layout: fixed; } .scores td, .scores th { vertical-align: middle; } .scores th:first-child { width: 20%; } .scores caption { width: 100%; }
.scores th:nth-child(3) { width: 18%; } .scores th:nth-child(4) { width: 22%; }
.scores .gauge { padding-right: 24px; }
.scores svg { display: block; overflow: visible; }
.track { fill: var(--raised); } .fill { fill: var(--c); opacity: .8; }
.whisker { stroke: var(--text); stroke-width: 1.5; }
.scores small { display: block; color: var(--muted); font-size: 12px; }
.heat td { text-align: end; min-width: 44px; padding: 5px 8px; border: 1px solid var(--line); }
.heat th { padding: 5px 8px; font-size: 12.5px; color: var(--muted); max-width: 150px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.heat tbody th { text-align: end; }
.heat td.hit { outline: 2px solid var(--c); outline-offset: -2px; }
.h1 { background: color-mix(in srgb, var(--c) 8%, var(--surface)); } .h2 { background: color-mix(in srgb, var(--c) 15%, var(--surface)); }
.h3 { background: color-mix(in srgb, var(--c) 22%, var(--surface)); } .h4 { background: color-mix(in srgb, var(--c) 29%, var(--surface)); }
.h5 { background: color-mix(in srgb, var(--c) 36%, var(--surface)); }

.controls { display: none; flex-wrap: wrap; gap: 8px 14px; align-items: end; margin-bottom: 14px; }
.scripted .controls { display: flex; }
.controls label { font-size: 12.5px; color: var(--muted); display: grid; gap: 2px; }
.controls input, .controls select, .controls button {
  font: inherit; color: var(--text); background: var(--surface); border: 1px solid var(--line); border-radius: 6px; padding: 5px 10px; min-width: 0; max-width: 100%;
}
.controls input[type=search] { width: 280px; }
.row[hidden] { display: none; }
.row > header { padding: 0; max-width: none; display: flex; flex-wrap: wrap; gap: 2px 14px; align-items: baseline; margin-bottom: 8px; }
.row h4 { margin: 0; font-size: 14px; }
.text { white-space: pre-wrap; overflow: hidden; contain: paint; unicode-bidi: plaintext; margin: 0; padding-block: 2px; }
.quote { border-left: 3px solid var(--line); padding-left: 12px; }
.label { color: var(--muted); font-size: 12.5px; margin: 10px 0 2px; }
.answers { display: grid; grid-template-columns: repeat(auto-fit, minmax(250px, 1fr)); gap: 12px; margin-top: 12px; }
.answer { border-top: 3px solid var(--c); background: var(--raised); border-radius: 0 0 6px 6px; padding: 8px 12px 10px; min-width: 0; }
.answer .head { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 12px; font-size: 13px; margin-bottom: 6px; }
.answer .marks { font-size: 12.5px; color: var(--muted); margin: 8px 0 0; padding: 0; list-style: none; display: flex; flex-wrap: wrap; gap: 0 14px; }
.answer .marks b { color: var(--text); font-weight: 600; }
ins { background: var(--new); text-decoration: underline; text-decoration-thickness: 1px; text-underline-offset: 3px; border-radius: 2px; }
del { background: var(--gone); text-decoration: line-through; text-decoration-thickness: 1px; border-radius: 2px; }
footer { color: var(--muted); font-size: 13px; padding-top: 24px; padding-bottom: 40px; }

@media (max-width: 640px) {
  body { font-size: 14.5px; }
  header, main, footer { padding-left: 14px; padding-right: 14px; }
  .row > header { padding: 0; }
  header { padding-top: 20px; }
  h1 { font-size: 21px; }
  .facts { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 12px 14px; }
  .charts { grid-template-columns: minmax(0, 1fr); }
  .card { padding: 12px; }
  .plot { grid-template-columns: 46px minmax(0, 1fr); }
  .legend, .chart details { padding-left: 0; }
  th, td { padding-right: 8px; } tbody th.name { width: 46%; }
  .scores .gauge { padding-right: 10px; } .scores th:first-child { width: 24%; } .scores th:nth-child(3) { width: 27%; } .scores th:nth-child(4) { width: 31%; }
  .scores thead th, .scores .number { white-space: normal; } .scores small { font-size: 11.5px; }
  .scores .number { padding-right: 4px; }
  .controls input[type=search] { width: 100%; }
  .controls label:first-child { width: 100%; }
}
@media print {
  :root { --ground: #fff; --surface: #fff; --text: #000; --muted: #444; --line: #ccc; color-scheme: light; }
  body { font-size: 10.5pt; }
  header, main, footer { max-width: none; padding: 0; }
  nav, .controls, .scripted .controls, .switches, .chart details { display: none; }
  .scroll, .tall { max-height: none; overflow: visible; }
  .card, .row, figure, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
@media (prefers-reduced-motion: no-preference) { html { scroll-behavior: smooth; } }
`
