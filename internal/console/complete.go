package console

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// The scripts ask the hidden command complete, which knows every command and flag,
// and leave what it does not know to the completion of files.
const (
	bashScript = `# bash completion for fairway
_fairway() {
  local IFS=$'\n'
  COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1)" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _fairway fairway
`
	zshScript = `#compdef fairway
_fairway() {
  local -a found
  found=("${(@f)$("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  found=("${(@)found//$'\t'/:}")
  if [[ -n "$found" ]]; then
    _describe fairway found
  else
    _files
  fi
}
if [[ $funcstack[1] == _fairway ]]; then
  _fairway "$@"
else
  compdef _fairway fairway
fi
`
	fishScript = `# fish completion for fairway
function __fairway_complete
    set -l typed (commandline -opc)
    set -l found ($typed[1] complete -- $typed[2..-1] (commandline -ct) 2>/dev/null)
    if test -n "$found"
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c fairway -f -a '(__fairway_complete)'
`
)

// CompletionScript returns the script that completes the command line of fairway in
// bash, zsh or fish; empty for another shell.
func CompletionScript(shell string) string {
	return map[string]string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}[shell]
}

// Complete returns the candidates for the last word, each with its meaning after a tab.
func Complete(node *kong.Node, words []string) (found []string) {
	// Bash takes --flag=value apart into three words.
	words = slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "=" })
	last := ""
	if n := len(words); n > 0 {
		words, last = words[:n-1], words[n-1]
	}
	var value *kong.Value // that of the flag before
	position := 0
	for _, w := range words {
		switch {
		case value != nil:
			value = nil
		case strings.HasPrefix(w, "-"):
			value = valueOf(node, w)
		default:
			if i := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == w }); i >= 0 {
				node = node.Children[i]
			} else {
				position++
			}
		}
	}
	if value != nil {
		return valuesOf(value, "", last)
	}
	if name, text, ok := strings.Cut(last, "="); ok && valueOf(node, name) != nil {
		return valuesOf(valueOf(node, name), name+"=", text)
	}
	if strings.HasPrefix(last, "-") {
		return flagsOf(node, last)
	}
	for _, n := range node.Children {
		if !n.Hidden && strings.HasPrefix(n.Name, last) {
			found = append(found, n.Name+"\t"+n.Help)
		}
	}
	if position < len(node.Positional) {
		found = append(found, valuesOf(node.Positional[position], "", last)...)
	}
	return found
}

// valueOf returns the value that a flag takes; nil for a switch and an unknown flag.
func valueOf(node *kong.Node, word string) *kong.Value {
	for _, f := range slices.Concat(node.AllFlags(true)...) {
		if !f.IsBool() && (word == "--"+f.Name || f.Short != 0 && word == "-"+string(f.Short)) {
			return f.Value
		}
	}
	return nil
}

// valuesOf returns the values that begin with a text, where they are known.
func valuesOf(v *kong.Value, before, text string) (found []string) {
	for _, value := range strings.Split(v.Enum, ",") {
		if value != "" && strings.HasPrefix(value, text) {
			found = append(found, before+value+"\t"+v.Help)
		}
	}
	return found
}

// flagsOf returns the flags that begin with a text.
func flagsOf(node *kong.Node, text string) (found []string) {
	for _, f := range slices.Concat(node.AllFlags(true)...) {
		if short := "-" + string(f.Short); f.Short != 0 && text == "-" {
			found = append(found, short+"\t"+f.Help)
		}
		if name := "--" + f.Name; strings.HasPrefix(name, text) {
			found = append(found, name+"\t"+f.Help)
		}
	}
	slices.Sort(found)
	return found
}
