/**
 * @file What a page does beyond being read: values under the pointer, search and filters. Everything is there without
 * it. The page's Content-Security-Policy lets this text alone run, by its hash.
 */

export const PAGE_SCRIPT = `'use strict';
(() => {
  document.documentElement.classList.add('scripted');
  const format = (value) => {
    if (value === null || value === undefined) return '\\u2013';
    if (value === 0) return '0';
    const size = Math.abs(value);
    if (Number.isInteger(value) && size < 1e9) return value.toLocaleString('en-US');
    if (size >= 1e6 || size < 1e-3) return Number(value.toPrecision(3)).toExponential().replace('e+', 'e');
    return size >= 1000 ? Math.round(value).toLocaleString('en-US') : String(Number(value.toPrecision(4)));
  };
  const SVG = 'http://www.w3.org/2000/svg';

  for (const field of document.querySelectorAll('svg[data-chart]')) {
    const chart = field.closest('.chart');
    const data = JSON.parse(field.dataset.chart);
    const { low, high } = data.x;
    const cursor = document.createElementNS(SVG, 'line');
    cursor.setAttribute('class', 'cursor');
    cursor.setAttribute('y1', '0');
    cursor.setAttribute('y2', String(data.height));
    const at = chart.querySelector('.at');
    const values = chart.querySelectorAll('.value');
    const steps = [...new Set(data.series.flatMap((each) => each.x))].sort((a, b) => a - b);
    const initial = [at.textContent, ...Array.from(values, (value) => value.textContent)];
    let index = steps.length - 1;
    const nearest = (list, x) => {
      let from = 0;
      let to = list.length - 1;
      while (to - from > 1) {
        const middle = (from + to) >> 1;
        if (list[middle] < x) from = middle; else to = middle;
      }
      return Math.abs(list[from] - x) <= Math.abs(list[to] - x) ? from : to;
    };
    const valueAt = (each, x) => {
      let found = nearest(each.x, x);
      while (found > 0 && each.y[found] === null) found--;
      return each.y[found];
    };
    const show = (next) => {
      index = Math.min(steps.length - 1, Math.max(0, next));
      const step = steps[index];
      const place = String(high === low ? 500 : ((step - low) / (high - low)) * 1000);
      cursor.setAttribute('x1', place);
      cursor.setAttribute('x2', place);
      field.append(cursor);
      at.textContent = format(step);
      const texts = data.series.map((each, number) => {
        values[number].textContent = format(valueAt(each, step));
        return each.name + ' ' + values[number].textContent;
      });
      field.setAttribute('aria-valuenow', String(step));
      field.setAttribute('aria-valuetext', 'step ' + format(step) + ': ' + texts.join(', '));
    };
    const hide = () => {
      cursor.remove();
      [at, ...values].forEach((element, number) => { element.textContent = initial[number]; });
      index = steps.length - 1;
    };
    field.setAttribute('tabindex', '0');
    field.setAttribute('role', 'slider');
    field.setAttribute('aria-valuemin', String(low));
    field.setAttribute('aria-valuemax', String(high));
    field.setAttribute('aria-valuenow', String(high));
    const follow = (event) => {
      const box = field.getBoundingClientRect();
      show(nearest(steps, low + ((event.clientX - box.left) / box.width) * (high - low)));
    };
    field.addEventListener('pointermove', follow);
    field.addEventListener('pointerdown', follow);
    field.addEventListener('pointerleave', hide);
    field.addEventListener('blur', hide);
    field.addEventListener('keydown', (event) => {
      const far = Math.max(1, Math.round(steps.length / 20));
      const to = { ArrowRight: index + 1, ArrowUp: index + 1, ArrowLeft: index - 1, ArrowDown: index - 1,
        PageUp: index + far, PageDown: index - far, Home: 0, End: steps.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      show(to);
    });
  }

  for (const controls of document.querySelectorAll('.controls')) {
    const section = controls.parentElement;
    const rows = Array.from(section.querySelectorAll('.row'), (element) => ({
      element,
      text: element.textContent.normalize('NFKC').toLowerCase(),
      verdicts: JSON.parse(element.dataset.verdicts),
      number: Number(element.dataset.index),
    }));
    const search = controls.querySelector('[name=search]');
    const verdict = controls.querySelector('[name=verdict]');
    const model = controls.querySelector('[name=model]');
    const order = controls.querySelector('[name=order]');
    const shown = controls.querySelector('.shown');
    const list = section.querySelector('.rows');
    const apply = () => {
      const words = search.value.normalize('NFKC').toLowerCase().split(/\\s+/).filter(Boolean);
      let count = 0;
      for (const { element, text, verdicts } of rows) {
        const own = model && model.value !== '' ? [verdicts[Number(model.value)]] : verdicts;
        const fits = words.every((word) => text.includes(word)) &&
          (!verdict || verdict.value === '' || own.includes(verdict.value));
        element.hidden = !fits;
        if (fits) count++;
      }
      shown.textContent = count + ' of ' + rows.length + ' rows shown';
    };
    const sort = () => {
      const sorted = order.value === 'number' ? [...rows].sort((a, b) => a.number - b.number) : rows;
      list.append(...sorted.map(({ element }) => element));
    };
    for (const element of [search, verdict, model]) if (element) element.addEventListener('input', apply);
    if (order) order.addEventListener('input', sort);
    apply();
  }
})();
`
