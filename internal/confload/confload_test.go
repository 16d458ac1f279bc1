package confload

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// pair has a text form of two parts.
type pair struct {
	Left  string `yaml:"left"`
	Right string `yaml:"right"`
}

func (p *pair) UnmarshalText(text []byte) error {
	var ok bool
	if p.Left, p.Right, ok = strings.Cut(string(text), ","); !ok {
		return errors.New("write LEFT,RIGHT")
	}
	return nil
}

func (p pair) String() string { return p.Left + "," + p.Right }

type record struct {
	Name  string        `yaml:"name"`
	Every time.Duration `yaml:"every"`
}

type config struct {
	Plain string `name:"plain" preset:"as it is" help:"A text."`
	Below struct {
		Wait time.Duration `name:"wait" derived:"long" help:"A time."`
		N    int           `name:"n" help:"A number."`
		On   bool          `name:"on" help:"A switch."`
	} `embed:"" prefix:"below."`
	Nets    []netip.Prefix `name:"nets" sep:"," help:"Networks."`
	Texts   []string       `name:"texts" sep:"," preset:"a,b" bare:"x" help:"Texts."`
	Pairs   []pair         `name:"pairs" sep:";" help:"Pairs."`
	Lines   []string       `name:"lines" sep:"\n" pairs:"" help:"Lines."`
	Records []record       `name:"records" sep:"\n" help:"Records."`
}

func load(data string, env map[string]string, flags map[string][]string) (config, *Loaded) {
	var c config
	Preset(&c)
	return c, Load(&c, Options{Prefix: "T_", Path: "t.yml", Data: []byte(data), Env: env, Flags: flags, Reference: "the book"})
}

func TestFields(t *testing.T) {
	var names []string
	for _, f := range Fields(new(config), "T_") {
		names = append(names, fmt.Sprintf("%s %s %q %t", f.Name, f.Env, f.Default, f.Repeatable))
	}
	want := []string{
		`plain T_PLAIN "as it is" false`, `below.wait T_BELOW_WAIT "long" false`, `below.n T_BELOW_N "" false`, `below.on T_BELOW_ON "" false`,
		`nets T_NETS "" true`, `texts T_TEXTS "a,b" true`, `pairs T_PAIRS "" true`, `lines T_LINES "" true`, `records T_RECORDS "" true`,
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}

// The later place wins, and every form of a value means the same.
func TestLoad(t *testing.T) {
	var c config
	Preset(&c)
	l := Load(&c, Options{
		Prefix: "T_", Path: "t.yml", Data: []byte(`
plain: file
below: {wait: 1s, n: 1, on: true}
nets: [10.1.2.3, "10.0.0.0/8"]
pairs: ["a,b", {left: c, right: d}]
lines: {A: b, C: 1}
records:
- name: one
  every: 5s
- {name: two}
`),
		Env:   map[string]string{"T_PLAIN": "env", "T_BELOW_N": "2", "T_LISTNE": "x", "T_TEXTS": "", "PATH": "x"},
		Flags: map[string][]string{"below.n": {"3", "4"}},
	})
	want := config{Plain: "env", Texts: []string{"a", "b"}, Pairs: []pair{{"a", "b"}, {"c", "d"}}, Lines: []string{"A: b", "C: 1"}, Records: []record{{"one", 5 * time.Second}, {"two", 0}}}
	want.Below.Wait, want.Below.N, want.Below.On = time.Second, 4, true
	want.Nets = []netip.Prefix{netip.MustParsePrefix("10.1.2.3/32"), netip.MustParsePrefix("10.0.0.0/8")}
	if diff := cmp.Diff(want, c, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" || len(l.Faults) > 0 {
		t.Errorf("%v (-want +got):\n%s", l.Faults, diff)
	}
	if diff := cmp.Diff([]string{"T_LISTNE"}, l.Ignored); diff != "" {
		t.Error(diff)
	}
	for key, origin := range map[string]string{"plain": "env T_PLAIN", "below.n": "flag --below.n", "below.wait": "t.yml:3", "texts": "default"} {
		if l.Origins[key] != origin {
			t.Errorf("%s comes from %q, want %q", key, l.Origins[key], origin)
		}
	}
	var values []string
	for _, f := range Fields(&c, "T_") {
		values = append(values, fmt.Sprint(f.Value(func(v any) any {
			if r, ok := v.(record); ok {
				r.Name = "***"
				return r
			}
			return v
		})))
	}
	shown := []string{"env", "1s", "4", "true", "[10.1.2.3/32 10.0.0.0/8]", "[a b]", "[a,b c,d]", "[A: b C: 1]", `[{name: "***", every: "5s"} {name: "***"}]`}
	if diff := cmp.Diff(shown, values); diff != "" {
		t.Error(diff)
	}
}

// Everything that is wrong is reported at once.
func TestFaults(t *testing.T) {
	_, l := load(`
plain: [a]
plian: x
below.n: 1
below: 5
nets: [no]
texts: {a: b}
pairs: [{left: a}]
records: [{nmae: x}]
`, map[string]string{"T_BELOW_ON": "maybe"}, map[string][]string{"below.wait": {"soon"}})
	l.Add(Faults{{Key: "nets", Reason: "is at fault already"}, {Key: "plain", Reason: "is at fault already"}, {Key: "below.n", Reason: "too small"}})
	var got []string
	for _, f := range l.Faults {
		got = append(got, f.String())
	}
	want := []string{
		`t.yml:2: plain: one value is expected here`,
		`t.yml:3: plian: unknown key; did you mean plain?`,
		`t.yml:4: below.n: write it as "below:" with "n:" below it`,
		`t.yml:5: below: keys and values are expected here`,
		`t.yml:7: texts: a list is expected here`,
		`t.yml:8: pairs: one value is expected here`,
		`flag --below.wait: below.wait "soon": not a duration; write 50ms, 2s or 1m`,
		`env T_BELOW_ON: below.on "maybe": write true or false`,
		`t.yml:6: nets "no": "no" is no network; write 10.0.0.0/8 or fd00::/8`,
		`t.yml:9: records: number 1: "nmae" means nothing here; did you mean name?`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if text := l.Faults.Error(); !strings.HasPrefix(text, "configuration has 10 faults:\n  t.yml:2: plain") {
		t.Error(text)
	}
	if text := l.Faults[:1].Error(); text != "configuration: "+want[0] {
		t.Error(text)
	}
	if _, l := load("a: [", nil, nil); len(l.Faults) != 1 || !strings.HasPrefix(l.Faults[0].String(), "t.yml") {
		t.Error(l.Faults)
	}
}
