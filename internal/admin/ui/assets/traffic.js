// Draws what goes through: numbers, traces over the last minute and a half, and the
// width of the lines of the picture.

const kept = 90; // readings of a trace, one a second

const routes = new Map(); // by ID: the newest reading and the rates before
const ends = new Map(); // by backend and endpoint
let heard = false; // an event has come
let totals = restore(); // of everything, one a second

// take takes in an event. Routes and endpoints that are not in it are as before.
// It returns true when an endpoint is no more what the page shows of it.
export function take(event) {
  heard = true;
  let moved = false;
  for (const e of event.endpoints) {
    const was = ends.get(e.backend + ' ' + e.endpoint)?.now;
    if (was && (was.inRotation !== e.inRotation || was.ejected !== e.ejected || was.health !== e.health)) moved = true;
  }
  for (const r of event.routes) keep(routes, r.route, r);
  for (const e of event.endpoints) keep(ends, e.backend + ' ' + e.endpoint, e);
  for (const all of [routes, ends]) for (const r of all.values()) push(r.rates, r.now.rate);
  push(totals, { at: Date.now(), rate: event.total.rate, errors: share(event.total), p95: event.total.p95 || 0 });
  paint();
  return moved;
}

function keep(all, id, now) {
  const known = all.get(id);
  if (known) known.now = now;
  else all.set(id, { now, rates: [] });
}

function push(list, value) {
  list.push(value);
  if (list.length > kept) list.shift();
}

function share(r) { return r.rate ? (100 * (r.errors || 0)) / r.rate : 0; }

// paint draws everything that is on the page.
export function paint() {
  each('[data-rate]', (e) => text(e, routes.get(e.dataset.rate), (r) => rate(r.rate)));
  each('[data-late]', (e) => text(e, routes.get(e.dataset.late), (r) => (r.p95 ? time(r.p95) : '–')));
  each('[data-sum]', (e) => {
    const ids = JSON.parse(e.dataset.sum);
    if (!ids.length || !heard) return;
    const n = sum(ids);
    e.textContent = rate(n);
    e.classList.toggle('nil', n === 0);
  });
  each('[data-heat]', (e) => {
    e.dataset.busy = String(Math.min(4, Math.ceil(Math.log10(1 + sum(JSON.parse(e.dataset.heat))) * 1.6)));
  });
  each('[data-sumspark]', (e) => {
    const all = JSON.parse(e.dataset.sumspark).map((id) => routes.get(id)?.rates || []);
    const long = Math.max(0, ...all.map((r) => r.length));
    const at = (r, i) => r[r.length - long + i] || 0;
    trace(e, Array.from({ length: long }, (_, i) => all.reduce((n, r) => n + at(r, i), 0)), 110, 22);
  });
  each('[data-wire]', (e) => wire(e, routes.get(e.dataset.wire)?.now));
  each('[data-endrate]', (e) => text(e, ends.get(e.dataset.endrate), (r) => rate(r.rate)));
  each('[data-endload]', (e) => { // how many there are says nothing of failures
    const known = ends.get(e.dataset.endload);
    if (known) e.textContent = String(known.now.inFlight);
  });
  each('[data-endspark]', (e) => trace(e, ends.get(e.dataset.endspark)?.rates || [], 110, 22));
  figures();
}

function sum(ids) { return ids.reduce((n, id) => n + (routes.get(id)?.now.rate || 0), 0); }

function each(selector, draw) { for (const e of document.querySelectorAll(selector)) draw(e); }

function text(e, known, say) {
  if (!known && !heard) return;
  known ||= { now: { rate: 0 } }; // nothing went through it since the stream began
  const now = say(known.now);
  if (e.textContent !== now) e.textContent = now;
  e.classList.toggle('nil', !known.now.rate);
  judge(e, known.now);
}

