package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"go/ast"
	goparser "go/parser"
	"go/token"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"fairway/internal/api"
	"fairway/internal/usage"
)

// long is a name that no table of 80 columns can show whole beside others.
const long = "harbour-office-shipping-2@docker:10.20.30.40:2376"

// texts are the longest texts of fields that are no names.
var texts = map[string]string{
	"Role": "operator", "Availability": "pause", "State": "unhealthy", "Condition": "unreachable", "Phase": "reverting",
	"Kind": "instance.unhealthy", "Version": "2.9.15", "Uptime": "336h10m5s", "Engine": "20.10.24+dfsg1", "Address": "10.120.130.140",
	"From": "10.120.130.140", "Unit": "bytes/s", "Outcome": "routed", "Do": "notify", "Value": "123.4%", "Age": "336h10m5s",
	"Operation": "POST /v1/commands", "Part": "path", "Health": "failing", "Digest": strings.Repeat("0123456789abcdef", 4),
}

// filled returns a value in which every field has its longest text or number.
func filled[T any]() T {
	var v T
	fill(reflect.ValueOf(&v).Elem(), "", 0)
	return v
}

func fill(v reflect.Value, name string, depth int) {
	switch v.Kind() {
	case reflect.String:
		if text, ok := texts[name]; ok {
			v.SetString(text)
		} else {
			v.SetString(long)
		}
	case reflect.Int, reflect.Int64:
		v.SetInt(12345)
	case reflect.Uint, reflect.Uint64:
		v.SetUint(12345)
	case reflect.Uint16:
		v.SetUint(12345)
	case reflect.Float64:
		v.SetFloat(1234.5)
	case reflect.Pointer:
		if depth < 6 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), name, depth+1)
		}
	case reflect.Slice:
		if depth < 6 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			fill(v.Index(0), name, depth+1)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 11, 30, 12, 34, 56, 0, time.UTC)))
			return
		}
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() {
				fill(v.Field(i), field.Name, depth+1)
			}
		}
	}
}

// heading is a line of headings; the first one names the table.
var heading = regexp.MustCompile(`^ *([A-Z][A-Z/]*(?: [A-Z/]+)*)(?:  +[A-Z0-9][A-Za-z0-9/]*(?: [A-Za-z0-9/]+)*)*$`)

// judge says what in a printed table is not as it has to be at a width, and which tables
// there are.
func judge(printed string, width int) (tables, faults []string) {
	var starts []int
	for line := range strings.Lines(printed) {
		line = strings.TrimSuffix(line, "\n")
		runes := []rune(line)
		if m := heading.FindStringSubmatch(line); m != nil {
			tables, starts = append(tables, m[1]), nil
			for i, r := range runes {
				if r != ' ' && (i == 0 || runes[i-1] == ' ' && (i == 1 || runes[i-2] == ' ')) {
					starts = append(starts, i)
				}
			}
		}
		if line == "" {
			starts = nil
		}
		if starts == nil {
			continue
		}
		if len(runes) > width {
			faults = append(faults, fmt.Sprintf("%d columns: %s", len(runes), line))
		}
		for i, start := range starts {
			end := len(runes)
			if i+1 < len(starts) {
				end = min(end, starts[i+1])
			}
			text := ""
			if start < end {
				text = strings.TrimSpace(string(runes[start:end]))
			}
			if strings.HasSuffix(text, "…") && utf8.RuneCountInString(text) < 20 {
				faults = append(faults, fmt.Sprintf("%q is cut: %s", text, line))
			}
		}
	}
	return tables, faults
}

