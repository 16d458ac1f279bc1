// Values under the pointer: a line and a label on every chart, with a mouse, by touch and
// with the arrow keys on a chart that has the focus.
import { drawn } from './traffic.js';

const line = document.createElement('div');
const label = document.createElement('p');
line.id = 'reading-line';
label.id = 'reading';
label.setAttribute('role', 'status'); // what the keys reach is read out
line.hidden = label.hidden = true;
document.body.append(line, label);

let chart = null; // the one whose values are shown
let at = 0; // the row of them
let read = { text: null, rows: [], names: [] }; // of the chart, as long as its text is this

// points are the rows of a chart: its place, the time, and a text for each name.
function points(svg) {
  const live = drawn.get(svg);
  if (live) return live();
  const text = svg.dataset.points || '{"names":[],"rows":[]}';
  if (read.text !== text) read = { text, zone: ' UTC', ...JSON.parse(text) };
  return read;
}

function chartOf(e) { return e.target.closest?.('svg[data-points], svg[data-painted]'); }

function hide() {
  chart = null;
  line.hidden = label.hidden = true;
}

// nearest is the row that is nearest to a place on the screen.
function nearest(svg, x) {
  const box = svg.getBoundingClientRect();
  const place = ((x - box.left) / box.width) * svg.viewBox.baseVal.width;
  const { rows } = points(svg);
  let best = 0;
  for (let i = 1; i < rows.length; i++) if (Math.abs(rows[i][0] - place) < Math.abs(rows[best][0] - place)) best = i;
  return best;
}

// place shows the row, or nothing when the chart is gone.
function place() {
  const { names, rows, zone } = chart?.isConnected ? points(chart) : { rows: [] };
  if (!rows.length) { hide(); return; }
  at = Math.min(Math.max(at, 0), rows.length - 1);
  const [x, time, ...values] = rows[at];
  const head = document.createElement('b');
  head.textContent = time + (zone || '');
  label.replaceChildren(head, ...values.map((value, i) => {
    const one = document.createElement('span');
    const name = document.createElement('i');
    if (values.length > 1) name.className = 'key l' + i;
    one.append(name, names[i] + ' ', value);
    return one;
  }));
  line.hidden = label.hidden = false;
  const box = chart.getBoundingClientRect();
  const left = box.left + (x / chart.viewBox.baseVal.width) * box.width;
  line.style.left = `${left}px`;
  line.style.top = `${box.top}px`;
  line.style.height = `${box.height}px`;
  const own = label.getBoundingClientRect();
  const right = left + 12 + own.width < document.documentElement.clientWidth;
  label.style.left = `${Math.max(4, right ? left + 12 : left - 12 - own.width)}px`;
  label.style.top = `${Math.max(4, Math.min(box.top, innerHeight - own.height - 4))}px`;
}

function point(e) {
  const svg = chartOf(e);
  if (svg) {
    chart = svg;
    at = nearest(svg, e.clientX);
    place();
  } else if (chart && chart !== document.activeElement) hide();
}

document.addEventListener('pointermove', point);
document.addEventListener('pointerdown', point);
document.addEventListener('scroll', () => { if (chart) place(); }, { capture: true, passive: true });
document.addEventListener('shown', () => { if (chart) place(); });
document.addEventListener('focusout', (e) => { if (e.target === chart) hide(); });
document.addEventListener('focusin', (e) => {
  const svg = chartOf(e);
  if (!svg || !svg.matches(':focus-visible')) return;
  chart = svg;
  at = Infinity; // the newest
  place();
});
document.addEventListener('keydown', (e) => {
  const svg = chartOf(e);
  if (e.ctrlKey || e.metaKey || e.altKey || !svg || e.target !== svg) return;
  const last = points(svg).rows.length - 1;
  if (chart !== svg) at = last;
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, PageUp: at - 10, PageDown: at + 10, Home: 0, End: last }[e.key];
  if (e.key === 'Escape') { hide(); return; }
  if (to === undefined) return;
  e.preventDefault();
  chart = svg;
  at = to;
  place();
});
