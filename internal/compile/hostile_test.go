package compile

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/compile/dockerflow"
	"fairway/internal/compile/draft"
	"fairway/internal/compile/native"
	"fairway/internal/engine/haproxy/render"
	"fairway/internal/route"
	"fairway/internal/testkit"
)

// hostileSets is how many sets of labels TestHostileLabelSets makes.
const hostileSets = 1000

// TestHostileLabelSets: whatever services have in labels, HAProxy takes what is made
// of it, and a neighbour keeps its routes, its sections, its entries in maps and its
// answers. FAIRWAY_SOAK=1 looks at every set alone, too.
func TestHostileLabelSets(t *testing.T) {
	program := haproxyProgram(t)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same sets each time
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("X-Request-Id")
		_, _ = fmt.Fprintf(w, "%s %s %s\n", r.Method, r.Host, r.URL)
		_ = r.Header.Write(w)
	}))
	t.Cleanup(echo.Close)
	at, err := netip.ParseAddrPort(echo.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	h := hostile{t: t, program: program, beside: quietNeighbour(at)}
	batch := 50
	h.prepare()
	used := 0
	for i := 0; i < hostileSets; i += batch {
		var services []*catalog.Service
		for j := range batch {
			services = append(services, hostileService(random, i+j))
			if testkit.Soaking() {
				h.look(services[j:])
			}
		}
		used += h.look(services)
		h.ask(services)
	}
	t.Logf("%d sets of labels came to %d routes that HAProxy serves", hostileSets, used)
	if used < hostileSets/2 {
		t.Errorf("only %d routes came of %d sets: too few values pass", used, hostileSets)
	}
}

// hostile looks at hostile services beside a neighbour.
type hostile struct {
	t       *testing.T
	program string
	beside  *catalog.Service
	address netip.AddrPort // of the listener

	part, config, answer string // of the neighbour alone
}

func (h *hostile) settings(tcp []draft.PortRange) Settings {
	return Settings{
		Listeners: []route.Listener{{Name: "http", Address: h.address.String()}}, TCPPorts: tcp, DockerFlow: &dockerflow.Options{},
		Unsupported: func(r *route.Route, b *route.Backend) string { return render.Unsupported(r, b, render.Capabilities{}) },
	}
}

// prepare notes what the neighbour has when it is alone.
func (h *hostile) prepare() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	h.address = netip.MustParseAddrPort(ln.Addr().String())
	_ = ln.Close()
	table := New(h.settings(nil)).Compile(snapshotOf(h.beside), nil)
	h.part = partOf(table, h.beside.ID)
	if len(table.Problems) > 0 || len(table.Routes) < 2 {
		h.t.Fatalf("the neighbour is not as it must be:\n%s", table.Text())
	}
	h.config = h.neighbourConfig(rendered(h.t, table, nil), table)
	h.answer = h.ask(nil)
}

// look compiles and renders, and has HAProxy check it. It returns how many routes
// of others are served.
func (h *hostile) look(services []*catalog.Service) int {
	h.t.Helper()
	table := New(h.settings([]draft.PortRange{{First: 6000, Last: 6999}})).Compile(snapshotOf(append(slices.Clone(services), h.beside)...), nil)
	if part := partOf(table, h.beside.ID); part != h.part {
		h.t.Fatalf("the neighbour has changed to\n%s\nwant\n%s\nbeside\n%s", part, h.part, labelsOf(services))
	}
	if config := h.neighbourConfig(rendered(h.t, table, nil), table); config != h.config {
		h.t.Fatalf("for HAProxy, the neighbour has changed to\n%s\nwant\n%s\nbeside\n%s", config, h.config, labelsOf(services))
	}
	checkWithHAProxy(h.t, table)
	if h.t.Failed() {
		h.t.Fatalf("the labels were\n%s", labelsOf(services))
	}
	served := 0
	for _, r := range table.Routes {
		if r.Service != h.beside.ID && r.Refused == "" {
			served++
		}
	}
	return served
}

