package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"fairway/internal/human"

	"pgregory.net/rapid"
)

// Nothing that is printed makes the terminal do anything, and JSON stays what
// it was.
func TestNothingReachesTheTerminalRaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "s"))
		for _, got := range []string{human.Escape(s), human.Escape(strings.ToValidUTF8(s, "") + "\x1b\u009b")} {
			for _, r := range got {
				if r < ' ' || r >= 0x7f && r < 0xa0 {
					t.Fatalf("%q keeps %q", got, r)
				}
			}
		}
		var buf bytes.Buffer
		c := &Console{Out: &buf, Format: "json"}
		if err := c.Print([]string{s}, nil); err != nil {
			t.Fatal(err)
		}
		for _, r := range buf.String() {
			if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 {
				t.Fatalf("%q keeps %q", buf.String(), r)
			}
		}
		var back []string
		if err := json.Unmarshal(buf.Bytes(), &back); err != nil {
			t.Fatal(err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); utf8.ValidString(s) && back[0] != want {
			t.Fatalf("JSON says %q, want %q", back[0], want)
		}
	})
}

func TestTableFitsTheTerminal(t *testing.T) {
	rows := [][]Cell{
		{Plain.Cell("shop-web@docker"), Plain.Cell("shop.example.com/a/very/long/path/indeed"), Good.Cell("served")},
		{Plain.Cell("b"), Plain.Cell("b.example.com"), Bad.Cell("refused")},
	}
	for _, tt := range []struct {
		width   int
		colours bool
		want    string
	}{
		{0, false, `
ROUTE            TAKES                                     STATE
shop-web@docker  shop.example.com/a/very/long/path/indeed  served
b                b.example.com                             refused
`},
		{40, false, `
ROUTE           TAKES            STATE
shop-web@dock…  shop.example.c…  served
b               b.example.com    refused
`},
		{1, false, `
ROUTE     TAKES     STATE
shop-we…  shop.ex…  served
b         b.examp…  refused
`},
		{0, true, "\n\x1b[1mROUTE\x1b[0m            \x1b[1mTAKES\x1b[0m                                     \x1b[1mSTATE\x1b[0m\n" +
			"shop-web@docker  shop.example.com/a/very/long/path/indeed  \x1b[32mserved\x1b[0m\n" +
			"b                b.example.com                             \x1b[31mrefused\x1b[0m\n"},
	} {
		var buf bytes.Buffer
		c := &Console{Out: &buf, Width: tt.width, Colours: tt.colours}
		table := c.Columns("ROUTE", "TAKES", "STATE")
		table.rows = rows
		table.Print()
		if got := "\n" + buf.String(); got != tt.want {
			t.Errorf("width %d:\n%s\nwant\n%s", tt.width, got, tt.want)
		}
	}
}

// What is of lesser importance leaves a table before names are cut, the rightmost first; a
// column without text is not there; a last column that wraps shows all of itself.
func TestWhatLeavesATable(t *testing.T) {
	for _, tt := range []struct {
		name, format string
		width        int
		wrap         bool
		want         string
	}{
		{"any width", "", 0, false, `
SERVICE                 CPU   LIMIT   BLOCK READ  STATE
harbour-office-2@dockr  1.0%  512MiB  0B          down: nothing listens there
`},
		{"one leaves", "", 66, false, `
SERVICE                 CPU   LIMIT   STATE
harbour-office-2@dockr  1.0%  512MiB  down: nothing listens there
`},
		{"both leave before the name is cut below 20", "", 50, false, `
SERVICE                CPU   STATE
harbour-office-2@doc…  1.0%  down: nothing listen…
`},
		{"and then it is", "", 30, false, `
SERVICE      CPU   STATE
harbour-of…  1.0%  down: noth…
`},
		{"wrapped", "", 52, true, `
SERVICE                 CPU   STATE
harbour-office-2@dockr  1.0%  down: nothing listens
                              there
`},
		{"all", "wide", 0, false, `
SERVICE                 CPU   EMPTY  LIMIT   BLOCK READ  ID  STATE
harbour-office-2@dockr  1.0%         512MiB  0B          x1  down: nothing listens there
`},
	} {
		var buf bytes.Buffer
		c := &Console{Out: &buf, Width: tt.width, Format: tt.format}
		table := c.Columns("SERVICE", "CPU", "EMPTY", "-LIMIT", "-BLOCK READ", "+ID", "STATE")
		table.Wrap = tt.wrap
		table.Add("harbour-office-2@dockr", "1.0%", "", "512MiB", "0B", "x1", "down: nothing listens there")
		table.Print()
		if got := "\n" + buf.String(); got != tt.want {
			t.Errorf("%s:%s\nwant%s", tt.name, got, tt.want)
		}
	}
}

func TestFieldsWrap(t *testing.T) {
	var buf bytes.Buffer
	c := &Console{Out: &buf, Width: 40}
	var f Fields
	f.Add("service", "shop")
	f.Add("empty", "")
	f.Add("reason", "nothing listens at 10.0.0.1:80 since two hours")
	c.Fields("  ", f)
	want := "  service  shop\n  reason   nothing listens at\n           10.0.0.1:80 since two hours\n"
	if buf.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", buf.String(), want)
	}
}

func TestConfirm(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, "Yes\n": true, "yes": true, "\n": false, "": false, "n\n": false, "yesterday\n": false} {
		var asked strings.Builder
		c := Console{In: strings.NewReader(answer), Err: &asked}
		if got, err := c.Confirm(t.Context(), "Roll \x1bback?"); err != nil || got != want || asked.String() != `Roll \x1bback? [y/N] ` {
			t.Errorf("%q: %v, %v after %q", answer, got, err, asked.String())
		}
	}
	// Who is asked and interrupts has answered no.
	silent, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := (&Console{In: silent, Err: io.Discard}).Confirm(ctx, "?"); got || !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v, %v", got, err)
	}
}

// A screen is cleared for what is new, and left alone by what is not.
func TestRedraw(t *testing.T) {
	var out bytes.Buffer
	c := &Console{Out: &out, Err: &out, Screen: true}
	for _, text := range []string{"one", "one", "two"} {
		if err := c.Redraw(func() error {
			c.Printf("%s\n", text)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if want := "\x1b[H\x1b[2Jone\n\x1b[H\x1b[2Jtwo\n"; out.String() != want {
		t.Errorf("drawn %q, want %q", out.String(), want)
	}
}

// Times are those of the zone that is asked for, and say so where they are UTC.
func TestTimeZone(t *testing.T) {
	at := time.Date(2026, 5, 1, 23, 30, 0, 5, time.UTC)
	summer := time.FixedZone("", 2*60*60)
	for _, tt := range []struct {
		zone   *time.Location
		format string
		at     time.Time
		want   string
	}{
		{nil, "", at, "2026-05-01 23:30:00Z"},
		{time.UTC, "", at, "2026-05-01 23:30:00Z"},
		{summer, "", at, "2026-05-02 01:30:00"},
		{summer, "csv", at, "2026-05-01 23:30:00Z"},
		{summer, "", time.Time{}, ""},
	} {
		c := &Console{Zone: tt.zone, Format: tt.format}
		if got := c.Time(tt.at); got != tt.want {
			t.Errorf("in %v: %q, want %q", tt.zone, got, tt.want)
		}
		if got := c.cell(tt.at).Text; got != tt.want {
			t.Errorf("in a table, in %v: %q, want %q", tt.zone, got, tt.want)
		}
	}
}
