// Package binary knows the haproxy program: where it is, what it can do, what it says of
// a configuration, and whether the addresses that are bound in it are free.
package binary

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// askDeadline bounds a question to haproxy: `-c` of ten thousand backends takes half a
// second, on a busy machine ten times as long.
const askDeadline = 30 * time.Second

// outputWait is how long the rest of an answer may take after haproxy has ended.
const outputWait = 10 * time.Second

// Binary is a haproxy program that has answered. It is immutable.
type Binary struct {
	// Path is the absolute path of the program.
	Path string
	// Version is what it says it is.
	Version Version
	// Features are the names of its feature list with a plus, as LUA and PCRE2; sorted.
	Features []string
}

// Version is a version of HAProxy; the zero value is older than all.
type Version struct {
	Major, Minor, Patch int
	// Text is the version as the program says it, with what a packager added.
	Text string
}

// AtLeast reports whether the version is of that branch, or leads to it, or is newer.
func (v Version) AtLeast(major, minor int) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// String is the version in short, as 2.6.12.
func (v Version) String() string {
	return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch)
}

// Supported reports whether Fairway drives the version: servers and certificates come and
// go at runtime from 2.6 on.
func (v Version) Supported() bool { return v.AtLeast(2, 6) }

// Has reports whether the program was built with a feature, by its name in Features.
func (b *Binary) Has(feature string) bool { return slices.Contains(b.Features, feature) }

// ErrNotFound is wrapped by the error of Find when there is no haproxy.
var ErrNotFound = errors.New("haproxy not found")

// Find asks the program at the path what it is. An empty path means `haproxy` in PATH,
// then the usual places, which PATH often lacks. The error says what to do.
func Find(ctx context.Context, path string) (*Binary, error) {
	candidates := []string{path}
	if path == "" {
		candidates = []string{"haproxy", "/usr/sbin/haproxy", "/usr/local/sbin/haproxy", "/opt/haproxy/sbin/haproxy"}
	}
	for _, candidate := range candidates {
		found, err := exec.LookPath(candidate)
		if err != nil {
			continue
		}
		if found, err = filepath.Abs(found); err != nil {
			return nil, fmt.Errorf("haproxy: %w", err)
		}
		return ask(ctx, found)
	}
	if path != "" {
		return nil, fmt.Errorf("%w at %s: give the path of the program", ErrNotFound, path)
	}
	return nil, fmt.Errorf("%w: install it (Debian: apt-get install haproxy) or give the path of the program", ErrNotFound)
}

func ask(ctx context.Context, path string) (*Binary, error) {
	ctx, cancel := context.WithTimeout(ctx, askDeadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "-vv") //nolint:gosec // the operator's own haproxy
	var out bytes.Buffer
	cmd.Stdout, cmd.Env, cmd.WaitDelay = &limited{to: &out, left: maxOutput}, []string{}, outputWait
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("haproxy: %s -vv: %w", path, err)
	}
	b, err := parse(out.String())
	if err != nil {
		return nil, fmt.Errorf("haproxy: %s -vv: %w", path, err)
	}
	b.Path = path
	return b, nil
}

var versionLine = regexp.MustCompile(`(?m)^HA-?Proxy version ((\d{1,4})\.(\d{1,4})(?:[.-](?:dev)?(\d{1,6}))?\S*)`)

// parse reads what `haproxy -vv` says. Unknown lines are passed over.
func parse(text string) (*Binary, error) {
	m := versionLine.FindStringSubmatch(text)
	if m == nil {
		return nil, errors.New("the answer names no HAProxy version")
	}
	b := &Binary{Version: Version{Text: m[1]}}
	// The expression admits only digits of a bounded length.
	b.Version.Major, _ = strconv.Atoi(m[2])
	b.Version.Minor, _ = strconv.Atoi(m[3])
	b.Version.Patch, _ = strconv.Atoi(m[4])
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) != "Feature list" {
			continue
		}
		for _, word := range strings.Fields(value) {
			if name, ok := strings.CutPrefix(word, "+"); ok {
				b.Features = append(b.Features, name)
			}
		}
	}
	slices.Sort(b.Features)
	return b, nil
}

// maxOutput bounds what is kept of an answer; the rest is thrown away.
const maxOutput = 1 << 20

// limited keeps the beginning of what is written, so that the program never blocks on us.
type limited struct {
	to   *bytes.Buffer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	keep := min(len(p), l.left)
	l.to.Write(p[:keep])
	l.left -= keep
	return len(p), nil
}