// everythingServer answers as an admin API that has one of everything, and returns its URL.
func everythingServer(t *testing.T) string {
	t.Helper()
	answers := map[string]any{
		"/v1/routes": filled[api.List[api.Route]](), "/v1/services": filled[api.List[api.Service]](), "/v1/nodes": filled[api.List[api.Node]](),
		"/v1/sources": filled[api.List[api.Source]](), "/v1/events": filled[api.List[api.Event]](), "/v1/notify/channels": filled[api.List[api.Channel]](),
		"/v1/rules": filled[api.List[api.RuleState]](), "/v1/traffic": filled[api.Traffic](), "/v1/explain": filled[api.Explanation](),
		"/v1/history": filled[api.List[api.Entry]](), "/v1/commands": filled[api.List[api.Command]](), "/v1/tokens": filled[api.List[api.Token]](),
		"/v1/audit": filled[api.List[api.AuditEntry]](), "/v1/fleet/documents": filled[api.List[api.FleetDocument]](), "/v1/fleet/hosts": filled[api.List[api.FleetHost]](),
		"/v1/fleet/documents/web/check": filled[api.List[api.FleetCheck]](), "/v1/fleet/documents/web/revisions": filled[api.List[api.FleetRevision]](),
		"/v1/fleet/documents/web/rollouts": filled[api.List[api.FleetRollout]](), "/v1/certificates": filled[api.Certificates](),
		"/v1/series": api.List[api.SeriesGroup]{}, "/v1/notify/channels/" + long + "/pending": filled[api.List[api.Event]](),
		"/v1/problems": filled[api.List[api.Problem]](), "/v1/latency": filled[api.List[api.Latency]](), "/v1/services/shop": filled[api.List[api.Service]](), "/v1/history/3": filled[api.EntryDetail](), "/v1/status": filled[api.Status](), "/v1/errors": filled[api.List[api.Request]](),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if answers[r.URL.Path] == nil {
			t.Errorf("asked for %s", r.URL)
		}
		_ = json.NewEncoder(w).Encode(answers[r.URL.Path])
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// At 80 columns no table of any command is wider, has a cut heading, or a name that is cut
// below 20 characters.
func TestTablesFit80Columns(t *testing.T) {
	url := everythingServer(t)
	source, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	services := "services:\n  - {name: harbour-office-shipping-2, labels: {fairway.host: harbour-office-shipping.example.com}, instances: [{address: '10.0.0.1:80'}]}\n"
	if err := os.WriteFile("services.yml", []byte(services), 0o600); err != nil {
		t.Fatal(err)
	}
	var seen []string
	look := func(name, printed string) {
		tables, faults := judge(printed, 80)
		if len(tables) == 0 || len(faults) > 0 {
			t.Errorf("%s: %s\n%s", name, strings.Join(faults, "\n"), printed)
		}
		seen = append(seen, tables...)
	}
	for _, line := range []string{
		"routes", "routes --traffic", "services", "nodes", "sources", "events", "notify channels", "rules", "explain http://a.example/", "history", "commands",
		"token list", "audit", "certs list", "config", "check services.yml", "fleet list", "fleet status", "fleet check web", "fleet history web", "fleet history web --rollouts",
	} {
		_, stdout, stderr := runAt(t, []string{"FAIRWAY_ADMIN=" + url, "COLUMNS=80"}, strings.Fields(line)...)
		look(line+": "+stderr, stdout)
	}
	var out bytes.Buffer
	c := newCLI(&out, &out, nil)
	c.Width = 80
	report, points := filled[usage.Report](), filled[api.Series]()
	report.Services[0].MemoryLimit, report.Unread, points.Fields[0].Name = 1<<44-1, nil, "containers"
	c.Usage(&report)
	out.WriteString("\n")
	points.Points[0].At = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	c.Series([]api.Series{points}, points.Points[0].At, points.Points[0].At.Add(90*time.Minute))
	out.WriteString("\n")
	c.Labels([]api.Label{filled[api.Label]()})
	out.WriteString("\n")
	c.Latency([]api.Latency{filled[api.Latency]()})
	out.WriteString("\n")
	rollout := filled[api.FleetRollout]()
	rollout.Reason = ""
	c.Rollout(rollout)
	look("printed", out.String())

	t.Chdir(source)
	for _, first := range firstHeadings(t) {
		if !slices.Contains(seen, first) {
			t.Errorf("no command above prints the table that begins with %s", first)
		}
	}
}

// firstHeadings are the first columns of all tables in the source.
func firstHeadings(t *testing.T) []string {
	t.Helper()
	var paths []string
	for _, pattern := range []string{"*.go", "../../internal/printer/*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatal("no source", err)
		}
		paths = append(paths, found...)
	}
	found := map[string]bool{}
	for _, path := range paths {
		f, err := goparser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if method, ok := call.Fun.(*ast.SelectorExpr); ok && method.Sel.Name == "Columns" && len(call.Args) > 0 {
				if name, ok := call.Args[0].(*ast.BasicLit); ok {
					text, err := strconv.Unquote(name.Value)
					if err != nil {
						t.Fatal(err)
					}
					found[text] = true
				}
			}
			return true
		})
	}
	return slices.Sorted(maps.Keys(found))
}

// Each list is one table as CSV, with its header, however narrow the terminal, and
// nothing else; what is no list says so, and does nothing.
func TestListsAsCSV(t *testing.T) {
	t.Chdir(t.TempDir())
	environ := []string{"FAIRWAY_ADMIN=" + everythingServer(t), "COLUMNS=40"}
	nothing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"items":[]}`))
	}))
	defer nothing.Close()
	for line, heading := range map[string]string{
		"routes --state down": "ROUTE", "notify outbox": "CHANNEL", "stats --since 1h": "SUBJECT",
		"status": "SERVICE", "errors": "AT", "routes": "ROUTE", "routes --traffic": "ROUTE", "services": "SERVICE", "services shop": "SERVICE", "problems": "SERVICE", "sources": "SOURCE", "nodes": "NODE",
		"events": "AT", "rules": "RULE", "history": "ENTRY", "commands": "COMMAND", "stats --latency": "ROUTE / INSTANCE", "audit": "WHEN", "token list": "TOKEN",
		"config": "KEY", "certs list": "NAMES", "notify channels": "CHANNEL", "fleet list": "DOCUMENT", "fleet status": "HOST", "fleet history web": "REVISION",
	} {
		_, stdout, stderr := runAt(t, environ, append(strings.Fields(line), "-o", "csv")...)
		rows, err := csv.NewReader(strings.NewReader(stdout)).ReadAll()
		if some := line != "stats --since 1h"; err != nil || len(rows) < 2 && some || rows[0][0] != heading {
			t.Errorf("%s: %v, %s\n%s", line, err, stderr, stdout)
		}
		if line == "config" { // it is never empty
			continue
		}
		code, stdout, stderr := runAt(t, []string{"FAIRWAY_ADMIN=" + nothing.URL}, append(strings.Fields(line), "-o", "csv")...)
		if code > exitNo || !strings.HasPrefix(stdout, heading+",") || strings.Count(stdout, "\n") != 1 {
			t.Errorf("%s with no row: code %d\n%s%s", line, code, stdout, stderr)
		}
	}
	for _, line := range []string{"errors --follow", "routes --watch", "drain shop", "explain http://a.example/", "history 3"} {
		code, stdout, stderr := runAt(t, environ, append(strings.Fields(line), "-o", "csv")...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, "-o csv is for lists") {
			t.Errorf("%s: code %d\n%s%s", line, code, stdout, stderr)
		}
	}
}
