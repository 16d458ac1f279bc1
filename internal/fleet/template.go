package fleet

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// placeholder is what a template replaces: {{name}}, with blanks at will.
var placeholder = regexp.MustCompile(`\{\{[ \t]*([A-Za-z][A-Za-z0-9_-]*)[ \t]*\}\}`)

// Render makes the configuration of one place out of a template: every {{name}}
// becomes the place's value of that name, {{host}} the host's name. Nothing else
// is changed, not a byte. A name without a value is an error that says the line;
// so is "{{" that begins nothing, since it is more likely a typing error than
// HAProxy's.
func Render(template []byte, p Place) ([]byte, error) {
	var out bytes.Buffer
	number := 0
	for line := range bytes.Lines(template) {
		number++
		at := 0
		for _, m := range placeholder.FindAllSubmatchIndex(line, -1) {
			out.Write(line[at:m[0]])
			value, ok := p.value(string(line[m[2]:m[3]]))
			if !ok {
				return nil, fmt.Errorf("%s: line %d: host %s has no value %q (it has %s)", p.Document, number, p.Host, line[m[2]:m[3]], strings.Join(p.names(), ", "))
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

func (p Place) value(name string) (string, bool) {
	if value, ok := p.Values[name]; ok {
		return value, true
	}
	return p.Host, name == "host"
}

// names are the names of the values, sorted.
func (p Place) names() []string {
	names := []string{"host"}
	for name := range p.Values {
		if name != "host" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
