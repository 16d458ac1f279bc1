package compose

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
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

// Environment returns an environment, as of os.Environ, and below it what the file
// .env beside a Compose file says, as Compose reads it. Usually there is no such
// file. With an error it returns the environment alone.
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
	value, _ := interpolate(yamlnode.Text(n), v.Values, v.Used)
	return value.text
}
