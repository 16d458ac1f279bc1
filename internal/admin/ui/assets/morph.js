// Changes what is shown into what it should be, touching only what differs, so
// that focus, scroll positions, selections and open dialogs stay.

// The one place where text becomes HTML: pages of this listener alone, which the
// server has escaped.
const policy = globalThis.trustedTypes
  ? trustedTypes.createPolicy('fairway', { createHTML: (text) => text })
  : { createHTML: (text) => text };

// parse makes a document of a page.
export function parse(text) {
  return new DOMParser().parseFromString(policy.createHTML(text), 'text/html');
}

// morph makes the element a like the element b.
export function morph(a, b) {
  if (untouched(a)) return;
  attributes(a, b);
  children(a, b);
}

// untouched is true of what script draws and of what is being filled in: a form keeps
// the revision it was begun from, wherever the focus is.
function untouched(e) {
  return e.hasAttribute('data-painted') || (e.localName === 'dialog' && e.open);
}

// own are the attributes that script or the reader has set.
const own = new Set(['open', 'data-painted', 'data-ready', 'data-ended', 'aria-busy']);

function attributes(a, b) {
  for (const { name, value } of b.attributes) {
    if (a.getAttribute(name) !== value && !(own.has(name) && a.localName !== 'details')) a.setAttribute(name, value);
  }
  for (const { name } of [...a.attributes]) {
    if (!b.hasAttribute(name) && !own.has(name) && !(name === 'class' && a.dataset.busy)) a.removeAttribute(name);
  }
}

function children(a, b) {
  // What has an id is found again wherever it went.
  const byID = new Map();
  for (const child of a.children) if (child.id) byID.set(child.id, child);
  let at = a.firstChild;
  for (const want of [...b.childNodes]) {
    const known = want.id && byID.get(want.id);
    if (known && known !== at) {
      a.insertBefore(known, at);
      morph(known, want);
      continue;
    }
    if (at && like(at, want)) {
      const next = at.nextSibling;
      if (at.nodeType === Node.ELEMENT_NODE) {
        if (!at.contains(document.activeElement) || !editable(document.activeElement)) morph(at, want);
        else if (!untouched(at)) { attributes(at, want); if (at !== document.activeElement) children(at, want); }
      } else if (at.nodeValue !== want.nodeValue) at.nodeValue = want.nodeValue;
      at = next;
      continue;
    }
    a.insertBefore(document.importNode(want, true), at);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

// like is true when one can be changed into the other.
function like(a, b) {
  return a.nodeType === b.nodeType && (a.nodeType !== Node.ELEMENT_NODE || (a.localName === b.localName && a.id === b.id));
}

function editable(e) {
  return e && /^(input|textarea|select)$/.test(e.localName);
}
