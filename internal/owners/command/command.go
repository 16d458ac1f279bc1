// Package command is the commands that say who may claim which names.
package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"fairway/internal/api"
	"fairway/internal/api/rights"
	"fairway/internal/check"
	"fairway/internal/console"
	"fairway/internal/fleet/agent/command"
	"fairway/internal/human"
	"fairway/internal/plan"
	"fairway/internal/route"
)

// The exit codes beside those of errors.
const (
	no    console.Exit = 1 // something is not allowed
	usage console.Exit = 2 // of an invalid command line, or a file that cannot be read
)

// Commands are the commands, as Kong reads them.
type Commands struct {
	List  listCommand  `cmd:"" default:"1" help:"List the records of owners with what each holds."`
	Check checkCommand `cmd:"" help:"Show which record decides, and whether it allows something."`
}

// Client connects to the admin API.
type Client func() (*api.Client, error)

type listCommand struct{}

// Run prints the records.
func (listCommand) Run(ctx context.Context, h *command.Host, connect Client) error {
	a, err := connect()
	if err != nil {
		return err
	}
	found, err := rights.Records(ctx, a)
	if err != nil {
		return err
	}
	return h.Print(found, func() { printRecords(h, found.Items) })
}

func printRecords(h *command.Host, records []rights.OwnerRecord) {
	if !slices.ContainsFunc(records, func(r rights.OwnerRecord) bool { return r.Name != "" }) {
		h.Note("No records: without the key owners everybody may claim everything.")
		return
	}
	t := h.Columns("RECORD", "FOR", "MAY CLAIM", "SERVICES", "ROUTES", "REFUSED", "+HOLDS")
	for _, r := range records {
		refused := console.Plain.Cell(fmt.Sprint(r.Refused))
		if r.Refused > 0 {
			refused.Colour = console.Bad
		}
		t.Add(cmp.Or(r.Name, "-"), r.Whom(), r.MayClaim(), r.Services, r.Routes, refused, strings.Join(r.Holds, ", "))
	}
	t.Print()
}

type checkCommand struct {
	Service  string   `name:"service" placeholder:"NAME" help:"A service that runs, by ID or name."`
	Source   string   `name:"source" placeholder:"NAME" help:"One that does not run: its source."`
	Node     string   `name:"node" placeholder:"NAME" help:"Its node."`
	Project  string   `name:"project" placeholder:"NAME" help:"Its Compose project."`
	Stack    string   `name:"stack" placeholder:"NAME" help:"Its stack."`
	Label    []string `name:"label" sep:"none" placeholder:"KEY=VALUE" help:"A label of it. Repeatable."`
	Host     string   `name:"host" placeholder:"HOST" help:"Host to be claimed, as in labels."`
	Prefix   string   `name:"path" placeholder:"PREFIX" help:"Paths to be claimed."`
	Port     int      `name:"port" placeholder:"PORT" help:"Port for TCP to be claimed."`
	Priority int      `name:"priority" placeholder:"N" help:"Priority to be claimed."`
	Snippets bool     `name:"snippets" help:"Lines of HAProxy's configuration."`

	AsStack bool     `name:"as-stack" help:"The Compose files are deployed with docker stack deploy."`
	Paths   []string `arg:"" optional:"" name:"file" help:"Compose or services files, and configurations: says of each service in them which record decides, offline."`
}

// Help is the detail in the help.
func (checkCommand) Help() string {
	return `Without files a running Fairway is asked: about a service, or about an owner that the flags describe. Where nothing says who asks, every record answers.

    fairway owners check --service web --host shop.example
    fairway owners check --project blog --host www.example --path /blog
    fairway owners check --host shop.example
    fairway owners check compose.yml`
}

// Run prints which record decides.
func (k *checkCommand) Run(ctx context.Context, h *command.Host, connect Client) error {
	q := rights.Question{
		Service: k.Service, Source: k.Source, Node: k.Node, Project: k.Project, Stack: k.Stack, Labels: k.Label,
		Host: k.Host, Path: k.Prefix, TCPPort: k.Port, Priority: k.Priority, Snippets: k.Snippets,
	}
	described := q.Service + q.Source + q.Node + q.Project + q.Stack + strings.Join(q.Labels, "")
	switch {
	case len(k.Paths) > 0 && (described != "" || q.Host != "" || q.Path != "" || q.TCPPort != 0 || q.Priority != 0 || q.Snippets):
		return misused(h, errors.New("files say for themselves who asks for what: leave the flags out"))
	case len(k.Paths) > 0:
		return k.files(h)
	case q.Service != "" && described != q.Service:
		return misused(h, errors.New("a service that runs has a source, labels and so on of its own: leave the other flags out"))
	}
	a, err := connect()
	if err != nil {
		return err
	}
	found, err := rights.Check(ctx, a, q)
	if err == nil {
		err = h.Print(found, func() { printAnswers(h, found.Items) })
	}
	if err == nil && described != "" && slices.ContainsFunc(found.Items, func(a rights.OwnerAnswer) bool { return !a.Allowed }) {
		return no
	}
	return err
}

func misused(h *command.Host, err error) error {
	h.Fail(err)
	return usage
}

func printAnswers(h *command.Host, answers []rights.OwnerAnswer) {
	for _, a := range answers {
		word, colour := "allowed", console.Good
		if !a.Allowed {
			word, colour = "refused", console.Bad
		}
		line := h.Paint(colour, word)
		if a.Service != "" {
			line += "  " + h.Paint(console.Bold, human.Escape(a.Service))
		}
		h.Raw(line + "  " + human.Escape(a.Text))
		if a.Hint != "" {
			h.Raw("  hint: " + human.Escape(a.Hint))
		}
	}
}

// files looks at what files ask for.
func (k *checkCommand) files(h *command.Host) error {
	checked, err := check.Files(k.Paths, h.Environ, k.AsStack)
	if err != nil {
		return misused(h, err)
	}
	refused := slices.DeleteFunc(slices.Clone(checked.Problems), func(p plan.Problem) bool { return p.Code != string(route.CodeNotAllowed) })
	answer := struct {
		Owners   []plan.CheckedOwner `json:"owners"`
		Problems []plan.Problem      `json:"problems"`
	}{append([]plan.CheckedOwner{}, checked.Owners...), append([]plan.Problem{}, refused...)}
	err = h.Print(answer, func() {
		for _, p := range refused {
			h.Raw(h.Paint(console.Bold, p.Position()) + ": " + human.Escape(p.Subject()))
			h.Raw("  " + human.Escape(p.Text))
			h.Raw("  hint: " + human.Escape(p.Hint))
		}
		if len(checked.Owners) == 0 {
			h.Note("No record decides about anything here: the configuration has no key owners, or the files have no labels of Fairway.")
			return
		}
		t := h.Columns("SERVICE", "RECORD", "STATE", "-FILE")
		for _, o := range checked.Owners {
			state := console.Good.Cell("allowed")
			if !o.Allowed {
				state = console.Bad.Cell("refused")
			}
			t.Add(o.Service, cmp.Or(o.Record, "- (everything is allowed)"), state, o.File)
		}
		t.Print()
	})
	if n := len(checked.Problems) - len(refused); err == nil && n > 0 {
		h.Note("%s besides; see: fairway check", human.Plural(n, "problem"))
	}
	if err == nil && len(refused) > 0 {
		return no
	}
	return err
}
