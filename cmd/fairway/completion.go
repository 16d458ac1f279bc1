package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help implements kong.HelpProvider.
func (completionCommand) Help() string {
	return `Examples:

    source <(fairway completion bash)
    fairway completion zsh > "${fpath[1]}/_fairway"
    fairway completion fish > ~/.config/fish/completions/fairway.fish`
}

// Run prints the script.
func (s *completionCommand) Run(c *console, p *parser) error {
	switch s.Shell {
	case "bash":
		return completeBash(c.out, p.Model.Node)
	case "zsh":
		return completeZsh(c.out, p.Model.Node)
	default:
		return completeFish(c.out, p.Model.Node)
	}
}

// visible returns the commands that help shows.
func visible(root *kong.Node) []*kong.Node {
	var commands []*kong.Node
	for _, n := range root.Children {
		if !n.Hidden {
			commands = append(commands, n)
		}
	}
	return commands
}

// ownFlags returns the flags of a command, those of the commands below it
// included, each name once.
func ownFlags(n *kong.Node) []*kong.Flag {
	flags := slices.Clone(n.Flags)
	for _, child := range n.Children {
		flags = append(flags, ownFlags(child)...)
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(flags, func(f *kong.Flag) bool {
		drop := f.Hidden || seen[f.Name]
		seen[f.Name] = true
		return drop
	})
}

// allFlags returns the flags of a command and of the program.
func allFlags(n *kong.Node) []*kong.Flag {
	flags := ownFlags(n)
	for p := n.Parent; p != nil; p = p.Parent {
		flags = append(flags, p.Flags...)
	}
	return slices.DeleteFunc(flags, func(f *kong.Flag) bool { return f.Hidden })
}

// flagWords returns the flags of a command and of the program, as typed.
func flagWords(flags []*kong.Flag) []string {
	var words []string
	for _, f := range flags {
		words = append(words, "--"+f.Name)
		if f.Short != 0 {
			words = append(words, "-"+string(f.Short))
		}
	}
	return words
}

// choices returns the values that an argument or flag may have; nil for any.
func choices(v *kong.Value) []string {
	if v.Enum == "" {
		return nil
	}
	return strings.Split(v.Enum, ",")
}

// argumentWords returns the values of the first argument of a command, where
// they are known.
func argumentWords(n *kong.Node) []string {
	if len(n.Children) > 0 {
		var names []string
		for _, child := range visible(n) {
			names = append(names, child.Name)
		}
		return names
	}
	if len(n.Positional) == 0 {
		return nil
	}
	return choices(n.Positional[0])
}

func completeBash(w io.Writer, root *kong.Node) error {
	var names []string
	var cases strings.Builder
	for _, n := range visible(root) {
		names = append(names, n.Name)
		fmt.Fprintf(&cases, "    %s) words=%q ;;\n", n.Name, strings.Join(append(argumentWords(n), flagWords(allFlags(n))...), " "))
	}
	var values strings.Builder
	for _, f := range enumFlags(root) {
		fmt.Fprintf(&values, "    %s) COMPREPLY=($(compgen -W %q -- \"$cur\")); return ;;\n", f.pattern("|"), strings.Join(f.values, " "))
	}
	_, err := fmt.Fprintf(w, `# bash completion for fairway
_fairway() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= words= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
    %s) command=${COMP_WORDS[i]}; break ;;
    esac
  done
  case $prev in
%s  esac
  case $command in
    '') words=%q ;;
%s  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _fairway fairway
`, strings.Join(names, "|"), values.String(), strings.Join(append(names, flagWords(root.Flags)...), " "), cases.String())
	return err
}

// enumFlag is a flag with a fixed set of values.
type enumFlag struct {
	name   string
	short  rune
	values []string
}

func (f enumFlag) pattern(or string) string {
	if f.short == 0 {
		return "--" + f.name
	}
	return "--" + f.name + or + "-" + string(f.short)
}

// enumFlags returns the flags of the program as a whole whose values are known.
func enumFlags(root *kong.Node) []enumFlag {
	var flags []enumFlag
	for _, f := range root.Flags {
		if values := choices(f.Value); values != nil {
			flags = append(flags, enumFlag{f.Name, f.Short, values})
		}
	}
	return flags
}

func completeZsh(w io.Writer, root *kong.Node) error {
	var commands, cases strings.Builder
	for _, n := range visible(root) {
		fmt.Fprintf(&commands, "    %s\n", quote(n.Name+":"+n.Help))
		fmt.Fprintf(&cases, "  %s)\n    _arguments", n.Name)
		writeZshFlags(&cases, n)
		switch words := argumentWords(n); {
		case words != nil:
			fmt.Fprintf(&cases, " \\\n      '2:value:(%s)'", strings.Join(words, " "))
		case n.Name == "check":
			fmt.Fprint(&cases, " \\\n      '*:file:_files'")
		}
		cases.WriteString(" ;;\n")
	}
	_, err := fmt.Fprintf(w, `#compdef fairway
_fairway() {
  local -a commands
  commands=(
%s  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  case $words[2] in
%s  esac
}
if [[ $funcstack[1] == _fairway ]]; then
  _fairway "$@"
else
  compdef _fairway fairway
fi
`, commands.String(), cases.String())
	return err
}

func writeZshFlags(b *strings.Builder, n *kong.Node) {
	for _, f := range allFlags(n) {
		rest := "[" + strings.NewReplacer("[", "(", "]", ")").Replace(f.Help) + "]"
		switch values := choices(f.Value); {
		case values != nil:
			rest += ":" + f.Name + ":(" + strings.Join(values, " ") + ")"
		case takesPath(f):
			rest += ":" + f.Name + ":_files"
		case !f.IsBool():
			rest += ":" + f.Name + ": "
		}
		long := "--" + f.Name
		if !f.IsBool() {
			long += "="
		}
		fmt.Fprintf(b, " \\\n      %s", quote(long+rest))
		if f.Short != 0 {
			fmt.Fprintf(b, " \\\n      %s", quote("-"+string(f.Short)+rest))
		}
	}
}

// takesPath tells whether a flag names files or directories.
func takesPath(f *kong.Flag) bool {
	p := f.FormatPlaceHolder()
	return strings.HasPrefix(p, "PATH") || strings.HasPrefix(p, "DIR") || strings.HasPrefix(p, "CERT")
}

// quote quotes for zsh and for fish, which agree on this form.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func completeFish(w io.Writer, root *kong.Node) error {
	var b strings.Builder
	b.WriteString("# fish completion for fairway\n")
	for _, n := range visible(root) {
		fmt.Fprintf(&b, "complete -c fairway -n __fish_use_subcommand -f -a %s -d %s\n", n.Name, quote(n.Help))
		condition := quote("__fish_seen_subcommand_from " + n.Name)
		for _, f := range ownFlags(n) {
			writeFishFlag(&b, "-n "+condition, f)
		}
		if words := argumentWords(n); words != nil {
			fmt.Fprintf(&b, "complete -c fairway -n %s -f -a %s\n", condition, quote(strings.Join(words, " ")))
		}
	}
	for _, f := range root.Flags {
		if !f.Hidden {
			writeFishFlag(&b, "", f)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeFishFlag(b *strings.Builder, condition string, f *kong.Flag) {
	b.WriteString("complete -c fairway ")
	if condition != "" {
		b.WriteString(condition + " ")
	}
	fmt.Fprintf(b, "-l %s", f.Name)
	if f.Short != 0 {
		fmt.Fprintf(b, " -s %c", f.Short)
	}
	switch values := choices(f.Value); {
	case values != nil:
		fmt.Fprintf(b, " -x -a %s", quote(strings.Join(values, " ")))
	case takesPath(f):
		b.WriteString(" -r")
	case !f.IsBool():
		b.WriteString(" -x")
	}
	fmt.Fprintf(b, " -d %s\n", quote(f.Help))
}
