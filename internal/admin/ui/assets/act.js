// What an operator asks for: forms become calls of the operations.

const keyName = 'fairway-key';

// ask calls an operation and returns its answer. It throws an Error with what
// the operation says.
export async function ask(method, path, body) {
  const headers = { Accept: 'application/json' };
  const key = stored();
  if (key) headers['Fairway-Key'] = key;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  const res = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await res.text();
  let answer = {};
  try { answer = JSON.parse(text); } catch { /* reported below */ }
  if (!res.ok) {
    const e = new Error(answer.detail || answer.title || `${res.status} ${res.statusText}`);
    e.status = res.status;
    throw e;
  }
  return answer;
}

export function stored() {
  try { return localStorage.getItem(keyName); } catch { return null; }
}

// toast says something for a while.
export function toast(text, health = 'fine') {
  const box = document.createElement('p');
  box.className = `toast h-${health}`;
  box.textContent = text;
  document.getElementById('toasts').append(box);
  setTimeout(() => box.remove(), health === 'fine' ? 5000 : 12000);
}

// copy puts a text into the clipboard; where the page may not, one marks it and asks to.
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast('Copied');
  } catch {
    const before = document.activeElement;
    const field = document.createElement('textarea');
    field.value = text;
    (document.querySelector('dialog[open]') || document.body).append(field);
    field.select();
    toast(document.execCommand('copy') ? 'Copied' : 'The browser does not let this page copy');
    field.remove();
    before?.focus({ preventScroll: true });
  }
}

// failed tells of an error; who is signed in no more is sent to sign in.
export function failed(e) {
  if (e.status === 401 || /session's key/.test(e.message)) signedOut();
  else toast(e.message, 'broken');
}

// signedOut sends one to sign in, and back here afterwards. What is being written
// is not thrown away: then the way is shown, in a page of its own.
export function signedOut() {
  const way = '/sign-in?' + new URLSearchParams({ to: location.pathname + location.search });
  const written = [...document.querySelectorAll('textarea')].some((e) => e.value !== e.defaultValue);
  if (!written) { location.assign(way); return; }
  if (document.getElementById('signed-out')) return;
  const box = document.createElement('p');
  box.id = 'signed-out';
  box.className = 'toast h-broken';
  const a = document.createElement('a');
  a.href = way;
  a.target = '_blank';
  a.textContent = 'Sign in on another page';
  box.append('You are signed out. ', a, ', then go on here: what you have written is kept.');
  document.getElementById('toasts').append(box);
}

// fields are the values of a form as an operation wants them.
function fields(form) {
  const body = {};
  for (const e of form.elements) {
    if (!e.name || e.disabled || (e.type === 'radio' && !e.checked) || e.value === '') continue;
    if (e.type === 'checkbox') body[e.name] = e.checked;
    else if ('list' in e.dataset) body[e.name] = e.value.split(/[\s,]+/).filter(Boolean);
    else body[e.name] = e.type === 'number' || 'number' in e.dataset ? Number(e.value) : e.value;
  }
  return body;
}

// submit handles the forms that call an operation; done is called after a change.
export async function submit(form, done) {
  const space = form.dataset.call.indexOf(' ');
  const method = form.dataset.call.slice(0, space);
  const path = form.dataset.call.slice(space + 1);
  if (form.dataset.sure && !(await sure(form.dataset.sure))) return;
  form.setAttribute('aria-busy', 'true');
  try {
    const answer = await ask(method, path, method === 'DELETE' ? undefined : fields(form));
    form.closest('dialog')?.close();
    if (form.dataset.show) await reveal(answer[form.dataset.show]);
    else toast(answer.text || 'Done');
    for (const r of answer.remarks || []) toast(r, 'faulty');
    if (form.dataset.then) location.assign(form.dataset.then);
    else await done();
  } catch (e) {
    failed(e);
  } finally {
    form.removeAttribute('aria-busy');
  }
}

// dialogOf makes a dialog of a text and buttons, and returns what was pressed.
function dialogOf(build) {
  return new Promise((resolve) => {
    const d = document.createElement('dialog');
    build(d, (value) => { d.close(); resolve(value); });
    d.addEventListener('close', () => { d.remove(); resolve(false); });
    document.body.append(d);
    d.showModal();
  });
}

function button(text, main, press) {
  const b = document.createElement('button');
  b.type = 'button';
  b.textContent = text;
  if (main) b.className = 'main';
  b.addEventListener('click', press);
  return b;
}

function paragraph(...parts) {
  const p = document.createElement('p');
  p.append(...parts);
  return p;
}

function sure(text) {
  return dialogOf((d, end) => {
    const acts = paragraph(button('Cancel', false, () => end(false)), button('Yes', true, () => end(true)));
    acts.className = 'acts';
    d.append(paragraph(text), acts);
  });
}

// reveal shows a secret once.
function reveal(secret) {
  return dialogOf((d, end) => {
    const code = document.createElement('code');
    code.className = 'secret';
    code.textContent = secret;
    const acts = paragraph(
      button('Copy', false, () => copy(secret)),
      button('Done', true, () => end(true)),
    );
    acts.className = 'acts';
    d.append(paragraph('This is shown once:'), code, acts);
  });
}

// signIn begins a session and keeps its key for this origin.
export async function signIn(form) {
  const wrong = form.querySelector('.wrong');
  wrong.hidden = true;
  try {
    const session = await ask('POST', '/v1/session', { token: form.elements.token.value.trim() });
    try { localStorage.setItem(keyName, session.key); } catch { /* reading works all the same */ }
    location.assign(form.dataset.signIn);
  } catch (e) {
    wrong.textContent = e.message;
    wrong.hidden = false;
  }
}

// signedIn keeps the key of a session that was begun at an issuer, and goes on.
export function signedIn(page) {
  try { localStorage.setItem(keyName, page.dataset.key); } catch { /* reading works all the same */ }
  location.replace(page.dataset.signedIn);
}

// signOut ends the session.
export async function signOut() {
  try { await ask('DELETE', '/v1/session'); } catch { /* it has ended by itself */ }
  try { localStorage.removeItem(keyName); } catch { /* nothing was kept */ }
  location.assign('/');
}
