//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fairway/internal/admin/admintest"
	"fairway/internal/condition/situations"
)

// axeSource is the text of axe-core, which scripts/setup.sh keeps in a cache; it skips the
// test where it is not there.
func axeSource(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip("no axe-core: ", err)
	}
	found, err := filepath.Glob(filepath.Join(cache, "fairway", "axe-core-*", "axe.min.js"))
	if err != nil || len(found) == 0 {
		t.Skip("no axe-core: make setup, with npm")
	}
	source, err := os.ReadFile(found[len(found)-1])
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

// accessible checks a page with axe-core, by the rules of WCAG 2.2 at level AA and its
// best practices.
func (tb *tab) accessible(name, source string, s screen) {
	tb.t.Helper()
	eval[bool](tb, "typeof axe === 'object' || (() => {"+source+"\n;return true})()")
	for _, found := range eval[[]string](tb, `axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations.map(
  (v) => v.id + ' (' + v.impact + '): ' + v.help + ': ' + v.nodes.slice(0, 3).map((n) => n.target.join(' ') + ' ' + n.html.slice(0, 160) + ' (' + n.failureSummary + ')').join(' | ') + (v.nodes.length > 3 ? ' and ' + (v.nodes.length - 3) + ' more' : '')))`) {
		tb.t.Errorf("%s on %s: %s", name, s.name, found)
	}
}

// reachable checks that what can be pressed gets the press: nothing lies over it, once it is
// scrolled into view. Of many the first are tried.
func (tb *tab) reachable(name string, s screen) {
	tb.t.Helper()
	for _, found := range eval[[]string](tb, `(() => {
  const found = [], controls = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')]
    .filter((e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && !e.disabled && !e.closest('.skip, svg'));
  for (const e of controls.slice(0, 250)) {
    e.scrollIntoView({ block: 'center', inline: 'center' });
    const box = [...e.getClientRects()].find((r) => r.width > 1 && r.height > 1);
    if (!box) continue;
    const hit = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    if (!hit || !(e.contains(hit) || hit.contains(e) || hit.closest('label')?.contains(e) || (e.id && hit.closest('label')?.htmlFor === e.id))) {
      found.push(e.outerHTML.slice(0, 120) + ' is under ' + (hit ? hit.outerHTML.slice(0, 120) : 'nothing'));
    }
  }
  window.scrollTo(0, 0);
  return found.slice(0, 5);
})()`) {
		tb.t.Errorf("%s on %s: %s", name, s.name, found)
	}
}

// Every situation on the pages that show it: the condition is there as text, and the page
// passes on a wide screen and on a phone. UI_SHOTS names a directory for pictures.
func TestUISituations(t *testing.T) {
	b, axe := needChromium(t), axeSource(t)
	paths := map[string]string{"overview": "/", "service": "/services/shop@docker"}
	if thorough() {
		paths["services"], paths["routes"], paths["problems"] = "/services", "/routes", "/problems"
	}
	for i, situation := range situations.All() {
		t.Run(situation.Name, func(t *testing.T) {
			base := admintest.Serve(t, situation)
			list := looked()
			if !thorough() {
				list = list[i%len(list):][:1] // in turn
			}
			for _, s := range list {
				tb := (&browser{t, b.ctx}).open(base, s)
				for name, path := range paths {
					if name == "service" && situation.Service == "" {
						continue
					}
					if wanted := map[bool]string{true: "overview", false: "service"}[i/2%2 == 0 || situation.Service == ""]; name != wanted && !thorough() {
						continue // each page has half of them
					}
					tb.visit(path)
					tb.until(live)
					if situation.Whole.Wrong() && name != "problems" && (name == "overview" || situation.Service.Wrong()) {
						tb.shows(situation.Text)
					}
					tb.fits(name, s)
					tb.reachable(name, s)
					tb.accessible(name, axe, s)
					tb.clean()
					tb.shot(strings.ReplaceAll(situation.Name, " ", "-") + "-" + name + "-" + s.name)
				}
			}
		})
	}
}
