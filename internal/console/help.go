package console

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Help prints the help of a program or of a command. The flags of the group global, which
// every command takes, are listed in the help of the program alone; that of a command
// names them in its last line.
func Help(global string) kong.HelpPrinter {
	return func(options kong.HelpOptions, ctx *kong.Context) error {
		if ctx.Selected() == nil {
			return kong.DefaultHelpPrinter(options, ctx)
		}
		var names []string
		for _, f := range slices.Concat(ctx.Selected().AllFlags(true)...) {
			if f.Group == nil || f.Group.Key != global {
				continue
			}
			f.Hidden = true
			defer func() { f.Hidden = false }()
			if f == ctx.Model.HelpFlag {
				continue // one that reads this knows it
			}
			name := "--" + f.Name
			if f.Short != 0 {
				name = "-" + string(f.Short)
			}
			names = append(names, name)
		}
		if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
			return err
		}
		_, err := fmt.Fprintf(ctx.Stdout, "\nGlobal flags: %s\n(see %s --help)\n", strings.Join(names, ", "), ctx.Model.Name)
		return err
	}
}

// PlaceHolder is what stands for the value of a flag, with its separator where it takes
// several in a line.
func PlaceHolder(f *kong.Flag) string {
	if sep := f.Tag.Sep; f.IsSlice() && sep != -1 && sep != '\n' {
		return f.PlaceHolder + string(sep) + "..."
	}
	return f.PlaceHolder
}
