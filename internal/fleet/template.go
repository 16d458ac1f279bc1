package fleet

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"fairway/internal/fleet/driver"
)

// placeholder is what a template replaces: {{name}}, with blanks at will.
var placeholder = regexp.MustCompile(`\{\{[ \t]*([A-Za-z][A-Za-z0-9_-]*)[ \t]*\}\}`)

// Render makes the configuration of one target out of a template: every {{name}}
// becomes the target's value of that name, {{host}} the host's name. Nothing else
// is changed, not a byte. A name without a value is an error that names the line;
// so is "{{" that begins nothing, which is more likely a typing error than HAProxy's.
func Render(template []byte, p driver.Target) ([]byte, error) {
	var out bytes.Buffer
	number, values := 0, valuesOf(p)
	for line := range bytes.Lines(template) {
		number++
		at := 0
		for _, m := range placeholder.FindAllSubmatchIndex(line, -1) {
			out.Write(line[at:m[0]])
			value, ok := values[string(line[m[2]:m[3]])]
			if !ok {
				return nil, fmt.Errorf("%s: line %d: host %s has no value %q (it has %s)", p.Document, number, p.Host, line[m[2]:m[3]], strings.Join(slices.Sorted(maps.Keys(values)), ", "))
			}
			out.WriteString(value)
			at = m[1]
		}
		if bytes.Contains(placeholder.ReplaceAll(line, nil), []byte("{{")) {
			return nil, fmt.Errorf("%s: line %d: {{ without a name and }}", p.Document, number)
		}
		out.Write(line[at:])
	}
	return out.Bytes(), nil
}

// valuesOf are the values that a template may use for a target.
func valuesOf(t driver.Target) map[string]string {
	values := map[string]string{"host": t.Host}
	maps.Copy(values, t.Values)
	return values
}
