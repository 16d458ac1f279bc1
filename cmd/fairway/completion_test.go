package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Every script knows every command that help shows, every flag, and the values
// of flags that have a fixed set.
func TestCompletionKnowsEverything(t *testing.T) {
	p, err := newParser(&grammar{}, newConsole(nil, nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		code, script, stderr := runAt(t, nil, "completion", shell)
		if code != exitOK || stderr != "" {
			t.Fatalf("%s: code %d, stderr %q", shell, code, stderr)
		}
		words := strings.FieldsFunc(script, func(r rune) bool { return strings.ContainsRune(" \n'\"[]=:|()", r) })
		want := []string{"text", "wide", "json"}
		for _, n := range append(visible(p.Model.Node), p.Model.Leaves(true)...) {
			want = append(want, n.Name)
			for _, f := range n.Flags {
				if shell == "fish" {
					want = append(want, f.Name)
				} else {
					want = append(want, "--"+f.Name)
				}
			}
		}
		for _, word := range want {
			if !slices.Contains(words, word) {
				t.Errorf("%s does not complete %s", shell, word)
			}
		}
		if strings.Contains(script, "whoami") {
			t.Errorf("%s completes the hidden command", shell)
		}
	}
}

// The scripts are syntax to their shells, and bash completes with its own.
func TestCompletionInTheShells(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("no %s here: its script is not tried", shell)
			continue
		}
		_, script, _ := runAt(t, nil, "completion", shell)
		file := t.TempDir() + "/script"
		if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(path, "-n", file).CombinedOutput(); err != nil {
			t.Errorf("%s -n: %v\n%s", shell, err, out)
		}
		if shell != "bash" {
			continue
		}
		for line, want := range map[string]string{
			"fairway rou":                       "routes",
			"fairway routes --ho":               "--host",
			"fairway -o js":                     "json",
			"fairway completion z":              "zsh",
			"fairway service cr":                "create",
			"fairway service create --endpo":    "--endpoint-mode",
			"fairway --no-color run --admin.li": "--admin.listen",
		} {
			words := strings.Fields(line)
			ask := `source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _fairway; echo "${COMPREPLY[*]}"`
			out, err := exec.Command(path, append([]string{"-c", ask, file}, words...)...).CombinedOutput()
			if got := strings.TrimSpace(string(out)); err != nil || got != want {
				t.Errorf("%q completes to %q (%v), want %q", line, got, err, want)
			}
		}
	}
}
