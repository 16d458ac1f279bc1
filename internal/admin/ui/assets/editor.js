// Text with numbered lines, and what HAProxy says of it while it is written.
import { ask, failed, toast } from './act.js';
import { colours } from './colours.js';

// numbers keeps the numbers beside the lines, and marks those that are wrong.
export function numbers(box) {
  if (box.dataset.ready) return;
  box.dataset.ready = '1';
  const text = box.querySelector('textarea');
  const gutter = box.querySelector('.gutter');
  gutter.dataset.painted = '';
  const draw = () => {
    const n = text.value.split('\n').length;
    if (gutter.childElementCount === n) return;
    gutter.replaceChildren(...Array.from({ length: n }, (_, i) => {
      const line = document.createElement('span');
      line.textContent = i + 1;
      return line;
    }));
  };
  text.addEventListener('input', draw);
  text.addEventListener('scroll', () => { gutter.scrollTop = text.scrollTop; });
  text.addEventListener('keydown', (e) => {
    if (e.key !== 'Tab' || e.shiftKey || text.readOnly) return;
    // Escape and then Tab leaves the field, as everywhere.
    if (text.dataset.leave) return;
    e.preventDefault();
    text.setRangeText('    ', text.selectionStart, text.selectionEnd, 'end');
    text.dispatchEvent(new Event('input', { bubbles: true }));
  });
  text.addEventListener('keyup', (e) => {
    if (e.key === 'Escape') text.dataset.leave = '1';
    else delete text.dataset.leave;
  });
  draw();
  colours(box);
}

// wrong marks lines, counted from 1.
export function wrong(box, lines) {
  for (const [i, e] of [...box.querySelector('.gutter').children].entries()) e.classList.toggle('wrong', lines.has(i + 1));
}

// jump goes to a line.
export function jump(box, line) {
  const text = box.querySelector('textarea');
  const all = text.value.split('\n');
  const from = all.slice(0, line - 1).reduce((n, l) => n + l.length + 1, 0);
  text.focus();
  text.setSelectionRange(from, from + (all[line - 1] || '').length);
  text.scrollTop = (line - 4) * (text.scrollHeight / all.length);
}

function base64(text) {
  let binary = '';
  for (const b of new TextEncoder().encode(text)) binary += String.fromCharCode(b);
  return btoa(binary);
}

// visible makes what one cannot see an escape.
function visible(text) {
  return text.replace(/[^\P{C}\n\t]/gu, (c) => '\\u{' + c.codePointAt(0).toString(16) + '}');
}

// linesIn finds the numbers of lines in what HAProxy says: "haproxy.cfg:12: …".
function linesIn(text) {
  const found = new Set();
  for (const m of text.matchAll(/[A-Za-z][\w.-]*:(\d+)(?=[\]:,)\s]|$)|\bline (\d+)/g)) found.add(Number(m[1] || m[2]));
  return found;
}

// documentForm checks and saves a document. saved is called with a new revision.
export function documentForm(form, saved) {
  if (form.dataset.ready) return;
  form.dataset.ready = '1';
  form.dataset.painted = '';
  const box = form.querySelector('[data-editor]');
  const text = form.elements.content;
  const out = form.querySelector('[data-verdicts]');
  const first = text.value;
  out.dataset.painted = '';
  const path = '/v1/fleet/documents/' + encodeURIComponent(form.dataset.document);
  let timer = 0;
  let asked = 0;

  const check = async () => {
    const mine = ++asked;
    out.setAttribute('aria-busy', 'true');
    try {
      const answer = await ask('POST', path + '/check', { content: base64(text.value) });
      if (mine !== asked) return;
      const lines = new Set();
      out.replaceChildren(...alike(answer.items).map((c) => verdict(c, box, lines)));
      wrong(box, lines);
    } catch (e) {
      if (mine === asked) out.replaceChildren(line('faulty', e.message));
    } finally {
      if (mine === asked) out.removeAttribute('aria-busy');
    }
  };
  text.addEventListener('input', () => {
    form.classList.toggle('changed', text.value !== first);
    clearTimeout(timer);
    timer = setTimeout(check, 500);
  });
  if (text.value) check();
  addEventListener('beforeunload', (e) => { if (text.value !== first && document.contains(form)) e.preventDefault(); });

  form.addEventListener('submit', async (e) => {
    e.preventDefault();
    try {
      const r = await ask('POST', path + '/revisions', { expect: Number(form.dataset.expect), message: form.elements.message.value, content: base64(text.value) });
      toast(`Saved as r${r.number}`);
      form.remove(); // so that nothing asks whether to leave
      saved(r);
    } catch (error) { failed(error); }
  });
}

// alike puts hosts that say the same into one.
function alike(items) {
  const found = new Map();
  for (const c of items) {
    const what = (c.error || '').replaceAll(/[\w.-]+:(\d+)/g, ':$1'); // the file has its own name on each
    const key = `${c.ok} ${c.asked} ${what}`;
    if (found.has(key)) found.get(key).hosts.push(c.host);
    else found.set(key, { ...c, hosts: [c.host] });
  }
  return [...found.values()].map((c) => ({ ...c, host: c.hosts.join(', ') }));
}

function line(health, text) {
  const p = document.createElement('p');
  p.className = 'pre h-' + health;
  p.textContent = visible(text);
  return p;
}

function verdict(c, box, lines) {
  const p = line(c.ok ? 'fine' : c.asked ? 'broken' : 'faulty', c.ok ? `${c.host}: HAProxy takes it` : `${c.host}: ${c.error || 'could not be asked'}`);
  if (c.ok || !c.asked) return p;
  for (const n of linesIn(c.error || '')) {
    lines.add(n);
    const b = document.createElement('button');
    b.type = 'button';
    b.className = 'quiet';
    b.textContent = `line ${n}`;
    b.addEventListener('click', () => jump(box, n));
    p.prepend(b, ' ');
  }
  return p;
}

// rollout begins what the dialog says.
export async function rollout(form, done) {
  const e = form.elements;
  const body = {
    revision: Number(e.revision.value), expect: Number(form.dataset.expect), message: e.message.value,
    settings: {
      canary: e.canary.value === '0' ? -1 : Number(e.canary.value), wave: e.wave.value, pause: e.pause.value,
      allowDrift: e.allowDrift.checked, allowDown: e.allowDown.checked,
    },
  };
  try {
    await ask('POST', `/v1/fleet/documents/${encodeURIComponent(form.dataset.rollout)}/rollout`, body);
    form.closest('dialog').close();
    toast('The rollout has begun');
    await done();
  } catch (error) { failed(error); }
}
