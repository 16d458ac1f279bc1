// Keeps what is shown current: one stream of events while the page can be seen,
// the page asked for again when something has changed.
import { signedOut } from './act.js';
import { morph, parse } from './morph.js';
import * as traffic from './traffic.js';

const leastGap = 600; // milliseconds between two askings

let asking = false;
let again = false;
let last = 0;

// refresh asks for the page and shows what differs.
export async function refresh() {
  if (document.querySelector('[data-post]')) return; // an answer that cannot be asked for again
  if (asking) { again = true; return; }
  asking = true;
  try {
    do {
      again = false;
      const wait = last + leastGap - performance.now();
      if (wait > 0) await new Promise((r) => setTimeout(r, wait));
      last = performance.now();
      await show(location.href);
    } while (again);
  } catch { /* the stream tells when the server is gone */ } finally { asking = false; }
}

// show puts the page of an address in place of this one.
export async function show(address) {
  const mine = ++turn;
  const res = await fetch(address, { headers: { Accept: 'text/html' }, redirect: 'follow' });
  await take(res, mine);
}

let turn = 0; // counts what was asked, so that no answer comes after a newer one

// take shows an answer that is this page.
export async function take(res, mine = ++turn) {
  if (res.redirected && new URL(res.url).pathname === '/sign-in') { signedOut(); return; }
  const text = await res.text();
  if (mine !== turn) return;
  const page = parse(text);
  for (const part of ['main', '#status', 'nav.pages']) {
    const now = document.querySelector(part);
    const then = page.querySelector(part);
    if (now && then) morph(now, then);
  }
  document.title = page.title;
  traffic.paint();
  document.dispatchEvent(new CustomEvent('shown'));
}

let stream = null;
let cold = true;

function state(text, ok) {
  const e = document.getElementById('live');
  if (!e) return;
  e.hidden = false;
  e.textContent = text;
  e.className = ok ? 'live on' : 'live';
}

function open() {
  if (stream || document.hidden || !document.getElementById('live')) return;
  let first = true;
  stream = new EventSource('/v1/watch?traffic=true');
  stream.addEventListener('open', () => {
    state('live', true);
    document.getElementById('signed-out')?.remove();
  });
  stream.addEventListener('change', () => {
    // The first event says what the page shows already, unless it comes after a
    // gap in which anything may have happened.
    if (!first || stale()) refresh();
    first = false;
  });
  stream.addEventListener('traffic', (e) => {
    // What fails is known once there are rates, which the page may have been made
    // without.
    if (traffic.take(JSON.parse(e.data)) || cold) refresh();
    cold = false;
  });
  stream.addEventListener('error', () => {
    state('reconnecting', false);
    first = false;
    if (stream && stream.readyState === EventSource.CLOSED) { stream = null; refused(); }
  });
}

// refused finds out what the stream does not say: whether the viewer may look
// no more, or there was an error that passes.
async function refused() {
  try {
    const res = await fetch('/v1/identity', { headers: { Accept: 'application/json' } });
    if (res.status === 401) { state('signed out', false); signedOut(); return; }
  } catch { /* the server is gone; it may come back */ }
  setTimeout(open, 3000);
}

const loaded = performance.now();
function stale() { return performance.now() - loaded > 2000; }

function close() {
  stream?.close();
  stream = null;
}

// watch opens the stream, and only while the page can be seen: browsers open few
// connections to one name at a time.
export function watch() {
  open();
  // Ages, rates in lists and what else no event tells of.
  setInterval(() => { if (stream && !document.hidden) refresh(); }, 20000);
  document.addEventListener('visibilitychange', () => (document.hidden ? close() : open()));
  addEventListener('pagehide', close);
  addEventListener('pageshow', open);
}
