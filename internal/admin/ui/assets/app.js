// The beginning of everything that moves on a page.
import './chart.js';
import { copy, signedIn, signIn, signOut, submit, stored } from './act.js';
import { documentForm, jump, numbers, rollout } from './editor.js';
import { follow } from './lines.js';
import { refresh, show, take, watch } from './live.js';
import { search } from './search.js';
import { paint } from './traffic.js';

// Ages run on.
function ages() {
  for (const e of document.querySelectorAll('time[data-ago]')) {
    const at = Date.parse(e.dateTime);
    if (!(at > 0)) continue;
    const s = Math.max(0, (Date.now() - at) / 1000);
    const now = s < 60 ? `${Math.floor(s)} s` : s < 3600 ? `${Math.floor(s / 60)} min` : s < 172800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
    if (e.textContent !== now) e.textContent = now;
  }
}

// Colours: as the system says, light, dark.
function theme() {
  const b = document.getElementById('theme');
  if (!b) return;
  const names = { auto: 'as the system says', light: 'light', dark: 'dark' };
  const now = () => document.documentElement.dataset.theme || 'auto';
  const say = () => {
    b.querySelector('use').setAttribute('href', '#i-' + now());
    b.title = `Colours: ${names[now()]}`;
    b.setAttribute('aria-label', b.title);
  };
  b.hidden = false;
  b.addEventListener('click', () => {
    const next = { auto: 'light', light: 'dark', dark: 'auto' }[now()];
    if (next === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    try {
      if (next === 'auto') localStorage.removeItem('fairway-theme');
      else localStorage.setItem('fairway-theme', next);
    } catch { /* holds for this page */ }
    say();
  });
  say();
}

// go shows another address of the same page without leaving it.
async function go(address) {
  history.replaceState(null, '', address);
  await show(address);
}

let typing = 0;

document.addEventListener('input', (e) => {
  const form = e.target.closest('form[data-filter]');
  if (!form) return;
  clearTimeout(typing);
  typing = setTimeout(() => go(addressOf(form)), 150);
});

function addressOf(form) {
  const v = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value) v.set(name, value);
  const query = v.toString();
  return (form.getAttribute('action') || location.pathname) + (query ? '?' + query : '');
}

const begun = document.querySelector('[data-signed-in]');
if (begun) signedIn(begun);

document.addEventListener('submit', (e) => {
  const form = e.target;
  if (form.dataset.call) {
    e.preventDefault();
    submit(form, refresh);
  } else if (form.dataset.rollout) {
    e.preventDefault();
    rollout(form, refresh);
  } else if ('post' in form.dataset) {
    e.preventDefault();
    post(form);
  } else if (form.dataset.signIn) {
    e.preventDefault();
    signIn(form);
  } else if ('filter' in form.dataset || 'enhance' in form.dataset) {
    e.preventDefault();
    document.activeElement?.localName === 'input' || document.activeElement?.blur();
    go(addressOf(form));
  }
});

document.addEventListener('click', (e) => {
  const opens = e.target.closest('[data-open]');
  if (opens) {
    const d = document.getElementById(opens.dataset.open);
    const [name, ...rest] = (opens.dataset.fill || '').split('=');
    const value = rest.join('=');
    if (name) d.querySelector(`[name="${CSS.escape(name)}"]`).value = value;
    d?.showModal();
  }
  const plain = !e.ctrlKey && !e.metaKey && !e.shiftKey;
  if (e.target.closest('[data-search]') && plain) { e.preventDefault(); search(); }
  const copies = e.target.closest('[data-copy]');
  if (copies) copy(copies.dataset.copy);
  const keep = e.target.closest('a[data-keep]');
  if (keep && plain) { e.preventDefault(); go(keep.href); }
  const line = e.target.closest('[data-line]');
  if (line) jump(document.querySelector('[data-editor]'), Number(line.dataset.line));
  if (e.target.closest('[data-close]')) e.target.closest('dialog')?.close();
  if (e.target.closest('[data-sign-out]')) signOut();
});

// Without a mouse: / and Ctrl-K find, g and a letter goes, ? tells the keys, Ctrl-S saves,
// Escape leaves a field.
let leader = -Infinity; // when g was pressed
const mac = /^(Mac|iP)/.test(navigator.platform); // where Ctrl edits text, and the command key is for programs
document.addEventListener('keydown', (e) => {
  const command = (mac ? e.metaKey && !e.ctrlKey : e.ctrlKey && !e.metaKey) && !e.altKey && !e.shiftKey;
  if (command && e.key === 'k') { e.preventDefault(); search(); }
  if (command && e.key === 's') {
    const form = document.querySelector('form[data-document]');
    if (form?.querySelector('button.main') && !document.querySelector('dialog[open]')) {
      e.preventDefault();
      if (!e.repeat) form.requestSubmit();
    }
  }
  if (e.ctrlKey || e.metaKey || e.altKey || document.querySelector('dialog[open]')) return;
  const field = /^(input|textarea|select)$/.test(e.target.localName);
  if (e.key === 'Escape' && field) e.target.blur();
  if (field) return;
  if (e.key === '/') {
    const find = document.querySelector('[data-slash]');
    e.preventDefault();
    if (find) { find.focus(); find.select(); } else search();
  } else if (e.key === '?') {
    document.getElementById('keys')?.showModal();
  } else if (e.key === 'g') {
    leader = e.timeStamp; // of the key, however late the page gets to it
  } else if (e.timeStamp - leader < 1500) {
    leader = -Infinity;
    const to = document.querySelector(`[data-go="${CSS.escape(e.key)}"]`);
    if (to) to.click();
  }
});

// post sends a form that only asks, and shows the answer.
async function post(form) {
  form.setAttribute('aria-busy', 'true');
  try {
    const res = await fetch(form.getAttribute('action'), {
      method: 'POST', body: new URLSearchParams(new FormData(form)), headers: { Accept: 'text/html', 'Fairway-Key': stored() || '' },
    });
    await take(res);
  } finally { form.removeAttribute('aria-busy'); }
}

// What is new on the page is set going.
function begin() {
  for (const box of document.querySelectorAll('[data-editor]')) numbers(box);
  for (const form of document.querySelectorAll('form[data-document]')) {
    documentForm(form, () => { location.assign(location.pathname); });
  }
  clearTimeout(polling);
  const poll = document.querySelector('[data-poll]');
  if (poll && !document.hidden) polling = setTimeout(refresh, Number(poll.dataset.poll));
}
let polling = 0;
document.addEventListener('shown', begin);

document.querySelector('nav.pages [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });
begin();
theme();
ages();
setInterval(ages, 1000);
paint();
watch();
follow();
document.body.dataset.ready = ''; // everything that is pressed is heard