// neighbourConfig is what a configuration has of the neighbour: the bodies of its
// sections, which may have other numbers, and its entries in maps.
func (h *hostile) neighbourConfig(c *render.Config, table *route.Table) string {
	var b strings.Builder
	names := map[string]string{}
	for i := range c.Sections {
		s := &c.Sections[i]
		if backend := table.Backend(s.Backend); backend == nil || backend.Service != h.beside.ID {
			continue
		}
		names[s.Name] = fmt.Sprintf("section-of-%s-%s", s.Backend, s.Route)
		_, body, _ := strings.Cut(string(c.Text), "\nbackend "+s.Name+" ")
		body, _, _ = strings.Cut(body, "\n\n")
		b.WriteString(names[s.Name] + " " + body + "\n")
	}
	for _, m := range c.Maps {
		for _, e := range m.Entries {
			fields := strings.Split(e.Value, "|")
			if name, ok := names[fields[0]]; ok && len(fields) > 2 {
				fields[0], fields[2] = name, "" // where others stand is not its own
				fmt.Fprintf(&b, "%s: %s %q\n", m.Name, e.Key, fields)
			}
		}
	}
	return b.String()
}

// ask runs HAProxy with the services beside the neighbour and asks the neighbour.
func (h *hostile) ask(services []*catalog.Service) string {
	h.t.Helper()
	table := New(h.settings(nil)).Compile(snapshotOf(append(slices.Clone(services), h.beside)...), nil)
	dir, err := os.MkdirTemp("", "hostile")
	if err != nil {
		h.t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	writeForHAProxy(h.t, dir, table)
	ctx, cancel := context.WithCancel(h.t.Context())
	cmd := exec.CommandContext(ctx, h.program, "-db", "-f", filepath.Join(dir, render.FileConfig))
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	defer func() { cancel(); _ = cmd.Wait() }()
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer := ""
	for _, path := range []string{"/", "/admin/x?y=%20"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.address.String()+path, nil)
		if err != nil {
			h.t.Fatal(err)
		}
		req.Host = "good.example"
		var resp *http.Response
		for try := 0; ; try++ {
			if resp, err = client.Do(req); err == nil {
				break
			}
			if try == 200 {
				h.t.Fatalf("HAProxy does not answer: %v\n%s", err, said.String())
			}
			time.Sleep(10 * time.Millisecond)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			h.t.Fatal(err)
		}
		for _, name := range []string{"Date", "X-Request-Id"} {
			resp.Header.Del(name)
		}
		answer += fmt.Sprintf("%s %v\n%s\n", resp.Status, resp.Header, body)
	}
	if h.answer != "" && answer != h.answer {
		h.t.Fatalf("the neighbour answers\n%s\nwant\n%s\nbeside\n%s", answer, h.answer, labelsOf(services))
	}
	return answer
}

// quietNeighbour has routes with filters of its own.
func quietNeighbour(at netip.AddrPort) *catalog.Service {
	return &catalog.Service{
		ID: "good@docker", Name: "good", Source: "docker", Created: seconds(1),
		Instances: []*catalog.Instance{{
			ID: "good-1", Name: "good-1", Source: "docker", State: catalog.StateReady, Created: seconds(1),
			Addresses: []catalog.Address{{Host: at.Addr().String(), Port: at.Port(), Reach: catalog.ReachFixed}},
			Labels: map[string]string{
				"fairway.host":                           "good.example",
				"fairway.admin.host":                     "good.example",
				"fairway.admin.path":                     "/admin",
				"fairway.admin.headers.request.set.x-to": "admin",
				"fairway.admin.strip-prefix":             "true",
			},
		}},
	}
}