// wire makes a line as wide as what goes over it, and lets it move.
function wire(e, r) {
  const n = r?.rate || 0;
  const width = n ? Math.min(12, 2.5 + 2 * Math.log10(1 + n)) : 1.25;
  e.firstElementChild.style.strokeWidth = width.toFixed(2);
  e.classList.toggle('busy', n > 0);
  e.classList.toggle('fast', n > 20);
  judge(e, r);
}

// judge colours what fails, and what fails often.
function judge(e, r) {
  const failed = r?.errors || r?.failures || 0;
  const often = failed > 0.05 * (r?.rate || 0);
  e.classList.toggle('err', often);
  e.classList.toggle('some', failed > 0 && !often);
}

function figures() {
  const now = totals[totals.length - 1];
  if (!now || Date.now() - now.at > 15000) return;
  each('[data-total="rate"]', (e) => { e.textContent = rate(now.rate); });
  each('[data-total="errors"]', (e) => { e.textContent = now.errors ? now.errors.toFixed(now.errors < 1 ? 2 : 1) + ' %' : '0 %'; });
  each('[data-total="p95"]', (e) => { e.textContent = now.p95 ? time(now.p95) : '–'; });
  each('[data-trace]', (e) => {
    const box = e.viewBox.baseVal;
    trace(e, totals.map((t) => t[e.dataset.trace]), box.width, box.height);
  });
}

const svg = 'http://www.w3.org/2000/svg';

// What is drawn, by its element, for the values under the pointer.
export const drawn = new WeakMap();

const kinds = {
  rate: ['requests', rate], errors: ['errors', (v) => v.toFixed(v < 1 ? 2 : 1) + ' %'], p95: ['p95', (v) => (v ? time(v) : '–')],
};

// trace draws readings as a line with its area, the newest at the right edge.
function trace(e, values, width, height) {
  e.dataset.painted = '';
  const most = Math.max(...values, 1e-9);
  // What has only begun fills the picture all the same.
  const step = width / (Math.min(kept, Math.max(values.length, 12)) - 1);
  const [name, say] = kinds[e.dataset.trace || 'rate'];
  drawn.set(e, () => ({
    names: [name], rows: values.map((v, i) => [width - (values.length - 1 - i) * step, values.length - 1 - i ? `${values.length - 1 - i} s ago` : 'now', say(v)]),
  }));
  const points = values.map((v, i) => `${(width - (values.length - 1 - i) * step).toFixed(1)} ${(height - 2 - (v / most) * (height - 6)).toFixed(1)}`);
  let [area, line] = e.children;
  if (!line) {
    area = document.createElementNS(svg, 'path');
    line = document.createElementNS(svg, 'path');
    area.setAttribute('class', 'area');
    line.setAttribute('class', 'line');
    e.replaceChildren(area, line);
  }
  if (points.length < 2) return;
  line.setAttribute('d', 'M' + points.join('L'));
  area.setAttribute('d', `M${points[0].split(' ')[0]} ${height}L${points.join('L')}L${width} ${height}z`);
}

function rate(n) {
  if (n === 0) return '0/s';
  if (n < 10) return n.toFixed(n < 1 ? 2 : 1) + '/s';
  if (n < 10000) return Math.round(n) + '/s';
  return (n / 1000).toFixed(n < 100000 ? 1 : 0) + 'k/s';
}

function time(ms) {
  if (ms < 10) return ms.toFixed(1) + ' ms';
  if (ms < 1000) return Math.round(ms) + ' ms';
  return (ms / 1000).toFixed(1) + ' s';
}

// The trace of everything goes with the reader from page to page.
function restore() {
  try {
    const list = JSON.parse(sessionStorage.getItem('fairway-totals') || '[]');
    return list.length && Date.now() - list[list.length - 1].at < 10000 ? list : [];
  } catch { return []; }
}
addEventListener('pagehide', () => {
  try { sessionStorage.setItem('fairway-totals', JSON.stringify(totals)); } catch { /* it begins anew */ }
});
