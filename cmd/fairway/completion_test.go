package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// candidates returns the words that a command line can go on with.
func candidates(t *testing.T, words ...string) (found []string) {
	t.Helper()
	code, stdout, stderr := runAt(t, nil, append([]string{"complete", "--"}, words...)...)
	if code != exitOK || stderr != "" {
		t.Fatalf("%q: code %d, stderr %q", words, code, stderr)
	}
	for line := range strings.Lines(stdout) {
		word, help, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok || help == "" {
			t.Errorf("%q: %q has no meaning", words, line)
		}
		found = append(found, word)
	}
	return found
}

// Every command that help shows is known, every flag, and every value that is one of
// a few.
func TestCompletionKnowsEverything(t *testing.T) {
	p, err := newParser(&grammar{}, newCLI(nil, nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	var look func(n *kong.Node, path []string)
	look = func(n *kong.Node, path []string) {
		var want []string
		for _, child := range n.Children {
			if !child.Hidden {
				want = append(want, child.Name)
				look(child, append(path[:len(path):len(path)], child.Name))
			}
		}
		if len(n.Positional) > 0 && n.Positional[0].Enum != "" {
			want = append(want, strings.Split(n.Positional[0].Enum, ",")...)
		}
		if got := candidates(t, append(path, "")...); !slices.Equal(got, want) {
			t.Errorf("%q goes on with %q, want %q", path, got, want)
		}
		flags := candidates(t, append(path, "-")...)
		for i, f := range append(slices.Clone(n.Flags), p.Model.Flags...) {
			if !f.Hidden && !slices.Contains(flags, "--"+f.Name) {
				t.Errorf("%q does not complete --%s", path, f.Name)
			}
			if f.Enum == "" || i >= len(n.Flags) && len(path) > 0 { // those of all commands once
				continue
			}
			if got := candidates(t, append(path, "--"+f.Name, "")...); !slices.Equal(got, strings.Split(f.Enum, ",")) {
				t.Errorf("%q completes --%s with %q", path, f.Name, got)
			}
		}
	}
	look(p.Model.Node, nil)
}

func TestCompletion(t *testing.T) {
	for line, want := range map[string]string{
		"rou":                       "routes",
		"routes --ho":               "--host",
		"-o js":                     "json",
		"--output=js":               "--output=json",
		"--output = js":             "json",
		"completion z":              "zsh",
		"service cr":                "create",
		"service create --endpo":    "--endpoint-mode",
		"--no-color run --admin.li": "--admin.listen",
		"routes --service run --ho": "--host",
		"whoam":                     "",
		"check x":                   "",
	} {
		if got := strings.Join(candidates(t, strings.Fields(line)...), " "); got != want {
			t.Errorf("%q completes to %q, want %q", line, got, want)
		}
	}
}

// The scripts are syntax to their shells, and bash completes with its own.
func TestCompletionInTheShells(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		code, script, stderr := runAt(t, nil, "completion", shell)
		if code != exitOK || stderr != "" || !strings.Contains(script, "complete -- ") {
			t.Fatalf("%s: code %d, stderr %q", shell, code, stderr)
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("no %s here: its script is not tried", shell)
			continue
		}
		file := filepath.Join(t.TempDir(), "script")
		if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(path, "-n", file).CombinedOutput(); err != nil {
			t.Errorf("%s -n: %v\n%s", shell, err, out)
		}
		if shell != "bash" {
			continue
		}
		ask := `fairway() { local IFS=' '; echo "$*" > "$0.asked"; printf 'routes\tList.\nrun it\tServe.\n'; }; source "$0"
			COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _fairway; echo "$(cat "$0.asked"): ${COMPREPLY[*]}"`
		for last, want := range map[string]string{"ro": "routes", "run": "run it", "": "routes run it", "x": ""} {
			out, err := exec.Command(path, "-c", ask, file, "fairway", "--no-color", last).CombinedOutput()
			if got := strings.TrimSpace(string(out)); err != nil || got != strings.TrimSpace("complete -- --no-color "+last+": "+want) {
				t.Errorf("%q completes to %q (%v), want %q", last, got, err, want)
			}
		}
	}
}