// pieces are what words of HAProxy, of shells and of terminals are made of.
func pieces() []string {
	return []string{
		"a b", "\t", " ", "\n", "\n  http-request deny", "\r\nglobal", "\r", "#", `"`, "'", `\`, `\\`, `\n`, `\x41`, "${HOME}", "$", "%[path]", "%[env(HOME)]",
		"%", "%ci", "{ path / }", "{", "}", " if { always_true }", " unless ", " or ", "||", "!", "-f /etc/passwd", "-m reg .*", "--", "-i", ".*", "^(a+)+$", ",", ";", "(", ")",
		"/../", "*.example.com", "é", "\u202e", "\x00", "\x7f", "\x1b[31m", strings.Repeat("a", 3000), ".if 1", "|", "`id`", "$(id)", "<", "\u00a0", "\ufeff",
		"unix@x", "127.0.0.1:80 ssl verify none", "0.0.0.0", "99999", "-1", "80-90", ";show version", "|~|", ">", "<<", "=", "?", "&", "[", "]", "plain-00001", "good@docker",
		"@1", "\xff", "://", "http://x/", "%0a", "\u2028", "lua.fairway_read", "var(txn.r)",
	}
}

// hostileService has a host of its own and up to six labels that were tampered with.
// What could rightly take the neighbour's requests is left out: a priority.
func hostileService(random *rand.Rand, i int) *catalog.Service {
	labels := map[string]string{}
	all := pieces()
	tampered := func(example string) string {
		piece := all[random.IntN(len(all))]
		switch cut := random.IntN(len(example) + 1); random.IntN(4) {
		case 0:
			return piece
		case 1:
			return piece + example
		case 2:
			return example + piece
		default:
			return example[:cut] + piece + example[cut:]
		}
	}
	switch random.IntN(3) {
	case 0: // where text may be anything that a header, path or expression can be
		piece := func() string { return strings.ReplaceAll(tampered("ab"), "`", "") }
		labels["fairway.rule"] = fmt.Sprintf("Host(`h%d.example`) && (Header(`X-A`, `%s`) || Query(`q`, `%s`) || !PathPrefix(`/%s`))", i, piece(), piece(), piece())
		labels["fairway.other.host"] = fmt.Sprintf("h%d.example", i)
		labels["fairway.other.headers.request.set.x-b"] = piece()
		labels["fairway.third.rule"] = fmt.Sprintf("Host(`h%d.example`) && HeaderRegexp(`X-A`, `%s`)", i, piece())
		labels["fairway.fourth.host"] = fmt.Sprintf("h%d.example", i)
		labels["fairway.fourth.path"] = "/" + piece()
		labels["fairway.fourth.headers.response.add.x-c"] = piece()
	case 1:
		labels["fairway.host"] = fmt.Sprintf("h%d.example", i)
		for range 1 + random.IntN(6) {
			k := native.Keys()[random.IntN(len(native.Keys()))]
			if k.Name == "priority" {
				continue
			}
			name := k.Name
			if strings.HasSuffix(name, ".") {
				name += tampered("X-A")
			}
			if random.IntN(4) == 0 {
				name = "own." + name
			}
			labels[catalog.LabelPrefix+name] = tampered(k.Example)
		}
	default:
		labels["com.df.notify"], labels["com.df.port"], labels["com.df.serviceDomain"] = "true", "80", fmt.Sprintf("h%d.example", i)
		labels["com.df.servicePath"] = fmt.Sprintf("/h%d", i)
		for range 1 + random.IntN(6) {
			k := dockerflow.Parameters()[random.IntN(len(dockerflow.Parameters()))]
			example := []string{"true", "/x", "80", "a:b", "x.example", "tcp", "10.0.0.0/8", "X-A value"}[random.IntN(8)]
			labels["com.df."+k.Name] = tampered(example)
		}
	}
	name := fmt.Sprintf("bad-%d%s", i, all[random.IntN(len(all))])
	in := instanceWith(name+"-1", labels)
	return &catalog.Service{ID: name + "@docker", Name: name, Source: "docker", Created: seconds(2 + i), Instances: []*catalog.Instance{in}}
}

func labelsOf(services []*catalog.Service) string {
	var b strings.Builder
	for _, s := range services {
		fmt.Fprintf(&b, "%q: %q\n", s.ID, s.Instances[0].Labels)
	}
	return b.String()
}
