// Lines that come while their part of a page is open: what instances write, and requests as
// they are answered. Nothing is asked for while it is closed or the page cannot be seen.
const most = 500; // lines that are kept
const streams = new Map(); // by the part

// follow begins with what is opened from now on.
export function follow() {
  document.addEventListener('toggle', (e) => {
    if (!e.target.dataset?.stream) return;
    delete e.target.dataset.ended;
    if (e.target.open) open(e.target);
    else close(e.target);
  }, true);
  document.addEventListener('visibilitychange', () => (document.hidden ? pause() : resume()));
  document.addEventListener('shown', () => { for (const part of streams.keys()) if (!part.isConnected) close(part); });
  addEventListener('pagehide', pause);
  addEventListener('pageshow', resume);
}

function open(part) {
  if (streams.has(part) || document.hidden) return;
  const stream = new EventSource(part.dataset.stream);
  const out = part.querySelector('[data-lines]');
  streams.set(part, stream);
  // After a gap a log begins anew; requests go on.
  if (!part.dataset.stream.startsWith('/v1/requests')) stream.addEventListener('open', () => { out.textContent = ''; });
  stream.addEventListener('line', (e) => {
    const line = JSON.parse(e.data);
    add(out, time(line.at) + '  ' + line.text, line.stderr ? 'h-waiting' : '');
  });
  stream.addEventListener('request', (e) => {
    const r = JSON.parse(e.data);
    const text = `${time(r.at)}  ${r.status || '–'}  ${Math.round(r.milliseconds)} ms  ${r.method} ${r.host || ''}${r.path || ''}`;
    add(out, text + (r.instance ? '  → ' + r.instance : '') + (r.error ? '  ' + r.error : ''), r.error ? 'h-faulty' : '');
  });
  stream.addEventListener('lost', (e) => add(out, `${JSON.parse(e.data).lost} left out: they came too fast`, 'faint'));
  stream.addEventListener('end', (e) => {
    add(out, JSON.parse(e.data).error || 'It has ended.', 'faint');
    part.dataset.ended = '';
    close(part);
  });
  stream.addEventListener('error', () => {
    if (stream.readyState !== EventSource.CLOSED) return; // it tries again by itself
    add(out, 'It cannot be read now. Close it and open it again.', 'faint');
    close(part);
  });
}

function close(part) {
  streams.get(part)?.close();
  streams.delete(part);
}

function pause() { for (const part of [...streams.keys()]) close(part); }

// resume goes on with what has not come to its end.
function resume() { for (const part of document.querySelectorAll('details[data-stream][open]:not([data-ended])')) open(part); }

function time(at) { return new Date(at).toISOString().slice(11, 19); }

// add puts a line at the end, and keeps the end in view where it was.
function add(out, text, colour) {
  const atEnd = out.scrollTop + out.clientHeight >= out.scrollHeight - 4;
  const line = document.createElement('span');
  line.className = colour;
  line.textContent = text + '\n';
  out.append(line);
  while (out.childElementCount > most) out.firstElementChild.remove();
  if (atEnd) out.scrollTop = out.scrollHeight;
}
