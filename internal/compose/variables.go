package compose

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"go.yaml.in/yaml/v4"

	"fairway/internal/files"
	"fairway/internal/yamlnode"
)

// Variables are what files may use as $NAME.
type Variables struct {
	Values map[string]string
	// Used, unless it is nil, gets those that were asked for and have a value.
	Used map[string]string
}

// maxDotEnv bounds the file .env, in bytes.
const maxDotEnv = 1 << 20

// Environment returns an environment, as of os.Environ, and below it what the file .env
// beside a Compose file says. With an error it returns the environment alone.
func Environment(path string, environ []string) (map[string]string, error) {
	env := make(map[string]string, len(environ))
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	path = filepath.Join(filepath.Dir(path), ".env")
	data, err := files.Read(path, maxDotEnv)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, files.ErrNotRegular) {
		return env, nil
	}
	if err != nil {
		return env, err
	}
	file, err := dotenv.ParseWithLookup(bytes.NewReader(data), func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	})
	if err != nil {
		return env, fmt.Errorf("%s: %w", path, err)
	}
	maps.Copy(file, env)
	return file, nil
}

// text returns the text of a scalar with its variables put in; "" for nil and
// anything else. What is no label is Compose's to complain about.
func (v Variables) text(n *yaml.Node) string {
	value, _ := interpolate(yamlnode.Text(n), v)
	return value.text
}

// variableName is a name at the beginning of a text.
var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*`)

// maxInterpolation bounds how deep defaults may hold variables in turn.
const maxInterpolation = 8

// interpolation is a text with its variables put in.
type interpolation struct {
	vars Variables
	text string
	// missing are the variables without value and default: nothing is in their place.
	missing []string
	// loose says that a dollar sign begins no variable. Compose keeps it as it is;
	// docker stack deploy refuses the file.
	loose bool
}

// interpolate puts variables into text the way Compose does: $NAME, ${NAME},
// ${NAME:-default}, ${NAME-default}, ${NAME:?text}, ${NAME?text}, ${NAME:+text}
// and ${NAME+text}; $$ is a dollar sign. The colon makes an empty value count as
// none.
//
// Compose's own package for this is no help here: it cannot say which variables
// have no value, it logs them itself, and it has no bound for hostile texts.
func interpolate(text string, vars Variables) (_ *interpolation, err error) {
	i := &interpolation{vars: vars}
	i.text, err = i.put(text, maxInterpolation)
	return i, err
}

// value looks a variable up, and notes that it was used.
func (i *interpolation) value(name string) (value string, set bool) {
	value, set = i.vars.Values[name]
	if set && i.vars.Used != nil {
		i.vars.Used[name] = value
	}
	return value, set
}

func (i *interpolation) put(text string, depth int) (string, error) {
	if depth == 0 {
		return "", errors.New("variables inside of variables, too deep")
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "$")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name := variableName.FindString(rest)
		switch {
		case name != "":
			b.WriteString(i.plain(name))
			text = rest[len(name):]
		case strings.HasPrefix(rest, "{"):
			end := closing(rest)
			if end < 0 {
				return "", fmt.Errorf("${ without } in %q", "$"+rest)
			}
			value, err := i.braced(rest[1:end], depth)
			if err != nil {
				return "", err
			}
			b.WriteString(value)
			text = rest[end+1:]
		default:
			b.WriteByte('$')
			var twice bool
			text, twice = strings.CutPrefix(rest, "$")
			i.loose = i.loose || !twice
		}
	}
}

// closing returns the index of the brace that closes the one s begins with, or -1.
func closing(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

func (i *interpolation) braced(s string, depth int) (string, error) {
	name := variableName.FindString(s)
	operator := s[len(name):]
	if name == "" {
		return "", fmt.Errorf("${%s}: a name is expected after ${", s)
	}
	if operator == "" {
		return i.plain(name), nil
	}
	value, set := i.value(name)
	if rest, ok := strings.CutPrefix(operator, ":"); ok {
		operator, set = rest, set && value != ""
	}
	kind := operator[:min(1, len(operator))]
	word := operator[len(kind):]
	switch {
	case (kind == "-" || kind == "?") && set:
		return value, nil
	case kind == "+" && !set:
		return "", nil
	case kind == "-", kind == "+":
		return i.put(word, depth-1)
	case kind == "?":
		return "", fmt.Errorf("variable %s is not set: %s", name, word)
	}
	return "", fmt.Errorf("${%s}: -, ? or + is expected after the name", s)
}

func (i *interpolation) plain(name string) string {
	value, set := i.value(name)
	if !set {
		i.missing = append(i.missing, name)
	}
	return value
}
