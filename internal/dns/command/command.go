// Package command is the commands about DNS, over the admin API.
package command

import (
	"context"
	"errors"
	"strings"
	"time"

	"fairway/internal/api"
	"fairway/internal/api/names"
	"fairway/internal/console"
	"fairway/internal/human"
)

// Commands are the commands below dns.
type Commands struct {
	Explain Explain `cmd:"" help:"Show what is answered to a question, to whom, and why."`
	Names   Names   `cmd:"" help:"List the names that are answered."`
	Status  Status  `cmd:"" help:"Show the DNS server: addresses, zones, resolvers, names that are taken."`
	Setup   Setup   `cmd:"" help:"Print what to configure so that programs ask Fairway; nothing is written."`
}

// Explain is the command that explains an answer.
type Explain struct {
	Name   string `arg:"" help:"Name, or an address for its name."`
	Type   string `name:"type" placeholder:"TYPE" help:"Type of the record: A by default, AAAA, SRV, PTR."`
	Client string `name:"client" aliases:"from" placeholder:"IP" help:"Address that asks: that of a container, say. This machine by default."`
}

// Help is its help in full.
func (Explain) Help() string {
	return `No question is sent: the zone is asked as the server asks it. The exit code is 1 when there is no record in the answer.

    fairway dns explain web.docker
    fairway dns explain _web._tcp.docker --type SRV --client 172.18.0.11
    fairway dns explain 172.18.0.12`
}

// Run prints the explanation.
func (e *Explain) Run(ctx context.Context, c *console.Console, a *api.Client) error {
	x, err := names.Explain(ctx, a, e.Name, e.Type, e.Client)
	if err != nil {
		return err
	}
	if err := c.Print(x, func() { explain(c, x) }); err != nil {
		return err
	}
	if len(x.Records) == 0 {
		return console.Exit(1)
	}
	return nil
}

func explain(c *console.Console, x names.NameExplanation) {
	c.Raw(c.Paint(console.Bold, human.Escape(x.Name)) + " " + human.Escape(x.Type) + " from " + human.Escape(x.Client) + ", seen as " + human.Escape(x.View))
	col := console.Good
	if len(x.Records) == 0 {
		col = console.Bad
	}
	line := c.Paint(col, answerOf(x))
	if x.Text != "" {
		line += ": " + human.Escape(x.Text)
	}
	c.Raw(line)
	for _, record := range x.Records {
		c.Raw("  " + human.Escape(strings.ReplaceAll(record, "\t", " ")))
	}
	if x.Form != "" {
		c.Raw("it means: " + human.Escape(x.Form))
	}
	if x.Rung != "" && x.Rung != "none" {
		c.Raw("reached by: " + human.Escape(x.Rung))
	}
	if len(x.Members) == 0 {
		return
	}
	c.Raw("")
	t := c.Columns("SERVICE", "INSTANCE", "ADDRESS", "WHY")
	for _, m := range x.Members {
		t.Add(m.Service, m.Instance, m.Address, m.Why)
	}
	t.Print()
}

// answerOf says which kind of answer it is.
func answerOf(x names.NameExplanation) string {
	switch {
	case x.Rcode == "FOREIGN":
		return "not answered here"
	case x.Rcode == "NOERROR" && len(x.Records) == 0:
		return "no data"
	}
	return x.Rcode
}

// Names is the command that lists names.
type Names struct{}

// Run prints the names.
func (*Names) Run(ctx context.Context, c *console.Console, a *api.Client) error {
	list, err := names.List(ctx, a)
	if err != nil {
		return err
	}
	return c.Print(list, func() {
		t := c.Columns("NAME", "KIND", "OF")
		for _, n := range list.Items {
			t.Add(n.Name, n.Kind, n.Of)
		}
		t.Print()
	})
}

// Status is the command that shows the server.
type Status struct{}

// Run prints the state.
func (*Status) Run(ctx context.Context, c *console.Console, a *api.Client) error {
	s, err := names.Get(ctx, a)
	if err != nil {
		return err
	}
	return c.Print(s, func() {
		var f console.Fields
		f.Lines("listen", s.Listen)
		if len(s.Unbound) > 0 {
			f.Lines("cannot listen", s.Unbound)
		}
		f.Add("zones", strings.Join(s.Zones, ", "))
		f.Add("services", s.Services)
		f.Add("instances", s.Instances)
		f.Add("serial", s.Serial)
		if s.Unsure != "" {
			f.Add("unsure", s.Unsure)
		}
		c.Fields("", f)
		if len(s.Resolvers) > 0 {
			c.Raw("")
			t := c.Columns("RESOLVER", "DOMAIN", "STATE", "TIME")
			for _, r := range s.Resolvers {
				t.Add(r.Address, r.Domain, r.State, time.Duration(r.Seconds*float64(time.Second)).Round(100*time.Microsecond))
			}
			t.Print()
		}
		if len(s.Taken) > 0 {
			c.Raw("")
			t := c.Columns("TAKEN", "HOLDER", "ASKED FOR BY")
			for _, n := range s.Taken {
				t.Add(n.Name, n.Holder, n.Service)
			}
			t.Print()
		}
	})
}

// Setup is the command that prints configurations of others.
type Setup struct {
	For     string `arg:"" optional:"" default:"resolved" help:"resolved, dnsmasq, unbound, compose or daemon.json."`
	Address string `name:"address" placeholder:"IP" help:"Address of Fairway; that of Docker's own bridge by default." default:"172.17.0.1"`
	Zone    string `name:"zone" placeholder:"ZONE" default:"docker" help:"Zone that Fairway answers for."`
}

// Run prints the text.
func (s *Setup) Run(c *console.Console) error {
	text, ok := setups[s.For]
	if !ok {
		return errors.New("want resolved, dnsmasq, unbound, compose or daemon.json")
	}
	c.Raw(strings.TrimSpace(strings.NewReplacer("ADDRESS", s.Address, "ZONE", s.Zone).Replace(text)))
	return nil
}
