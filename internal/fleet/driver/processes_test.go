package driver

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/dockerapi"
	"fairway/internal/engine/haproxy/binary"
)

var began = time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestInside reads what a container with HAProxy 2.6 has said of its processes,
// before and after a reload with a connection that stays.
func TestInside(t *testing.T) {
	before, after := readInside(t, "look-before.txt"), readInside(t, "look-after.txt")
	master, err := after.findMaster()
	check(t, err)
	if master.pid != 1 || master.args[0] != "haproxy" {
		t.Errorf("master %+v", master)
	}
	workers := after.workersOf(master)
	if len(workers) != 2 {
		t.Fatalf("workers %+v", workers)
	}
	if diff := cmp.Diff([]int{workers[0].pid}, workers[1].replaces()); diff != "" {
		t.Errorf("replaced (-want +got):\n%s", diff)
	}
	if age := after.age(workers[1]); age <= 0 || age > time.Minute || after.age(workers[0]) <= age {
		t.Errorf("ages %v, %v", after.age(workers[0]), age)
	}
	wanted := bindsOf("frontend x\n bind :8080\n")
	if missing := reloaded(before, after, wanted); missing != "" {
		t.Errorf("reloaded: %s", missing)
	}
	if missing := reloaded(before, before, wanted); missing != "no new worker" {
		t.Errorf("not reloaded: %s", missing)
	}
	if missing := reloaded(before, after, bindsOf("frontend x\n bind :8080\n bind :9\n")); missing != "nothing listens on 0.0.0.0:9 (line 3)" {
		t.Errorf("an address is missing: %q", missing)
	}
	if !strings.Contains(after.text(), "own 0.0.0.0:8080") {
		t.Errorf("listening: %s", after.text())
	}
}

// text is what listens, for people.
func (in inside) text() string {
	var all []string
	for _, a := range in.listening {
		all = append(all, a.String())
	}
	for _, a := range in.own {
		all = append(all, "own "+a.String())
	}
	return strings.Join(all, ", ")
}

func readInside(t *testing.T, name string) inside {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	check(t, err)
	in, err := parseInside(string(data))
	check(t, err)
	return in
}

// TestReloadedNot tells what is missing for a reload.
func TestReloadedNot(t *testing.T) {
	master := process{pid: 1, args: []string{"haproxy"}}
	old, other := process{pid: 7, parent: 1, began: 5}, process{pid: 8, parent: 1, began: 9}
	before := inside{processes: []process{master, old}}
	for name, tt := range map[string]struct {
		now  []process
		want string
	}{
		"nothing happens": {[]process{master, old}, "no new worker"},
		"old one stays":   {[]process{master, old, other}, "worker 7 is not being replaced"},
		"old one leaves":  {[]process{master, old, {pid: 8, parent: 1, began: 9, args: []string{"haproxy", "-sf", "7", "-x", "sockpair@3"}}}, ""},
		"old one is gone": {[]process{master, other}, ""},
		"number reused":   {[]process{master, {pid: 7, parent: 1, began: 99}}, ""},
		"master is gone":  {nil, "no HAProxy runs in the container"},
		"two of them":     {[]process{master, {pid: 50, parent: 40}, other}, "2 HAProxies run in the container; only one can be managed"},
	} {
		if got := reloaded(before, inside{processes: tt.now}, nil); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// TestTaken finds addresses that somebody else has.
func TestTaken(t *testing.T) {
	now := inside{listening: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:80"), netip.MustParseAddrPort("127.0.0.1:81"), netip.MustParseAddrPort("[::]:82")}}
	for name, tt := range map[string]struct{ running, wanted, want string }{
		"its own":                {":80", ":80", ""},
		"a new one that is free": {":80", ":80,:90", ""},
		"somebody else's":        {"", ":80", "line 2: cannot bind 0.0.0.0:80: the address is in use by another program (0.0.0.0:80)"},
		"one address of it":      {":80", ":81", "line 2: cannot bind 0.0.0.0:81: the address is in use by another program (127.0.0.1:81)"},
		"another address":        {":80", "127.0.0.2:81", ""},
		"all of IPv6":            {":80", ":82", "line 2: cannot bind 0.0.0.0:82: the address is in use by another program ([::]:82)"},
		"from one to all":        {"127.0.0.1:81", ":81", ""},
		"from an interface":      {":80 interface eth0", ":80", ""},
		"of IPv6 alone":          {"", ":::80 v6only", ""},
		"IPv6 without v6only":    {"", ":::80", "line 2: cannot bind [::]:80: the address is in use by another program (0.0.0.0:80)"},
	} {
		binds := func(list string) []binary.Bind {
			return bindsOf("frontend x\n bind " + list + "\n")
		}
		err := taken(now, binds(tt.running), binds(tt.wanted))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || err.Error() != tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// TestLoadedLines reads what HAProxy has logged of loading.
func TestLoadedLines(t *testing.T) {
	line := func(second int, text string) dockerapi.LogLine {
		return dockerapi.LogLine{Time: began.Add(time.Duration(second) * time.Second), Text: text}
	}
	lines := []dockerapi.LogLine{
		line(1, "[NOTICE]   (1) : Loading success."),
		line(2, "[NOTICE]   (1) : Reloading HAProxy"),
		line(3, "[ALERT]    (1) : Binding ["+DefaultFile+":3] for proxy web: cannot bind socket (Address already in use) [0.0.0.0:81]"),
		line(4, "[WARNING]  (1) : Loading failure!"),
	}
	if ok, err := loadedLines(lines[:2], began.Add(time.Second), DefaultFile, nil); ok || err != nil {
		t.Errorf("under way: %v, %v", ok, err)
	}
	if ok, err := loadedLines(lines[:2], began, DefaultFile, nil); !ok || err != nil {
		t.Errorf("success: %v, %v", ok, err)
	}
	_, report := loadedLines(lines, began.Add(time.Second), DefaultFile, []byte("bind :81\n"))
	if report == nil || refusal(report, DefaultFile, "web").Error() != "haproxy refuses the configuration: web:3: Binding for proxy web: cannot bind socket (Address already in use) [0.0.0.0:81]" {
		t.Errorf("failure: %v", report)
	}
}

// FuzzInside reads what no container would say: never a panic, never a listening
// address without a port that fits.
func FuzzInside(f *testing.F) {
	for _, name := range []string{"look-before.txt", "look-after.txt"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Add("1.5 2\nprocess 1 (a) b) S 0\nsockets\n 0: zz:0050 0 0A")
	f.Fuzz(func(t *testing.T, text string) {
		in, err := parseInside(text)
		if err != nil {
			return
		}
		for _, a := range in.listening {
			if !a.Addr().IsValid() {
				t.Errorf("listening on %v", a)
			}
		}
		_ = reloaded(in, in, nil)
	})
}
