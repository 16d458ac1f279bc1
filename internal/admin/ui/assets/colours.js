// Colours what is in an editor: a text of its own behind the field, whose letters are
// clear then. It knows YAML and the configuration of HAProxy.

const most = 40000; // characters; of more nothing is coloured

// parts cuts a line into texts with the class of each; an empty class is for the rest.
export function parts(line) {
  const head = /^(\s*)(#.*)$/.exec(line);
  if (head) return [['', head[1]], ['c', head[2]]];
  const key = /^(\s*(?:- +)?)([\w./-]+|"[^"]*"|'[^']*')(?=:(?:\s|$))/.exec(line) || /^(\s*)((?:no |default-)?[a-z][\w-]*)(?=\s|$)/.exec(line);
  const out = key ? [['', key[1]], ['k', key[2]]] : [];
  const rest = line.slice(key ? key[0].length : 0);
  let at = 0;
  for (const m of rest.matchAll(/"(?:[^"\\]|\\.)*"|'[^']*'|(?<=\s)#.*$|(?<![\w.-])\d[\w.%]*/g)) {
    out.push(['', rest.slice(at, m.index)], [m[0][0] === '#' ? 'c' : /\d/.test(m[0][0]) ? 'n' : 's', m[0]]);
    at = m.index + m[0].length;
  }
  out.push(['', rest.slice(at)]);
  return out.filter(([, text]) => text);
}

// colours keeps the colours of an editor.
export function colours(box) {
  const text = box.querySelector('textarea');
  const back = box.querySelector('.paint');
  if (!back) return;
  back.dataset.painted = '';
  const draw = () => {
    const all = text.value.length <= most;
    box.dataset.ready = all ? 'coloured' : 'plain'; // which an update of the page leaves as it is
    if (!all) { back.replaceChildren(); return; }
    const nodes = [];
    for (const line of text.value.split('\n')) {
      for (const [kind, part] of parts(line)) {
        if (!kind) { nodes.push(part); continue; }
        const e = document.createElement('span');
        e.className = 'y-' + kind;
        e.textContent = part;
        nodes.push(e);
      }
      nodes.push('\n');
    }
    back.replaceChildren(...nodes);
    follow();
  };
  const follow = () => { back.scrollTop = text.scrollTop; back.scrollLeft = text.scrollLeft; };
  text.addEventListener('input', draw);
  text.addEventListener('scroll', follow);
  draw();
}
