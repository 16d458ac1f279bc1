// Search over everything, in a box over the page: what the page /search finds.
import { parse } from './morph.js';

let turn = 0; // counts what was asked, so that no answer comes after a newer one
let timer = 0;

// search opens the box.
export function search() {
  const box = document.getElementById('search');
  if (!box || document.querySelector('dialog[open]')) return;
  if (!('ready' in box.dataset)) prepare(box);
  box.showModal();
  box.querySelector('input').select();
}

function prepare(box) {
  box.dataset.ready = '';
  const field = box.querySelector('input');
  const out = box.querySelector('[data-found]');
  const links = () => [...out.querySelectorAll('a')];

  // find shows what is found, and says whether it is for the words in the field.
  const find = async () => {
    const mine = ++turn;
    try {
      const res = await fetch('/search?' + new URLSearchParams({ q: field.value }), { headers: { Accept: 'text/html' } });
      const found = parse(await res.text()).getElementById('found');
      if (mine !== turn || !found) return false;
      out.replaceChildren(...[...found.childNodes].map((n) => document.importNode(n, true)));
      return true;
    } catch { return false; } // the next key asks again
  };
  field.addEventListener('input', () => {
    turn++;
    clearTimeout(timer);
    timer = setTimeout(find, 120);
  });
  // Up and Down go through what was found; Enter in the field takes the first.
  box.addEventListener('keydown', (e) => {
    if (e.key !== 'ArrowDown' && e.key !== 'ArrowUp') return;
    e.preventDefault();
    const stops = [field, ...links()];
    const at = stops.indexOf(document.activeElement) + (e.key === 'ArrowDown' ? 1 : -1);
    stops[(at + stops.length) % stops.length].focus();
  });
  box.querySelector('form').addEventListener('submit', async (e) => {
    e.preventDefault();
    clearTimeout(timer);
    const first = (await find()) && links()[0];
    if (first) { box.close(); location.assign(first.href); }
  });
  // A link to another place of this page does not leave it.
  out.addEventListener('click', (e) => { if (e.target.closest('a')) box.close(); });
  box.addEventListener('click', (e) => { if (e.target === box) box.close(); });
  find();
}
