// The colours that were chosen, before anything is drawn.
'use strict';
try {
  const chosen = localStorage.getItem('fairway-theme');
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
} catch { /* a browser that keeps nothing follows the system */ }
